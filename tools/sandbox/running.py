"""Runs: code and commands that go on in the background after their call has returned, until their files are saved."""

import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio

from ...novita.core.errors import InputError, NovitaError
from ...novita.core.redaction import without_secrets
from ...novita.core.waiting import HEARTBEAT
from ...novita.sandbox.env import Env
from ...novita.sandbox.inside import Inside
from ...novita.sandbox.interpreter import Cell, run_cell
from ...novita.sandbox.processes import Run, run_command
from ..kit.context import App, Caller
from ..kit.same_call import kept_answer
from ..kit.toolset import Picture
from .books import ends_words
from .homecoming import HomeComing, tail
from .results import RunResult, Status

MOST_RUNS = 256
LOOKS = 1.0
"""Seconds between two looks at a run's output, which is reported as progress."""


@dataclass
class Ongoing:
    """One run. `done` is set when the run has ended and its files are saved, or that has failed.

    Args:
        job_key: The journal's row of the sandbox, if the sandbox was made for this run alone.
        lives_on: Whether the run is a command in the background, which is not killed when this server ends.
    """

    inside: Inside
    owner: str
    what: Run | Cell
    env: Env
    user: str | None = None
    job_key: str = ""
    lives_on: bool = False
    id: str = field(default_factory=lambda: f"run-{uuid.uuid4().hex[:12]}")
    done: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    trouble: NovitaError | None = None
    answered: RunResult | None = None
    pictures: list[Picture] = field(default_factory=list[Picture])


class Runs:
    """The runs of this process."""

    def __init__(self, app: App) -> None:
        self._runs: OrderedDict[tuple[str, str], Ongoing] = OrderedDict()
        self._envs: OrderedDict[str, list[Env]] = OrderedDict()

    def remember_env(self, sandbox_id: str, env: Env) -> None:
        """Keep the variables given to a sandbox. While they are kept, their secrets are removed from every text."""
        if env.secret:
            self._envs.setdefault(sandbox_id, []).append(env)
            while len(self._envs) > MOST_RUNS:
                self._envs.popitem(last=False)

    def add(self, ongoing: Ongoing) -> None:
        self._runs[ongoing.owner, ongoing.id] = ongoing
        for key, each in list(self._runs.items())[: max(0, len(self._runs) - MOST_RUNS)]:
            if each.done.is_set():
                del self._runs[key]

    def find(self, owner: str, run_id: str) -> Ongoing:
        """A run of this owner.

        Raises:
            InputError: This process knows no such run.
        """
        found = self.look_for(owner, run_id)
        if found is None:
            raise InputError(
                "This server knows no run of that id; only the process that started a run knows it",
                next_step="get_sandbox without run_id shows what still runs.",
            )
        return found

    def look_for(self, owner: str, run_id: str) -> Ongoing | None:
        """A run of this owner, or None if this process knows no such run."""
        return self._runs.get((owner, run_id))

    def of_job(self, job_key: str) -> Ongoing | None:
        """The run for which a sandbox was made, by the key of the sandbox's row."""
        return next((each for each in self._runs.values() if each.job_key == job_key), None)


def runs_of(caller: Caller) -> Runs:
    return caller.app.part(Runs)


@dataclass(frozen=True, kw_only=True)
class RunWish:
    """How code or a command is run, and which of its files are saved. `limit` is in seconds."""

    limit: float
    cwd: str = ""
    language: str = ""
    save_files: Sequence[str] = ()
    save_to: str | None = None


async def _nothing() -> None:
    """Does nothing, as the default of `before` and `after`."""


def begin(
    caller: Caller,
    ongoing: Ongoing,
    wish: RunWish,
    *,
    before: Callable[[], Awaitable[None]] = _nothing,
    after: Callable[[], Awaitable[None]] = _nothing,
) -> Ongoing:
    """Start a run in the background.

    Args:
        before: Done first, such as sending files to the sandbox.
        after: Done last, whatever has happened, even while this server shuts down.
    """

    async def work() -> None:
        try:
            with ongoing.scope:
                await before()
                await _run(ongoing, wish)
                await _bring_home(caller, ongoing, wish)
                if ongoing.job_key:  # another process with a repeated call may wait for this answer
                    await caller.app.journal.keep_answer(ongoing.job_key, kept_answer(answer(ongoing)))
        except NovitaError as error:
            ongoing.trouble = error
        finally:
            try:
                await after()
            finally:
                ongoing.done.set()

    runs = runs_of(caller)
    runs.add(ongoing)
    runs.remember_env(ongoing.inside.id, ongoing.env)
    caller.app.jobs.background.start_soon(work)
    return ongoing


