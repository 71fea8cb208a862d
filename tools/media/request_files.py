"""Checks the files among the arguments of a media request, and converts them into what the model takes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from anyio import to_thread

from ...novita.core.json_text import is_row
from ...novita.core.words import counted
from ...novita.files.kinds import Form
from ...novita.files.media_limits import MediaLimits
from ...novita.files.sound import cut_at_silences
from ...novita.files.source import Source, expects_of
from ...novita.media.catalog_entry import Capability
from ...novita.media.lookup import MediaModel
from ...novita.media.mapping import FILES, MediaPlan
from ...novita.media.price_rows import FilesSeen
from ..kit.context import Caller


async def forms_of(caller: Caller, arguments: Mapping[str, object]) -> dict[str, frozenset[Form]]:
    """The forms in which each file argument can be sent. For example, a file on this machine cannot be sent as a
    link, so models that take only links are not chosen for it."""
    found: dict[str, frozenset[Form]] = {}
    for name in FILES:
        if (value := arguments.get(name)) is not None:
            each = [await caller.inputs.forms(str(one), expects_of(name)) for one in _references(value)]
            found[name] = frozenset[Form].intersection(*each) if each else frozenset()
    return found


def _references(value: object) -> Sequence[object]:
    return value if is_row(value) else [value]


def files_of(arguments: Mapping[str, object]) -> set[str]:
    """The files among the common arguments, in the form in which they are sent."""
    return {str(one) for name in FILES if name in arguments for one in _references(arguments[name])}


async def with_inputs(
    caller: Caller,
    model: MediaModel,
    arguments: Mapping[str, object],
    *,
    resize: bool = False,
    further: list[str] | None = None,
) -> tuple[dict[str, object], FilesSeen]:
    """The arguments with every file checked and converted into what the model takes, and what is known of the files.

    Nothing has been paid yet, so a file that cannot be used costs nothing.

    Args:
        further: If a recording is too long to be transcribed at once, the pieces after the first are added here.

    Returns:
        The arguments; and the size of `image` and the lengths of clips, as far as they are known.

    Raises:
        InputError: A file cannot be used.
    """
    ready = dict(arguments)
    image_size: tuple[int, int] | None = None
    lengths: dict[str, float] = {}
    pictured: Source | None = None
    for name in model.media_arguments():
        value = arguments.get(name)
        if value is None:
            continue
        argument = model.arguments[name]
        limits = argument.limits
        # A file that is uploaded before the request is a data URI in the plan.
        forms = ["data_uri" if form == "asset_id" else form for form in argument.send]
        converted: list[str] = []
        for reference in _references(value):
            if name == "audio" and limits is not None and further is not None and Capability.TRANSCRIBE in model.does:
                first, *more = await pieces_of(caller, str(reference), limits, forms)
                converted.append(first)
                further += more
                continue
            source = await caller.inputs.load(str(reference), expects_of(name), limits=limits, resize=resize)
            if name == "mask":
                source = await caller.inputs.fit_mask(source, pictured, resize=resize)
            converted.append(await source.as_form(forms))
            if name == "video" and source.duration:
                lengths[converted[-1]] = source.duration
            if name == "image":
                pictured = source
                image_size = (source.width, source.height) if source.width and source.height else None
        ready[name] = converted if isinstance(value, list | tuple) else converted[0]
    return ready, FilesSeen(image_size, lengths)


async def pieces_of(caller: Caller, reference: str, limits: MediaLimits, forms: Sequence[str]) -> list[str]:
    """A recording in pieces that are short enough for the model. It is cut where nobody speaks.

    Raises:
        InputError: The recording cannot be used, or is longer than half an hour.
    """
    source = await caller.inputs.load(reference, "audio", limits=limits.model_copy(update={"max_seconds": None}))
    loaded, data = await source.loaded()
    longest = limits.max_seconds
    if longest is None or loaded.duration is None or loaded.duration <= longest + 0.05:
        return [await (loaded if loaded.changed else source).as_form(forms)]
    cutting = partial(cut_at_silences, data, loaded.name, longest)
    pieces = await to_thread.run_sync(cutting, abandon_on_cancel=True)
    return [await replace(loaded, data=piece, mime="audio/wav", link=None).as_form(forms) for piece in pieces]


def in_pieces(planned: MediaPlan, further: Sequence[str]) -> MediaPlan:
    """The plan with the further pieces of its recording added, and with the price of all pieces."""
    if not further:
        return planned
    path, many, cost = planned.model.arguments["audio"].paths[0], len(further) + 1, planned.estimate
    each = replace(
        cost,
        usd=cost.usd * many if cost.usd is not None else None,
        ceiling=cost.ceiling * many,
        things=cost.things * many,
        note=f"{cost.note} In {counted(many, 'piece')}.".strip(),
    )
    return replace(planned, rest=tuple({**planned.body, path: piece} for piece in further), estimate=each)
