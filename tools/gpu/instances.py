"""Tools for GPU instances: finding a product, renting it, reaching the instance, and making sure that it stops."""

from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from ...novita.core.errors import InputError, NovitaConnectionError
from ...novita.core.words import counted
from ...novita.gpu.instances import (
    InstanceGoal,
    delete_instance,
    restart_instance,
    start_instance,
)
from ...novita.gpu.leases import INSTANCE
from ...novita.gpu.meters import price_facts
from ...novita.gpu.products import PRICE_SOURCE, Billing, MachineWish, find_offers, nearest
from ...novita.gpu.resources import volumes_that_stay
from ...novita.journal.facts import GpuFacts
from ...novita.journal.jobs import Paid
from ...novita.journal.journal import Job
from ...novita.journal.leases import LONGEST_LEASE, SHORTEST_LEASE
from ..kit.arguments import SELDOM, Agreed, Confirm, DryRun, Wait
from ..kit.container_images import ContainerImage
from ..kit.context import Call
from ..kit.created_things import lease_at_start, lease_doubt, machine_cost, ran_out, under_lease
from ..kit.purchase import Purchase, Submitted, carry_out, destruction
from ..kit.toolset import DESTROYS, READS, SPENDS, Toolset
from .creating import Wanted, create
from .results import (
    InstanceList,
    InstanceResult,
    KnownInstances,
    ProductList,
    adopt_lost,
    as_noted,
    instance_result,
    per_hour_and_day,
    product_line,
    shown_request,
)
from .templates import add_template_tools
from .waiting import KIND, find_instance, own_instances, settle_jobs, start_id, stop_now, wait_for

gpu = Toolset("gpu", "Rent GPUs.")

PRODUCTS_SHOWN = 40
INSTANCES_SHOWN = 40

Gpu = Annotated[str | None, Field(description="Its name, such as RTX 4090.")]
MinMemory = Annotated[int | None, Field(ge=1, description="Least GB of one card.")]
Ceiling = Annotated[float | None, Field(description="Most it may cost, in USD.")]
Cards = Annotated[int | None, Field(ge=1, le=8, description="How many cards; default 1.")]
RegionName = Annotated[str | None, Field(description="Where: id or name, as france.")]
Mode = Annotated[Billing | None, Field(description="spot may be cut off; monthly is prepaid.")]
InstanceId = Annotated[str, Field(description="Id or name of the machine.")]
Lease = Annotated[
    float | None,
    Field(ge=SHORTEST_LEASE, le=LONGEST_LEASE, description="It stops by itself then; always give one."),
]


def _wish(
    gpu: str | None,
    memory: int | None,
    ceiling: float | None,
    region: str | None,
    count: int | None,
    billing: Billing | None,
    months: int | None = None,
) -> MachineWish:
    most = Decimal(str(ceiling)) if ceiling is not None else None
    return MachineWish(gpu, memory, most, region, count or 1, billing or "onDemand", months)


