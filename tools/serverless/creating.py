"""Deploys and changes endpoints: plans them, asks the user, sends the request, and waits until the endpoint serves."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from ...novita.core.errors import InputError
from ...novita.core.words import counted
from ...novita.gpu.instances import check_env
from ...novita.gpu.products import find_regions
from ...novita.gpu.resources import list_volumes, login_id
from ...novita.gpu.routes import GpuRoute
from ...novita.gpu.templates import find_template
from ...novita.journal.facts import Facts
from ...novita.journal.jobs import Paid
from ...novita.journal.journal import Job
from ...novita.journal.leases import LONGEST_LEASE, SHORTEST_LEASE
from ...novita.serverless.endpoints import (
    WorkerOffer,
    change,
    choose_offer,
    create_endpoint,
    get_limits,
    list_offers,
)
from ...novita.serverless.endpoints import creation as sent_to_create
from ...novita.serverless.endpoints import update_endpoint as send_update
from ...novita.serverless.leases import ENDPOINT
from ...novita.serverless.plans import EndpointPlan, check_port, merged_env
from ...novita.serverless.rows import KIND, facts_of
from ...novita.serverless.shapes import Endpoint, EndpointMount
from ..kit.argument_reading import ArgumentError, read_arguments
from ..kit.container_images import read_image
from ..kit.context import Caller
from ..kit.created_things import (
    Creation,
    check_source,
    default_name,
    duplicate_of,
    lease_at_start,
    lease_doubt,
    machine_cost,
    mounts_and_region,
    ran_out,
    unknown_option,
    with_lease_doubt,
)
from ..kit.dry_run import shown_request
from ..kit.purchase import Purchase, Submitted, carry_out
from .results import EndpointResult, Prices, cost_words, endpoint_result, shown_cost
from .waiting import LEASE_END, find_endpoint, note_all, own_endpoints, wait_until_serving

DEFAULT_HEALTH = "/health"

OPTIONS: Mapping[str, type] = {
    "image": str,
    "health_path": str,
    "idle_seconds": int,
    "concurrency": int,
    "name": str,
    "port": int,
    "command": str,
    "region": str,
    "scale_by": str,
    "scale_at": int,
    "gpus": int,
    "request_timeout": int,
    "cuda_version": str,
    "disk_gb": int,
    "registry_auth_id": str,
    "entrypoint": str,
    "volumes": dict,
    "app_name": str,
    "allow_duplicate": bool,
    "stop_after_hours": float,
}
"""The settings that have no argument of their own, with their types."""
_AT_CREATION = ("app_name", "allow_duplicate", "entrypoint", "stop_after_hours")
_ARGUMENTS_OF_CREATE = ("image", "name", "port")


async def read_options(caller: Caller, given: Mapping[str, Any] | None, *, creating: bool) -> dict[str, Any]:
    """The options as changes to a plan. Network volumes also set the region, since workers must run where they are.

    Raises:
        InputError: An option is unknown or has the wrong type.
    """
    elsewhere = _ARGUMENTS_OF_CREATE if creating else _AT_CREATION
    known = [name for name in OPTIONS if name not in elsewhere]
    made: dict[str, Any] = {}
    for name, value in (given or {}).items():
        if name not in known:
            if name in OPTIONS:
                why = "is an argument of its own" if creating else "cannot be changed later"
                raise InputError(f"The option {name} {why}")
            raise unknown_option(name, known)
        kind = OPTIONS[name]
        with suppress(ValidationError):
            value = value if isinstance(value, bool) else TypeAdapter(kind).validate_python(_written(name, value))
        fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
        if not fits or (kind in (int, float) and isinstance(value, bool)):
            raise InputError(f"The option {name} must be {_KINDS[kind]}")
        made[name] = read_image(str(value)) if name == "image" else value
    if "registry_auth_id" in made:
        made["registry_auth_id"] = await login_id(caller.novita, made["registry_auth_id"])
    if "region" in made:
        made["region"] = (await find_regions(caller.novita, made["region"]))[0].id
    if (volumes := cast("dict[str, Any] | None", made.pop("volumes", None))) is not None:
        made |= await _mounts(caller, volumes, made.get("region"))
    return made


def _written(name: str, value: Any) -> Any:
    """An option as the arguments of tools are read: some hosts send numbers, switches and objects as text."""
    try:
        return read_arguments({"properties": {name: {"type": _TYPES[OPTIONS[name]]}}}, {name: value}).get(name, value)
    except ArgumentError as error:
        raise InputError(f"The option {error}") from error


_TYPES: Mapping[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object"}
_KINDS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: '{"volume id": "path"}',
}


async def _mounts(caller: Caller, volumes: Mapping[str, Any], region: str | None) -> dict[str, Any]:
    """The plan's `volumes` and `region` for these network volumes, which bind the endpoint to their region."""
    if not volumes:
        return {"volumes": ()}
    for volume_id, path in volumes.items():
        if not isinstance(path, str) or not path.startswith("/"):
            raise InputError(f"Volume {volume_id} needs a path that begins with /")
    paths, place = mounts_and_region(await list_volumes(caller.novita), volumes, region)
    mounts = tuple(EndpointMount(type="network", id=volume_id, mount_path=path) for volume_id, path in paths.items())
    return {"volumes": mounts, "region": place}


