"""The tool that joins and converts files on this machine. It is free, and its results are files of a task as usual."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Literal

import anyio
from anyio import to_thread
from pydantic import Field

from ...novita.core.costs import FREE
from ...novita.core.errors import InputError
from ...novita.core.words import counted
from ...novita.files.kinds import MediaType, media_type
from ...novita.files.montage import PACKINGS, PICTURES, add_sound, assemble, kept_format, repacked_picture
from ...novita.files.reels import Reel, Scene, Tick, picture_at, read_reel
from ...novita.journal.facts import MediaFacts
from ...novita.journal.jobs import Paid
from ...novita.media.deliveries import Delivery
from ...novita.media.outcomes import Kind, MediaOutcome, MediaOutput
from ..kit.arguments import SELDOM, SaveTo
from ..kit.context import App, Call, Caller
from ..kit.toolset import WRITES
from .parts import media_jobs
from .results import MediaResult, answer
from .videos import videos

LONGEST_WORK = 300.0
"""How many seconds one call may work, so that a very long file does not keep all other calls waiting."""
_MOST_FILES = 50

Act = Literal["replace_sound", "mix_sound", "join", "trim", "loop", "frame", "convert"]

_DONE: Mapping[Act, str] = {
    "replace_sound": "with sound",
    "mix_sound": "with sound",
    "join": "joined",
    "trim": "trimmed",
    "loop": "looped",
    "frame": "frame of",
    "convert": "converted",
}


class Workbench:
    """Lets one call at a time work on files, so that the server still has time to answer other calls."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.turn = anyio.Lock()


def workbench(app: App) -> Workbench:
    """Makes the workbench of a process; use it as `app.part(workbench)`."""
    return Workbench(app)


@videos.tool("Combine media", WRITES)
async def combine_media(
    call: Call,
    do: Annotated[
        Act,
        Field(description="*_sound: files = clip, sound; loop: until end; frame: still at start."),
    ],
    files: Annotated[list[str], Field(min_length=1, description="File paths, URLs or task:<id>/<n>, in order.")],
    start: Annotated[float | None, Field(description="Second to begin at; below 0: from the end.")] = None,
    end: Annotated[float | None, Field(ge=0.01, description="Second to end at.")] = None,
    volume: Annotated[float | None, Field(ge=0.01, le=10, description="Of the added sound."), SELDOM] = None,
    format: Annotated[str | None, Field(description="Such as mp4, gif, mp3.")] = None,
    save_to: SaveTo = None,
) -> MediaResult:
    """Put a narration, voice-over or music on a video as its audio track; join, stitch or merge, cut or trim,
    repeat or loop clips and sounds; take a still; change the file type or convert, such as MOV to MP4 or WAV to
    MP3. Done on this machine: free; the file is saved.
    """
    if save_to is not None:
        await to_thread.run_sync(call.app.jobs.store.check_place, save_to)
    form = _named_format(format or _suffix(save_to))
    _check(do, files, start, end)
    title = f"{_DONE[do]} {_short(files[0])}"
    remarks: list[str] = []

    async def make() -> MediaOutcome:
        async with call.app.part(workbench).turn:
            loaded = [await _loaded(call, each) for each in files]
            work = partial(_work, do, loaded, start, end, volume or 1.0, form, _until(call), remarks.append)
            made, kind = await to_thread.run_sync(work)
        return MediaOutcome((MediaOutput(kind, data=made),))

    job = await call.app.part(media_jobs).made_here(
        Paid(owner=call.owner, tool=call.tool, model="", title=title, cost=FREE),
        make,
        MediaFacts(save_to=save_to, mode="sync"),
        call.progress_of(f"{do} {_short(files[0])}"),
        budget=call.app.settings.wait_seconds,
    )
    result = await answer(call, Delivery(job))
    result.remark = " ".join(remarks) or None
    return result


def _named_format(name: str | None) -> str:
    """The name of the wanted format; empty if the call names none.

    Raises:
        InputError: This server cannot write the format.
    """
    if not name:
        return ""
    found = media_type(name)
    if found is None or found.name not in (*PACKINGS, *PICTURES, "gif"):
        known = ", ".join((*PACKINGS, "gif", *PICTURES))
        raise InputError(f"{name[:40]!r} cannot be written here", next_step=f"These can: {known}.")
    return found.name


def _suffix(save_to: str | None) -> str:
    """The format that the ending of `save_to` stands for; empty if it has none, or stands for no media."""
    found = media_type(save_to.rpartition(".")[2]) if save_to and "." in save_to else None
    return found.name if found is not None and found.kind in ("image", "video", "audio") else ""


def _check(do: Act, files: Sequence[str], start: float | None, end: float | None) -> None:
    wanted = {"replace_sound": 2, "mix_sound": 2, "join": None, "loop": 1}.get(do, 1)
    if wanted is not None and len(files) != wanted:
        how = "a clip, then a sound" if wanted == 2 else "one file"
        raise InputError(f"{do} takes {how}; {len(files)} were given")
    if do == "join" and not 2 <= len(files) <= _MOST_FILES:
        raise InputError(f"join takes 2 to {_MOST_FILES} files; {len(files)} were given")
    if do == "loop" and end is None:
        raise InputError("loop needs end: how many seconds long it becomes")
    if do == "trim" and start is None and end is None:
        raise InputError("trim needs start or end, in seconds")
    if start is not None and end is not None and start >= 0 and end <= start:
        raise InputError(f"end ({end:g} s) must come after start ({start:g} s)")


