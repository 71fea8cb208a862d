"""The parser of the command line: commands, and for each command only the flags that have an effect there.

An error is one line that suggests the nearest right word. The flags of settings are made from the table of settings.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from .commands.layout import wrapped
from .commands.tool_flags import add_arguments, tool_names
from .settings import SettingError, Settings

HOSTS = (
    "claude-desktop",
    "claude-code",
    "cursor",
    "vscode",
    "codex",
    "windsurf",
    "gemini-cli",
    "zed",
    "cline",
    "opencode",
)
"""Programs whose configuration `install` knows."""

SHELLS = ("bash", "zsh", "fish", "tcsh")

_ONE_HOST = (
    "base_url",
    "profile",
    "toolsets",
    "tools",
    "read_only",
    "output_dir",
    "allowed_dirs",
    "journal",
    "log_level",
)
_LIST = ("profile", "toolsets", "tools", "read_only")
_TAKES: dict[str | None, tuple[str, ...]] = {
    None: _ONE_HOST,
    "serve": tuple(item.name for item in fields(Settings) if item.metadata["flag"]),
    "demo": ("output_dir",),
    "doctor": ("base_url", "profile", "toolsets", "tools", "read_only", "output_dir", "allowed_dirs", "journal"),
    "list": _LIST,
    "schema": _LIST,
    "call": _ONE_HOST,
    "install": ("base_url", "profile", "journal"),
    "spend": ("base_url", "profile", "journal"),
    "forget": ("profile", "journal"),
    "gallery": ("base_url", "profile", "read_only", "output_dir", "allowed_dirs", "journal"),
    "key": ("profile",),
    "models": ("base_url", "profile", "journal"),
}
"""The settings that each command reads and that have a flag."""

_HTTP_ONLY = ("host", "port", "allowed_hosts", "allowed_origins", "public_url")

_EPILOG = """\
exit codes:
  0    done
  1    the tool, or a check, found something wrong
  2    a word or a setting is wrong
  130  stopped with Ctrl-C; 143 with SIGTERM
"""

_CALL = """\
Call one tool.
`novita-mcp call NAME --help` shows its flags.
`novita-mcp tools` lists the names.
"""

_NO_CHOICE = re.compile(r"argument (?P<what>\S+): invalid choice: '(?P<given>.*?)' \(choose from (?P<all>.*)\)")
"""Matches argparse's own message about a value that is not among the choices."""

_OLD_JSON = "--json now asks for JSON output and takes nothing; give the arguments with --args {}"


class _Help(argparse.HelpFormatter):
    """Help text as wide as the screen. Lines break only between words and where the text itself has a line break."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrapped(" ".join(text.split()), width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = (
            line for part in text.splitlines() for line in wrapped(part.lstrip(), width, first=indent + _lead(part))
        )
        return "\n".join(lines)


def _lead(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors that suggest the nearest word. Flags cannot be abbreviated."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, argument_default=argparse.SUPPRESS, formatter_class=_Help, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:  # type: ignore[override]
        found, left = super().parse_known_args(args, namespace)
        if left:  # refuse here: this parser knows the command's flags, and the top parser knows only its own
            self.unknown(left)
        return found, left

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End after help. Flush stdout first, while `main` can still handle the error of a closed pipe."""
        sys.stdout.flush()
        super().exit(status, message)

    def unknown(self, words: Sequence[str]) -> NoReturn:
        """Refuse words that this command does not take.

        Raises:
            SettingError: Always; it names the nearest flag, or the command that has this one.
        """
        first = next((word for word in words if word.startswith("-")), words[0]).partition("=")[0]
        if not first.startswith("-"):
            self.error(f"{first!r} is one word too many")
        near = difflib.get_close_matches(first, self._option_string_actions, n=1)
        if near:
            self.error(f"there is no {first}. Did you mean {near[0]}?")
        self.error(f"{first} does nothing here")

    def error(self, message: str) -> NoReturn:
        """Raise argparse's message as one line.

        Raises:
            SettingError: Always.
        """
        line = " ".join(message.split())
        if found := _NO_CHOICE.match(line):
            known = [word.strip("' ") for word in found["all"].split(",")]
            near = difflib.get_close_matches(found["given"], known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}"
            line = f"{found['what']} cannot be {found['given']!r}. {hint}"
        end = "" if line.endswith((".", "?")) else "."
        raise SettingError(f"{line}{end} `{self.prog} --help` shows what there is")


