"""Turns the arguments of a media tool into a purchase: chooses a model, converts the files, and plans the request."""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from anyio import to_thread

from ...novita.core.json_paths import MISSING, get_path, put
from ...novita.core.words import counted
from ...novita.files.links import parse_link
from ...novita.journal.jobs import Paid
from ...novita.journal.journal import FINAL_STATES, Job, JobState
from ...novita.media.deliveries import Delivery
from ...novita.media.lookup import (
    MediaModel,
    NothingLivesError,
    able_to,
    advised,
    alternatives,
    choose,
    lacking,
    media_model,
)
from ...novita.media.mapping import MediaPlan, accept, plan_wish
from ...novita.media.native_files import measured, with_files
from ..kit.context import Caller
from ..kit.dry_run import shown_request
from ..kit.mcp_tasks.followers import FOLLOWERS, Followed
from ..kit.purchase import Purchase, Submitted, carry_out
from ..kit.same_call import JOINERS, Joiner
from ..kit.ways import Way
from . import at_need
from .freshness import up_to_date
from .library_bases import refuse_strange_loras
from .made_names import made_word, suffix_of
from .many import Many, file_name, many_of
from .named_models import known_or_offered, named_model
from .parts import media_jobs, webhooks
from .request_files import files_of, forms_of, in_pieces, with_inputs
from .results import MediaResult, answer, deliver
from .stand_ins import Chosen, falls_short, otherwise, question_for, reach, size_for, stand_ins
from .upscaling import enlarged

MediaWay = Way[Purchase[MediaResult]]
"""What a call does if its model no longer exists."""


@dataclass(frozen=True)
class How:
    """The arguments that say how something is made rather than what. They mean the same in every media tool."""

    model: str | None = None
    options: Mapping[str, Any] | None = None
    save_to: str | None = None
    wait_seconds: float | None = None
    confirm: bool = False
    dry_run: bool = False
    resize: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "How":
        """Take these from the arguments of a call. If a tool does not have one of them, the default is used."""
        return cls(**{name: given[name] for name in _HOW if name in given})


_HOW = frozenset(each.name for each in fields(How))


async def make(
    caller: Caller,
    does: Sequence[str],
    *,
    title: str,
    among: Sequence[str] | None = None,
    remark: str = "",
    **changed: object,
) -> MediaResult:
    """Make media with the arguments of the tool's call. An argument that is None counts as not given.

    The arguments are taken from `caller.given`, so a tool states them only in its signature.

    Args:
        does: Capabilities the tool stands for; the model needs one of them.
        title: What the files are named after, and how the journal calls the job.
        among: Ids of the models to choose from, in place of all that have the capability.
        remark: What the answer says first.
        changed: Arguments that replace those of the call; None removes one that is not meant for a model.

    Raises:
        NovitaError: The model reads its text as it is.
    """
    how = How.of(caller.given)
    arguments = {name: value for name, value in caller.given.items() if name not in _HOW}
    given = {name: value for name, value in {**arguments, **changed}.items() if value is not None}
    _check_webhook(given.get("webhook_url"))
    several = await many_of(caller, given)
    if caller.tool == "edit_image" and (variants := _variants(given, how.model)) > 1:
        # Most models that edit make one picture at a time, so the variants become several jobs.
        given.pop("count")
        files = several[1] if several is not None else [str(given["image"])]
        several = "image", [file for file in files for _ in range(variants)]
    if several is not None:
        name, files = several

        async def plan_one(one: Caller, file: str, place: str | None, within: float | None) -> Purchase[MediaResult]:
            named = None if place is None else f"{place}{suffix_of(does)}"
            alone = replace(how, save_to=named, wait_seconds=within)
            called = f"{made_word(does)} {file_name(file)}"
            return await planned_media(
                one, does, {**given, name: file}, alone, title=called, among=among, remark=remark
            )

        many = Many(caller, name, files, plan_one, made_word(does), how.save_to, how.wait_seconds)
        return await many.make(confirm=how.confirm, dry_run=how.dry_run)
    if how.save_to is not None:
        await to_thread.run_sync(caller.app.jobs.store.check_place, how.save_to)  # before anything is paid
    purchase = await planned_media(caller, does, given, how, title=title, among=among, remark=remark)
    return await carry_out(caller, partial(_as_planned, purchase), confirm=how.confirm, dry_run=how.dry_run)


