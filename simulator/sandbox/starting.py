"""The options of the simulator for sandboxes: whether code runs, and the settings that Novita's own client needs."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager

from ..core.world import World
from .real.machine import Unavailable, check_level
from .service import area
from .tls import tls_front

RUN_CODE = "--run-code"
WARNING = """\
Sandboxes run code on this machine, as you, without walls ({flag} local): it can read, change and send your files, and
goes on where you cannot see it. Run nothing there that you would not run in your own shell. On Linux, {flag} isolated
keeps it in namespaces of its own."""
ISOLATED = "Sandboxes run code on this machine in namespaces of their own: no network, no files of yours."
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        RUN_CODE,
        nargs="?",
        const="local",
        choices=("local", "isolated"),
        help="sandboxes really run code: local without walls (it can read your files), isolated in namespaces (Linux)",
    )
    parser.add_argument(
        "--print-env",
        action="store_true",
        help="print the settings by which Novita's own Python client for sandboxes finds this simulator",
    )


def problem(chosen: argparse.Namespace) -> str:
    """Why this machine cannot do what was chosen, or "" if it can."""
    if chosen.run_code is None:
        return ""
    if getattr(chosen, "host", LOOPBACK[0]) not in LOOPBACK:
        return f"{RUN_CODE} is for this machine alone: it cannot be combined with another --host"
    try:
        check_level(chosen.run_code)
    except Unavailable as error:
        return f"{RUN_CODE} {chosen.run_code}: {error}"
    return ""


def beside(chosen: argparse.Namespace) -> Callable[[World, int], AbstractContextManager[object]]:
    """A function that makes the context to enter once the simulator listens."""

    @contextlib.contextmanager
    def enter(world: World, port: int) -> Generator[None]:
        state = area(world)
        state.level = chosen.run_code or "scripted"
        if state.level != "scripted":
            text = ISOLATED if state.level == "isolated" else WARNING.format(flag=RUN_CODE)
            print(text, file=sys.stderr, flush=True)  # noqa: T201
        if not chosen.print_env:
            yield
            return
        with tls_front(port) as front:
            state.domain = front.domain
            url = f"http://127.0.0.1:{port}"
            settings = {
                "NOVITA_API_KEY": next(iter(world.accounts)),
                "NOVITA_API_URL": url,
                "NOVITA_SANDBOX_URL": url,
                "SSL_CERT_FILE": str(front.authority),
            }
            for name, value in settings.items():
                print(f"export {name}={value}", flush=True)  # noqa: T201
            yield

    return enter