async def _run(ongoing: Ongoing, wish: RunWish) -> None:
    env, what = ongoing.env.all, ongoing.what
    if isinstance(what, Cell):
        await run_cell(ongoing.inside, what, language=wish.language, env=env, limit=wish.limit)
        return
    await run_command(
        ongoing.inside,
        what,
        cwd=wish.cwd,
        user=ongoing.user,
        env=env,
        limit=wish.limit,
        tag=ongoing.id,
        lives_on=lambda: ongoing.lives_on,
    )


async def wait(caller: Caller, ongoing: Ongoing, budget: float) -> None:
    """Wait up to `budget` seconds for a run, and report its output as progress. If the caller is cancelled, the run is
    ended.

    Raises:
        NovitaError: The run could not be started, or its files could not be saved.
    """
    what, clock = ongoing.what, caller.app.jobs.clock
    label = f"{'command' if isinstance(what, Run) else 'code'} in {ongoing.inside.id}"
    started = last = clock.now()
    shown_line = ""
    try:
        await caller.progress(f"{label}: running")
        while not ongoing.done.is_set() and (left := started + budget - clock.now()) > 0:
            with anyio.move_on_after(min(LOOKS, left)):
                await ongoing.done.wait()
            line = what.stdout.last_line or what.stderr.last_line
            if line != shown_line or clock.now() - last >= HEARTBEAT:
                shown_line, last = line, clock.now()
                await caller.progress(f"{label}: {without_secrets(line)[-150:] or 'running'}")
    except anyio.get_cancelled_exc_class():
        await end(ongoing)
        raise
    if ongoing.done.is_set() and ongoing.trouble is not None:
        raise ongoing.trouble


async def end(ongoing: Ongoing) -> None:
    """Kill a run and all processes it started. The output that was not read by then is lost."""
    ongoing.lives_on = False
    ongoing.scope.cancel()
    with anyio.CancelScope(shield=True):
        await ongoing.done.wait()


def answer(ongoing: Ongoing) -> RunResult:
    """The answer about a run so far. Once the run has ended, the answer no longer changes."""
    what, ends_at = ongoing.what, ongoing.inside.shape.ends_at
    result = ongoing.answered
    if result is None:
        status: Status = "stopped" if ongoing.done.is_set() else "working"
        rest = f"Call get_sandbox with sandbox_id and run_id={ongoing.id} for the rest."
        result = RunResult(
            status=status,
            sandbox_id=ongoing.inside.id,
            run_id=ongoing.id if status == "working" else None,
            output=tail(what.stdout),
            errors=tail(what.stderr),
            ends_at=ends_at,
            next_step=f"{rest} {ends_words(ends_at)}".strip() if status == "working" else None,
        )
    result = result.model_copy()
    result.show(ongoing.pictures)
    return result


async def _bring_home(caller: Caller, ongoing: Ongoing, wish: RunWish) -> None:
    """Compose the answer of a run that has ended, with its files."""
    what, ends_at = ongoing.what, ongoing.inside.shape.ends_at
    home = HomeComing(caller, ongoing.inside, wish.save_to)
    result = RunResult(status=_status(ongoing), sandbox_id=ongoing.inside.id)
    async with home:
        result.output = await home.text(what.stdout, "output")
        result.errors = await home.text(what.stderr, "errors")
        if isinstance(what, Cell):
            await home.results(result, what)
        else:
            result.exit_code = what.exit_code
        for pattern in wish.save_files:
            await home.bring(pattern)
    result.files = tuple(home.files)
    result.trouble = " ".join(filter(None, (what.trouble, *home.trouble))) or None
    result.ends_at, result.next_step = ends_at, ends_words(ends_at) or None
    ongoing.answered, ongoing.pictures = result, home.pictures()
    what.close()


def _status(ongoing: Ongoing) -> Status:
    what = ongoing.what
    match what.ending:
        case "time_limit" | "broken":
            return what.ending
        case "killed" | "interrupted" | None:
            return "stopped"
        case _:
            pass
    if isinstance(what, Cell):
        return "failed" if what.error is not None else "succeeded"
    return "succeeded" if what.exit_code == 0 else "failed"