def _whole_months(value: Any) -> int | None:
    """The value of the option `month`: 1 to 12, or None if it is not given.

    Raises:
        InputError: The value is something else.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 12:
        raise InputError("The option month must be a whole number from 1 to 12")
    return value


@gpu.tool("List GPU products", READS)
async def list_gpu_products(
    call: Call,
    gpu: Gpu = None,
    min_memory_gb: MinMemory = None,
    max_usd_per_hour: Ceiling = None,
    region: RegionName = None,
    count: Cards = None,
    billing: Mode = None,
    out_of_stock: Annotated[bool, Field(description="Show those too."), SELDOM] = False,
) -> ProductList:
    """Which graphics cards (GPUs) can be rented and what they cost an hour: H100, A100, RTX 4090 and others, with
    memory, region and stock. Find the cheapest or compare. A price list: it rents nothing, and my machines are in
    list_gpu_instances. Free.
    """
    wish = _wish(gpu, min_memory_gb, max_usd_per_hour, region, count, billing)
    offers = await find_offers(call.novita, wish, in_stock=not out_of_stock)
    hint = None
    if not offers:
        anything = replace(wish, gpu=None, min_memory_gb=None, max_usd_per_hour=None)
        near = nearest(await find_offers(call.novita, anything, in_stock=False), wish)
        hint = f"Nearest: {'; '.join(offer.words() for offer in near)}." if near else "Try another region or mode."
    more = len(offers) - PRODUCTS_SHOWN
    if more > 0:
        hint = "Narrow it with gpu, min_memory_gb, region or max_usd_per_hour to see the others."
    return ProductList(
        products=tuple(product_line(offer) for offer in offers[:PRODUCTS_SHOWN]),
        price_source=PRICE_SOURCE,
        more=more if more > 0 else None,
        next_step=hint,
    )


@gpu.tool("List GPU instances", READS)
async def list_gpu_instances(
    call: Call,
    name: Annotated[str | None, Field(description="Only with this in the name.")] = None,
    offset: Annotated[int | None, Field(ge=0, le=100_000, description="Rows to skip."), SELDOM] = None,
) -> InstanceList:
    """My rented GPU machines, servers, pods or boxes: which are running right now or stopped, what am I paying for,
    what each costs an hour and until when; also rentals never confirmed. Free.
    """
    noted = await KnownInstances.open(call)
    everything = await own_instances(call)
    recent = await call.app.journal.recent(call.owner, limit=50, kind=KIND)
    lost = await adopt_lost(noted, everything, recent)
    await settle_jobs(noted, everything, all_of_them=True)
    noted = await KnownInstances.open(call)
    wanted = [each for each in everything if not name or name.casefold() in each.name.casefold()]
    wanted.sort(key=lambda each: each.created_at.timestamp() if each.created_at else 0.0, reverse=True)
    lines = [await noted.line(each) for each in wanted]
    start = offset or 0
    rest = len(wanted) - start - INSTANCES_SHOWN
    step = f"{rest} more: call again with offset={start + INSTANCES_SHOWN}." if rest > 0 else None
    unpriced = sum(line.usd_per_hour is None for line in lines)
    return InstanceList(
        instances=tuple(lines[start : start + INSTANCES_SHOWN]),
        total=len(wanted),
        usd_per_hour=f"{sum((Decimal(line.usd_per_hour) for line in lines if line.usd_per_hour), Decimal(0)):f}",
        unpriced=unpriced or None,
        unconfirmed=tuple(f"{job.title}: sent {job.created:%Y-%m-%d %H:%M:%S} UTC, {job.reason}" for job in lost),
        next_step=step,
    )


@gpu.tool("Get a GPU instance", READS)
async def get_gpu_instance(
    call: Call,
    instance_id: InstanceId,
    access: Annotated[bool, Field(description="true: show ssh, ports and passwords.")] = False,
    wait_seconds: Annotated[float | None, Field(ge=0, le=3_600, description="Wait so long until it runs.")] = None,
) -> InstanceResult:
    """One rented GPU machine: is it up yet, what it costs, and how to connect: ssh command, IP address, ports, Jupyter,
    password (access=true). Can wait until it runs. Free.
    """
    instance = await find_instance(call, instance_id)
    if wait_seconds and instance.status != "exited":
        await wait_for(call, instance, InstanceGoal.RUNNING, wait_seconds)
        instance = await find_instance(call, instance.id)
    noted = await KnownInstances.open(call)
    if (row := noted.rows.get(instance.id)) is not None:
        call.asks_after = row.key
    await settle_jobs(noted, [instance])
    step = None
    if access and not instance.running:
        step = "It can be reached once it runs."
    elif instance.running and not access:
        step = "Call again with access=true to see how to reach it."
    return await instance_result(call, instance, access=access, details=True, next_step=step, noted=noted)


@gpu.tool("Create a GPU instance", SPENDS)
async def create_gpu_instance(
    call: Call,
    image: Annotated[
        ContainerImage | None, Field(max_length=500, description="Docker image, or else template_id.")
    ] = None,
    template_id: Annotated[str | None, Field(description="Id or name from list_gpu_templates.")] = None,
    product_id: Annotated[
        str | None, Field(description="From list_gpu_products; default the cheapest that fits.")
    ] = None,
    gpu: Gpu = None,
    min_memory_gb: Annotated[MinMemory, SELDOM] = None,
    max_usd_per_hour: Annotated[Ceiling, SELDOM] = None,
    region: RegionName = None,
    count: Cards = None,
    billing: Mode = None,
    name: Annotated[str | None, Field(max_length=255, description="What to call it.")] = None,
    command: Annotated[str | None, Field(max_length=2047, description="Start command.")] = None,
    env: Annotated[dict[str, str] | None, Field(description="Environment variables.")] = None,
    ports: Annotated[list[str] | None, Field(description="To open, such as 8888/http, 22/tcp.")] = None,
    disk_gb: Annotated[int | None, Field(description="Disk; 60 GB are free.")] = None,
    volumes: Annotated[dict[str, str] | None, Field(description="Volume id or name: mount path."), SELDOM] = None,
    options: Annotated[
        dict[str, Any] | None, Field(description="Such as month (term), entrypoint, imageAuthId.")
    ] = None,
    stop_after_hours: Lease = None,
    wait_seconds: Annotated[Wait, SELDOM] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> InstanceResult:
    """Rent a cloud GPU, such as an RTX 4090 or H100: launch or spin up a new machine, server or pod with a Docker image
    or template, for PyTorch, training, Jupyter, ComfyUI or ssh. For an autoscaling API use create_endpoint. Costs about
    $0.1 to $4 an hour a card until stopped; asks first. Returns its id once it runs.
    """
    native = dict(options or {})
    months = native.pop("month", None)
    allow_duplicate = native.pop("allow_duplicate", False) is True
    wanted = Wanted(
        wish=_wish(gpu, min_memory_gb, max_usd_per_hour, region, count, billing, _whole_months(months)),
        product_id=product_id,
        image=image,
        template_id=template_id,
        name=name,
        command=command,
        env=env or {},
        ports=ports,
        disk_gb=disk_gb,
        volumes=volumes or {},
        options=native,
    )
    return await create(
        call,
        wanted,
        stop_after_hours=stop_after_hours,
        wait_seconds=wait_seconds,
        confirm=confirm,
        allow_duplicate=allow_duplicate,
        dry_run=dry_run,
    )


@gpu.tool("Start a GPU instance", SPENDS)
async def start_gpu_instance(
    call: Call,
    instance_id: InstanceId,
    stop_after_hours: Lease = None,
    wait_seconds: Annotated[Wait, SELDOM] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> InstanceResult:
    """Start a stopped GPU machine: turn it back on, switch on, boot, power up, resume. A new one: create_gpu_instance.
    Billed by the hour again until stopped; asks first. Returns its state.
    """
    app = call.app

    async def plan() -> Purchase[InstanceResult] | InstanceResult:
        instance = await find_instance(call, instance_id)
        if instance.running:
            running = await instance_result(call, instance, next_step="It runs already; nothing was sent.")
            running.estimated_cost_usd = as_noted(Decimal(0))
            return running
        price = await (await KnownInstances.open(call)).usd_per_hour(instance)
        facts = price_facts(price, instance.rootfs_size or 0, instance.billing_mode or "onDemand")
        earlier = await app.leases.open_of(call.owner, INSTANCE, instance.id)
        lease = lease_at_start(call, stop_after_hours, earlier)
        over = ran_out(call, earlier)

        async def start(paid_for: Paid) -> tuple[Job, float]:
            async def send(job: Job) -> float:
                begun = app.jobs.clock.wall()
                if over:  # a lease that ran out while the instance was stopped must not stop it again now
                    note = "it ran out before the instance was started again"
                    await app.leases.end(call.owner, kind=INSTANCE, thing_id=instance.id, note=note)
                act = partial(start_instance, call.novita, instance.id)
                hours, name = stop_after_hours, instance.name
                await under_lease(call, job, act, kind=INSTANCE, hours=hours, name=name, thing_id=instance.id)
                return begun

            async def note(job: Job, _: float) -> Job:
                return await app.journal.accepted(job.key, start_id(job, instance))

            return await app.jobs.submit(
                paid_for,
                kind=KIND,
                send=send,
                note=note,
                facts=facts.with_(GpuFacts(resource=instance.id)),
                on_progress=call.progress_of(f"instance {instance.name}: starting"),
            )

        async def working(_: Job, begun: float) -> InstanceResult:
            result = await instance_result(call, instance, status="working")
            result.estimated_cost_usd = as_noted(price)
            return result

        async def follow(job: Job, begun: float, budget: float) -> InstanceResult:
            result = await wait_for(call, instance, InstanceGoal.RUNNING, budget, begun=begun, job_id=job.task_id)
            result.estimated_cost_usd = as_noted(price)
            result.next_step = f"{result.next_step or ''} {lease}".strip()
            return result

        async def request() -> dict[str, Any]:
            return {"request": shown_request("start_gpu_instance", {"instanceId": instance.id})}

        return Purchase(
            answer=InstanceResult,
            effect=f"Start instance {instance.label()}. {lease}",
            model=instance.product_id,
            title=instance.name,
            cost=machine_cost(
                price, f"Estimated {per_hour_and_day(price)} until stopped.", card_hours=instance.gpu_num or 1
            ),
            sending=Submitted(
                start=start,
                working=working,
                follow=follow,
                wait_seconds=wait_seconds,
                lost=f"Call get_gpu_instance with {instance.id}: it shows whether it starts.",
            ),
            dry_run=request,
            about=f"start {instance.id}",
            always_asks=True,
        )

    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


@gpu.tool("Stop a GPU instance", DESTROYS)
async def stop_gpu_instance(
    call: Call,
    instance_id: InstanceId,
    after_hours: Annotated[
        float | None, Field(ge=SHORTEST_LEASE, le=LONGEST_LEASE, description="Stop it by itself then, not now.")
    ] = None,
    confirm: Confirm = False,
) -> InstanceResult:
    """Stop a GPU machine: turn off, shut down, power off or pause it, now or in some hours; programs end, the disk's
    data is kept 7 days. Then only disk above 60 GB costs; asks first. Returns its state. For good: delete_gpu_instance.
    """

    async def plan() -> Purchase[InstanceResult] | InstanceResult:
        instance = await find_instance(call, instance_id)

        async def later(hours: float) -> InstanceResult:
            lease = await call.app.leases.grant(
                call.owner, kind=INSTANCE, hours=hours, name=instance.name, thing_id=instance.id
            )
            call.app.leases.remember(call.novita)
            step = f"It will be stopped at {lease.stop_at:%Y-%m-%d %H:%M} UTC. {lease_doubt(call)}".strip()
            return await instance_result(call, instance, status="scheduled", next_step=step)

        async def now() -> InstanceResult:
            await stop_now(call, instance)
            return await wait_for(call, instance, InstanceGoal.STOPPED, None)

        if after_hours is not None:
            when = f"in {counted(after_hours, 'hour')}"
            effect, about = f"Stop instance {instance.label()} {when}.", f"stop {instance.id} {when}"
            return destruction(
                InstanceResult, effect, model=instance.product_id, about=about, act=partial(later, after_hours)
            )
        if instance.status == "exited":
            return await instance_result(call, instance, next_step="It was stopped already; nothing was sent.")
        effect = f"Stop instance {instance.label()}. What runs on it ends."
        return destruction(InstanceResult, effect, model=instance.product_id, about=f"stop {instance.id}", act=now)

    return await carry_out(call, plan, confirm=confirm)


@gpu.tool("Restart a GPU instance", DESTROYS)
async def restart_gpu_instance(
    call: Call, instance_id: InstanceId, wait_seconds: Annotated[Wait, SELDOM] = None, confirm: Agreed = False
) -> InstanceResult:
    """Restart or reboot a GPU machine that hangs or is stuck: off and on again; programs on it end, files stay; asks
    first. Costs its hourly price as before. Returns its state.
    """

    async def plan() -> Purchase[InstanceResult]:
        instance = await find_instance(call, instance_id)
        if not instance.running:
            raise InputError(
                f"Instance {instance.label()} is {instance.status}: only a running one can be restarted",
                next_step="Use start_gpu_instance." if instance.status == "exited" else "Wait for it first.",
            )

        async def restart() -> InstanceResult:
            begun = call.app.jobs.clock.wall()
            try:
                await restart_instance(call.novita, instance.id)
            except NovitaConnectionError as error:
                error.billed = None
                error.next_step = (
                    f"It may be restarting: look with get_gpu_instance ({instance.id}) before trying again."
                )
                raise
            return await wait_for(call, instance, InstanceGoal.RUNNING, wait_seconds, begun=begun)

        effect = f"Restart instance {instance.label()}. What runs on it ends."
        return destruction(
            InstanceResult, effect, model=instance.product_id, about=f"restart {instance.id}", act=restart
        )

    return await carry_out(call, plan, confirm=confirm)


@gpu.tool("Delete a GPU instance", DESTROYS)
async def delete_gpu_instance(call: Call, instance_id: InstanceId, confirm: Agreed = False) -> InstanceResult:
    """Delete a rented GPU machine or server for good: get rid of, remove, destroy, terminate or wipe it with all its
    data; asks first. It costs nothing from then on. To keep the data use stop_gpu_instance. Says whether it is gone.
    """

    async def plan() -> Purchase[InstanceResult]:
        instance = await find_instance(call, instance_id)
        mounted = [each.id for each in instance.volume_mounts if each.type == "network" and each.id]
        stay = await volumes_that_stay(call.novita, mounted)

        async def delete() -> InstanceResult:
            await delete_instance(call.novita, instance.id)
            await call.app.leases.end(call.owner, kind=INSTANCE, thing_id=instance.id, note="it was deleted before")
            result = await wait_for(call, instance, InstanceGoal.GONE, None)
            return result.model_copy(update={"next_step": f"{result.next_step or ''} {stay}".strip() or None})

        effect = f"Delete instance {instance.label()} and all data on its disk. This cannot be undone. {stay}".strip()
        return destruction(InstanceResult, effect, model=instance.product_id, about=f"delete {instance.id}", act=delete)

    return await carry_out(call, plan, confirm=confirm)


add_template_tools(gpu)
