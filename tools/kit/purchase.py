"""Carries out every act that spends money, and every act that destroys something.

A tool describes its act as a `Purchase`: what will happen, what it costs, the exact requests, how to send it, how
to note the answer, how to wait for it. `carry_out` does the rest for all tools: it makes the dry run, asks the user if
it must, has the act noted and checked against the caps, sends it once, and follows it within the wait or hands it over
to an MCP task. If the same call was made a moment ago and its result reached nobody, it gets that job's result
instead: see same_call.py.

    async def plan() -> Purchase[MyResult]: ...          # reads only; may be run again
    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, cast

from pydantic import BaseModel

from ...novita.core.costs import FREE, Cost
from ...novita.core.errors import NovitaError
from ...novita.journal.facts import Facts
from ...novita.journal.jobs import Paid, Tally
from ...novita.journal.journal import Job, JobState, Joined
from .asking import Question, dearer_than_agreed, need_yes
from .context import Caller
from .same_call import answer_joined, kept_answer, same_call
from .toolset import ToolResult

R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")
R_co = TypeVar("R_co", bound=BaseModel, covariant=True)


class Sending(Protocol[R_co]):
    """How a purchase is made once it is approved: `Awaited`, `Submitted`, `Direct`, `Begun`, or one of these inside
    `OnceReady`."""

    async def carry(self, caller: Caller, paid_for: Paid) -> R_co:
        """Make the purchase once, and return the tool's answer."""
        ...


@dataclass(frozen=True, kw_only=True)
class Purchase(Generic[R]):
    """One act that is fully planned but not begun.

    Args:
        answer: The tool's result class. It has the fields status, model, estimated_cost_usd, counted_usd, next_step,
            and those that `dry_run` brings.
        effect: What will happen, in one or two sentences, without the price. It is the question, and what a
            dry run says.
        model: The model, product or thing it is about, for answers and the journal.
        title: Its title in the journal.
        cost: What it costs, or what is assumed if nobody knows.
        sending: How it is made.
        dry_run: The fields that show the exact requests: `request` or `requests`. None: there is no dry run. If
            nothing would be sent, it brings its own `estimated_cost_usd` and `next_step` that say so.
        dry_run_note: What a dry run's answer says besides.
        about: Identifies what a yes is for, without the price, if that may change between question and answer.
        always_asks: Ask whatever it costs, because it destroys something or is billed by time.
        hint: Tells the model how to agree by a second call.
        tool: The tool that the journal notes; by default the one that was called.
        instead: Plans what to make in its place if Novita refuses it without billing it; None: nothing. It may add
            to the error what to do next.
    """

    answer: type[R]
    effect: str
    model: str
    title: str = ""
    cost: Cost = FREE
    sending: Sending[R]
    dry_run: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
    dry_run_note: str = ""
    about: str = ""
    always_asks: bool = False
    hint: str = ""
    tool: str = ""
    instead: Callable[[NovitaError], Awaitable["Purchase[R] | None"]] | None = None

    async def shown(self) -> Mapping[str, Any]:
        """The fields that a dry run shows beside the price."""
        return await self.dry_run() if self.dry_run is not None else {}

    def question(self, caller: Caller) -> Question:
        """The question that the user is asked."""
        counted = caller.app.jobs.caps.counted(self.cost)
        return Question(self.effect, self.model, self.cost, counted, about=self.about, hint=self.hint)


def destruction(
    answer: type[R], effect: str, *, model: str, about: str, act: Callable[[], Awaitable[R]]
) -> Purchase[R]:
    """A purchase that is free but destroys something, so the user is always asked."""
    return Purchase(answer=answer, effect=effect, model=model, sending=Direct(act=act), about=about, always_asks=True)


Planner = Callable[[], Awaitable[Purchase[R] | R]]
"""Plans a purchase at present prices, or returns the answer at once if there is nothing to do. It only reads, and may
be run again after the user was asked."""


async def carry_out(caller: Caller, plan: Planner[R], *, confirm: bool, dry_run: bool = False) -> R:
    """Show a purchase in a dry run, or make it once. A call that asks for the same as an earlier one may join its job.

    Raises:
        NovitaError: The purchase is impossible, the user said no, a cap would be passed, or Novita refused it.
    """
    # Look for an earlier call before planning: it may have taken the last machine, and planning would then fail.
    if caller.joins and not dry_run and (joined := await join_earlier(caller)) is not None:
        return cast(R, joined)
    purchase = await plan()
    if not isinstance(purchase, Purchase):
        return purchase
    if dry_run:
        return await _dry_run(caller, purchase)
    agreed: Question | None = None
    while _must_ask(caller, purchase.cost, always=purchase.always_asks):
        question = purchase.question(caller)
        if agreed is not None and question.about == agreed.about and question.counted <= agreed.counted:
            break
        took_time = await need_yes(caller, question, confirm=confirm)
        agreed = question
        if took_time:  # the price may have risen while the user was asked
            purchase = await plan()
            if not isinstance(purchase, Purchase):
                return purchase
    return await make_agreed(caller, purchase, partial(_agree_again, caller, confirm=confirm))