async def create(
    caller: Caller,
    *,
    template_id: str | None,
    gpu: str | None,
    options: Mapping[str, Any] | None,
    wait_seconds: float | None,
    confirm: bool,
    dry_run: bool,
    **wanted: Any,
) -> EndpointResult:
    """Plan the endpoint, ask the user, send the request once, and wait until the endpoint serves.

    Args:
        gpu: Part of a GPU's name, or a product id.
        wanted: Settings of a plan. None leaves the default.

    Raises:
        NovitaError: No product fits, the user said no, Novita refused, or the endpoint does not start.
    """

    async def purchase() -> Purchase[EndpointResult]:
        extra = await read_options(caller, options, creating=True)
        allow_duplicate = extra.pop("allow_duplicate", False)
        hours = extra.pop("stop_after_hours", None)
        if hours is not None and not SHORTEST_LEASE <= hours <= LONGEST_LEASE:
            raise InputError(f"stop_after_hours must be {SHORTEST_LEASE:g} to {LONGEST_LEASE}")
        plan, offer = await _planned(caller, template_id, gpu, wanted, extra)
        price = offer.usd_per_hour * plan.gpus if offer.usd_per_hour is not None else None
        workers = max(1, plan.min_workers)
        estimate = price * workers if price is not None else None
        words = f"It will cost {cost_words(price, plan.min_workers, plan.max_workers)}."
        creation = Creation(
            what="endpoint",
            name=plan.name,
            kind=KIND,
            listed_by="list_endpoints",
            duplicate=await _duplicate(caller, plan.name),
            allow_duplicate=allow_duplicate,
            hours=hours,
            lease_kind=ENDPOINT,
        )
        lease = (
            f" After {counted(hours, 'hour')} no worker is kept alive any more. {lease_doubt(caller)}" if hours else ""
        )
        facts = facts_of(price, plan.min_workers)

        async def working(_: Job, endpoint_id: str) -> EndpointResult:
            return await endpoint_result(caller, unseen(endpoint_id), status="working", cost=shown_cost(estimate))

        async def follow(_: Job, endpoint_id: str, budget: float) -> EndpointResult:
            result = await wait_until_serving(caller, unseen(endpoint_id), budget)
            result.next_step = with_lease_doubt(caller, result.next_step, hours)
            return result

        def unseen(endpoint_id: str) -> Endpoint:
            return Endpoint(id=endpoint_id, name=plan.name, type=plan.kind)

        return Purchase(
            answer=EndpointResult,
            effect=f"{_effect(plan, offer)}{lease}{creation.careful}",
            model=offer.id,
            title=plan.name,
            cost=machine_cost(estimate, words, card_hours=workers * plan.gpus, shown=shown_cost(estimate)),
            sending=Submitted(
                start=creation.start(caller, partial(create_endpoint, caller.novita, plan), facts, confirm=confirm),
                working=working,
                follow=follow,
                wait_seconds=wait_seconds,
                lost=creation.lost,
            ),
            dry_run=partial(_shown, sent_to_create(plan)),
            about=f"{creation.about} {offer.id} {plan.max_workers}",
            always_asks=True,
            hint=creation.hint,
        )

    return await carry_out(caller, purchase, confirm=confirm, dry_run=dry_run)