async def planned_media(
    caller: Caller,
    does: Sequence[str],
    given: Mapping[str, object],
    how: How,
    *,
    title: str,
    among: Sequence[str] | None = None,
    remark: str = "",
) -> Purchase[MediaResult]:
    """The purchase for these arguments. Nothing has been sent or paid yet.

    Raises:
        NovitaError: No model can do this, or a file cannot be used.
    """
    gone = await up_to_date(caller)
    given = dict(given)
    larger: tuple[float, float] | None = None
    if does[0] == "upscale":
        scale, larger = await enlarged(caller, str(given["image"]), given.pop("size", None), given.get("scale"))
        given |= {} if scale is None else {"scale": scale}
    await refuse_strange_loras(caller, given, how.options)
    forms = await forms_of(caller, given)
    way = MediaWay(caller, gone)

    async def ask(model: str | None = None) -> Purchase[MediaResult] | None:
        if (asked := question_for(does)) is None:
            return None
        ask_instead = await to_thread.run_sync(lambda: at_need.ask_instead)
        options, save_to = how.options, how.save_to
        return await ask_instead(caller, asked, given, title=title, model=model, options=options, save_to=save_to)

    async def buy(chosen: MediaModel, other: Chosen | None = None) -> Purchase[MediaResult]:
        further: list[str] = []
        options: dict[str, Any] = dict(how.options or {})
        if other is not None:
            options = {**(other.how.options or {}), **options}
        wish = accept(chosen, given if other is None else other.how.arguments(given), options, forms=forms)
        ready, seen = await with_inputs(caller, chosen, wish.arguments, resize=how.resize, further=further)
        if other is not None:
            sizes = size_for(other, given, seen.picture, larger)
            ready |= {name: one for name, one in sizes.items() if name not in options}
        planned = plan_wish(replace(wish, arguments=ready), image_size=seen.picture, lengths=seen.lengths)
        planned = await with_files(planned, caller.inputs, done=files_of(ready))
        planned = in_pieces(await measured(planned, caller.inputs, seen), further)
        differs = f"{other.differs} {falls_short(other, larger)}".strip() if other is not None else remark
        return _purchase(caller, planned, way, title=title, how=how, listen=True, differs=differs)

    async def buy_another(tried: Collection[str] = ()) -> Purchase[MediaResult]:
        gone = {*way.passed_over, *tried}
        hoped = [model for model in able_to(does) if model.state != "retired" and model.id not in gone]
        way.expected = not hoped
        # A stand-in is used unless a dedicated model is alive, or may be alive and needs nothing that is not given.
        if not any(model.live or not lacking(model, given, how.options or ()) for model in hoped):
            hopeful = [one for one in stand_ins(does, given, gone) if one.can(given, how.options or {}, forms)]
            if hopeful:
                first = max(hopeful, key=lambda one: reach(one, larger))  # if several reach the same size, the first
                return await buy(first.model, first)
            if (asked := await ask()) is not None:
                return asked
        return await buy(choose(does, given, preferred=among, forms=forms, options=how.options, without=gone))

    if how.model is None:
        way.further = buy_another
        way.living = lambda: [model.id for model in advised(able_to(does))]
        way.otherwise = otherwise(does)
        try:
            purchase = await buy_another()
        except NothingLivesError as error:
            error.next_step = f"{error.next_step} {otherwise(does)}".strip()
            raise
    elif "/" in how.model and (asked := await ask(how.model)):
        purchase = asked
    else:
        chosen = named_model(await known_or_offered(caller, how.model), does)
        way.living = lambda: [other.id for other in alternatives(chosen, without=way.passed_over)]
        purchase = await buy(chosen)
    return purchase


async def _as_planned(purchase: Purchase[MediaResult]) -> Purchase[MediaResult]:
    return purchase  # its price comes from our catalogue, so it cannot change while the user decides


def _variants(given: Mapping[str, object], model: str | None) -> int:
    """How many equal jobs are needed for the variants; 1 if the named model makes several pictures in one job."""
    count = given.get("count")
    if not isinstance(count, int) or (
        model is not None and "/" not in model and "count" in media_model(model).arguments
    ):
        return 1
    return count


def _check_webhook(address: object) -> None:
    if address is not None:
        parse_link(str(address), "`webhook_url`")


async def run(caller: Caller, planned: MediaPlan, *, title: str) -> MediaResult:
    """Submit a plan once, on the model that was named, and deliver what it makes."""
    how = How.of(caller.given)
    if how.save_to is not None:
        await to_thread.run_sync(caller.app.jobs.store.check_place, how.save_to)  # before anything is paid
    way = MediaWay(caller, await up_to_date(caller))
    way.living = lambda: [other.id for other in alternatives(planned.model, without=way.passed_over)]
    purchase = _purchase(caller, planned, way, title=title, how=how)
    return await carry_out(caller, partial(_as_planned, purchase), confirm=how.confirm, dry_run=how.dry_run)


