"""The command line: flags and environment become Settings; each command lives in its own module.

Without a command the server speaks MCP over stdio. Only what the command needs is imported.
"""

import os

# Before pydantic is imported: links into its documentation are noise in an argument error.
os.environ.setdefault("PYDANTIC_ERRORS_INCLUDE_URL", "0")

import argparse
import gc
import sys
from collections.abc import Sequence
from dataclasses import fields
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from . import commands
from .settings import SettingError, Settings, read_settings
from .simulated import novita_for
from .version import version


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the process's exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a console of few letters, or a name that is no text, ends no command
            stream.reconfigure(errors="backslashreplace")
    given = parser().parse_args(arguments)
    try:
        settings = read_settings(os.environ, vars(given))
        return _COMMANDS[given.command or "stdio"](settings, given)
    except SettingError as error:
        sys.stderr.write(f"novita-mcp: {error}\n")
        return 2


def parser() -> argparse.ArgumentParser:
    """Commands and flags; the flags of settings come from the settings themselves."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for item in fields(Settings):
        flag = item.metadata["flag"]
        if flag is None:
            continue
        what: dict[str, Any] = {"help": item.metadata["help"], "dest": item.name}
        if item.type is bool:
            common.add_argument(flag, action="store_true", **what)
        else:
            common.add_argument(flag, **what)
    top = argparse.ArgumentParser(
        prog="novita-mcp",
        description="All of Novita AI for an agent, over MCP. Without a command: serve one host over stdio.",
        parents=[common],
        argument_default=argparse.SUPPRESS,
    )
    top.add_argument("--simulate", action="store_true", help="Run against the built-in simulator: no key, no cost.")
    top.set_defaults(command=None, simulate=False)
    subcommands = top.add_subparsers(dest="command", metavar="command")

    serve = subcommands.add_parser("serve", parents=[common], help="serve over stdio, or with --http many callers")
    serve.add_argument("--http", action="store_true", default=False, help="Streamable HTTP at /mcp.")
    serve.add_argument("--simulate", action="store_true", default=argparse.SUPPRESS, help="Against the simulator.")

    demo = subcommands.add_parser("demo", parents=[common], help="see it work, end to end, on the simulator")
    demo.add_argument("--json", action="store_true", default=False, help="One JSON object instead of a picture of it.")

    doctor = subcommands.add_parser("doctor", parents=[common], help="what is wrong, and how to mend it")
    doctor.add_argument("--json", action="store_true", default=False)
    doctor.add_argument("--offline", action="store_true", default=False, help="Leave the network alone.")
    doctor.add_argument("--leases", action="store_true", default=False, help="End what has a lease that is over.")
    doctor.add_argument("--models", action="store_true", default=False, help="Whether what is taken by itself lives.")
    doctor.add_argument("--mend", action="store_true", default=False, help="Mend how hosts start the server.")

    tools = subcommands.add_parser("tools", parents=[common], help="list tools, show a schema, call one")
    tools.add_argument("action", choices=["list", "schema", "call"], nargs="?", default="list")
    tools.add_argument("name", nargs="?", default=None)
    tools.add_argument("--json", dest="json", nargs="?", const=True, default=False, help="For call: the arguments.")
    tools.add_argument("--simulate", action="store_true", default=argparse.SUPPRESS, help="Against the simulator.")

    simulate = subcommands.add_parser("simulate", help="Novita on this machine, until stopped")
    simulate.add_argument("--port", dest="simulator_port", type=int, default=8765)
    simulate.add_argument("--task-seconds", type=float, default=2.0)
    simulate.add_argument(
        "--old-models", action="store_true", default=False, help="Models that Novita has switched off still answer."
    )

    install = subcommands.add_parser("install", help="write the server into a host's configuration")
    hosts = ["claude-desktop", "claude-code", "cursor", "vscode", "codex", "windsurf"]
    install.add_argument("target", choices=hosts, nargs="?", default=None)
    install.add_argument(
        "--lease-timer", action="store_true", default=False, help="Keep leases when no server runs: a system timer."
    )
    install.add_argument("--project", type=Path, default=None, help="Into this project's folder, without the key.")
    install.add_argument("--with-key", action="store_true", default=False, help="Store the key in the project too.")
    install.add_argument("--print", action="store_true", default=False, help="Only show it.")
    install.add_argument("--command", dest="run", default=None, help="What to run, e.g. 'uvx novita-mcp'.")

    spend = subcommands.add_parser("spend", parents=[common], help="what this machine asked for, in USD")
    spend.add_argument(
        "period", nargs="?", default="this month", help='"last week", "2026-10", "since 2026-10-05", ...'
    )
    spend.add_argument("--by", default="day,tool,model", help="`day`, `tool`, `model`, with commas.")
    spend.add_argument("--json", action="store_true", default=False)

    models = subcommands.add_parser("models", parents=[common], help="media models: state, evidence, price")
    models.add_argument("words", nargs="*", default=[], help="In the name, or what it does; `refresh` reads news.")
    models.add_argument("--all", dest="everything", action="store_true", default=False, help="Retired ones too.")
    models.add_argument("--probe", action="store_true", default=False, help="With `refresh`: ask the routes too.")
    models.add_argument("--json", action="store_true", default=False)

    subcommands.add_parser("version", help="print the version")
    return top


def _stdio(settings: Settings, given: argparse.Namespace) -> int:
    # A host waits for the first answer. What imports make is there to stay: run_stdio collects again from then on.
    gc.disable()
    return commands.serve_stdio(settings, simulate=given.simulate)


def _serve(settings: Settings, given: argparse.Namespace) -> int:
    return commands.serve_http(settings, simulate=given.simulate) if given.http else _stdio(settings, given)


def _demo(settings: Settings, given: argparse.Namespace) -> int:
    return commands.run_demo(settings, as_json=given.json)


def _doctor(settings: Settings, given: argparse.Namespace) -> int:
    return commands.run_doctor(
        settings,
        as_json=given.json,
        offline=given.offline,
        leases=given.leases,
        mending=given.mend,
        models=given.models,
    )


def _tools(settings: Settings, given: argparse.Namespace) -> int:
    with novita_for(settings, simulate=given.simulate) as settings:
        return commands.run_tools(settings, given.action, given.name, given.json)


def _simulate(_: Settings, given: argparse.Namespace) -> int:
    return commands.run_simulator(given.simulator_port, given.task_seconds, old_models=given.old_models)


def _install(settings: Settings, given: argparse.Namespace) -> int:
    host: str | None = given.target
    if host is None and not given.lease_timer:
        raise SettingError("install needs a host, or --lease-timer")
    if given.lease_timer:
        commands.run_lease_timer(settings, only_print=given.print, command=given.run)
    if host is None:
        return 0
    return commands.run_install(
        settings,
        host,
        project=given.project,
        with_key=given.with_key,
        only_print=given.print,
        command=given.run,
    )


def _spend(settings: Settings, given: argparse.Namespace) -> int:
    return commands.run_spend(settings, given.period, by=given.by, as_json=given.json)


def _models(settings: Settings, given: argparse.Namespace) -> int:
    words = " ".join(given.words)
    return commands.run_models(settings, words, everything=given.everything, as_json=given.json, probing=given.probe)


def _version(_: Settings, __: argparse.Namespace) -> int:
    sys.stdout.write(version() + "\n")
    return 0


_COMMANDS = {
    "stdio": _stdio,
    "serve": _serve,
    "demo": _demo,
    "doctor": _doctor,
    "tools": _tools,
    "simulate": _simulate,
    "install": _install,
    "spend": _spend,
    "models": _models,
    "version": _version,
}