async def _planned(
    caller: Caller, template_id: str | None, gpu: str | None, wanted: Mapping[str, Any], extra: Mapping[str, Any]
) -> tuple[EndpointPlan, WorkerOffer]:
    """The plan to deploy, checked as far as is possible for free, and the product that its workers run on."""
    settings = dict(wanted)
    base = await _base(caller, settings.pop("image"), template_id, settings)
    plan = base.changed(**settings, **extra)
    check_env(plan.env)
    plan.check(await get_limits(caller.novita))
    offer = choose_offer(
        await list_offers(caller.novita),
        kind=plan.kind,
        gpu=gpu,
        region=plan.region or None,
        gpus=plan.gpus,
    )
    name = plan.name or default_name(plan.image, f"{offer.name} {plan.kind}")
    return plan.changed(product_ids=(offer.id,), name=name), offer


async def _shown(sent: tuple[GpuRoute, dict[str, Any]], **path: str) -> dict[str, Any]:
    """The request that a dry run shows."""
    where, body = sent
    return {"request": shown_request(where.method, where.path.format(**path), body)}


async def _base(caller: Caller, image: str | None, template_id: str | None, wanted: dict[str, Any]) -> EndpointPlan:
    """The plan that the image or the template describes, before other arguments are applied."""
    check_source(image, template_id)
    kind = wanted["kind"]
    many = 10 if kind == "sync" else 1  # a service answers requests in parallel, a handler does one job after another
    health = DEFAULT_HEALTH if kind == "sync" else ""
    check_port(wanted["port"], needed=False)
    if image:
        return EndpointPlan(image=image, kind=kind, concurrency=many, health_path=health)
    template = await find_template(caller.novita, template_id or "")
    if not template.image:
        raise InputError("The template names no image", next_step="Use another template, or give an image.")
    env = {each.key: each.value.get_secret_value() for each in template.envs if each.key}
    wanted["env"] = {**env, **(wanted["env"] or {})}
    ports = [port for group in template.ports if group.type == "http" for port in group.ports]
    return EndpointPlan(
        image=template.image,
        kind=kind,
        concurrency=many,
        health_path=health,
        registry_auth_id=template.image_auth,
        command=template.start_command,
        entrypoint=template.entrypoint,
        port=ports[0] if ports else None,
        cuda_version=template.min_cuda_version,
    )


def _effect(plan: EndpointPlan, offer: WorkerOffer) -> str:
    where = f" in {plan.region}" if plan.region else ""
    cards = f" x{plan.gpus}" if plan.gpus > 1 else ""
    how = f"port {plan.port}, health check {plan.health_path}" if plan.kind == "sync" else "called through jobs"
    return (
        f"Deploy {plan.kind} endpoint {plan.name!r}: image {plan.image}, {how}, workers on {offer.name}{cards}{where} "
        f"(product_id {offer.id})."
    )


async def _duplicate(caller: Caller, name: str) -> str:
    """A warning if an endpoint of this name exists already, so that this create may be a mistake. Otherwise empty."""
    endpoints = await own_endpoints(caller)
    lost = await note_all(caller, endpoints)
    there = [f"{endpoint.label()}, {endpoint.state.state}" for endpoint in endpoints if endpoint.name == name]
    return duplicate_of(caller, "an endpoint", name, there, lost, "list_endpoints")


