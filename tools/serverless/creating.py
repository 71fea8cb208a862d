"""Deploying and changing endpoints: from a wish to a question, from a yes to an endpoint that serves."""

import difflib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from ...novita.core.costs import Cost
from ...novita.core.errors import InputError, NovitaError
from ...novita.gpu.instances import check_env
from ...novita.gpu.products import find_regions
from ...novita.gpu.resources import list_volumes
from ...novita.gpu.templates import get_template
from ...novita.journal.jobs import Paid
from ...novita.journal.journal import Job
from ...novita.journal.leases import LONGEST_LEASE, SHORTEST_LEASE
from ...novita.serverless.endpoints import (
    WorkerOffer,
    change,
    choose_offer,
    create_endpoint,
    creation,
    get_limits,
    list_endpoints,
    list_offers,
)
from ...novita.serverless.endpoints import update_endpoint as send_update
from ...novita.serverless.leases import ENDPOINT
from ...novita.serverless.plans import EndpointPlan, check_port, merged_env
from ...novita.serverless.rows import KIND, facts_of
from ...novita.serverless.shapes import Endpoint, EndpointMount
from ..gpu.results import machine_cost
from ..kit.context import Caller
from ..kit.created_things import default_name, lease_doubt
from ..kit.dry_run import rehearsed, shown_call
from ..kit.purchase import agree, told
from .results import EndpointResult, Prices, cost_words, endpoint_result, shown_cost
from .waiting import note_all, wait_until_serving

DEFAULT_HEALTH = "/health"
_TWICE = '{"allow_duplicate": true}'
_TWIN_WINDOW = 3_600.0
"""Seconds in which a create without an answer may still turn out to have worked."""

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
"""Settings that have no argument of their own."""
_AT_CREATION = ("app_name", "allow_duplicate", "entrypoint", "stop_after_hours")
_ARGUMENTS_OF_CREATE = ("image", "name", "port")


async def read_options(caller: Caller, given: Mapping[str, Any] | None, *, creating: bool) -> dict[str, Any]:
    """Options as changes to a plan; network volumes bring their region.

    Raises:
        InputError: One is unknown or of the wrong kind.
    """
    elsewhere = _ARGUMENTS_OF_CREATE if creating else _AT_CREATION
    known = [name for name in OPTIONS if name not in elsewhere]
    made: dict[str, Any] = {}
    for name, value in (given or {}).items():
        if name not in known:
            if name in OPTIONS:
                why = "is an argument of its own" if creating else "cannot be changed later"
                raise InputError(f"The option {name} {why}")
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
            raise InputError(f"Unknown option {name[:40]!r}", next_step=hint)
        kind = OPTIONS[name]
        fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
        if not fits or (kind in (int, float) and isinstance(value, bool)):
            raise InputError(f"The option {name} must be {_KINDS[kind]}")
        made[name] = value
    if "region" in made:
        made["region"] = (await find_regions(caller.novita, made["region"]))[0].id
    if (volumes := cast("dict[str, Any] | None", made.pop("volumes", None))) is not None:
        mounted = await _mounts(caller, volumes)
        place = mounted.get("region")
        if place and made.get("region", place) != place:
            raise InputError(f"The volumes are in {place}, not in {made['region']}", next_step="Leave region out.")
        made |= mounted
    return made


_KINDS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: '{"volume id": "path"}',
}