async def join_earlier(caller: Caller) -> ToolResult | None:
    """The result of an earlier job that this call joins; None if there is no such job.

    Raises:
        NovitaError: The earlier job failed with this error.
    """
    caller.same = same = await same_call(caller)
    while (earlier := await caller.app.journal.earlier(caller.owner, same)) is not None:
        if (joined := await answer_joined(caller, same, earlier)) is not None:
            return joined
    return None


async def make_agreed(
    caller: Caller, purchase: Purchase[R], agree: Callable[[Purchase[R], Purchase[R]], Awaitable[None]]
) -> R:
    """Make a purchase that was agreed to, or the one that replaces it if Novita refuses it.

    Args:
        agree: Asks the user about the replacement; raises if it may not be made.

    Raises:
        NovitaError: A cap would be passed, or Novita refused it.
    """
    while True:
        paid_for = Paid(
            owner=caller.owner,
            tool=purchase.tool or caller.tool,
            model=purchase.model,
            title=purchase.title,
            cost=purchase.cost,
            same=caller.same,
        )
        try:
            return await purchase.sending.carry(caller, paid_for)
        except Joined as detour:  # another call began the same purchase while this one was being planned
            assert caller.same is not None
            if (joined := await answer_joined(caller, caller.same, detour.job)) is not None:
                return cast(R, joined)
        except NovitaError as error:
            unbilled = error.billed == "no" and purchase.instead is not None
            other = await purchase.instead(error) if unbilled and purchase.instead is not None else None
            if other is None:
                raise
            await agree(purchase, other)
            purchase = other


async def _agree_again(caller: Caller, agreed: Purchase[R], other: Purchase[R], *, confirm: bool) -> None:
    """Ask about a replacement that is more expensive, because the user agreed to the first price only."""
    if not _must_ask(caller, other.cost, always=other.always_asks):
        return
    before, question = agreed.question(caller), other.question(caller)
    asked = _must_ask(caller, agreed.cost, always=agreed.always_asks)
    if asked and question.counted <= before.counted:
        return
    if caller.quoted(before.about) is None:
        caller.quote(before.about, before.counted)
    await need_yes(caller, question, confirm=confirm)


def refuse_dearer(caller: Caller, purchase: Purchase[Any], agreed: Decimal, *, things: int) -> None:
    """Refuse one of several things that were agreed to together, if its price has risen.

    A rise is tolerated up to the thing's share of the sum below which the user is not asked at all.

    Raises:
        NovitaError: Its price has risen beyond that.
    """
    now = caller.app.jobs.caps.counted(purchase.cost)
    if now > max(agreed, _free_hand(caller) / things):
        raise dearer_than_agreed(purchase.model, now, agreed)


def _must_ask(caller: Caller, cost: Cost, *, always: bool) -> bool:
    """Whether the user must be asked. The threshold is compared with the amount that the caps count, only here."""
    if always or (cost.asks and not cost.known):
        return True
    return caller.app.jobs.caps.counted(cost) > _free_hand(caller)


def _free_hand(caller: Caller) -> Decimal:
    """The amount in USD up to which the user is not asked."""
    return caller.app.settings.confirm_above_usd


async def _dry_run(caller: Caller, purchase: Purchase[R]) -> R:
    """The answer of a dry run: what would be sent, and its price. The price is remembered as one the user was shown."""
    question = purchase.question(caller)
    shown = await purchase.shown()
    caller.quote(question.about, question.counted)
    sentences = (question.text, purchase.dry_run_note, "Call again without dry_run to send it.")
    step = " ".join(sentence for sentence in sentences if sentence)
    return purchase.answer(**{"status": "dry_run", **question.fields, "next_step": step, **shown})


@dataclass(frozen=True, kw_only=True)
class Direct(Generic[R]):
    """A free act that is over once Novita answers, such as deleting. The journal does not note it."""

    act: Callable[[], Awaitable[R]]

    async def carry(self, caller: Caller, paid_for: Paid) -> R:
        return await self.act()


@dataclass(frozen=True, kw_only=True)
class Begun(Generic[R]):
    """A free act that runs on after Novita answers, such as saving an image. The journal does not note it.

    Args:
        begin: Begins it, and returns its id.
        kind: The kind of follower that looks at it for an MCP task.
        working: The answer while it runs.
        follow: Waits up to so many seconds for it, and returns the answer as it then is.
        wait_seconds: How long the caller wishes to wait; None leaves it to the settings.
    """

    begin: Callable[[], Awaitable[str]]
    kind: str
    working: Callable[[str], Awaitable[R]]
    follow: Callable[[str, float], Awaitable[R]]
    wait_seconds: float | None = None

    async def carry(self, caller: Caller, paid_for: Paid) -> R:
        begun = await self.begin()
        return await followed(
            caller,
            self.kind,
            begun,
            working=partial(self.working, begun),
            follow=partial(self.follow, begun),
            wait_seconds=self.wait_seconds,
        )


