"""Commands in a sandbox: they are started, listened to, and stopped with everything they started.

A command does not die when its listener goes away, so whoever gives one up here stops it: a cancelled call leaves
nothing that runs on unnoticed.
"""

import base64
import binascii
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

import anyio

from ..core.answers import a_count, a_list, a_number, a_text, an_object, objects
from ..core.errors import InputError, NotFoundError, NovitaError
from ..core.json_text import Json
from .frames import BrokenStreamError
from .inside import DeadlineError, Inside
from .output import Output

Ending = Literal["exited", "killed", "time_limit", "broken"]
OnOutput = Callable[[], Awaitable[None]]
USERS = ("user", "root")
GRACE = 5.0
"""How many seconds the daemon's own time limit comes after ours."""
STOPPING = 20.0
"""The most seconds that stopping may take. It takes less than one if the sandbox answers."""
LONGEST_COMMAND = 128 * 1024
_LOOKS = (0.0, 0.3, 1.0)
"""Pauses before each search for a command whose start was not heard: it may start after the first search."""

_KILL_TREE = "t() { kill -STOP $1; for c in $(cat /proc/$1/task/*/children); do t $c; done; kill -KILL $1; }; t %d"
"""Stops a process and all its descendants. Children are stopped before they can lose their parent."""


@dataclass
class Run:
    """A command, as far as it has come. `ending` is None while it runs.

    Args:
        exit_code: None where it had none of its own: it was killed, or nobody knows.
        trouble: Why it did not end by itself, in words.
    """

    command: str
    pid: int | None = None
    stdout: Output = field(default_factory=Output)
    stderr: Output = field(default_factory=Output)
    ending: Ending | None = None
    exit_code: int | None = None
    trouble: str = ""

    def close(self) -> None:
        self.stdout.close()
        self.stderr.close()


@dataclass(frozen=True)
class Listed:
    """A process that runs. Its variables are left out, because there may be secrets among them."""

    pid: int
    command: str
    tag: str


def _user(user: str | None) -> dict[str, str]:
    """The header that names the user a command runs as."""
    if not user:
        return {}
    if user not in USERS:
        raise InputError(f"user is {' or '.join(USERS)}")
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:".encode()).decode()}


async def run_command(
    inside: Inside,
    run: Run,
    *,
    cwd: str = "",
    user: str | None = None,
    env: Mapping[str, str] | None = None,
    limit: float,
    tag: str = "",
    on_output: OnOutput | None = None,
    lives_on: Callable[[], bool] = lambda: False,
) -> None:
    """Run `run.command` with bash, and fill `run` with what comes, up to its end.

    Cancelled, or over its limit: it is killed with all that it started.

    Args:
        limit: Seconds it may take.
        tag: A mark that the daemon keeps with it, so that it is found again.
        lives_on: Asked when this is cancelled: whether the command goes on unheard.
        on_output: Told after each piece of output, and when it has started.

    Raises:
        NovitaError: It could not be started.
    """
    process: Json = {"cmd": "/bin/bash", "args": ["-l", "-c", run.command], "envs": dict(env or {})}
    if cwd:
        process["cwd"] = cwd
    tag = tag or f"command-{uuid.uuid4().hex[:12]}"
    message: Json = {"process": process, "stdin": False, "tag": tag}
    doing, headers = "running the command", _user(user)
    # Our limit comes first: at its own, the daemon kills the command but not what the command has started.
    stream = inside.stream("process.Process/Start", message, doing, limit=limit + GRACE, headers=headers)
    try:
        with anyio.move_on_after(limit) as scope:
            async with aclosing(stream) as events:
                async for event in events:
                    _take(run, an_object(event.get("event")))
                    if on_output is not None:
                        await on_output()
            if run.ending is None:
                run.ending, run.trouble = "broken", "The stream ended without saying how the command ended"
        if scope.cancelled_caught:
            raise DeadlineError
    except DeadlineError:
        run.ending, run.trouble = "time_limit", f"It took longer than {limit:g} s and was stopped"
        await _give_up(inside, run, tag, user)
    except BrokenStreamError as error:
        run.ending, run.trouble = "broken", f"The connection to the command broke: {error}"
    except anyio.get_cancelled_exc_class():
        if lives_on():
            raise
        run.ending, run.trouble = "killed", "It was cancelled and stopped"
        with anyio.CancelScope(shield=True), anyio.move_on_after(STOPPING):
            await _give_up(inside, run, tag, user)
        raise
    finally:
        run.stdout.finish()
        run.stderr.finish()


