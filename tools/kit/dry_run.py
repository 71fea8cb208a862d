"""Requests as a dry run shows them: the exact ones, except that secrets are hidden and long texts are cut."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...novita.core.words import counted

LONGEST_REQUEST = 10_000
"""The most characters of a request's JSON in a dry run. In a longer request texts and lists are shortened."""

_CUTS = ((2_000, 200), (200, 20), (60, 5))
"""How many characters of a text and members of a list are kept. The pairs are tried in turn until the request fits."""


def shown_request(method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """A request as dry_run shows it: whole if it fits into an answer, else with a mark in each place that was cut."""
    return {"method": method, "path": path, "body": shown_body(_hidden(body))}


def shown_body(body: Any) -> Any:
    """JSON for reading: long texts and lists end in a mark that says how much more there is."""
    for letters, members in _CUTS:
        shown = _cut(body, letters, members)
        if len(json.dumps(shown, ensure_ascii=False)) <= LONGEST_REQUEST:
            return shown
    return shortened(json.dumps(body, ensure_ascii=False), LONGEST_REQUEST)


def shortened(text: str, most: int) -> str:
    """The first `most` characters, and how much more there is."""
    return text if len(text) <= most else f"{text[:most]}... ({counted(len(text) - most, 'more character')})"


def _cut(value: Any, letters: int, members: int) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _cut(inner, letters, members) for key, inner in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        held = cast("Sequence[Any]", value)
        more = [f"... ({len(held) - members:,} more)"] if len(held) > members else []
        return [*(_cut(inner, letters, members) for inner in held[:members]), *more]
    if isinstance(value, str):
        return shortened(value, _OF_A_FILE if _is_a_file(value) else letters)
    return value


_OF_A_FILE = 60
_PACKED = re.compile(r"[A-Za-z0-9+/_-]{200,}={0,2}")


def _is_a_file(value: str) -> bool:
    """Whether a text is a file's content (a data URI, base64 or hexadecimal), which nobody wants to read."""
    return value[:5].casefold() == "data:" or _PACKED.fullmatch(re.sub(r"[\r\n]", "", value)) is not None


def _hidden(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with the values of variables hidden, since some come from templates or old settings and are secret."""
    if isinstance(body.get("endpoint"), Mapping):
        return {**body, "endpoint": _hidden(body["endpoint"])}
    if not isinstance(body.get("envs"), list):
        return body
    return {**body, "envs": [{**row, "value": "(hidden)"} for row in body["envs"]]}
