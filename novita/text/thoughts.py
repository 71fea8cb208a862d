"""Thoughts and calls that stand in the text of an answer, because the server did not separate them."""

import json
import re
from dataclasses import dataclass, field

from ..core.answers import a_text, an_object
from ..core.json_text import load_strict


@dataclass
class Channels:
    """An answer in Harmony, the format of gpt-oss, taken apart.

    Args:
        calls: Names of functions and the JSON text of their arguments.
    """

    text: str = ""
    thoughts: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


_MESSAGE = re.compile(
    r"\s*(?:<\|start\|>assistant(?P<role>\s+to=[^\s<]+)?\s*)?"
    r"<\|channel\|>(?P<channel>analysis|commentary|final)(?P<to>\s+to=[^\s<]+)?\s*(?:<\|constrain\|>)?(?:json|code)?\s*"
    r"<\|message\|>(?P<body>.*?)"
    r"(?:<\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)|\Z)",
    re.DOTALL,
)
_TO = re.compile(r"to=(?:functions\.)?(?P<name>[^\s<]+)")


def read_channels(text: str) -> Channels | None:
    """An answer that came with the marks of Harmony; None where it is no such answer from its first letter to its last.

    What was cut ends in its last message. See OpenAI's "harmony response format".
    """
    if not text.lstrip().startswith(("<|channel|>", "<|start|>")):
        return None
    found = Channels()
    said, thoughts, place = list[str](), list[str](), 0
    while place < len(text.rstrip()):
        message = _MESSAGE.match(text, place)
        if message is None:
            return None
        body = message["body"].strip()
        to = _TO.search(message["to"] or message["role"] or "")
        if to is not None:
            found.calls.append((to["name"], body))
        else:
            (thoughts if message["channel"] == "analysis" else said).append(body)
        place = message.end()
    found.text, found.thoughts = ("\n\n".join(filter(None, parts)) for parts in (said, thoughts))
    return found


_CALLS = re.compile(r"(?:<tool_call>\s*\{(?:(?!</?tool_call>).)*\}\s*</tool_call>\s*)+\Z", re.DOTALL)
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


def part_calls(text: str) -> tuple[str, list[tuple[str, str]]]:
    """An answer without the calls at its end that were written as Hermes and Qwen write them, and these calls.

    Only calls that are whole JSON with a name are taken; else the text stays as it is.
    """
    first = text.find("<tool_call>")
    written = _CALLS.match(text, first) if first >= 0 else None
    if written is None:
        return text, []
    calls: list[tuple[str, str]] = []
    for one in _CALL.findall(written[0]):
        try:
            held = an_object(load_strict(one))
        except ValueError:
            return text, []
        name, arguments = a_text(held.get("name")), held.get("arguments", held.get("parameters", {}))
        if not name or not isinstance(arguments, dict):
            return text, []
        calls.append((name, json.dumps(arguments, ensure_ascii=False)))
    return text[: written.start()].rstrip(), calls


_OPEN = re.compile(r"<(?:\w+:)?think(?:ing)?>|\[THINK\]|◁think▷", re.IGNORECASE)
_CLOSE = re.compile(r"</(?:\w+:)?think(?:ing)?>|\[/THINK\]|◁/think▷", re.IGNORECASE)
"""As most models write it, with a prefix of their makers' too; as Magistral does; as Kimi-VL does."""


def part_thoughts(text: str, known: bool = False) -> tuple[str, str]:
    """An answer without the thoughts written at its head, and these thoughts.

    Some templates open `<think>` in the prompt, so that only its end comes; a stream that was cut has only the
    beginning.

    Args:
        known: Whether thoughts came apart from the text; then an end without a beginning ends nothing but itself.
    """
    thoughts: list[str] = []
    rest = text
    while (opened := _OPEN.match(rest, _indent(rest))) is not None:
        closed = _CLOSE.search(rest, opened.end())
        thoughts.append(rest[opened.end() : closed.start() if closed else None].strip())
        rest = rest[closed.end() :].lstrip() if closed else ""
    closed = _CLOSE.search(rest)
    if closed is not None and not thoughts and _lone(rest, closed) and not (known and rest[: closed.start()].strip()):
        thoughts.append(rest[: closed.start()].strip())
        rest = rest[closed.end() :].lstrip()
        return rest, "\n".join(filter(None, thoughts))
    if not thoughts:
        return text, ""
    said, place = list[str](), 0
    while (opened := _OPEN.search(rest, place)) and (closed := _CLOSE.search(rest, opened.end())):  # once more
        said.append(rest[place : opened.start()])
        thoughts.append(rest[opened.end() : closed.start()].strip())
        place = closed.end()
    return "".join(said) + rest[place:], "\n".join(filter(None, thoughts))


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _lone(text: str, closed: re.Match[str]) -> bool:
    """Whether an end tag really ends thoughts. One in backticks, or after its own beginning, is only mentioned."""
    before, after = text[: closed.start()], text[closed.end() : closed.end() + 1]
    return not _OPEN.search(before) and not before.endswith("`") and after != "`" and before.count("```") % 2 == 0
