"""The one road of everything that spends, and of everything that destroys.

A tool brings what is its own as a `Purchase`: what will happen, what it costs, the exact requests, how to send it, how
to note the answer, how to wait for it. `carry_out` does the rest for all: it makes the dry run, asks where it must,
has it noted and held to the caps, sends it once, follows it within the wait, or hands it over to an MCP task. Where the
same was asked for a moment ago and nobody was given what came of it, that job answers instead: see same_call.py.

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
    """How a purchase is made once there is a yes: `Awaited`, `Submitted`, `Direct`, `Begun`, or one of
    them `OnceReady`."""

    async def carry(self, caller: Caller, paid_for: Paid) -> R_co:
        """Make it, once, and answer."""
        ...


@dataclass(frozen=True, kw_only=True)
class Purchase(Generic[R]):
    """One act, planned to the last field, and not begun.

    Args:
        answer: The tool's result class. It has the fields status, model, estimated_cost_usd, counted_usd, next_step,
            and those that `dry_run` brings.
        effect: What will happen, in one or two sentences, without the price. It is the question, and what a
            dry run says.
        model: The model, product or thing it is about, for answers and the journal.
        title: What the journal calls it.
        cost: What it costs, or what that is taken to be.
        sending: How it is made.
        dry_run: The fields that show the exact requests: `request` or `requests`. None: there is no dry run.
            Where nothing would be sent, its own `estimated_cost_usd` and `next_step` say so.
        dry_run_note: What else is to be said of a dry run.
        about: What a yes is for, where that may change between question and answer; without the price.
        always_asks: Asked about whatever it costs: what destroys, and what goes on costing.
        hint: For the model, how to agree by a second call.
        tool: Whose call the journal notes; by default the tool that was called.
        instead: What is made in its place where Novita refuses it without billing it; None: nothing is. It may add to
            the error what to do about it.
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
        """What a dry run shows beside the price."""
        return await self.dry_run() if self.dry_run is not None else {}

    def question(self, caller: Caller) -> Question:
        """What is to be agreed to."""
        counted = caller.app.jobs.caps.counted(self.cost)
        return Question(self.effect, self.model, self.cost, counted, about=self.about, hint=self.hint)


def destruction(
    answer: type[R], effect: str, *, model: str, about: str, act: Callable[[], Awaitable[R]]
) -> Purchase[R]:
    """An act that costs nothing and takes something away: always asked about."""
    return Purchase(answer=answer, effect=effect, model=model, sending=Direct(act=act), about=about, always_asks=True)


Planner = Callable[[], Awaitable[Purchase[R] | R]]
"""Plans a purchase from prices as they are now; or answers at once, where nothing is to be done. It only reads, and
may be run again after somebody was asked."""


async def carry_out(caller: Caller, plan: Planner[R], *, confirm: bool, dry_run: bool = False) -> R:
    """Show a purchase in a dry run, or make it once; a call that asks for the same as an earlier one joins its job.

    Raises:
        NovitaError: It cannot be, the user said no, a cap would be passed, or Novita refused it.
    """
    # Before anything is planned: what the same call took before may be the last there was.
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
        if took_time:  # somebody was asked in the middle of this call: what was cheap may be dear by now
            purchase = await plan()
            if not isinstance(purchase, Purchase):
                return purchase
    return await make_agreed(caller, purchase, partial(_agree_again, caller, confirm=confirm))


async def join_earlier(caller: Caller) -> ToolResult | None:
    """What is answered where the same call began something before that this one joins; None where it did not.

    Raises:
        NovitaError: How that ended.
    """
    caller.same = same = await same_call(caller)
    while (earlier := await caller.app.journal.earlier(caller.owner, same)) is not None:
        if (joined := await answer_joined(caller, same, earlier)) is not None:
            return joined
    return None


