"""Creates an instance: chooses the machine, asks the user, sends the order, and waits until the instance runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any, cast

from ...novita.core.costs import Cost
from ...novita.core.errors import InputError, NovitaAPIError, NovitaError
from ...novita.core.money import say_usd
from ...novita.core.words import counted
from ...novita.gpu.instances import (
    NATIVE,
    Instance,
    InstanceGoal,
    InstanceOrder,
    check_env,
    create_instance,
    disk_usd_per_hour,
    read_ports,
)
from ...novita.gpu.leases import INSTANCE
from ...novita.gpu.meters import price_facts
from ...novita.gpu.products import (
    FREE_DISK_GB,
    RAW,
    CpuProduct,
    MachineOffer,
    MachineWish,
    choose_offer,
    find_offers,
    find_regions,
    list_cpu_products,
    nearest,
)
from ...novita.gpu.resources import list_volumes, login_id
from ...novita.gpu.templates import Template, find_template
from ...novita.journal.journal import Job, JobState
from ..kit.context import Caller
from ..kit.created_things import (
    Creation,
    check_source,
    default_name,
    duplicate_of,
    lease_doubt,
    machine_cost,
    mounts_and_region,
    unknown_option,
    with_lease_doubt,
)
from ..kit.purchase import Purchase, Submitted, carry_out
from .results import InstanceLine, InstanceResult, as_noted, per_hour_and_day, shown_request
from .waiting import KIND, own_instances, settle_volumes, wait_for


@dataclass(frozen=True)
class Wanted:
    """The arguments of create_gpu_instance."""

    wish: MachineWish
    product_id: str | None = None
    image: str | None = None
    template_id: str | None = None
    name: str | None = None
    command: str | None = None
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    ports: Sequence[str] | None = None
    disk_gb: int | None = None
    volumes: Mapping[str, str] = field(default_factory=dict[str, str])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass(frozen=True)
class Planned:
    """An order with its price. `usd` is noted before the order is sent: the price of an hour, or of the whole term."""

    order: InstanceOrder
    product: str
    usd_per_hour: Decimal | None
    usd: Decimal | None
    price: str
    term_usd: Decimal | None = None

    @property
    def cost(self) -> Cost:
        return machine_cost(self.usd, f"{self.price[:1].upper()}{self.price[1:]}.", card_hours=self.order.count)


async def create(
    caller: Caller,
    wanted: Wanted,
    *,
    stop_after_hours: float | None,
    wait_seconds: float | None,
    confirm: bool,
    allow_duplicate: bool,
    dry_run: bool,
) -> InstanceResult:
    """Plan the instance, ask the user, send the order once, and wait until the instance runs.

    Raises:
        NovitaError: No product fits, the user said no, Novita refused, or the instance did not start.
    """

    async def purchase() -> Purchase[InstanceResult]:
        planned = await plan(caller, wanted)
        order = planned.order
        creation = Creation(
            lease_kind=INSTANCE,
            what="instance",
            name=order.name,
            kind=KIND,
            listed_by="list_gpu_instances",
            duplicate=await _duplicate(caller, order.name),
            allow_duplicate=allow_duplicate,
            hours=stop_after_hours,
        )
        facts = price_facts(planned.usd_per_hour, order.disk_gb, order.billing, planned.term_usd)
        what = f"Create GPU instance {order.name!r}: {planned.product}, image {order.image}."
        until = (
            f"It will be stopped after {counted(stop_after_hours, 'hour')}{_in_all(planned, stop_after_hours)}. "
            f"{lease_doubt(caller)}"
            if stop_after_hours
            else "It runs until stopped."
        )
        pin = "" if wanted.product_id else f"Give product_id {order.product_id} to get exactly this one."

        async def working(_: Job, instance_id: str) -> InstanceResult:
            line = InstanceLine(instance_id=instance_id, name=order.name, state="toCreate", product=planned.product)
            cost = as_noted(planned.usd)
            return InstanceResult(status="working", instance_id=instance_id, instance=line, estimated_cost_usd=cost)

        async def follow(_: Job, instance_id: str, budget: float) -> InstanceResult:
            unseen = Instance(id=instance_id, name=order.name, status="toCreate", product_id=order.product_id)
            result = await wait_for(caller, unseen, InstanceGoal.RUNNING, budget)
            result.estimated_cost_usd = as_noted(planned.usd)
            result.next_step = with_lease_doubt(caller, result.next_step, stop_after_hours)
            return result

        async def request() -> dict[str, Any]:
            return {"request": shown_request("create_gpu_instance", order.body())}

        return Purchase(
            answer=InstanceResult,
            effect=f"{what} {until}{creation.careful}",
            model=order.product_id,
            title=order.name,
            cost=planned.cost,
            sending=Submitted(
                start=creation.start(caller, partial(create_instance, caller.novita, order), facts, confirm=confirm),
                working=working,
                follow=follow,
                wait_seconds=wait_seconds,
                lost=creation.lost,
                explain=partial(_explain, caller, order),
            ),
            dry_run=request,
            about=f"{creation.about} {order.product_id}",
            always_asks=True,
            hint=f"{pin} {creation.hint}".strip(),
        )

    return await carry_out(caller, purchase, confirm=confirm, dry_run=dry_run)


def _in_all(planned: Planned, hours: float) -> str:
    """The cost of the whole lease, in words."""
    if planned.usd_per_hour is None or planned.order.billing == "monthly":
        return ""
    return f", about {say_usd(planned.usd_per_hour * Decimal(str(hours)))} in all"


async def plan(caller: Caller, wanted: Wanted) -> Planned:
    """Check everything that can be checked for free, choose the machine, and find its price.

    Raises:
        InputError: Novita would refuse the order, or no product fits.
    """
    check_source(wanted.image, wanted.template_id)
    wish = wanted.wish
    if wish.billing == "monthly" and wish.months is None:
        wish = replace(wish, months=1)
    if wish.months is not None and wish.billing != "monthly":
        raise InputError("The option month is for billing=monthly only", next_step="Leave it out, or set billing.")
    check_env(wanted.env)
    read_ports(wanted.ports or ())
    native = dict(_native(wanted.options))
    if login := str(native.get("imageAuthId") or ""):
        native["imageAuthId"] = await login_id(caller.novita, login)
    template = await find_template(caller.novita, wanted.template_id) if wanted.template_id else None
    volumes, region = await mounted_volumes(caller, wanted.volumes, wish.region)
    wish = replace(wish, region=region)
    order = _order(replace(wanted, volumes=volumes), template, native)
    try:
        offer = await choose_offer(caller.novita, wish, wanted.product_id)
    except InputError:
        if (cpu := await _cpu_product(caller, wanted.product_id)) is None:
            raise
        region = (await find_regions(caller.novita, wish.region))[0].id if wish.region else ""
        return _cpu_plan(replace(order, region_id=region), cpu, wish)
    return _gpu_plan(order, offer, wanted.disk_gb, template)


def _order(wanted: Wanted, template: Template | None, native: Mapping[str, Any]) -> InstanceOrder:
    """The order without its machine, which is chosen later. Arguments win over the template's settings."""
    env, ports, image, command, login = dict(wanted.env), wanted.ports, wanted.image or "", wanted.command, ""
    fixed = dict(native)
    if template is not None:
        env = {each.key: each.value.get_secret_value() for each in template.envs if each.key} | env
        ports = template.port_list() if ports is None else ports
        image, login = template.image, template.image_auth
        command = template.start_command if command is None else command
        tools = [{"name": tool.name, "port": tool.port, "type": tool.type} for tool in template.tools]
        jupyter = [tool for tool in tools if tool["name"] == "Jupyter"]
        from_template: dict[str, Any] = {
            "entrypoint": template.entrypoint,
            "minCudaVersion": template.min_cuda_version,
            "tools": jupyter,
        }
        fixed = {key: value for key, value in from_template.items() if value} | fixed
    if not image:
        raise InputError("The template names no image", next_step="Use another template, or give an image.")
    switched_on = cast(list[dict[str, Any]], fixed.get("tools") or [])
    taken = {str(tool.get("port")) for tool in switched_on}
    # A tool of the template opens its own port.
    opened = [port for port in read_ports(ports or ()) if str(port[0]) not in taken]
    return InstanceOrder(
        name=wanted.name or "",
        product_id="",
        image=image,
        ports=tuple(opened),
        env=env,
        command=command or "",
        volumes=wanted.volumes,
        registry_auth_id=str(fixed.pop("imageAuthId", "") or login),
        native=fixed,
    )


