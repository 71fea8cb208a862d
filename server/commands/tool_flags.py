"""Makes flags of the command line from a tool's schema, as hosts get it.

`wait_seconds` becomes `--wait-seconds`. For a list the flag is repeated, or takes JSON. An object is JSON.
"""

import argparse
import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ...novita.core.json_text import read_json
from ...tools.overview.surface import Listing, surface
from ..settings import SettingError

_PREFIX = "argument "
"""The beginning of an argument's name in the namespace, so that it differs from every setting and command."""

_NUMBERS: Mapping[str, Any] = {"integer": int, "number": float}


def tool_names() -> list[str]:
    """The names of all tools, on or off."""
    return [tool.name for tool in surface().tools]


def listing(name: str) -> Listing:
    """A tool as hosts see it in the list.

    Raises:
        SettingError: There is no such tool; the message suggests the nearest name.
    """
    for tool in surface().tools:
        if tool.name == name:
            return tool.listing
    near = difflib.get_close_matches(name.replace("-", "_"), tool_names(), n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise SettingError(f"no tool is called {name!r}.{hint} `novita-mcp tools list --toolsets all` shows all")


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add a flag for each argument of the tool.

    Raises:
        SettingError: There is no such tool.
    """
    tool = listing(name)
    parser.description = _for_help(tool["description"])
    schema = tool["inputSchema"]
    group = parser.add_argument_group(f"arguments of {name}")
    for argument, what in schema["properties"].items():
        _add_argument(group, argument, what, needed=argument in schema.get("required", ()))


def _add_argument(group: Any, name: str, schema: Mapping[str, Any], *, needed: bool) -> None:
    flag = "--" + name.replace("_", "-")
    flags = [flag] if "_" not in name else [flag, "--" + name]
    told = _for_help(schema.get("description", "")) + (" Needed." if needed else "")
    what: dict[str, Any] = {"dest": _PREFIX + name, "help": told.strip(), "default": argparse.SUPPRESS}
    kind = schema.get("type")
    if kind == "boolean":
        group.add_argument(*flags, action=argparse.BooleanOptionalAction, **what)
        return
    what["metavar"] = "TEXT"
    if kind in _NUMBERS:
        what |= {"type": _NUMBERS[str(kind)], "metavar": "N"}
    elif "enum" in schema and kind == "string":
        what |= {"choices": schema["enum"], "metavar": "|".join(schema["enum"]) if len(schema["enum"]) < 7 else "NAME"}
    elif kind == "array":
        objects = schema.get("items", {}).get("type") != "string"
        what |= {"action": "append", "metavar": "JSON" if objects else "TEXT", "type": _json if objects else str}
    elif kind == "object":
        what |= {"type": _json, "metavar": "JSON"}
    group.add_argument(*flags, **what)


def given_arguments(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """The arguments of a call: those in --args, overridden by flags.

    Raises:
        SettingError: --args is not a JSON object, a file cannot be read, or a required argument is missing.
    """
    schema = listing(name)["inputSchema"]
    made = _raw(given.raw) if hasattr(given, "raw") else {}
    for argument, what in schema["properties"].items():
        if hasattr(given, _PREFIX + argument):
            value = getattr(given, _PREFIX + argument)
            made[argument] = _flat(value) if what.get("type") == "array" else value
    missing = ["--" + argument.replace("_", "-") for argument in schema.get("required", ()) if argument not in made]
    if missing:
        raise SettingError(f"{name} needs {' and '.join(missing)}. `novita-mcp call {name} --help` shows all")
    return made


def _flat(values: list[Any]) -> list[Any]:
    """The items of a list argument. A flag may give one item, or several as a JSON list."""
    made: list[Any] = []
    for value in values:
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = read_json(value)
            except ValueError:
                made.append(value)  # a text that begins with a bracket but is not JSON
                continue
        made += cast("list[Any]", value) if isinstance(value, list) else [value]
    return made


def _raw(text: str) -> dict[str, Any]:
    where = "--args"
    try:
        if text.startswith("@"):
            where = text[1:]
            text = Path(where).expanduser().read_text(encoding="utf-8-sig")
        else:
            text = sys.stdin.read() if text == "-" else text
    except (OSError, ValueError) as error:
        raise SettingError(f"{where} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        found: object = read_json(text)
    except ValueError as error:
        raise SettingError(f"{where} needs a JSON object: {error}") from error
    if not isinstance(found, dict):
        raise SettingError(f"{where} needs a JSON object, not {' '.join(text.split())[:60]}")
    return cast(dict[str, Any], found)


def _json(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"needs JSON: {error}") from error


def _for_help(text: str) -> str:
    return text.replace("%", "%%")
