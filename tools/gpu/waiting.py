"""Waits for instances, for all GPU tools and for MCP tasks."""

from collections.abc import Sequence

from ...novita.core.by_name import the_one
from ...novita.core.errors import NotFoundError, TaskFailedError
from ...novita.core.waiting import Look, Pace, Phase, Unasked, wait_until_done
from ...novita.gpu.instances import (
    BILLED_STATES,
    Instance,
    InstanceGoal,
    get_instance,
    judge,
    list_instances,
    look_at,
    stop_instance,
)
from ...novita.gpu.leases import INSTANCE
from ...novita.gpu.meters import (
    DISKS,
    GONE_AFTER,
    MACHINES,
    SHOWS_THE_STATE_BEFORE,
    START,
    VOLUMES,
    WAITING,
    follow_gone,
    follow_instance,
    follow_volume,
    open_meters,
)
from ...novita.gpu.resources import Volume
from ...novita.journal.facts import GpuFacts
from ...novita.journal.joining import JoinRule
from ...novita.journal.journal import Job, JobState
from ..kit.context import Caller
from ..kit.created_things import lease_by_now
from ..kit.mcp_tasks.followers import FOLLOWERS, Followed
from ..kit.same_call import JOINERS, Joiner
from .results import InstanceResult, KnownInstances, Status, as_noted, instance_result, known_names, status_of

KIND = "gpu_instance"
ADMIN_KIND = "gpu_admin"


def plain_id(instance_id: str) -> str:
    """The id of the instance within the id of a job. Each start is a job of its own: `<instance>#<start>`."""
    return instance_id.strip().partition("#")[0]


async def own_instances(caller: Caller, *, name: str | None = None) -> list[Instance]:
    """The account's instances, without those of other people who signed in."""
    return await caller.without_strangers(await list_instances(caller.novita, name=name))


async def find_instance(caller: Caller, instance_id: str) -> Instance:
    """The instance with this id, or the only one with this name. Its rows in the journal are updated to its state.

    Raises:
        NotFoundError: There is no such instance. The text names those there are.
        InputError: Several instances have that name.
    """
    journal, wanted = caller.app.journal, plain_id(instance_id)
    try:
        instance = await get_instance(caller.novita, wanted)
        if not await caller.without_strangers([instance]):
            raise NotFoundError(f"There is no instance {instance_id!r}", status=404)
    except NotFoundError as error:
        there = await own_instances(caller)
        living = [each for each in there if not each.gone and each.id != wanted]
        if (meant := the_one(wanted, living, "instances", Instance.label)) is not None:
            return await find_instance(caller, meant.id)
        known = {each.id: each.name for each in there}
        await follow_gone(journal, caller.owner, wanted)
        raise NotFoundError(
            f"There is no instance {instance_id!r}",
            status=error.status,
            reason=error.reason,
            next_step=f"Instances of this account: {known_names(known)}.",
            billed=None,
        ) from error
    await follow_instance(journal, caller.owner, instance)
    return instance


async def stop_now(caller: Caller, instance: Instance) -> None:
    """Stop the instance, and end its lease, which has nothing left to do."""
    await stop_instance(caller.novita, instance.id)
    await caller.app.leases.end(caller.owner, kind=INSTANCE, thing_id=instance.id, note="it was stopped before")


async def wait_for(
    caller: Caller,
    instance: Instance,
    goal: InstanceGoal,
    wait_seconds: float | None,
    *,
    begun: float | None = None,
    job_id: str | None = None,
) -> InstanceResult:
    """Wait until the instance reaches `goal` or the time is over. Returns the instance as it is then.

    Args:
        begun: The wall time of the call that leads to the goal; None if another call made it earlier.
        job_id: The journal's row for that call; without it the row of the instance's creation.

    Raises:
        TaskFailedError: The instance ended in another state. The text says why.
    """
    app = caller.app
    budget = app.settings.wait_seconds if wait_seconds is None else wait_seconds
    job = await app.journal.find(caller.owner, job_id or instance.id)
    client = caller.novita.for_looking()
    clock = app.jobs.clock
    shown = ""
    since = begun if begun is not None else (job.accepted or job.created).timestamp() if job else clock.wall()

    async def look() -> Look[Instance]:
        nonlocal shown
        fresh = begun is not None and clock.wall() - begun < SHOWS_THE_STATE_BEFORE
        seen = await look_at(client, instance.id, goal, last=instance, just_begun=fresh)
        if seen.value.status != shown or seen.value.status in WAITING:
            shown = seen.value.status
            await follow_instance(app.journal, caller.owner, seen.value)
        return seen

    unasked = Unasked()
    seen = await wait_until_done(
        look,
        clock=clock,
        pace=Pace(await app.journal.durations(job.model) if job and goal is InstanceGoal.RUNNING else ()),
        budget=budget,
        age=max(0.0, clock.wall() - since),
        on_progress=caller.progress_of(f"instance {instance.name} ({instance.id})"),
        unasked=unasked,
    )
    if seen is None or (unasked.error is not None and seen.phase is Phase.WORKING):
        step = f"{unasked.why} {_NOT_YET}".strip()
        instance = seen.value if seen is not None else instance
        return await instance_result(caller, instance, status="working", next_step=step)
    await note_end(caller, job, seen)
    refuse_failed(seen)
    status: Status = status_of(seen.value, goal)
    return await instance_result(caller, seen.value, status=status, next_step=next_step(seen, goal))


