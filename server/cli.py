"""The command line: flags and environment become Settings; each command lives in its own module.

Without a command the server speaks MCP over stdio. Only what the command needs is imported.
"""

import os

# Set before pydantic is imported, to keep links to its documentation out of our error messages.
os.environ.setdefault("PYDANTIC_ERRORS_INCLUDE_URL", "0")

import argparse
import contextlib
import gc
import json
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from ..novita.core.lazy import build_types_at_first_use, without
from . import commands
from .commands.layout import columns, explained, wrapped
from .commands.tool_flags import given_arguments
from .flags import read
from .settings import SettingError, Settings, read_with_origins, the_config_file
from .simulated import novita_for
from .version import version


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the process's exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a letter that the console cannot show must not end a command
            stream.reconfigure(errors="backslashreplace")
    try:
        given = read(arguments)
        if hasattr(given, "version"):
            return _version(Settings(), given)
        if given.command is None and _bare(arguments):
            sys.stdout.write(greeting())
            return 0
        if given.command == "key":  # before the settings are read, which may name a key that is not stored yet
            profile = getattr(given, "profile", None) or os.environ.get("NOVITA_MCP_PROFILE", "")
            return commands.run_key(given.action, the_config_file(os.environ), profile)
        played = given.simulate or given.command == "demo"
        settings, given.origins = read_with_origins(os.environ, vars(given), played=played)
        code = _COMMANDS[given.command or "stdio"](settings, given)
        sys.stdout.flush()
    except SettingError as error:
        sys.stderr.write(f"novita-mcp: {error}\n")
        return 2
    except ModuleNotFoundError as error:
        if error.name != "novita_mcp.simulator":
            raise
        sys.stderr.write(
            "novita-mcp: this copy comes without the simulator; the whole package has it: novita-mcp on PyPI\n"
        )
        return 2
    except BrokenPipeError:
        return _closed_pipe()
    except KeyboardInterrupt:
        return 130
    return code


_GREETING = "novita-mcp gives an agent all of Novita AI, over MCP. A host starts it for its agent. On a terminal try:"
_TRY = (
    ("novita-mcp demo", "see it work: no key, no cost"),
    ("novita-mcp install HOST", "add it to Claude, Cursor, VS Code, ..."),
    ("novita-mcp call TOOL", "call a tool from here; --simulate costs nothing"),
    ("novita-mcp doctor", "find what is wrong, and how to repair it"),
    ("novita-mcp --help", "all commands"),
)


def greeting() -> str:
    """The text for a person who types the command without arguments."""
    width = columns()
    lines = [*wrapped(_GREETING, width), "", *explained(_TRY, width, indent="  "), ""]
    return "\n".join([*lines, *wrapped("To serve MCP on this terminal: novita-mcp serve", width)]) + "\n"


def _bare(arguments: Sequence[str] | None) -> bool:
    """Whether a person typed the command without arguments. A host does so, too, but through a pipe."""
    words = sys.argv[1:] if arguments is None else arguments
    return not words and sys.stdin.isatty()


def _closed_pipe() -> int:
    """End quietly because the reader of our output, such as `head`, has closed it; returns the exit code."""
    with contextlib.suppress(OSError):  # stdout may have no file descriptor, and then needs no redirection
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13  # SIGPIPE, as a shell counts it


def _stdio(settings: Settings, given: argparse.Namespace) -> int:
    # A host waits for the first answer, and imported objects stay anyway, so do not collect garbage while importing;
    # run_stdio turns the collector on again.
    gc.disable()
    build_types_at_first_use()
    with without("uvicorn"):  # the MCP SDK brings it for servers over HTTP; it takes 3 MiB
        serve_stdio = commands.serve_stdio
    return serve_stdio(settings, simulate=given.simulate)


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
        origins=given.origins,
        starting=not given.offline,
    )


def _tools(settings: Settings, given: argparse.Namespace) -> int:
    if given.action == "call":
        return _call(settings, given)
    return commands.run_tools(settings, given.action, given.name, as_json=given.json)


def _call(settings: Settings, given: argparse.Namespace) -> int:
    call = given_arguments(given.name, given)
    as_json = getattr(given, "json", False)
    with novita_for(settings, simulate=given.simulate) as settings:
        return commands.run_call(settings, given.name, call, as_json=as_json)


def _simulate(_: Settings, given: argparse.Namespace) -> int:
    return commands.run_simulator(
        given.simulator_port,
        given.task_seconds,
        old_models=given.old_models,
        run_code=given.run_code,
        print_env=given.print_env,
        as_json=given.json,
    )


def _install(settings: Settings, given: argparse.Namespace) -> int:
    host: str | None = given.target
    filed = any(one.name == "api_key" and not one.where.startswith("environment") for one in given.origins)
    if host is None and not given.lease_timer:
        raise SettingError("install needs a host, or --lease-timer")
    if given.lease_timer:
        commands.run_lease_timer(settings, only_print=given.print, command=given.run, filed=filed)
    if host is None:
        return 0
    return commands.run_install(
        settings,
        host,
        project=given.project,
        with_key=given.with_key,
        only_print=given.print,
        command=given.run,
        yes=given.yes,
        as_json=given.json,
        filed=filed,
    )


def _uninstall(settings: Settings, given: argparse.Namespace) -> int:
    return commands.run_uninstall(settings, given.target, project=given.project, yes=given.yes, as_json=given.json)


def _spend(settings: Settings, given: argparse.Namespace) -> int:
    return commands.run_spend(settings, given.period, by=given.by, as_json=given.json)


def _forget(settings: Settings, given: argparse.Namespace) -> int:
    return commands.run_forget(settings, given.subject)


def _gallery(settings: Settings, given: argparse.Namespace) -> int:
    return commands.run_gallery(settings, browser=not given.no_browser, idle_minutes=given.idle_minutes)


def _models(settings: Settings, given: argparse.Namespace) -> int:
    words = " ".join(given.words)
    return commands.run_models(settings, words, everything=given.everything, as_json=given.json, probing=given.probe)


def _completion(_: Settings, given: argparse.Namespace) -> int:
    return commands.run_completion(given.shell)


def _version(_: Settings, given: argparse.Namespace) -> int:
    sys.stdout.write((json.dumps({"version": version()}) if getattr(given, "json", False) else version()) + "\n")
    return 0


_COMMANDS = {
    "stdio": _stdio,
    "serve": _serve,
    "demo": _demo,
    "call": _call,
    "completion": _completion,
    "doctor": _doctor,
    "tools": _tools,
    "simulate": _simulate,
    "install": _install,
    "uninstall": _uninstall,
    "spend": _spend,
    "forget": _forget,
    "gallery": _gallery,
    "models": _models,
    "version": _version,
}