async def _give_up(inside: Inside, run: Run, tag: str, user: str | None) -> None:
    """Stop a command. If its start was never heard, it is searched for by its mark."""
    if run.pid is not None:
        await stop(inside, run.pid, user=user)
        return
    for pause in _LOOKS:
        await anyio.sleep(pause)
        try:
            marked = [each.pid for each in await list_processes(inside) if each.tag == tag]
        except NovitaError:  # the sandbox may be gone, and the command with it
            continue
        for pid in marked:
            await stop(inside, pid, user=user)
        if marked:
            return


def _take(run: Run, event: Json) -> None:
    data, end, start = (event.get(name) for name in ("data", "end", "start"))
    if isinstance(start, dict):
        run.pid = a_count(an_object(start).get("pid"))
    if isinstance(data, dict):
        pieces = an_object(data)
        for output, name in ((run.stdout, "stdout"), (run.stderr, "stderr"), (run.stdout, "pty")):
            if text := a_text(pieces.get(name)):
                try:
                    output.add_bytes(base64.b64decode(text, validate=True))
                except (binascii.Error, ValueError):
                    raise BrokenStreamError("output that is no base64") from None
    if isinstance(end, dict):
        told = an_object(end)
        code = a_number(told.get("exitCode", 0))
        status = a_text(told.get("status"))
        if told.get("exited") or (code is not None and code >= 0 and not status.startswith("signal")):
            run.ending, run.exit_code = "exited", int(code or 0)
        else:
            run.ending = "killed"
        if error := a_text(told.get("error")):
            run.trouble = error[:300]


async def stop(inside: Inside, pid: int | None, *, user: str | None = None) -> bool:
    """Kill a process with all its descendants. False if it had ended already. Errors on the way are passed over.

    Whether it worked shows in `list_processes`.
    """
    if pid is None:
        return False
    process: Json = {"cmd": "/bin/bash", "args": ["-c", f"{{ {_KILL_TREE % pid}; }} 2>/dev/null"]}
    try:
        stream = inside.stream(
            "process.Process/Start", {"process": process}, "stopping the command", limit=STOPPING, headers=_user(user)
        )
        async with aclosing(stream) as events:
            async for _ in events:
                pass
    except (NovitaError, BrokenStreamError, DeadlineError):
        pass  # the signal below always works, though it reaches only the process itself
    return await send_signal(inside, pid, "SIGNAL_SIGKILL")


async def send_signal(inside: Inside, pid: int, signal: Literal["SIGNAL_SIGTERM", "SIGNAL_SIGKILL"]) -> bool:
    """Send a signal to a process. Returns False if it no longer exists."""
    message: Json = {"process": {"pid": pid}, "signal": signal}
    try:
        await inside.call("process.Process/SendSignal", message, "stopping the command")
    except NotFoundError:
        return False
    return True


async def list_processes(inside: Inside) -> list[Listed]:
    """The processes that were started through the daemon and still run."""
    data = await inside.call("process.Process/List", {}, "listing processes")
    found: list[Listed] = []
    for row in objects(data.get("processes")):
        config = an_object(row.get("config"))
        words = [a_text(word) for word in a_list(config.get("args"))]
        # We start `bash -l -c COMMAND`; only the command is shown.
        command = words[-1] if "-c" in words[:-1] else " ".join([a_text(config.get("cmd")), *words])
        if (pid := a_count(row.get("pid"))) is not None:
            found.append(Listed(pid, command, a_text(row.get("tag"))))
    return found