def parser(*, every_tool: bool = False) -> Parser:
    """Make the parser of all commands and flags.

    Args:
        every_tool: Add the flags of every tool to `call`, for the completion of shells. Otherwise the parser keeps
            the words after the tool's name, and `tool_parser` reads them by that tool's schema.
    """
    top = Parser(
        prog="novita-mcp",
        description="Gives an agent all of Novita AI, over MCP.\nWithout a command it serves one host over stdio.",
        epilog=_EPILOG,
    )
    top.add_argument("--version", action="store_true", help="Print the version.")
    add_settings(top, _TAKES[None])
    # Hidden copies of the flags of `serve`, so that one typed before its command gets a fitting error.
    add_settings(top, _TAKES["serve"], hidden=True)
    _simulate_flag(top)
    top.set_defaults(command=None, simulate=False)
    commands = top.add_subparsers(dest="command", metavar="command", parser_class=Parser)

    serve = commands.add_parser("serve", help="serve over stdio, or with --http many callers")
    serve.add_argument("--http", action="store_true", default=False, help="Streamable HTTP at /mcp.")
    add_settings(serve, _TAKES["serve"])
    _simulate_flag(serve)

    demo = commands.add_parser("demo", help="show everything end to end on the simulator")
    add_settings(demo, _TAKES["demo"])
    _json_flag(demo)

    doctor = commands.add_parser("doctor", help="find what is wrong, and how to repair it")
    doctor.add_argument("--offline", action="store_true", default=False, help="Do not use the network.")
    doctor.add_argument("--leases", action="store_true", default=False, help="Stop everything whose lease is over.")
    doctor.add_argument(
        "--models", action="store_true", default=False, help="Check whether the default models still work."
    )
    doctor.add_argument("--mend", action="store_true", default=False, help="Repair how hosts start the server.")
    add_settings(doctor, _TAKES["doctor"])
    _json_flag(doctor)

    tools = commands.add_parser("tools", help="list tools, show a schema, call one")
    tools.set_defaults(action="list", name=None)
    add_settings(tools, _TAKES["list"])
    _json_flag(tools)
    actions = tools.add_subparsers(dest="action", metavar="list|schema|call", parser_class=Parser)
    listing = actions.add_parser("list", help="a line for each tool that is on")
    add_settings(listing, _TAKES["list"])
    _json_flag(listing, default=argparse.SUPPRESS)
    schema = actions.add_parser("schema", help="show one tool as hosts see it")
    schema.add_argument("name", nargs="?", default=None, metavar="NAME")
    add_settings(schema, _TAKES["schema"])
    _json_flag(schema, default=argparse.SUPPRESS)
    _add_call(actions, every_tool=False)
    _add_call(commands, every_tool=every_tool)

    simulate = commands.add_parser("simulate", help="run a simulated Novita on this machine")
    simulate.add_argument(
        "--port", dest="simulator_port", type=int, default=8765, help="Port on 127.0.0.1; default 8765."
    )
    simulate.add_argument("--task-seconds", type=float, default=2.0, help="Seconds that a media task takes; default 2.")
    simulate.add_argument(
        "--run-code",
        nargs="?",
        const="local",
        default=None,
        choices=("local", "isolated"),
        help="Sandboxes really run code: `local` without isolation (it can read your files), `isolated` (Linux).",
    )
    simulate.add_argument(
        "--print-env",
        action="store_true",
        default=False,
        help="Print the settings that point Novita's own sandbox client at this simulator.",
    )
    simulate.add_argument(
        "--old-models", action="store_true", default=False, help="Models that Novita has switched off still answer."
    )

    _json_flag(simulate)

    install = commands.add_parser("install", help="write the server into a host's configuration")
    install.add_argument("target", choices=HOSTS, nargs="?", default=None, metavar="HOST", help=", ".join(HOSTS))
    install.add_argument(
        "--lease-timer",
        action="store_true",
        default=False,
        help="Set up a system timer that ends leases when no server runs.",
    )
    install.add_argument(
        "--project", type=Path, default=None, help="Write into this project's folder, without the key."
    )
    install.add_argument("--with-key", action="store_true", default=False, help="Store the key in the project too.")
    install.add_argument("--print", action="store_true", default=False, help="Only show the change.")
    install.add_argument("--command", dest="run", default=None, help="What to run, e.g. 'uvx novita-mcp'.")
    install.add_argument("--yes", "-y", action="store_true", default=False, help="Do not ask.")
    add_settings(install, _TAKES["install"])
    _json_flag(install)

    uninstall = commands.add_parser("uninstall", help="remove the server from a host's configuration")
    uninstall.add_argument("target", choices=HOSTS, metavar="HOST", help=", ".join(HOSTS))
    uninstall.add_argument("--project", type=Path, default=None, help="Remove it from this project's folder.")
    uninstall.add_argument("--yes", "-y", action="store_true", default=False, help="Do not ask.")
    _json_flag(uninstall)

    spend = commands.add_parser("spend", help="show what this machine spent, in USD")
    spend.add_argument(
        "period", nargs="?", default="this month", help='"last week", "2026-10", "since 2026-10-05", ...'
    )
    spend.add_argument("--by", default="day,tool,model", help="`day`, `tool`, `model`, with commas.")
    add_settings(spend, _TAKES["spend"])
    _json_flag(spend)

    forget = commands.add_parser("forget", help="remove somebody who signed in: key, tasks and files")
    forget.add_argument("subject", metavar="SUBJECT", help="The `sub` of the authorization server.")
    add_settings(forget, _TAKES["forget"])

    gallery = commands.add_parser("gallery", help="show in your browser what was made, what it cost and what runs")
    gallery.add_argument("--no-browser", action="store_true", default=False, help="Only print the link.")
    gallery.add_argument(
        "--idle-minutes", type=float, default=30.0, help="End after this time without a request; default 30."
    )
    add_settings(gallery, _TAKES["gallery"])

    models = commands.add_parser("models", help="list media models: state, evidence, price")
    models.add_argument(
        "words", nargs="*", default=[], help="Search in name and abilities; `refresh` reads Novita's lists."
    )
    models.add_argument("--all", dest="everything", action="store_true", default=False, help="Include retired models.")
    models.add_argument("--probe", action="store_true", default=False, help="With `refresh`: also ask the routes.")
    add_settings(models, _TAKES["models"])
    _json_flag(models)

    completion = commands.add_parser("completion", help="print shell completion of commands, tools and flags")
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))

    key = commands.add_parser("key", help="store an API key in the system's keyring")
    key.add_argument("action", choices=("set", "forget"), metavar="set|forget", help="Store a key, or remove it.")
    add_settings(key, _TAKES["key"])

    version = commands.add_parser("version", help="print the version")
    _json_flag(version)
    return top