async def make_agreed(
    caller: Caller, purchase: Purchase[R], agree: Callable[[Purchase[R], Purchase[R]], Awaitable[None]]
) -> R:
    """Make a purchase that was agreed to, or what takes its place.

    Args:
        agree: Asks about what takes its place; raises where that may not be.

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
        except Joined as detour:  # another call began it while this one was being planned
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
    """Ask about what takes the place of something agreed to, where it is dearer; a yes was for that price."""
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
    """Refuse one of several things agreed to together, where it has become dearer and its share of what is not asked
    about is passed.

    Raises:
        NovitaError: It has.
    """
    now = caller.app.jobs.caps.counted(purchase.cost)
    if now > max(agreed, _free_hand(caller) / things):
        raise dearer_than_agreed(purchase.model, now, agreed)


def _must_ask(caller: Caller, cost: Cost, *, always: bool) -> bool:
    """Whether this needs a yes. The one threshold check: what the caps count is what asks."""
    if always or (cost.asks and not cost.known):
        return True
    return caller.app.jobs.caps.counted(cost) > _free_hand(caller)


def _free_hand(caller: Caller) -> Decimal:
    """USD up to which nobody is asked."""
    return caller.app.settings.confirm_above_usd


async def _dry_run(caller: Caller, purchase: Purchase[R]) -> R:
    """What would be sent, and its price; a price that was shown is remembered as one."""
    question = purchase.question(caller)
    shown = await purchase.shown()
    caller.quote(question.about, question.counted)
    said = (question.text, purchase.dry_run_note, "Call again without dry_run to send it.")
    step = " ".join(part for part in said if part)
    return purchase.answer(**{"status": "dry_run", **question.fields, "next_step": step, **shown})


@dataclass(frozen=True, kw_only=True)
class Direct(Generic[R]):
    """An act that costs nothing and is over when it is answered, such as deleting. Nothing is noted."""

    act: Callable[[], Awaitable[R]]

    async def carry(self, caller: Caller, paid_for: Paid) -> R:
        return await self.act()


@dataclass(frozen=True, kw_only=True)
class Begun(Generic[R]):
    """An act that costs nothing and goes on after it is answered, such as saving an image. Nothing is noted.

    Args:
        begin: Begins it, and answers with its id.
        kind: Whose follower looks at it for an MCP task.
        working: The answer while it goes on.
        follow: Waits up to so many seconds for it, and answers with what there is.
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
    """A paid call that is made here and now.

    Talk, which is made anew each time, ends with its caller, so that it stops costing. What the same call joins goes on
    without him, and its answer is kept for a while.

    Args:
        work: Makes the call, keeps its tally true, and answers.
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
        start: Has it noted and sent: `Jobs.submit`, or what finds an earlier one that did the same.
        working: The answer while it goes on, for a caller that takes an MCP task.
        follow: Waits up to so many seconds for it, and answers with what there is.
        wait_seconds: How long the caller wishes to wait; None leaves it to the settings.
        lost: What to look at where no answer came, so that nobody knows whether it was accepted and billed.
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
    """The id of what goes on; None where it is over."""
    if job.state is JobState.SUBMITTING:
        return job.key[:12]
    return job.task_id if job.state is JobState.WORKING else None


@dataclass(frozen=True, kw_only=True)
class OnceReady(Generic[R]):
    """A call of something that may have to come up first. It is waited for after the yes, before anything is noted or
    sent; what is left of the wait is for the call.

    Args:
        ready: Waits up to so many seconds until it can be called; the answer where it cannot be by then.
        sending: Makes the call, in so many seconds.
        wait_seconds: How long the caller wishes to wait for both; None leaves it to the settings.
        queues: What is sent too early waits at Novita, so that an MCP task can begin at once.
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
    """What goes on at Novita: left to an MCP task where the caller takes one, else followed within the wait.

    Args:
        kind: Whose follower looks at it for the task.
        id: Of what goes on; None: it is over.
    """
    if id and caller.hand_over(kind, id):
        return await working()
    return await follow(_patience(caller, wait_seconds))


def _patience(caller: Caller, wait_seconds: float | None) -> float:
    return caller.app.settings.wait_seconds if wait_seconds is None else wait_seconds