async def _mounts(caller: Caller, volumes: Mapping[str, Any]) -> dict[str, Any]:
    """Network volumes bind the endpoint to their region."""
    if not volumes:
        return {"volumes": ()}
    known = {volume.storage_id: volume for volume in await list_volumes(caller.novita)}
    for volume_id, path in volumes.items():
        if volume_id not in known:
            there = ", ".join(f"{each.storage_id} ({each.storage_name})" for each in known.values()) or "none"
            raise InputError(f"There is no network volume {volume_id[:60]!r}", next_step=f"There are: {there}.")
        if not isinstance(path, str) or not path.startswith("/"):
            raise InputError(f"Volume {volume_id} needs a path that begins with /")
    places = sorted({known[volume_id].cluster_id for volume_id in volumes})
    if len(places) > 1:
        raise InputError(f"The volumes are in different regions: {', '.join(places)}", next_step="Mount one region's.")
    mounts = tuple(EndpointMount(type="network", id=volume_id, mount_path=path) for volume_id, path in volumes.items())
    return {"volumes": mounts, "region": places[0]}


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
    """Plan, ask, send once, wait until it serves.

    Args:
        gpu: Part of a GPU's name, or a product id.
        wanted: Settings of a plan; None leaves the default.

    Raises:
        NovitaError: Nothing fits, the user said no, Novita refused, or it does not come up.
    """
    extra = await read_options(caller, options, creating=True)
    twice = extra.pop("allow_duplicate", False)
    hours = extra.pop("stop_after_hours", None)
    if hours is not None and not SHORTEST_LEASE <= hours <= LONGEST_LEASE:
        raise InputError(f"stop_after_hours must be {SHORTEST_LEASE:g} to {LONGEST_LEASE}")
    base = await _base(caller, wanted.pop("image"), template_id, wanted)
    plan = base.changed(**wanted, **extra)
    check_env(plan.env)
    plan.check(await get_limits(caller.novita))
    offer = choose_offer(
        await list_offers(caller.novita),
        kind=plan.kind,
        gpu=gpu,
        region=plan.region or None,
        gpus=plan.gpus,
    )
    plan = plan.changed(
        product_ids=(offer.id,), name=plan.name or default_name(plan.image, f"{offer.name} {plan.kind}")
    )
    price = offer.usd_per_hour * plan.gpus if offer.usd_per_hour is not None else None
    twin = await _twin(caller, plan.name)
    if twin and confirm and not twice:
        raise InputError(
            f"Not created: {twin}",
            next_step=f"If the user wants a second one, call again with options {_TWICE}, or give another name.",
        )
    lease = f" After {hours:g} hours no worker is kept alive any more." if hours else ""
    question = f"{_question(plan, offer)}{lease}{f' Careful: {twin}' if twin else ''}"
    hint = f"With confirm=true give options {_TWICE} too." if twin else ""
    workers = max(1, plan.min_workers)
    estimate = price * workers if price is not None else None
    cost = shown_cost(estimate)
    words = f"It will cost {cost_words(price, plan.min_workers, plan.max_workers)}."
    counts = machine_cost(estimate, words, card_hours=workers * plan.gpus, shown=cost)
    if dry_run:
        return _rehearsed(told(caller, question, counts), shown_call(*creation(plan)), cost)
    about = f"{plan.name} {offer.id} {plan.max_workers}"
    await agree(caller, question, model=offer.id, cost=counts, confirm=confirm, about=about, hint=hint)
    endpoint_id = await _send(caller, plan, price, counts, hours)
    await caller.progress(f"endpoint {plan.name} ({endpoint_id}) accepted")
    unseen = Endpoint(id=endpoint_id, name=plan.name, type=plan.kind)
    if (handoff := caller.handoff) is not None:
        handoff.job = (KIND, endpoint_id)
        return await endpoint_result(caller, unseen, status="working", cost=cost)
    result = await wait_until_serving(caller, unseen, wait_seconds)
    if hours and (doubt := lease_doubt(caller)):
        result.next_step = f"{result.next_step or ''} {doubt}".strip()
    return result


def _rehearsed(question: str, request: dict[str, Any], cost: str) -> EndpointResult:
    return EndpointResult(status="dry_run", request=request, estimated_cost_usd=cost, next_step=rehearsed(question))


async def _base(caller: Caller, image: str | None, template_id: str | None, wanted: dict[str, Any]) -> EndpointPlan:
    """What the image or the template says."""
    if image and template_id:
        raise InputError("Both image and template_id were given", next_step="Give one of them.")
    kind = wanted["kind"]
    many = 10 if kind == "sync" else 1  # a service takes requests side by side, a handler job after job
    health = DEFAULT_HEALTH if kind == "sync" else ""
    check_port(wanted["port"], needed=False)
    if image:
        return EndpointPlan(image=image, kind=kind, concurrency=many, health_path=health)
    if not template_id:
        raise InputError(
            "Neither image nor template_id was given",
            next_step="Give a container image, or a template_id from list_gpu_templates.",
        )
    template = await get_template(caller.novita, template_id)
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


def _question(plan: EndpointPlan, offer: WorkerOffer) -> str:
    where = f" in {plan.region}" if plan.region else ""
    cards = f" x{plan.gpus}" if plan.gpus > 1 else ""
    how = f"port {plan.port}, health check {plan.health_path}" if plan.kind == "sync" else "called through jobs"
    return (
        f"Deploy {plan.kind} endpoint {plan.name!r}: image {plan.image}, {how}, workers on {offer.name}{cards}{where} "
        f"(product_id {offer.id})."
    )


async def _twin(caller: Caller, name: str) -> str:
    """Why a create of this name may be one too many; empty where nothing speaks against it."""
    endpoints = await list_endpoints(caller.novita)
    lost = await note_all(caller, endpoints)
    for endpoint in endpoints:
        if endpoint.name == name:
            return f"an endpoint of this name exists already: {endpoint.label()}, {endpoint.state.state}."
    now = caller.app.jobs.clock.wall()
    for job in lost:
        if job.title == name and now - job.created.timestamp() < _TWIN_WINDOW:
            return (
                f"an earlier create of this name, at {job.created:%H:%M:%S} UTC, got no answer and may have worked; "
                "it may show in list_endpoints within minutes."
            )
    return ""


