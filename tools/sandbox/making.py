"""Makes sandboxes and prolongs their life: the price of the time asked for, the request, and its row in the journal."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import anyio
from pydantic import BaseModel

from ...novita.core.costs import Cost
from ...novita.core.errors import InputError, JournalError, NovitaAPIError, NovitaError
from ...novita.core.money import say_usd, show_usd
from ...novita.core.words import counted
from ...novita.journal.facts import SandboxFacts
from ...novita.journal.jobs import Paid
from ...novita.journal.joining import JoinRule
from ...novita.journal.journal import Job
from ...novita.sandbox.env import Env, check_env
from ...novita.sandbox.prices import SandboxSize, prices
from ...novita.sandbox.rows import KIND, facts_of, marks, note_given, note_gone
from ...novita.sandbox.sandboxes import SandboxGoneError, Wish, check_template
from ...novita.sandbox.shapes import Sandbox
from ..kit.context import Caller
from ..kit.dry_run import shown_request
from ..kit.purchase import Purchase, Submitted
from ..kit.same_call import JOINERS, Joiner
from ..kit.toolset import ToolResult
from .books import ends_words, find_lost, plane_of
from .following import answer_so_far, until_over
from .results import LABEL, SandboxResult, line_of
from .running import runs_of, wait

R = TypeVar("R", bound=BaseModel)
CODE = "code-interpreter-v1"
LONG_LIFE = 60.0
"""For a life of more minutes the user is always asked first, whatever it costs."""
ENDING = 15.0
"""How many seconds the deletion of a sandbox may take when its only run is over."""


@dataclass(frozen=True)
class WantedSandbox:
    """The arguments of create_sandbox."""

    template: str = CODE
    minutes: float = 10
    idle_minutes: float | None = None
    pause: bool = False
    internet: bool = True
    public_ports: bool = False
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    secret_env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    label: str = ""


@dataclass(frozen=True)
class Plan:
    """A sandbox with its price."""

    wish: Wish
    env: Env
    size: SandboxSize
    size_known: bool

    @property
    def cost(self) -> Cost:
        guess = "" if self.size_known else ", which is assumed, since the template does not say"
        return cost_of(self.size, self.wish.timeout, guess)

    async def shown(self) -> dict[str, Any]:
        """The request that a dry run shows. It names secrets but does not show them."""
        body = self.wish.body()
        body["envVars"] = {**self.env.plain, **dict.fromkeys(self.env.secret, "[secret]")}
        return {"request": shown_request("POST", "/sandboxes", body)}


def cost_of(size: SandboxSize, seconds: float, guess: str = "") -> Cost:
    """The most that a sandbox of this size costs in so many seconds."""
    table = prices()
    hour, most = table.per_hour(size), table.cost(size, seconds)
    words = (
        f"{say_usd(hour)} per hour ({size}{guess}), at most {say_usd(most)} for "
        f"{counted(seconds / 60, 'minute')}; price of {table.checked}."
    )
    return Cost(round(most, 6), basis="documented", words=words)


async def plan(caller: Caller, wanted: WantedSandbox) -> Plan:
    """Check everything that can be checked for free: template, quota, variables. Nothing is changed at Novita.

    First it looks for the sandbox of an earlier create whose answer was lost: a repeated call then uses that one.

    Raises:
        InputError: Novita would refuse the request.
    """
    check_template(wanted.template)
    await find_lost(caller)
    env = check_env(wanted.env, wanted.secret_env, own_key=caller.novita.api_key)
    plane = plane_of(caller)
    template = await plane.template(wanted.template)
    if template is None:
        names = ", ".join(each.name for each in await plane.templates())
        raise InputError(f"There is no template {wanted.template}", next_step=f"There are: {names[:400]}.")
    quota = await plane.quota()
    seconds = round(wanted.minutes * 60)
    if quota.limit.hours and seconds > quota.limit.hours * 3600:
        raise InputError(
            f"This account's sandboxes live {counted(quota.limit.hours, 'hour')} at most",
            next_step="Ask for fewer minutes; change_sandbox gives more time later.",
        )
    if quota.limit.sandboxes is not None and (quota.usage.sandboxes or 0) >= quota.limit.sandboxes:
        raise InputError(
            f"This account may have {counted(quota.limit.sandboxes, 'sandbox')} at a time, and has as many",
            next_step="Delete or pause one: list_sandboxes shows them.",
        )
    wish = Wish(
        wanted.template,
        seconds,
        idle=round(wanted.idle_minutes * 60) if wanted.idle_minutes else None,
        pause=wanted.pause,
        internet=wanted.internet,
        public_ports=wanted.public_ports,
        env=env.all,
        metadata={LABEL: wanted.label} if wanted.label else {},
    )
    return Plan(wish, env, template.shape or prices().assumed, template.shape is not None)


def purchase(
    caller: Caller,
    planned: Plan,
    answer: type[R],
    *,
    effect: str,
    follow: Callable[[Job, Sandbox, float], Awaitable[R]],
    wait_seconds: float | None = None,
    always_asks: bool = False,
) -> Purchase[R]:
    """The purchase of a sandbox, with what is done in it afterwards."""
    wish = planned.wish

    async def send(job: Job) -> Sandbox:
        made = await plane_of(caller).create(replace(wish, metadata={**wish.metadata, **marks(job)}))
        runs_of(caller).remember_env(made.id, planned.env)
        return made

    return Purchase(
        answer=answer,
        effect=effect,
        model=wish.template,
        title=wish.metadata.get(LABEL, "") or f"sandbox of {wish.template}",
        cost=planned.cost,
        sending=Submitted(
            start=partial(_start, caller, planned.size, wish.timeout, send),
            working=partial(follow_none, follow),
            follow=follow,
            wait_seconds=wait_seconds,
            lost="It was not sent again. list_sandboxes and the same call find it by its mark if it was made; it "
            f"ends by itself after {counted(wish.timeout / 60, 'minute')}.",
        ),
        dry_run=planned.shown,
        about=f"{wish.template} {wish.timeout} {wish.public_ports}",
        always_asks=always_asks,
    )


def follow_none(follow: Callable[[Job, Sandbox, float], Awaitable[R]], job: Job, made: Sandbox) -> Awaitable[R]:
    """The answer at once, without waiting for anything."""
    return follow(job, made, 0)


async def _start(
    caller: Caller, size: SandboxSize, seconds: float, send: Callable[[Job], Awaitable[Sandbox]], paid_for: Paid
) -> tuple[Job, Sandbox]:
    journal = caller.app.journal

    async def note(job: Job, made: Sandbox) -> Job:
        return await note_given(journal, job, made.id)

    job, made = await caller.app.jobs.submit(
        paid_for,
        kind=KIND,
        send=send,
        note=note,
        facts=facts_of(size, seconds, journal.wall()),
        on_progress=caller.progress_of("sandbox: sent"),
    )
    await caller.progress(f"sandbox {made.id} is there")
    return job, made


def more_time(
    caller: Caller,
    found: Sandbox,
    seconds: int,
    *,
    effect: str,
    always_asks: bool,
    act: Callable[[], Awaitable[object]],
    dry_run: Callable[[], Awaitable[Mapping[str, Any]]],
) -> Purchase[SandboxResult]:
    """The purchase of more time for a sandbox, by a resume or a new time-out. Only the added time is counted."""
    running = found.state != "paused" and found.ends_at is not None
    left = found.ends_at.timestamp() - caller.app.jobs.clock.wall() if running and found.ends_at else 0.0
    cost = cost_of(found.shape, max(0.0, seconds - max(0.0, left)))

    async def send(_: Job) -> Sandbox:
        try:
            await act()
        except (SandboxGoneError, NovitaAPIError) as error:
            if not isinstance(error, NovitaAPIError) or error.status < 500:
                error.billed = "no"
            raise
        return found

    async def follow(_: Job, made: Sandbox, __: float) -> SandboxResult:
        return await shown(caller, made.id, cost)

    return Purchase(
        answer=SandboxResult,
        effect=effect,
        model=found.id,
        title=found.metadata.get(LABEL, "") or f"sandbox {found.id}",
        cost=cost,
        sending=Submitted(
            start=partial(_start, caller, found.shape, seconds, send),
            working=partial(follow_none, follow),
            follow=follow,
            lost="get_sandbox shows whether it took effect.",
        ),
        dry_run=dry_run,
        about=f"{found.id} {seconds}",
        always_asks=always_asks,
    )


async def shown(caller: Caller, sandbox_id: str, cost: Cost | None = None, step: str = "") -> SandboxResult:
    """The sandbox as it is after a tool has done something with it.

    Raises:
        SandboxGoneError: The sandbox has ended meanwhile.
    """
    there = await plane_of(caller).get(sandbox_id)
    return SandboxResult(
        status="paused" if there.state == "paused" else "running",
        sandbox_id=there.id,
        sandbox=line_of(caller, there),
        model=there.alias or there.template_id or None,
        estimated_cost_usd=show_usd(cost.usd) if cost is not None and cost.usd is not None else None,
        next_step=f"{step} {ends_words(there.ends_at) if there.state != 'paused' else ''}".strip() or None,
    )


async def delete_after_run(caller: Caller, sandbox_id: str) -> None:
    """End a sandbox made for one run, even while this server shuts down. If that fails, its time-out ends it."""
    with anyio.CancelScope(shield=True), anyio.move_on_after(ENDING):
        try:
            await plane_of(caller).for_looking().delete(sandbox_id)
        except JournalError:
            raise
        except NovitaError:
            return  # its row stays open, so that list_tasks shows the sandbox until its time-out
        await note_gone(caller.app.journal, caller.owner, sandbox_id)


async def _join(caller: Caller, job: Job, budget: float) -> ToolResult | None:
    """The answer to a repeated call: the sandbox of the first call, or the run in it. None if the sandbox is gone."""
    sandbox_id = str(job.facts.resource or "")
    if job.tool == "run_code":
        ongoing = runs_of(caller).of_job(job.key)
        if ongoing is None:
            return await until_over(caller, job, budget)
        await wait(caller, ongoing, budget)
        found = await answer_so_far(caller, ongoing)
        return None if found.status == "stopped" else found
    try:
        return await shown(caller, sandbox_id, Cost(job.facts_as(SandboxFacts).whole))
    except SandboxGoneError:
        return None


JOINERS[KIND] = Joiner(_join, SandboxResult, JoinRule(lost=False), variants="A label tells two apart")
