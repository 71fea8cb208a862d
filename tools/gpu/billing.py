"""Changes to an instance's billing: subscribing, renewing, going back to hours. What each costs, and its request."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ...novita.core.errors import InputError, NovitaError
from ...novita.core.money import say_usd
from ...novita.core.words import counted
from ...novita.gpu.instances import Instance, get_instance
from ...novita.gpu.meters import follow_instance, price_facts
from ...novita.gpu.products import MachineWish, find_offers
from ...novita.gpu.routes import act
from ...novita.journal.facts import GpuFacts
from ...novita.journal.journal import Job
from ..kit.context import Caller
from ..kit.created_things import machine_cost
from ..kit.purchase import Purchase
from .admin_results import AdminResult, paid_at_once
from .results import KnownInstances, as_noted, shown_request
from .waiting import find_instance

HOURS_A_MONTH = 720


@dataclass(frozen=True)
class _Change:
    """One change of billing: what it does in words, what it costs, and the request."""

    does: str
    price: str
    operation: str
    body: dict[str, Any]
    usd: Decimal | None


async def changed_billing(caller: Caller, instance_id: str, action: str, months: int) -> Purchase[AdminResult]:
    """The plan of one change.

    Raises:
        InputError: The change is not possible with the instance's present billing.
    """
    instance = await find_instance(caller, instance_id)
    change = await _plan(caller, instance, action, months)
    card_hours = HOURS_A_MONTH * months * (instance.gpu_num or 1)
    path = {"instance_id": instance.id} if change.operation.startswith("gpus_v2") else {}
    title = f"{action} {instance.name}"

    async def done(_: Job, __: Any) -> AdminResult:
        await _follow(caller, instance.id)
        cost = as_noted(change.usd)
        return AdminResult(status="done", id=instance.id, what=change.does, estimated_cost_usd=cost)

    async def request() -> dict[str, Any]:
        return {"request": shown_request(change.operation, change.body, **path)}

    return Purchase(
        answer=AdminResult,
        effect=f"Instance {instance.label()}: {change.does}.",
        model=instance.product_id,
        title=title,
        cost=machine_cost(change.usd, change.price, card_hours=card_hours),
        sending=paid_at_once(
            caller,
            title,
            send=lambda: act(caller.novita, change.operation, change.body, **path),
            done=done,
            facts=GpuFacts(resource=instance.id),
        ),
        dry_run=request,
        about=f"{action} {instance.id} {months}",
        always_asks=True,
    )


async def _follow(caller: Caller, instance_id: str) -> None:
    """Update the instance's row to its new billing: a subscription's term is paid, so only the disk costs from now."""
    try:
        instance = await get_instance(caller.novita, instance_id)
    except NovitaError:
        return  # the change is made, and the next look will see it
    noted = await KnownInstances.open(caller)
    price = await noted.usd_per_hour(instance)
    if (row := noted.rows.get(instance_id)) is not None and instance.billing_mode != "monthly":
        facts = price_facts(price, instance.rootfs_size or 0, instance.billing_mode or "onDemand")
        await caller.app.journal.note(row.key, facts)
    await follow_instance(caller.app.journal, caller.owner, instance, usd_per_hour=price)


async def _plan(caller: Caller, instance: Instance, action: str, months: int) -> _Change:
    monthly = instance.billing_mode == "monthly"
    if monthly == (action == "to_monthly"):
        raise InputError(f"Instance {instance.label()} is billed {instance.billing_mode}: {action} does not apply")
    match action:
        case "renew" | "to_monthly":
            usd = await _term(caller, instance, months)
            price = f"Estimated {say_usd(usd)}, paid in advance." if usd is not None else ""
            what = "renew its subscription" if monthly else "turn it into a subscription"
            operation = "renew_gpu_instance" if monthly else "change_gpu_instance_billing"
            body = {"instanceId": instance.id, "month": months}
            return _Change(f"{what} for {counted(months, 'month')}", price, operation, body, usd)
        case "to_on_demand":
            does = "end its subscription now and pay by the hour; what is left of the term may be lost"
            return _Change(does, "", "gpus_v2_change_billing_mode", {"type": "postpaid"}, Decimal(0))
        case _:
            on = action == "auto_renew_on"
            body = {"instanceIds": [instance.id], "autoRenew": on, **({"autoRenewMonth": months} if on else {})}
            does = f"renew itself by {counted(months, 'month')}" if on else "stop renewing itself"
            price = await _each_renewal(caller, instance, months) if on else ""
            return _Change(does, price, "set_gpu_instance_auto_renew", body, Decimal(0))


async def _each_renewal(caller: Caller, instance: Instance, months: int) -> str:
    """The price of each coming renewal, in words. Switching renewals on costs nothing by itself."""
    usd = await _term(caller, instance, months)
    if usd is None:
        return "It costs nothing now; what each renewal costs is not known."
    return f"It costs nothing now; each renewal is estimated at {say_usd(usd)}, paid in advance."


async def _term(caller: Caller, instance: Instance, months: int) -> Decimal | None:
    """The estimated price of a term, or None if it is unknown."""
    wish = MachineWish(count=instance.gpu_num or 1, billing="monthly", months=months)
    for offer in await find_offers(caller.novita, wish, in_stock=False):
        if offer.product.id == instance.product_id:
            return offer.term_usd
    return None