def _gpu_plan(order: InstanceOrder, offer: MachineOffer, disk_gb: int | None, template: Template | None) -> Planned:
    product = offer.product
    least, most = product.min_root_fs or 10, product.max_root_fs or 6144
    disk = disk_gb or (template.rootfs_size if template else None) or min(FREE_DISK_GB, most)
    if not least <= disk <= most:
        raise InputError(f"{product.name} takes a root disk of {least} to {most} GB, not {disk}")
    per_hour = (offer.usd_per_hour or Decimal(0)) + disk_usd_per_hour(disk)
    disk_words = f" with {disk} GB disk" if disk > FREE_DISK_GB else ""
    if offer.billing == "monthly":
        usd = (offer.term_usd or Decimal(0)) + disk_usd_per_hour(disk)
        price = (
            f"estimated {say_usd(offer.term_usd or Decimal(0))} in advance for {counted(offer.months or 1, 'month')}"
        )
    else:
        usd, price = per_hour, f"estimated {per_hour_and_day(per_hour)}{disk_words}, billed {offer.billing}"
    where = f" in {offer.region.id}" if offer.region else ""
    return Planned(
        order=replace(
            order,
            name=order.name or default_name(order.image, product.name),
            product_id=product.id,
            count=offer.count,
            disk_gb=disk,
            billing=offer.billing,
            months=offer.months if offer.billing == "monthly" else 0,
            region_id=offer.region.id if offer.region else "",
        ),
        product=f"{product.name} x{offer.count}{where} (product_id {product.id})",
        usd_per_hour=per_hour,
        usd=usd,
        price=price,
        term_usd=offer.term_usd,
    )