@dataclass(frozen=True, kw_only=True)
class Awaited(Generic[R]):
    """A paid call whose answer is awaited directly.

    A chat is made anew each time and is cancelled with its caller, so that it stops costing. A call that the same
    call may join later runs on without its caller, and its answer is kept for a while.

    Args:
        work: Makes the call, updates its tally as it goes, and returns the answer.
    """

    work: Callable[[Job, Tally], Awaitable[R]]
    facts: Facts | None = None

    async def carry(self, caller: Caller, paid_for: Paid) -> R:
        keep = kept_answer if paid_for.same is not None else None
        caller.outlived = keep is not None
        _, result = await caller.app.jobs.call(paid_for, work=self.work, facts=self.facts, keep=keep)
        return result


@dataclass(frozen=True, kw_only=True)
class Submitted(Generic[R, T]):
    """A paid call that outlives its caller: noted, sent once in the background, and then waited for.

    Args:
        start: Notes and sends it: `Jobs.submit`, or a function that finds an earlier job that did the same.
        working: The answer while it runs, for a caller that takes an MCP task.
        follow: Waits up to so many seconds for it, and returns the answer as it then is.
        wait_seconds: How long the caller wishes to wait; None leaves it to the settings.
        lost: Tells the user where to look if no answer came and it is unknown whether the call was billed.
        explain: Adds to an error what to do about it.
    """

    start: Callable[[Paid], Awaitable[tuple[Job, T]]]
    working: Callable[[Job, T], Awaitable[R]]
    follow: Callable[[Job, T, float], Awaitable[R]]
    wait_seconds: float | None = None
    lost: str = ""
    explain: Callable[[NovitaError], Awaitable[None]] | None = None

    async def carry(self, caller: Caller, paid_for: Paid) -> R:
        clock = caller.app.jobs.clock
        until = clock.now() + _patience(caller, self.wait_seconds)
        try:
            job, answer = await self.start(paid_for)
        except NovitaError as error:
            if error.billed == "maybe" and self.lost:
                error.next_step = self.lost
            if self.explain is not None:
                await self.explain(error)
            raise
        caller.hold.release()
        return await followed(
            caller,
            job.kind,
            _goes_on_as(job),
            working=partial(self.working, job, answer),
            follow=partial(self.follow, job, answer),
            wait_seconds=max(0.0, until - clock.now()),
        )


def _goes_on_as(job: Job) -> str | None:
    """The id of the job that runs on; None if it is over."""
    if job.state is JobState.SUBMITTING:
        return job.key[:12]
    return job.task_id if job.state is JobState.WORKING else None


@dataclass(frozen=True, kw_only=True)
class OnceReady(Generic[R]):
    """A call of something, such as an endpoint, that may have to start first.

    The start is awaited after the user's yes and before anything is noted or sent; the call gets the rest of the wait.

    Args:
        ready: Waits up to so many seconds until the thing can be called; returns the tool's answer if it cannot yet.
        sending: Makes the call, in so many seconds.
        wait_seconds: How long the caller wishes to wait for both; None leaves it to the settings.
        queues: Whether Novita queues a call that comes too early, so that an MCP task can begin at once.
    """

    ready: Callable[[float], Awaitable[R | None]]
    sending: Callable[[float], Sending[R]]
    wait_seconds: float | None = None
    queues: bool = False

    async def carry(self, caller: Caller, paid_for: Paid) -> R:
        budget, started = _patience(caller, self.wait_seconds), caller.app.jobs.clock.now()
        if not (self.queues and caller.handoff is not None) and (late := await self.ready(budget)) is not None:
            return late
        left = max(0.0, budget - (caller.app.jobs.clock.now() - started))
        return await self.sending(left).carry(caller, paid_for)


async def followed(
    caller: Caller,
    kind: str,
    id: str | None,
    *,
    working: Callable[[], Awaitable[R]],
    follow: Callable[[float], Awaitable[R]],
    wait_seconds: float | None,
) -> R:
    """Leave a running job to an MCP task if the caller takes one; otherwise follow it within the wait.

    Args:
        kind: The kind of follower that looks at it for the task.
        id: The job's id; None if it is over.
    """
    if id and caller.hand_over(kind, id):
        return await working()
    return await follow(_patience(caller, wait_seconds))


def _patience(caller: Caller, wait_seconds: float | None) -> float:
    return caller.app.settings.wait_seconds if wait_seconds is None else wait_seconds
