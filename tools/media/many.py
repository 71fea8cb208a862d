"""Many files where a tool takes one. Each file is a job of its own, and a few jobs run at the same time.

The user is asked once for all files, and the answer has a line for each. If one file fails, the others go on. If the
same call is made again, it makes only what is missing: the journal keeps a key for each file, which is made of the
file's content and of the arguments.
"""

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any, Literal, cast

import anyio
from anyio import to_thread

from ...novita.core.costs import FREE, Cost
from ...novita.core.errors import InputError, JournalError, NovitaError
from ...novita.core.money import show_price
from ...novita.core.placeholders import unquoted
from ...novita.core.words import counted
from ...novita.files.artifacts import parse_reference
from ...novita.files.folders import MOST_AT_ONCE, clean_name
from ...novita.files.source import expects_of
from ...novita.journal.jobs import Paid
from ...novita.journal.journal import Job, JobState
from ..kit.context import Caller
from ..kit.mcp_tasks.handoff import Handoff
from ..kit.purchase import Purchase, carry_out, join_earlier, make_agreed, refuse_dearer
from ..kit.same_call import same_call
from .results import MediaResult, OneFile

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""How many files of one call are worked on at the same time."""
MADE_WITHIN = 86_400.0
"""Seconds for which the same call uses an earlier result of a file instead of making it again."""
MANY_OF = ("video", "image", "audio")
"""Arguments that may stand for many files. If several are given, the tool works on the first of them."""

PlanOne = Callable[[Caller, str, str | None, float | None], Awaitable[Purchase[MediaResult]]]
"""Plans the purchase for one file. It gets the call, the file, the place for the result, and the seconds to wait."""


async def many_of(caller: Caller, given: Mapping[str, object]) -> tuple[str, list[str]] | None:
    """The name of the argument that stands for several files, and the files; None if every argument names one file.

    Raises:
        InputError: A folder or pattern matches no file or too many, or two arguments name several files.
    """
    found: list[tuple[str, list[str]]] = []
    for name in MANY_OF:
        value = given.get(name)
        if value is not None and (several := await _several(caller, name, value)) is not None:
            found.append((name, several))
    if len(found) > 1:
        raise InputError(f"Only one of {' and '.join(name for name, _ in found)} may stand for several files")
    if not found:
        return None
    name, several = found[0]
    if len(several) > MOST_AT_ONCE:
        raise InputError(f"{counted(len(several), 'file')} are too many for one call; {MOST_AT_ONCE} are taken")
    return name, several


async def _several(caller: Caller, name: str, value: object) -> list[str] | None:
    listed = _listed(value)
    if listed is None:
        return await _in_folder(caller, name, str(value))
    found: list[str] = []
    for each in listed:
        found += await _in_folder(caller, name, each) or [each]
    return list(dict.fromkeys(found))


def _listed(value: object) -> list[str] | None:
    """The files of a list, of a JSON text that holds a list, or of a text with several lines; otherwise None."""
    if isinstance(value, list | tuple):
        return [str(each) for each in cast("Sequence[object]", value) if str(each).strip()]
    text = str(value)
    if text.lstrip()[:5].casefold() == "data:" or len(text) > 200_000:
        return None
    if text.lstrip().startswith("["):
        try:
            found: object = json.loads(text)
        except ValueError:
            return None
        if isinstance(found, list) and all(isinstance(each, str) for each in cast("list[object]", found)):
            return cast("list[str]", found)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines if len(lines) > 1 else None


async def _in_folder(caller: Caller, name: str, text: str) -> list[str] | None:
    folders = caller.inputs.folders
    bare = unquoted(text)
    if folders is None or len(bare) > 1_024 or "\0" in bare or re.match(r"(?i)(?:https?|data|task|novita):", bare):
        return None
    found = await to_thread.run_sync(folders.several, text, expects_of(name))
    return None if found is None else [str(path) for path in found]


@dataclass
class OneOfMany(Caller):
    """The call for one of its files. It starts no MCP task of its own, and reports progress through the whole call."""

    whole: Caller | None = None

    @property
    def handoff(self) -> Handoff | None:
        return None

    async def progress(self, message: str, percent: float | None = None) -> None:
        if self.whole is not None:
            await self.whole.progress(message)


@dataclass
class _Line:
    """One file, and how far its job has come.

    Args:
        place: Where the result is saved; None if nothing is saved on this machine.
        told: The line about this file in the answer.
        usd: The price that the user agreed to for this file.
    """

    file: str
    name: str
    caller: OneOfMany
    place: str | None
    status: Literal["waiting", "begun", "over"] = "waiting"
    told: OneFile | None = None
    cost: Cost = FREE
    usd: Decimal = Decimal(0)


@dataclass
class Many:
    """One call for many files.

    Args:
        argument: The argument that names the files.
        word: What the names of the new files end with.
        wait_seconds: How long the call waits for all of them.
    """

    caller: Caller
    argument: str
    files: Sequence[str]
    plan: PlanOne
    word: str
    save_to: str | None
    wait_seconds: float | None
    lines: list[_Line] = field(default_factory=list[_Line])
    shown: list[MediaResult] = field(default_factory=list[MediaResult])

    async def make(self, *, confirm: bool, dry_run: bool) -> MediaResult:
        """Ask the user once for all files, then make each of them.

        Raises:
            NovitaError: The user said no, or no file can be begun.
        """
        caller = self.caller
        folder = await self._folder()
        for number, file in enumerate(self.files):
            name = file_name(file)
            place = f"{folder}/{clean_name(f'{_stem(name)}_{self.word}')}" if folder else None
            self.lines.append(_Line(file, name, self._one(file, number), place))
        caller.joins = False  # each file joins earlier work separately
        try:
            return await carry_out(caller, self._planned, confirm=confirm, dry_run=dry_run)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._note_left()
            raise

    def _one(self, file: str, number: int) -> OneOfMany:
        caller = self.caller
        # If a file is listed twice, the second is a new variant and must not join the first one's job.
        variant = self.files[:number].count(file)
        wanted = {**caller.meant(), self.argument: file, **({"variant": variant} if variant else {})}
        return OneOfMany(
            caller.app,
            caller.novita,
            caller.context,
            caller.tool,
            {**caller.arguments, self.argument: file, "number": number},
            lambda: wanted,
            caller.again,
            caller.joins,
            whole=caller,
        )

    async def _folder(self) -> str:
        """The folder for the results, which are named after their sources; empty if nothing is saved here.

        Raises:
            InputError: `save_to` names a single file, or cannot be used.
        """
        store = self.caller.app.jobs.store
        if self.save_to is None:
            return str(store.folder) if store.saves and store.folder is not None else ""
        await to_thread.run_sync(store.check_place, self.save_to)
        folder, name = await to_thread.run_sync(store.allowed.place, self.save_to)
        if name is not None:
            raise InputError("save_to names one file, and many are made", next_step="Give a folder.")
        return str(folder)

    async def _planned(self) -> Purchase[MediaResult] | MediaResult:
        """One purchase for all files that are still to be made; if there are none, the answer."""
        effect = model = ""
        request: Mapping[str, Any] = {}
        turn = [line for line in self.lines if line.status == "waiting"]
        for number, line in enumerate(turn, 1):
            await self.caller.progress(f"{number} of {counted(len(turn), 'file')} checked: {line.name}")
            try:
                if await self._made_before(line):
                    continue
                purchase = await self.plan(line.caller, line.file, line.place, None)
                request = request or await purchase.shown()
            except NovitaError as error:
                line.status, line.told = "over", self._failed(line, error)
                continue
            finally:
                line.caller.hold.release()
            line.cost, line.usd = purchase.cost, self.caller.app.jobs.caps.counted(purchase.cost)
            effect, model = effect or purchase.effect, model or purchase.model
        left = [line for line in self.lines if line.status == "waiting"]
        if not left:
            return self._answer()
        many = (
            f"{len(left)} of {counted(len(self.lines), 'file')}"
            if len(left) < len(self.lines)
            else counted(len(left), "file")
        )
        told = [line.told for line in self.lines if line.told is not None and line.told.reason]
        broken = f" {len(told)} cannot be used: {told[0].file}: {told[0].reason}" if told else ""

        async def shown() -> Mapping[str, Any]:
            return request

        return Purchase(
            answer=MediaResult,
            effect=f"For each of {many}: {effect}{broken}",
            model=model,
            title=many,
            cost=self._total(left),
            sending=_All(self),
            dry_run=shown,
            dry_run_note=f"The request is that for {left[0].name}; the price is for {many}.",
        )

    def _total(self, left: Sequence[_Line]) -> Cost:
        costs = [line.cost for line in left]
        known, bases = [cost.usd for cost in costs if cost.usd is not None], {cost.basis for cost in costs}
        each = f"{counted(len(left), 'file')}. {costs[0].note}".strip()
        if len(known) == len(costs) and len(bases) == 1:
            return replace(costs[0], usd=sum(known, Decimal(0)), note=each, words="", shown="")
        ceiling = sum((line.usd for line in left), Decimal(0))
        return Cost(None, each, "unknown", ceiling=ceiling, things=len(left), asks=any(cost.asks for cost in costs))

    async def _made_before(self, line: _Line) -> bool:
        """Whether the same call has already made this from a file of the same content, and the result still exists."""
        caller = line.caller
        if caller.again:
            return False
        caller.same = same = await same_call(caller)
        since = caller.app.journal.wall() - MADE_WITHIN
        for job in await caller.app.journal.done_before(caller.owner, same, since=since):
            if job.artifacts and all(self._still_here(job, place) for place in range(len(job.artifacts))):
                line.status, line.told = "over", self._told_of(line, job)
                return True
        return False

    def _still_here(self, job: Job, place: int) -> bool:
        artifact, store = job.artifacts[place], self.caller.app.jobs.store
        lives = artifact.path is None and artifact.alive(self.caller.app.journal.wall())
        written = artifact.path is None and artifact.kind == "text" and bool(artifact.note)
        return store.holds(artifact) or store.in_memory(artifact) is not None or lives or written

    def _told_of(self, line: _Line, job: Job) -> OneFile:
        remote = self.caller.app.settings.http
        return OneFile(
            file=line.name,
            status="made before",
            task_id=job.task_id,
            made=tuple(
                f"novita://artifacts/{one.task_id}/{one.index}" if remote else one.path or one.url or ""
                for one in job.artifacts
                if one.path or one.url
            ),
            text=next((one.note[:300] for one in job.artifacts if one.kind == "text" and one.note), None),
        )

    async def carry_all(self) -> MediaResult:
        """Make what is missing, a few files at a time, until all are finished or the wait is over."""
        caller = self.caller
        wait = caller.app.settings.wait_seconds if self.wait_seconds is None else self.wait_seconds
        until = caller.app.jobs.clock.now() + wait
        turns = anyio.Semaphore(AT_ONCE)
        left = [line for line in self.lines if line.status == "waiting"]

        async def make(line: _Line) -> None:
            async with turns:
                budget = until - caller.app.jobs.clock.now()
                if budget <= 0 and line is not left[0]:
                    return  # it is begun when the same call is made again
                await self._make_one(line, max(0.0, budget))
            over = sum(one.status == "over" for one in self.lines)
            await caller.progress(f"{over} of {counted(len(self.lines), 'file')} done", 99 * over / len(self.lines))

        async with anyio.create_task_group() as group:
            for line in left:
                group.start_soon(make, line)
        return self._answer()

    async def _make_one(self, line: _Line, budget: float) -> None:
        one = line.caller
        wanted = {**one.meant(), "wait_seconds": budget}
        one.meant = lambda: wanted
        try:
            line.status = "begun"
            result = await join_earlier(one) if one.joins else None
            if result is None:
                purchase = await self.plan(one, line.file, line.place, budget)
                await self._within(line, purchase)
                result = await make_agreed(one, purchase, partial(self._agree, line))
        except NovitaError as error:
            line.status, line.told = "over", self._failed(line, error)
        else:
            made = cast(MediaResult, result)
            line.told = self._told(line, made)
            line.status = "begun" if made.status == "working" else "over"
            self.shown.append(made)
            if line.status == "over" and one.same is not None and one.same.job_key:
                self.caller.told_of.append(one.same.job_key)
        finally:
            one.hold.release()

    async def _agree(self, line: _Line, _: Purchase[MediaResult], other: Purchase[MediaResult]) -> None:
        await self._within(line, other)

    async def _within(self, line: _Line, purchase: Purchase[MediaResult]) -> None:
        """Refuse if the price for this file has risen above what the user agreed to."""
        refuse_dearer(self.caller, purchase, line.usd, things=len(self.lines))

    def _failed(self, line: _Line, error: NovitaError) -> OneFile:
        text = str(error)
        return OneFile(file=line.name, status="failed", reason=text if len(text) <= 300 else f"{text[:300]}...")

    def _told(self, line: _Line, made: MediaResult) -> OneFile:
        remote = self.caller.app.settings.http
        where = tuple(
            f"novita://artifacts/{one.task_id}/{one.index}" if remote else one.path or one.url or ""
            for one in made.artifacts
        )
        done = made.status in ("succeeded", "incomplete")
        return OneFile(
            file=line.name,
            status="done" if made.status == "succeeded" else "working" if not done else "incomplete",
            task_id=made.task_id,
            made=tuple(each for each in where if each),
            text=made.text[:300] if made.text else None,
            reason=None if made.status == "succeeded" else made.next_step,
        )

    def _answer(self) -> MediaResult:
        told = [line.told or OneFile(file=line.name, status="not begun") for line in self.lines]
        states = [each.status for each in told]
        waits = "working" in states or "not begun" in states
        failed = "failed" in states or "incomplete" in states
        remarks = [made.remark for made in self.shown if made.remark]
        models = {made.model for made in self.shown if made.model}
        if waits:
            step = self._how_to_go_on(told)
        elif failed and self.caller.again:
            step = "Mend what failed and call again for these files alone: with again=true all that are named are made."
        elif failed:
            step = "Mend what failed and call again with the same arguments: only the missing ones are made."
        else:
            step = "Show the user the files."
            step += " again=true makes all anew." if "made before" in states else ""
        costs = [made.estimated_cost_usd for made in self.shown]
        known = [Decimal(cost) for cost in costs if cost is not None and cost != "unknown"]
        result = MediaResult(
            status="working" if waits else "incomplete" if failed else "succeeded",
            model=next(iter(models)) if len(models) == 1 else None,
            remark=remarks[0] if remarks else None,
            each=tuple(told),
            estimated_cost_usd=show_price(sum(known, Decimal(0))) if len(known) == len(costs) else "unknown",
            next_step=step,
        )
        for made in self.shown:
            result.take_pictures(made)
        return result

    def _how_to_go_on(self, told: Sequence[OneFile]) -> str:
        """What to do next if some files are not finished when the wait is over."""
        left = [one.file for one in told if one.status == "not begun"]
        if not self.caller.again:
            rest = f" begins the {len(left)} that are left and" if left else ""
            return f"Call again with the same arguments: that{rest} waits on; what is made is not made or paid again."
        waits = "get_task with their task_ids waits for those that are working."
        # The same call, with again=true, would make every file once more, including those that are done.
        return f"{waits} Call again, with again=true, for these files alone: {_names(left)}." if left else waits

    async def _note_left(self) -> None:
        """Note in the journal what is done and what is not. A cancelled caller gets no answer, but may ask later."""
        done = [
            line.name for line in self.lines if line.status == "over" and line.told and line.told.status != "failed"
        ]
        begun = [line.name for line in self.lines if line.status == "begun"]
        left = [line.name for line in self.lines if line.name not in (*done, *begun)]
        parts = ((done, "done"), (begun, "begun"), (left, "not done"))
        said = "; ".join(f"{len(names)} {what}: {_names(names)}" for names, what in parts if names)
        caller, journal = self.caller, self.caller.app.journal
        try:
            row = await journal.begin(
                owner=caller.owner,
                kind="call",
                tool=caller.tool,
                model="",
                title=f"{counted(len(self.lines), 'file')}, {self.word}",
                cost=FREE,
            )
            await journal.finish(row.key, JobState.CANCELLED, reason=f"Cancelled. {said}. Ask again for the rest.")
        except JournalError as error:
            logger.warning("what a cancelled call left is not written down: %s", error)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def file_name(file: str) -> str:
    """The name of a file in answers, without its folder or address."""
    if (task := parse_reference(file)) is not None:
        return f"task-{task[0][:12]}-{task[1]}"
    if file[:5].casefold() == "data:":
        return "picture"
    return file.replace("\\", "/").partition("?")[0].rstrip("/").rpartition("/")[2][:80] or "file"


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


@dataclass(frozen=True)
class _All:
    """Makes all files. Each of them is noted, checked against the spending limits and sent separately."""

    many: Many

    async def carry(self, caller: Caller, paid_for: Paid) -> MediaResult:
        return await self.many.carry_all()