_NOT_YET = "Call get_gpu_instance with wait_seconds to go on waiting; do not create or start it again."


def next_step(seen: Look[Instance], goal: InstanceGoal) -> str | None:
    """The next step for the caller, in words."""
    if seen.phase is Phase.WORKING:
        return _NOT_YET if goal is InstanceGoal.RUNNING else "Call get_gpu_instance later to see it done."
    if goal is InstanceGoal.RUNNING:
        return "get_gpu_instance with access=true shows how to reach it. It costs until stop_gpu_instance or its lease."
    if goal is InstanceGoal.STOPPED:
        return "Its disk is kept for 7 days; start_gpu_instance brings it back, delete_gpu_instance removes it."
    return None


def refuse_failed(seen: Look[Instance]) -> None:
    """Raise TaskFailedError if the instance can no longer reach the goal."""
    if seen.phase is not Phase.FAILED:
        return
    raise TaskFailedError(
        f"Instance {seen.value.label()} is {seen.value.status}: {seen.reason}",
        billed="maybe",
        next_step="Time spent pulling may be billed; stopped it costs nothing but disk above 60 GB. Delete it with "
        "delete_gpu_instance, mend the image, command or registry login, and create it again.",
    )


async def note_end(caller: Caller, job: Job | None, seen: Look[Instance], *, watched: bool = True) -> None:
    """Note in the journal, once, how a creation or a start ended.

    Args:
        watched: Whether somebody waited for it, so that the time it took is known.
    """
    if job is None or job.state is not JobState.WORKING or seen.phase is Phase.WORKING or not job.task_id:
        return
    if seen.value.running:
        took = caller.app.jobs.clock.wall() - (job.accepted or job.created).timestamp()
        facts = GpuFacts(took=round(took, 2)) if watched else None
        await caller.app.journal.finish(job.key, JobState.SUCCEEDED, facts=facts)
    elif seen.phase is Phase.FAILED:
        await caller.app.journal.finish(job.key, JobState.FAILED, reason=seen.reason)


async def settle_jobs(noted: KnownInstances, instances: Sequence[Instance], *, all_of_them: bool = False) -> None:
    """Update the journal's rows, and the costs they count, to the instances' present state.

    Args:
        all_of_them: Whether `instances` are all that exist, so that a row whose instance is missing is over.
    """
    caller, known = noted.caller, {instance.id: instance for instance in instances}
    journal, now = caller.app.journal, caller.app.jobs.clock.wall()
    metered = {
        meter.resource for meter in await open_meters(journal, caller.owner) if meter.tool in (*MACHINES, *DISKS)
    }
    for instance in instances:
        if (row := noted.rows.get(instance.id)) is not None:
            await _accept_start(caller, row, instance)
        elif instance.id not in metered:
            continue  # the journal has no row about this instance
        price = await noted.usd_per_hour(instance) if instance.status in BILLED_STATES else None
        await follow_instance(journal, caller.owner, instance, usd_per_hour=price)
    for resource in metered - known.keys() if all_of_them else ():
        await follow_gone(journal, caller.owner, resource)
    for task_id, job in noted.jobs.items():
        if job.state is not JobState.WORKING:
            continue
        age = now - (job.accepted or job.created).timestamp()
        instance = known.get(plain_id(task_id))
        if instance is not None:
            seen = judge(instance, InstanceGoal.RUNNING, just_begun=age < SHOWS_THE_STATE_BEFORE)
            await note_end(caller, job, seen, watched=False)
        elif all_of_them and age > GONE_AFTER:
            await follow_gone(journal, caller.owner, plain_id(task_id))
            await journal.finish(job.key, JobState.CANCELLED, reason="The instance is gone.")