async def update(
    caller: Caller,
    endpoint_id: str,
    *,
    options: Mapping[str, Any] | None,
    wait_seconds: float | None,
    confirm: bool,
    dry_run: bool,
    env: Mapping[str, str] | None,
    **wanted: Any,
) -> EndpointResult:
    """Read the endpoint, compare, ask the user, send the change once, and wait until the endpoint serves again.

    Settings that are not named stay as they are.

    Raises:
        NovitaError: A setting is impossible, the user said no, or Novita refused.
    """

    async def plan() -> Purchase[EndpointResult] | EndpointResult:
        endpoint = await find_endpoint(caller, endpoint_id)
        before = EndpointPlan.of(endpoint)
        merged = merged_env(before.env, env)
        after = before.changed(**wanted, env=merged, **await read_options(caller, options, creating=False))
        changes = tuple(before.differences(after))
        if not changes:
            step = "The endpoint has these settings already; nothing was sent."
            return await endpoint_result(caller, endpoint, cost=shown_cost(Decimal(0)), next_step=step)
        check_env({name: value for name, value in after.env.items() if before.env.get(name) != value})
        after.check(await get_limits(caller.novita), before=before)
        _, price = await Prices(caller).of(endpoint)
        price = price / before.gpus * after.gpus if price is not None else None
        effect = " Its workers are replaced: what they do ends." if before.restarts(after) else ""
        words = f"It will cost {cost_words(price, after.min_workers, after.max_workers)}."
        more = max(0, after.min_workers * after.gpus - before.min_workers * before.gpus)
        each = price / after.gpus if price is not None else None
        estimate = Decimal(0) if more == 0 else each * more if each is not None else None
        lease = await _lease_at_change(caller, endpoint, before.min_workers, after.min_workers)

        async def working(_: Job, __: None) -> EndpointResult:
            cost = shown_cost(estimate)
            return await endpoint_result(caller, endpoint, status="working", changes=changes, cost=cost)

        async def follow(job: Job, _: None, budget: float) -> EndpointResult:
            result = await wait_until_serving(caller, endpoint, budget, job_id=job.task_id, changes=changes)
            result.next_step = f"{result.next_step or ''} {lease.words}".strip() or None
            return result

        return Purchase(
            answer=EndpointResult,
            effect=f"Change endpoint {endpoint.label()}: {'; '.join(changes)}.{effect} {lease.words}".strip(),
            model=next(iter(after.product_ids), "endpoint"),
            title=endpoint.name or endpoint.id,
            cost=machine_cost(estimate, words, card_hours=more, shown=shown_cost(estimate)),
            sending=Submitted(
                start=partial(_start_change, caller, endpoint, after, price, lease.ended),
                working=working,
                follow=follow,
                wait_seconds=wait_seconds,
                lost=f"Call get_endpoint with {endpoint.id}: it shows whether the change took effect.",
            ),
            dry_run=partial(_shown, change(endpoint, after), endpoint_id=endpoint.id),
            about=f"{endpoint.id} {'; '.join(changes)}",
            always_asks=True,
        )

    return await carry_out(caller, plan, confirm=confirm, dry_run=dry_run)


@dataclass(frozen=True)
class _LeaseAtChange:
    """What a change of an endpoint's workers means for its lease.

    Args:
        words: The lease that applies after the change, as a sentence; empty if no worker is kept alive.
        ended: Why the change ends the present lease; empty if it does not.
    """

    words: str = ""
    ended: str = ""


async def _lease_at_change(caller: Caller, endpoint: Endpoint, before: int, after: int) -> _LeaseAtChange:
    """What to say and do about the lease when the number of workers kept alive changes from `before` to `after`.

    If no worker is kept alive after the change, the lease has nothing left to do and ends. A lease that has run out
    already must not remove workers that this change adds, so it ends too. But if workers still run under a lease that
    has run out, the lease is just about to remove them, and it stays.
    """
    earlier = await caller.app.leases.open_of(caller.owner, ENDPOINT, endpoint.id)
    if after == before:
        return _LeaseAtChange()
    if after == 0:
        return _LeaseAtChange(ended="no worker was kept alive before" if earlier is not None else "")
    if ran_out(caller, earlier) and before:
        return _LeaseAtChange("Its lease is over: its workers are let go within minutes.")
    words = lease_at_start(caller, None, earlier, end=LEASE_END, without="they are kept alive until you change it")
    late = "it ran out before workers were kept alive again"
    return _LeaseAtChange(words, late if ran_out(caller, earlier) else "")


async def _start_change(
    caller: Caller, endpoint: Endpoint, plan: EndpointPlan, price: Decimal | None, lease_ended: str, paid_for: Paid
) -> tuple[Job, None]:
    """Send the change once. Its estimate is an hour of the workers that are kept alive in addition.

    Args:
        lease_ended: Why the change ends the endpoint's lease; empty if it does not.
    """
    app = caller.app

    async def end_lease() -> None:
        if lease_ended:
            await app.leases.end(caller.owner, kind=ENDPOINT, thing_id=endpoint.id, note=lease_ended)

    async def send(_: Job) -> None:
        if plan.min_workers:
            await end_lease()
        await send_update(caller.novita, endpoint, plan)

    async def note(job: Job, _: None) -> Job:
        if not plan.min_workers:
            await end_lease()
        return await app.journal.accepted(job.key, f"{endpoint.id}#{job.key[:8]}")

    return await app.jobs.submit(
        paid_for,
        kind=KIND,
        send=send,
        note=note,
        facts=facts_of(price, plan.min_workers).with_(Facts(resource=endpoint.id)),
        on_progress=caller.progress_of(f"endpoint {endpoint.label()}: changing"),
    )
