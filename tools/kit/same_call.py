"""When two calls are the same, and how a call that joins an earlier one's job is answered.

Two calls are the same if they have one owner, one tool, and equal arguments, not counting blanks, defaults, and
arguments that say how to call rather than what to buy. Files are compared by content. The journal decides whether a
job is joined (novita/journal/joining.py). Each family registers how its kind of job is answered:

    JOINERS["batch"] = Joiner(answer_for_batch)
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from anyio import to_thread
from pydantic import BaseModel

from ...novita.core.errors import InputError, NovitaError, TaskFailedError
from ...novita.core.redaction import without_secrets
from ...novita.files.folders import Folders
from ...novita.journal.joining import JoinRule, SameCall
from ...novita.journal.journal import Job, JobState
from .context import Caller
from .own_place import check_own_place, in_own_place
from .quotes import HOW_TO_CALL
from .toolset import Picture, ToolResult

R = TypeVar("R", bound=ToolResult)
_FILES = re.compile(r"(?:^|_)(?:images?|mask|videos?|audio|file)$")
"""Arguments whose text names a file."""
_LIKE_A_PATH = re.compile(r"(?i)(?:[~.]{0,2}[/\\]|~|[a-z]:[/\\]|file:)")
_DATA = re.compile(r"(?i)data:[^,]{0,200};base64,")
_LONGEST_PATH = 4_096
_NOTHING_BEGUN = (JobState.REFUSED, JobState.CANCELLED)


@dataclass(frozen=True)
class Joiner:
    """How a call joins a job of one kind.

    Args:
        answer: Waits up to so many seconds and returns the tool's answer for the job; None if the job can no longer
            be joined, so that the call begins its own.
        answers: The answer while the job is still being sent and has no id yet.
        rule: How long such a job can be joined.
        variants: How to ask for a different result; empty if `again` is the only way.
    """

    answer: Callable[[Caller, Job, float], Awaitable[ToolResult | None]]
    answers: type[ToolResult] | None = None
    rule: JoinRule = field(default_factory=JoinRule)
    variants: str = ""


JOINERS: dict[str, Joiner] = {}
"""Kind of job -> its joiner. Each family adds its own; jobs of other kinds are never joined."""


async def same_call(caller: Caller) -> SameCall:
    """What identifies this call. It reads the call's files, in a thread."""
    wanted = {name: value for name, value in caller.meant().items() if name not in HOW_TO_CALL}
    folders = caller.inputs.folders
    if _names_files(wanted):
        normal = await to_thread.run_sync(_normal, wanted, folders)
    else:
        normal = _normal(wanted, None)
    text = json.dumps([caller.tool, normal], sort_keys=True, separators=(",", ":"), default=str)
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]
    return SameCall(key, {kind: joiner.rule for kind, joiner in JOINERS.items()}, again=caller.again)


def _names_files(value: Any) -> bool:
    """Whether any argument may name a file of this machine, or holds a file."""
    if isinstance(value, str):
        return bool(_LIKE_A_PATH.match(value) or _DATA.match(value))
    if isinstance(value, dict):
        return any(_FILES.search(name) or _names_files(each) for name, each in cast(dict[str, Any], value).items())
    return isinstance(value, list | tuple) and any(_names_files(each) for each in cast("list[Any]", value))


def _normal(value: Any, folders: Folders | None, *, file: bool = False) -> Any:
    """Arguments in a normal form: without blanks, whole numbers as integers, files by content."""
    if isinstance(value, dict):
        members = cast(dict[str, Any], value).items()
        members_by_name = {
            str(name): _normal(member, folders, file=bool(_FILES.search(str(name)))) for name, member in members
        }
        return {name: member for name, member in members_by_name.items() if member is not None}
    if isinstance(value, list | tuple):
        return [_normal(member, folders, file=file) for member in cast("list[Any]", value)] or None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return (_content(value, folders, file=file) or value) if value.strip() else None
    return value


def _content(text: str, folders: Folders | None, *, file: bool) -> str | None:
    """A hash of a file's content, if the text names a file that may be read, or holds one."""
    if found := _DATA.match(text):
        try:
            return _named(hashlib.sha256(base64.b64decode(text[found.end() :])).hexdigest())
        except binascii.Error:
            return None
    if folders is None or len(text) > _LONGEST_PATH or "\n" in text or not (file or _LIKE_A_PATH.match(text)):
        return None
    if re.match(r"(?i)https?:|task:|novita:", text):
        return None
    try:
        with folders.locate(text).open("rb") as content:
            return _named(hashlib.file_digest(content, "sha256").hexdigest())
    except (InputError, OSError):  # planning the call reports this error
        return None


