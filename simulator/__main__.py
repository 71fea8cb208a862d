"""`python -m novita_mcp.simulator` runs the simulator, to try it by hand."""

import argparse
import contextlib
import sys

from .core.world import World, WorldSettings
from .sandbox import starting
from .serving import run


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m novita_mcp.simulator", description="Novita AI on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8399, help="0 lets the system pick one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--task-seconds", type=float, default=2.0, help="how long a media task takes")
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of the world per real second")
    parser.add_argument("--balance", type=float, default=100.0, help="USD on the account")
    parser.add_argument("--old-models", action="store_true", help="models that Novita has switched off still answer")
    starting.add_flags(parser)
    chosen = parser.parse_args(arguments)
    settings = WorldSettings(task_seconds=chosen.task_seconds, speed=chosen.speed, old_models=chosen.old_models)
    world = World(settings, balance_usd=chosen.balance)
    if problem := starting.problem(chosen):
        parser.error(problem)
    with contextlib.suppress(KeyboardInterrupt):
        run(world, chosen.port, chosen.host, beside=starting.beside(chosen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
