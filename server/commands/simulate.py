"""`novita-mcp simulate`: Novita on this machine, until stopped."""

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
    """Serve until told to end; the exit code.

    Args:
        task_seconds: How long a media task takes.
        old_models: Whether the media models that Novita has switched off still answer.
        run_code: How sandboxes really run code, "local" or "isolated"; None: they run nothing.
        print_env: Print what Novita's own client for sandboxes needs to know.
        as_json: Print the address and the key as one line of JSON, once it listens.

    Raises:
        SettingError: Nobody may listen at that port, or code cannot be run so on this machine.
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
    """The same, and told to a program on stdout when all is up."""

    @contextmanager
    def enter(world: World, port: int) -> Generator[None]:
        with beside(world, port):
            told = {"url": f"http://127.0.0.1:{port}", "key": next(iter(world.accounts))}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            yield

    return enter