def read(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the words that were typed, including the flags of the called tool.

    Raises:
        SettingError: A word is not known, or has no effect at its place.
    """
    given = parser().parse_args(arguments)
    calling = given.command == "call" or (given.command == "tools" and given.action == "call")
    if calling:
        given.action = "call"
        if given.name is None:
            raise SettingError("call needs the name of a tool: `novita-mcp tools` lists them")
        old_json(given.rest)
        tool_parser(given.name).parse_args(given.rest, given)
    _refuse_idle(given)
    return given


def tool_parser(name: str) -> Parser:
    """The parser of one tool's flags and those of `call`. If both have a flag of one name, it is the tool's.

    Raises:
        SettingError: There is no tool of this name.
    """
    prog = f"novita-mcp call {name}"
    made = Parser(prog=prog, usage=f"{prog} [FLAGS]")
    add_tool(made, name)
    return made


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str], *, hidden: bool = False) -> None:
    """Add the flags of settings. A flag that is not given leaves the environment or the default in force."""
    group = parser.add_argument_group("settings")
    for item in fields(Settings):
        flag = item.metadata["flag"]
        if flag is None or item.name not in names or flag in parser._option_string_actions:  # pyright: ignore[reportPrivateUsage]
            continue
        what: dict[str, Any] = {"help": argparse.SUPPRESS if hidden else item.metadata["help"], "dest": item.name}
        if item.type is bool:
            group.add_argument(flag, action="store_true", **what)
        else:
            group.add_argument(flag, metavar=flag.removeprefix("--").upper().replace("-", "_"), **what)


def _add_call(commands: Any, *, every_tool: bool) -> None:
    call: Parser = commands.add_parser(
        "call",
        help="call a tool: call NAME --flag value",
        description=_CALL,
        epilog=_EPILOG,
    )
    if every_tool:
        tools = call.add_subparsers(dest="name", metavar="NAME", parser_class=Parser)
        for name in tool_names():
            add_tool(tools.add_parser(name, help="a tool"), name)  # shtab leaves out what has no help
        return
    call.add_argument("name", nargs="?", default=None, metavar="NAME", help="The tool.")
    call.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="Its arguments as flags, or --args JSON.")
    _call_flags(call)


def _call_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--args", dest="raw", metavar="JSON", help="The arguments as a JSON object, `-` for stdin or `@FILE`."
    )
    _json_flag(parser, default=argparse.SUPPRESS)
    _simulate_flag(parser)
    add_settings(parser, _TAKES["call"])


def _json_flag(parser: argparse.ArgumentParser, default: Any = False) -> None:
    parser.add_argument("--json", action="store_true", default=default, help="JSON output.")


def _simulate_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--simulate", action="store_true", default=argparse.SUPPRESS, help="Use the simulator: no key, no cost."
    )


def _refuse_idle(given: argparse.Namespace) -> None:
    """Refuse flags that the chosen command would ignore: a limit that is ignored must not look as if it applied.

    Raises:
        SettingError: There is such a flag.
    """
    name = given.action if given.command == "tools" else given.command
    takes = _TAKES.get(name, ())
    flags = {item.name: item.metadata["flag"] for item in fields(Settings) if item.metadata["flag"]}
    for setting in (setting for setting in flags if hasattr(given, setting) and setting not in takes):
        why = f"does nothing for {name}; leave it out" if name else "does nothing over stdio: it is for `serve --http`"
        raise SettingError(f"{flags[setting]} {why}")
    if given.simulate and name not in (None, "serve", "call"):
        raise SettingError(f"--simulate does nothing for {name}; leave it out")
    if hasattr(given, "version") and name is not None:
        raise SettingError(f"--version does nothing for {name}; leave it out")
    if name == "serve" and not given.http:
        for setting in (setting for setting in _HTTP_ONLY if hasattr(given, setting)):
            raise SettingError(f"{flags[setting]} does nothing over stdio; add --http")
    if name == "install" and given.with_key and given.project is None:
        raise SettingError("--with-key does nothing without --project; the user's own file holds the key anyway")
    if name == "install" and given.lease_timer and given.json:
        raise SettingError("--json does nothing with --lease-timer; leave it out")
    if name == "simulate" and given.print_env and given.json:
        raise SettingError("--print-env prints for a shell; leave --json out")
    if name == "install" and given.target is None and given.project is not None:
        raise SettingError("--project needs a host")


def old_json(words: Sequence[str]) -> None:
    """Refuse `--json '{...}'`, the form in which version 0.1.0 took a call's arguments.

    Raises:
        SettingError: The words have that form; the message shows the new one.
    """
    for place, word in enumerate(words):
        name, _, value = word.partition("=")
        following = words[place + 1] if place + 1 < len(words) else ""
        if name == "--json" and (value or following.lstrip().startswith(("{", "["))):
            raise SettingError(_OLD_JSON.format("'{...}'"))


def add_tool(parser: argparse.ArgumentParser, name: str) -> None:
    """Add every flag that may follow `call NAME`."""
    add_arguments(parser, name)
    _call_flags(parser)