async def _loaded(call: Caller, reference: str) -> tuple[bytes, MediaType, str]:
    source, data = await (await call.inputs.load(reference, "media")).loaded()
    found = media_type(source.mime)
    assert found is not None  # inputs.load refuses files of unknown kinds
    return data, found, source.name


def _until(call: Caller) -> Tick:
    clock = call.app.jobs.clock
    over = clock.now() + LONGEST_WORK

    def tick() -> None:
        if clock.now() > over:
            step = "Take a shorter or smaller file."
            raise InputError(f"It takes longer than {counted(round(LONGEST_WORK / 60), 'minute')}", next_step=step)

    return tick


def _work(
    do: Act,
    files: Sequence[tuple[bytes, MediaType, str]],
    start: float | None,
    end: float | None,
    volume: float,
    form: str,
    tick: Tick,
    tell: Callable[[str], None],
) -> tuple[bytes, Kind]:
    """Do the work and return the new file with its kind. This blocks, so it runs in a thread."""
    data, _, name = files[0]
    picture = next((each for each in files if each[1].kind == "image" and each[1].name != "gif"), None)
    if picture is not None:
        if do != "convert" or form not in PICTURES:
            step = "A picture can only be converted, to png, jpeg or webp; generate_video animates one."
            raise InputError(f"{picture[2]} is a picture, not a clip or a sound", next_step=step)
        return repacked_picture(data, form, name), "image"
    reels = [read_reel(*each) for each in files]
    first = reels[0]
    match do:
        case "frame" if not first.films:
            raise InputError(f"{first.name} is a sound: there is no picture in it")
        case "frame":
            made = picture_at(first, _second(first, start or 0.0, "start"))
            return (made if form in ("", "png") else repacked_picture(made, form, name)), "image"
        case "replace_sound" | "mix_sound":
            form = form or ("mp4" if not first.films else kept_format(first.found))
            if form not in PACKINGS or not PACKINGS[form].pictures:
                raise InputError(f"{form} cannot hold a clip with sound")
            _tell_lengths(first, reels[1], tell)
            return add_sound(first, reels[1], tick, mix=do == "mix_sound", volume=volume, form=form), "video"
        case "convert" if not form:
            raise InputError("convert needs format")
        case "convert" | "trim":
            begin = _second(first, start or 0.0, "start")
            cuts = [Scene(first, begin, min(end or first.seconds, first.seconds))]
            if cuts[0].seconds <= 0:
                raise InputError(f"{first.name} is {first.seconds:.1f} s long: nothing of it is left")
        case "loop":
            cuts = _looped(first, end or 0.0)
        case "join":
            cuts = [Scene(reel, 0.0, reel.seconds) for reel in reels]
    form = form or _usual(reels)
    if form in PICTURES:
        raise InputError(f"{form} is one picture", next_step="do=frame takes one from a clip.")
    return assemble(cuts, form, tick), "image" if form == "gif" else "video" if PACKINGS[form].pictures else "audio"


def _tell_lengths(clip: Reel, added: Reel, tell: Callable[[str], None]) -> None:
    over = added.seconds - clip.seconds
    if over > 0.2:
        step = "do=loop makes the clip longer"
        tell(f"The sound is {added.seconds:.1f} s long and the clip {clip.seconds:.1f} s: its end is cut off ({step}).")
    elif over < -0.2:
        tell(f"The sound ends after {added.seconds:.1f} s, the clip after {clip.seconds:.1f} s.")


def _second(reel: Reel, second: float, what: str) -> float:
    """A time in a clip, in seconds from its start; a negative `second` counts back from the end.

    Raises:
        InputError: The time is outside the clip.
    """
    at = reel.seconds + second if second < 0 else second
    if not 0 <= at <= reel.seconds:
        raise InputError(f"{reel.name} is {reel.seconds:.1f} s long; {what} is {second:g}")
    return at


def _looped(reel: Reel, seconds: float) -> list[Scene]:
    whole, rest = divmod(seconds, reel.seconds)
    cuts = [Scene(reel, 0.0, reel.seconds)] * min(int(whole), 10_000)
    return [*cuts, Scene(reel, 0.0, rest)] if rest > 1e-3 or not cuts else cuts


def _usual(reels: Sequence[Reel]) -> str:
    """The format of the result if the call names none: that of the first file.

    Raises:
        InputError: Some of the files are clips and others are sounds.
    """
    films = [reel for reel in reels if reel.films]
    if films and len(films) < len(reels):
        other = next(reel for reel in reels if not reel.films)
        raise InputError(
            f"{other.name} is a sound and {films[0].name} a clip: they cannot be joined one after the other",
            next_step="do=replace_sound or mix_sound lays a sound under a clip.",
        )
    return kept_format(reels[0].found)


def _short(reference: str) -> str:
    if reference.startswith(("data:", "task:")):
        return "media"
    name = reference.replace("\\", "/").partition("?")[0].rstrip("/").rpartition("/")[2]
    return name.rpartition(".")[0][:40] or name[:40] or "media"