async def _send(caller: Caller, plan: EndpointPlan, price: Decimal | None, cost: Cost, hours: float | None) -> str:
    """The one paid call. It is noted as an hour of the workers kept alive, at least one.

    Its lease is written down first: the endpoint may exist although its answer is lost.
    """
    app = caller.app

    async def send(job: Job) -> str:
        if hours:
            await app.leases.grant(caller.owner, kind=ENDPOINT, hours=hours, name=plan.name, job_key=job.key)
            app.leases.remember(caller.novita)
        try:
            return await create_endpoint(caller.novita, plan)
        except NovitaError as error:
            if error.billed == "no":
                await app.leases.drop(job.key, "the create was refused")
            raise

    async def note(job: Job, endpoint_id: str) -> Job:
        noted = await app.journal.accepted(job.key, endpoint_id, resource=endpoint_id)
        await app.leases.attach(job.key, endpoint_id)
        return noted

    try:
        _, endpoint_id = await app.jobs.submit(
            Paid(
                owner=caller.owner,
                tool="create_endpoint",
                model=plan.product_ids[0],
                title=plan.name,
                cost=cost,
            ),
            kind=KIND,
            send=send,
            note=note,
            facts=facts_of(price, plan.min_workers),
            on_progress=caller.progress_of(f"endpoint {plan.name}: sent"),
        )
    except NovitaError as error:
        if error.billed == "maybe":
            error.next_step = (
                f"It was not sent again. Call list_endpoints in a minute: if {plan.name!r} is there, it was created; "
                "only if it is not, create it again."
            )
        raise
    return endpoint_id


async def update(
    caller: Caller,
    endpoint: Endpoint,
    *,
    options: Mapping[str, Any] | None,
    wait_seconds: float | None,
    confirm: bool,
    dry_run: bool,
    **wanted: Any,
) -> EndpointResult:
    """Read, compare, ask, send once, wait until it serves again. What is not named stays as it is.

    Raises:
        NovitaError: A setting cannot be, the user said no, or Novita refused.
    """
    before = EndpointPlan.of(endpoint)
    env = merged_env(before.env, wanted.pop("env"))
    after = before.changed(**wanted, env=env, **await read_options(caller, options, creating=False))
    changes = tuple(before.differences(after))
    if not changes:
        step = "It is so already; nothing was sent."
        return await endpoint_result(caller, endpoint, cost=shown_cost(Decimal(0)), next_step=step)
    check_env(after.env)
    after.check(await get_limits(caller.novita))
    _, price = await Prices(caller).of(endpoint)
    price = price / before.gpus * after.gpus if price is not None else None
    effect = " Its workers are replaced: what they do ends." if before.restarts(after) else ""
    question = f"Change endpoint {endpoint.label()}: {'; '.join(changes)}.{effect}"
    words = f"It will cost {cost_words(price, after.min_workers, after.max_workers)}."
    more = max(0, after.min_workers * after.gpus - before.min_workers * before.gpus)
    each = price / after.gpus if price is not None else None
    estimate = Decimal(0) if more == 0 else each * more if each is not None else None
    cost = shown_cost(estimate)
    counts = machine_cost(estimate, words, card_hours=more, shown=cost)
    if dry_run:
        request = shown_call(*change(endpoint, after), endpoint_id=endpoint.id)
        return _rehearsed(told(caller, question, counts), request, cost)
    about, product = f"{endpoint.id} {'; '.join(changes)}", next(iter(after.product_ids), "")
    await agree(caller, question, model=product, cost=counts, confirm=confirm, about=about)
    job_id = await _send_update(caller, endpoint, after, price, counts)
    if (handoff := caller.handoff) is not None:
        handoff.job = (KIND, job_id)
        return await endpoint_result(caller, endpoint, status="working", changes=changes, cost=cost)
    return await wait_until_serving(caller, endpoint, wait_seconds, job_id=job_id, changes=changes)


async def _send_update(
    caller: Caller, endpoint: Endpoint, plan: EndpointPlan, price: Decimal | None, cost: Cost
) -> str:
    """Sent once; noted as an hour of the workers that are kept alive in addition."""
    app = caller.app

    async def send(_: Job) -> None:
        await send_update(caller.novita, endpoint, plan)

    async def note(job: Job, _: None) -> Job:
        return await app.journal.accepted(job.key, f"{endpoint.id}#{job.key[:8]}")

    try:
        job, _ = await app.jobs.submit(
            Paid(
                owner=caller.owner,
                tool="update_endpoint",
                model=next(iter(plan.product_ids), ""),
                title=endpoint.name or endpoint.id,
                cost=cost,
            ),
            kind=KIND,
            send=send,
            note=note,
            facts={"resource": endpoint.id, **facts_of(price, plan.min_workers)},
            on_progress=caller.progress_of(f"endpoint {endpoint.label()}: changing"),
        )
    except NovitaError as error:
        if error.billed == "maybe":
            error.next_step = f"Call get_endpoint with {endpoint.id}: it shows whether the change took effect."
        raise
    return job.task_id or endpoint.id