def _purchase(
    caller: Caller,
    planned: MediaPlan,
    way: MediaWay,
    *,
    title: str,
    how: How,
    listen: bool = False,
    differs: str = "",
) -> Purchase[MediaResult]:
    """A plan as something to buy.

    Args:
        listen: Have Novita call this server when the task ends, if the model and the server allow it.
        differs: How the result will differ from what was asked for.
    """
    model = planned.model
    if planned.rest:
        pieces = counted(len(planned.rest) + 1, "piece")
        cut = f"The recording is longer than {model.id} takes at once: it is sent in {pieces}."
        differs = f"{differs} {cut}".strip()
    doubt = _doubt(model, unnamed=way.further is not None and not differs)
    remark = " ".join(part for part in (way.remark(model.id, planned.estimate), differs) if part)

    async def request() -> dict[str, Any]:
        request = shown_request(planned.method, planned.path, planned.body)
        return {"seed": planned.seed, "request": request, "remark": remark or None}

    async def start(paid_for: Paid) -> tuple[Job, None]:
        await caller.progress(f"{model.id}: submitting")
        sent, accepted = _listening(caller, planned) if listen else (planned, None)
        wished = how.wait_seconds
        job = await caller.app.part(media_jobs).start(
            caller.novita,
            sent,
            paid_for,
            budget=caller.app.settings.wait_seconds if wished is None else wished,
            save_to=how.save_to,
            on_progress=caller.progress_of(f"{model.id}: submitting"),
            on_accepted=accepted,
            remark=remark,
        )
        if job.state is JobState.SUBMITTING:  # its answer takes longer than the caller waits
            return job, None
        planned.let_go()
        await way.arrived(model.id)
        if job.state is JobState.WORKING:
            await caller.progress(f"{model.id}: task {job.task_id} accepted")
        return job, None

    async def working(job: Job, _: None) -> MediaResult:
        return await answer(caller, Delivery(job))

    async def follow(job: Job, _: None, budget: float) -> MediaResult:
        return await deliver(caller, job, budget)

    return Purchase(
        answer=MediaResult,
        effect=" ".join(part for part in (way.effect(model.id), differs, doubt) if part),
        model=model.id,
        title=title,
        cost=planned.estimate,
        sending=Submitted(start=start, working=working, follow=follow, wait_seconds=how.wait_seconds),
        dry_run=request,
        tool=caller.tool,
        instead=partial(way.on, model.id),
    )


def _doubt(model: MediaModel, *, unnamed: bool) -> str:
    """What a user should know before agreeing to a model that may no longer exist; empty if it is alive.

    Args:
        unnamed: The call named no model, and this one was chosen because no living model can do it.
    """
    if model.live or (model.state == "unknown" and not unnamed):
        return ""
    nothing = "No model that is known to live does this as it is asked. " if unnamed else ""
    if model.state == "unknown":
        return f"{nothing}Whether this one lives is not known: where it is gone, nothing is billed."
    since = f" since {model.life.date}" if model.life.date else ""
    return f"{nothing}It is said to be switched off{since}: where it is, nothing is billed."


def _listening(caller: Caller, planned: MediaPlan) -> tuple[MediaPlan, Callable[[str], None] | None]:
    """The plan with a webhook address of this server, unless the caller gave one, and a function that takes the task's
    id once it is known."""
    hooks, argument = caller.app.part(webhooks), planned.model.arguments.get("webhook_url")
    if hooks is None or argument is None or get_path(planned.body, argument.paths[0]) is not MISSING:
        return planned, None
    token, address = hooks.open(caller.novita)
    body = copy.deepcopy(planned.body)
    put(body, argument.paths[0], address)
    return replace(planned, body=body), partial(hooks.accepted, token)


class MediaFollower:
    """Follows media tasks for MCP tasks. `cancel` does nothing, because Novita cannot cancel a task."""

    async def follow(self, caller: Caller, job_id: str, tool: str) -> Followed:
        delivery = await caller.app.part(media_jobs).bring(caller.novita, job_id, budget=0)
        if delivery.job.state not in FINAL_STATES:
            percent = f", {delivery.progress:.0f} %" if delivery.progress else ""
            return Followed("working", note=f"{delivery.job.model or 'task'} {job_id} is running{percent}")
        result = await answer(caller, delivery)
        return Followed("completed", result.to_mcp())

    async def cancel(self, caller: Caller, job_id: str) -> None:
        return None


FOLLOWERS["media"] = MediaFollower()
JOINERS["media"] = Joiner(deliver, variants="For variants use count or seed")