async def _accept_start(caller: Caller, row: Job, instance: Instance) -> None:
    """Settle a start whose answer was lost: the instance's state shows whether Novita has carried it out."""
    if row.state is not JobState.UNCONFIRMED or row.tool != START:
        return
    if instance.status in BILLED_STATES or instance.status in ("toStart", "starting"):
        await caller.app.journal.accepted(row.key, start_id(row, instance))


def start_id(row: Job, instance: Instance) -> str:
    """The id of a start's job. An instance can be started many times, and each start is a job of its own."""
    return f"{instance.id}#{row.key[:8]}"


async def settle_volumes(caller: Caller, volumes: Sequence[Volume]) -> None:
    """Update the rows about network volumes to the present state of all volumes."""
    journal, known = caller.app.journal, {volume.storage_id: volume for volume in volumes}
    meters = await open_meters(journal, caller.owner)
    taken = {meter.resource for meter in meters}
    lost = await journal.recent(caller.owner, limit=50, kind=ADMIN_KIND, states=[JobState.UNCONFIRMED])
    for job in lost:
        for volume in volumes:
            if volume.storage_id not in taken and job.facts_as(GpuFacts).volume == (
                volume.storage_name,
                volume.cluster_id,
            ):
                taken.add(volume.storage_id)
                await journal.finish(job.key, JobState.SUCCEEDED, facts=GpuFacts(resource=volume.storage_id))
                break
    for volume in volumes:
        await follow_volume(journal, caller.owner, volume)
    for meter in meters:
        if meter.tool in VOLUMES and meter.resource not in known:
            await follow_gone(journal, caller.owner, meter.resource)


class InstanceFollower:
    """Follows instances that are starting, for MCP tasks. Cancelling the task leaves the instance running: it is paid
    for by then, and there is a tool to stop it."""

    async def follow(self, caller: Caller, job_id: str, tool: str) -> Followed:
        job = await caller.app.journal.find(caller.owner, job_id)
        begun = (job.accepted or job.created).timestamp() if job else 0.0
        fresh = caller.app.jobs.clock.wall() - begun < SHOWS_THE_STATE_BEFORE
        try:
            instance = await get_instance(caller.novita, plain_id(job_id))
        except NotFoundError:
            if not fresh:
                raise
            return Followed("working", note="not visible yet")
        seen = judge(instance, InstanceGoal.RUNNING, just_begun=fresh and "#" in job_id)
        if seen.phase is Phase.WORKING:
            return Followed("working", note=f"instance {instance.name}: {seen.note}")
        await follow_instance(caller.app.journal, caller.owner, instance)
        await note_end(caller, job, seen)
        refuse_failed(seen)
        result = await instance_result(caller, seen.value, next_step=next_step(seen, InstanceGoal.RUNNING))
        result.estimated_cost_usd = as_noted(job.estimate) if job else None
        result = await _with_its_lease(caller, result, started=tool == START)
        return Followed("completed", result.to_mcp())

    async def cancel(self, caller: Caller, job_id: str) -> None:
        return None


FOLLOWERS[KIND] = InstanceFollower()


async def _join(caller: Caller, job: Job, budget: float) -> InstanceResult | None:
    """The answer to a repeated create or start: the instance of the first call. None if it was ended since."""
    begun = (job.accepted or job.created).timestamp()
    fresh = caller.app.jobs.clock.wall() - begun < SHOWS_THE_STATE_BEFORE
    instance = Instance(id=plain_id(job.task_id or ""), name=job.title, status="toCreate", product_id=job.model)
    try:
        instance = await get_instance(caller.novita, instance.id)
    except NotFoundError:
        if not fresh:
            return None
    if instance.gone or (instance.status in ("toStop", "stopping", "exited") and not fresh):
        return None
    result = await wait_for(caller, instance, InstanceGoal.RUNNING, budget, begun=begun, job_id=job.task_id)
    result.estimated_cost_usd = as_noted(job.estimate)
    return await _with_its_lease(caller, result, started=job.tool == START)


async def _with_its_lease(caller: Caller, result: InstanceResult, *, started: bool) -> InstanceResult:
    if result.instance_id:
        lease = await lease_by_now(caller, INSTANCE, result.instance_id, started=started)
        result.next_step = f"{result.next_step or ''} {lease}".strip() or None
    return result


JOINERS[KIND] = Joiner(_join, InstanceResult, JoinRule(lost=False))