def _named(digest: str) -> str:
    return f"sha256:{digest}"


async def answer_joined(caller: Caller, same: SameCall, job: Job) -> ToolResult | None:
    """The answer of a call that joins `job`, which says that it did; None if the job can no longer be joined.

    Raises:
        NovitaError: The job failed with this error.
    """
    joiner, clock = JOINERS[job.kind], caller.app.jobs.clock
    place = await check_own_place(caller)
    same.job_key = job.key
    started, budget = clock.now(), _patience(caller)
    words = _words(caller, job, joiner)
    job = await caller.app.jobs.answered(job, budget, caller.progress_of(words))
    # A job that ended without a purchase is not joined: this call plans anew, and may find another way.
    if job.state in _NOTHING_BEGUN or (job.state is JobState.UNCONFIRMED and not joiner.rule.lost):
        return _not_joined(caller, same)
    if job.state is JobState.SUBMITTING and joiner.answers is not None:
        step = f"{words} It is still being sent: call again in a minute to join it."
        return joiner.answers.model_validate({"status": "working", "next_step": step})
    left = 0.0 if caller.handoff is not None else max(0.0, budget - (clock.now() - started))
    try:
        result = await joiner.answer(caller, job, left)
    except NovitaError as error:
        error.next_step = f"{words} {error.next_step}".strip()
        raise
    if result is None:
        return _not_joined(caller, same)
    if getattr(result, "status", None) == "working":
        if job.task_id:
            caller.hand_over(job.kind, job.task_id)
    elif place is not None:
        result = await in_own_place(caller, job.key, result, place)
    step = getattr(result, "next_step", None)
    return result.model_copy(update={"next_step": f"{words} {step or ''}".strip()})


def _not_joined(caller: Caller, same: SameCall) -> None:
    """Exclude the job that was found, because it cannot be joined."""
    caller.app.journal.given.add(same.job_key)
    same.job_key = ""


def _patience(caller: Caller) -> float:
    wished = caller.meant().get("wait_seconds")
    return caller.app.settings.wait_seconds if wished is None else float(wished)


class _KeptAnswer(BaseModel):
    """An answer in the form that the journal keeps for a while."""

    fields: dict[str, Any]
    pictures: list[tuple[str, str]] = []
    """Each its base64 and its type."""


def kept_answer(result: BaseModel) -> str:
    """The text that is kept of a directly awaited call's answer, without secrets."""
    pictures = result.pictures() if isinstance(result, ToolResult) else ()
    shown = [(base64.b64encode(picture.data).decode(), picture.mime) for picture in pictures]
    return _KeptAnswer(fields=without_secrets(result.model_dump(mode="json")), pictures=shown).model_dump_json()


def answer_from(kept: str, answers: type[R]) -> R:
    """The answer that was kept."""
    found = _KeptAnswer.model_validate_json(kept)
    result = answers.model_validate(found.fields)
    result.show(Picture(data=base64.b64decode(data), mime=mime) for data, mime in found.pictures)
    return result


async def _join_call(caller: Caller, job: Job, budget: float) -> ToolResult | None:
    """The kept answer of a directly awaited call that any process made; None if none is kept."""
    if job.state is JobState.SUBMITTING:
        raise InputError("The same call is still being answered", next_step="Call again in a minute to join it.")
    text = await caller.app.journal.answer_of(job.key)
    if text is None:
        if job.state in (JobState.FAILED, JobState.UNCONFIRMED):
            raise TaskFailedError(job.reason or "The call failed")  # the reason says whether it was billed
        return None
    return answer_from(text, cast("type[ToolResult]", caller.answers))


JOINERS["call"] = Joiner(_join_call)


def _words(caller: Caller, job: Job, joiner: Joiner) -> str:
    ago = max(0.0, caller.app.jobs.clock.wall() - job.created.timestamp())
    when = f"{ago:.0f} s" if ago < 120 else f"{ago / 60:.0f} min"
    variants = f"{joiner.variants}; " if joiner.variants else ""
    return f"This is the job you started {when} ago: nothing was paid twice. {variants}again=true makes another."