async def _cpu_product(caller: Caller, product_id: str | None) -> CpuProduct | None:
    """The machine without cards that has this product id, if any. Such machines have a list of their own."""
    if product_id is None:
        return None
    return next((each for each in await list_cpu_products(caller.novita) if each.id == product_id), None)


def _cpu_plan(order: InstanceOrder, product: CpuProduct, wish: MachineWish) -> Planned:
    if wish.billing != "onDemand" or wish.count != 1:
        raise InputError(f"{product.name} has no cards and is billed onDemand only")
    if not product.available_deploy:
        raise InputError(f"{product.name} is out of stock", next_step="See list_gpu_resources with kind=cpu_products.")
    per_hour = product.price * RAW if product.price is not None else None
    return Planned(
        order=replace(
            order,
            name=order.name or default_name(order.image, product.name),
            product_id=product.id,
            kind="cpu",
        ),
        product=f"{product.name} (product_id {product.id})",
        usd_per_hour=per_hour,
        usd=per_hour,
        price=f"estimated {per_hour_and_day(per_hour)}",
    )


def _native(options: Mapping[str, Any]) -> Mapping[str, Any]:
    tools = options.get("tools", [])
    rows: list[Any] = cast(list[Any], tools) if isinstance(tools, list) else [None]
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(
            "The option tools must be a list of objects", next_step='[{"name": "Jupyter", "port": "8888"}]'
        )
    for name in options:
        if name not in NATIVE:
            raise unknown_option(name, NATIVE)
    return options


async def mounted_volumes(
    caller: Caller, volumes: Mapping[str, str], region: str | None = None
) -> tuple[dict[str, str], str | None]:
    """What `mounts_and_region` finds. The journal's rows are updated to the volumes that were read for that."""
    if not volumes:
        return {}, region
    there = await list_volumes(caller.novita)
    await settle_volumes(caller, there)
    return mounts_and_region(there, volumes, region)


async def _duplicate(caller: Caller, name: str) -> str:
    """A warning if an instance of this name exists already, so that this create may be a mistake. Otherwise empty."""
    named = [each for each in await own_instances(caller, name=name) if each.name == name and not each.gone]
    there = [f"{each.label()}, {each.status}" for each in named]
    lost = await caller.app.journal.recent(caller.owner, limit=20, kind=KIND, states=[JobState.UNCONFIRMED])
    return duplicate_of(caller, "an instance", name, there, lost, "list_gpu_instances")


async def _explain(caller: Caller, order: InstanceOrder, error: NovitaError) -> None:
    """Say in Novita's error what to rent instead, if no machine of the product is free or none fits the order."""
    if isinstance(error, NovitaAPIError) and error.reason == "INSUFFICIENT_RESOURCE" and order.kind == "gpu":
        wish = MachineWish(count=order.count, billing=order.billing)
        offers = [each for each in await find_offers(caller.novita, wish) if each.product.id != order.product_id]
        shown = "; ".join(offer.words() for offer in nearest(offers, wish))
        if "cuda" in error.what.casefold():
            why = "Ask for an older CUDA (minCudaVersion in options) or leave it out."
        else:
            why = "The last such machine may just have been rented."
        error.next_step = f"{why} In stock: {shown}." if shown else error.next_step
