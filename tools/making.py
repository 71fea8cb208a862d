"""From a tool's common arguments to a delivered result: choose, convert inputs, plan, submit, wait."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..novita.catalog import Capability, MediaModel, alternatives, choose, media_model
from ..novita.errors import NotFoundError
from ..novita.mapping import Plan, plan
from .context import Caller
from .media_results import MediaResult, deliver


async def make(
    caller: Caller,
    *,
    tool: str,
    does: Sequence[Capability],
    preferred: Sequence[str],
    model: str | None,
    arguments: Mapping[str, object],
    options: Mapping[str, Any] | None,
    title: str,
    save_to: str | None,
    wait_seconds: float | None,
) -> MediaResult:
    """Make media with the common arguments; those that are None were not given.

    Raises:
        NovitaError: Told to the model as it is.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    chosen = media_model(model) if model else choose(does, given, preferred=preferred)
    chosen.require(does)
    ready = await with_inputs(caller, chosen, given)
    return await run(caller, plan(chosen, ready, options), tool=tool, title=title, save_to=save_to, wait=wait_seconds)


async def with_inputs(caller: Caller, model: MediaModel, arguments: Mapping[str, object]) -> dict[str, object]:
    """The arguments with every picture, video and sound turned into what the model takes."""
    ready = dict(arguments)
    for name, argument in model.media_arguments().items():
        value = arguments.get(name)
        if value is None:
            continue
        references = value if isinstance(value, list | tuple) else [value]
        converted: list[str] = []
        for reference in references:
            source = await caller.inputs.load(str(reference), argument.takes, limits=argument.limits)
            converted.append(await source.as_form(argument.send))
        ready[name] = converted if isinstance(value, list | tuple) else converted[0]
    return ready


async def run(
    caller: Caller, planned: Plan, *, tool: str, title: str, save_to: str | None, wait: float | None
) -> MediaResult:
    """Submit a plan and deliver what it makes."""
    if save_to is not None:
        caller.app.jobs.store.check_save_to(save_to)
    model = planned.model
    await caller.progress(f"{model.id}: submitting")
    try:
        job = await caller.app.jobs.start_media(
            caller.novita,
            planned,
            tool=tool,
            title=title,
            save_to=save_to,
            on_progress=caller.progress_of(f"{model.id}: submitting"),
        )
    except NotFoundError as error:
        living = ", ".join(other.id for other in alternatives(model))
        error.what = f"{model.id} is not served by Novita any more: {error.what}"
        error.next_step = f"Use another model of the same kind: {living}." if living else error.next_step
        raise
    return await deliver(caller, job, wait)
