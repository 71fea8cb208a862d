"""Subscriptions of instances: what each change costs, and the calls behind it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..novita.errors import InputError
from ..novita.gpu import act
from ..novita.gpu_instances import Instance
from ..novita.gpu_products import Wish, find_offers
from ..novita.money import show_usd
from .confirm import need_yes
from .context import Caller
from .gpu_admin_results import AdminResult, spend_once


@dataclass(frozen=True)
class _Change:
    """One change: what is asked, and the call."""

    words: str
    operation: str
    body: dict[str, Any]
    usd: Decimal | None


async def change_billing(caller: Caller, instance: Instance, action: str, months: int, confirm: bool) -> AdminResult:
    """Ask, then make the change once.

    Raises:
        InputError: The instance is not billed so that this could be done.
    """
    change = await _plan(caller, instance, action, months)
    question = f"Instance {instance.label()}: {change.words}?"
    await need_yes(caller, question, confirm=confirm, about=f"{action} {instance.id} {months}")
    path = {"instance_id": instance.id} if change.operation.startswith("gpus_v2") else {}
    await spend_once(
        caller,
        "change_gpu_billing",
        title=f"{action} {instance.name}",
        estimate=change.usd,
        send=lambda: act(caller.novita, change.operation, change.body, **path),
    )
    cost = show_usd(change.usd) if change.usd else None
    return AdminResult(status="done", id=instance.id, what=change.words, estimated_cost_usd=cost)


async def _plan(caller: Caller, instance: Instance, action: str, months: int) -> _Change:
    monthly = instance.billing_mode == "monthly"
    if monthly == (action == "to_monthly"):
        raise InputError(f"Instance {instance.label()} is billed {instance.billing_mode}: {action} does not apply")
    match action:
        case "renew" | "to_monthly":
            usd = await _term(caller, instance, months)
            price = f"estimated ${show_usd(usd)} in advance" if usd is not None else "price unknown, paid in advance"
            what = "renew its subscription" if monthly else "turn it into a subscription"
            operation = "renew_gpu_instance" if monthly else "change_gpu_instance_billing"
            body = {"instanceId": instance.id, "month": months}
            return _Change(f"{what} for {months} month(s), {price}", operation, body, usd)
        case "to_on_demand":
            words = "end its subscription now and pay by the hour; what is left of the term may be lost"
            return _Change(words, "gpus_v2_change_billing_mode", {"type": "postpaid"}, Decimal(0))
        case _:
            on = action == "auto_renew_on"
            body = {"instanceIds": [instance.id], "autoRenew": on, **({"autoRenewMonth": months} if on else {})}
            usd = await _term(caller, instance, months) if on else None
            each = f" by {months} month(s), estimated ${show_usd(usd)} each time" if usd is not None else ""
            words = f"renew itself{each}" if on else "renew itself no more"
            return _Change(words, "set_gpu_instance_auto_renew", body, Decimal(0))


async def _term(caller: Caller, instance: Instance, months: int) -> Decimal | None:
    """Estimated price of a term, or None."""
    wish = Wish(count=instance.gpu_num or 1, billing="monthly", months=months)
    for offer in await find_offers(caller.novita, wish, in_stock=False):
        if offer.product.id == instance.product_id:
            return offer.term_usd
    return None
