"""`novita-mcp simulate`: runs a simulated Novita on this machine until it is stopped."""

import argparse
import json
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

from ...simulator.core.world import World, WorldSettings
from ...simulator.sandbox import starting
from ...simulator.serving import run
from ..settings import SettingError


def run_simulator(
    port: int,
    task_seconds: float,
    *,
    old_models: bool = False,
    run_code: str | None = None,
    print_env: bool = False,
    as_json: bool = False,
) -> int:
    """Serve until a signal ends the process. Returns the exit code.

    Args:
        task_seconds: Seconds that a media task takes.
        old_models: Whether the media models that Novita has switched off still answer.
        run_code: How sandboxes run code: "local", "isolated", or None if they run nothing.
        print_env: Print the environment variables that Novita's own client for sandboxes needs.
        as_json: Print the address and the key as one line of JSON, once the simulator listens.

    Raises:
        SettingError: The port cannot be used, or this machine cannot run code in that way.
    """
    chosen = argparse.Namespace(run_code=run_code, print_env=print_env)
    if problem := starting.problem(chosen):
        raise SettingError(problem)
    world = World(WorldSettings(task_seconds=task_seconds, old_models=old_models))
    try:
        run(world, port, beside=_announced(starting.beside(chosen)) if as_json else starting.beside(chosen))
    except (OSError, OverflowError) as error:
        raise SettingError(f"cannot listen on 127.0.0.1:{port}: {error}") from error
    return 0


Beside = Callable[[World, int], AbstractContextManager[object]]


def _announced(beside: Beside) -> Beside:
    """The same context, which also prints address and key as JSON on stdout once everything runs."""

    @contextmanager
    def enter(world: World, port: int) -> Generator[None]:
        with beside(world, port):
            told = {"url": f"http://127.0.0.1:{port}", "key": next(iter(world.accounts))}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            yield

    return enter
