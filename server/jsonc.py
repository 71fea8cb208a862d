"""Edits JSON with comments and changes only what must change.

Everything else stays byte for byte: comments, order, indentation, trailing commas, line ends.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

_COMMENT_OR_TEXT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_LAST_COMMA = re.compile(r'"(?:\\.|[^"\\\n])*"|,(?=\s*[}\]])')
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"\s*")


def read_jsonc(text: str) -> object:
    """Parse JSON with comments; an empty text is `{}`.

    Raises:
        ValueError: It is not JSON even without comments and trailing commas.
    """
    plain = _plain(text)
    return json.loads(plain) if plain.strip() else {}


def changed(text: str, new: Mapping[str, Any]) -> str:
    """The text that holds `new` and differs from `text` as little as possible.

    Raises:
        ValueError: The text is no JSON object.
    """
    if not _plain(text).strip():
        return text + json.dumps(new, indent=2, ensure_ascii=False) + "\n"
    old = read_jsonc(text)
    if not isinstance(old, dict):
        raise ValueError("it holds no object")
    return _objects(text, (), cast("dict[str, Any]", old), new)


def _plain(text: str) -> str:
    """The text with comments and trailing commas replaced by spaces, so that positions in it stay the same."""
    return _LAST_COMMA.sub(_blank, _uncommented(text))


Key = str | int


def _objects(text: str, path: tuple[Key, ...], old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    for key in old:
        if key not in new:
            text = _without(text, (*path, key))
    for key, value in new.items():
        if key not in old:
            text = _with(text, path, key, value)
        elif old[key] != value:
            text = _value(text, (*path, key), old[key], value)
    return text


def _value(text: str, path: tuple[Key, ...], old: object, new: object) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        return _objects(text, path, cast("dict[str, Any]", old), cast("dict[str, Any]", new))
    if isinstance(old, list) and isinstance(new, list):
        before, after = cast("list[Any]", old), cast("list[Any]", new)
        if after[: len(before)] == before:
            for item in after[len(before) :]:
                text = _with(text, path, None, item)
            return text
        gone = [place for place, item in enumerate(before) if item not in after]
        if [item for item in before if item in after] == after:
            for place in reversed(gone):
                text = _without(text, (*path, place))
            return text
    member = _find(text, path)
    return text[: member.value] + _written(text, member.start, cast(object, new)) + text[member.end :]


class _Member(NamedTuple):
    """The position of an object's member or a list's item: its start, and the start and end of its value."""

    key: Key
    start: int
    value: int
    end: int


def _members(plain: str, start: int) -> Iterator[_Member]:
    """The members or items of the object or list that opens at `start`."""
    listed = plain[start] == "["
    at, number = _skip(plain, start + 1), 0
    while plain[at] not in "}]":
        begin, key = at, cast(Key, number)
        if not listed:
            key, at = _DECODER.raw_decode(plain, at)
            at = _skip(plain, _skip(plain, at) + 1)  # past the colon
        _, end = _DECODER.raw_decode(plain, at)
        yield _Member(key, begin, at, end)
        number, at = number + 1, _skip(plain, end)
        if plain[at] == ",":
            at = _skip(plain, at + 1)


def _skip(plain: str, at: int) -> int:
    found = _SPACE.match(plain, at)
    return found.end() if found else at


def _find(text: str, path: Sequence[Key]) -> _Member:
    plain = _plain(text)
    begin = _skip(plain, 0)
    found = _Member("", begin, begin, _DECODER.raw_decode(plain, begin)[1])
    for key in path:
        found = [member for member in _members(plain, found.value) if member.key == key][-1]  # the last one counts
    return found


def _with(text: str, path: tuple[Key, ...], key: str | None, value: object) -> str:
    """One more member at the end of the object (or, without a key, item of the list) at `path`."""
    holder = _find(text, path)
    plain, line = _plain(text), "\r\n" if "\r\n" in text else "\n"
    members = list(_members(plain, holder.value))
    deep = _indent(text, members[0].start) if members else _indent(text, holder.start) + _step(text)
    named = f"{json.dumps(key, ensure_ascii=False)}: " if key is not None else ""
    added = line + deep + named + _written(text, None, value, deep)
    if members:
        last = members[-1].end
        comma = _skip_comments(text, last)
        if text[comma : comma + 1] == ",":  # a comma at the end was there
            place = _past_remark(text, comma + 1)
            return text[:place] + added + "," + text[place:]
        place = _past_remark(text, last)
        return text[:last] + "," + text[last:place] + added + text[place:]
    inside = text[holder.value + 1 : holder.end - 1]
    close = line + _indent(text, holder.start)
    kept = inside.rstrip() if inside.strip() else ""
    return text[: holder.value + 1] + kept + added + close + text[holder.end - 1 :]


def _without(text: str, path: tuple[Key, ...]) -> str:
    """The text without a member, its line, and the comma that is no longer needed."""
    member, holder = _find(text, path), _find(text, path[:-1])
    members = list(_members(_plain(text), holder.value))
    number = members.index(member)
    after = _skip_comments(text, member.end)
    if text[after : after + 1] == ",":
        begin = _line_start(text, member.start)
        return text[:begin] + text[_line_end(text, after + 1) if begin != member.start else after + 1 :]
    if number:
        previous = members[number - 1].end
        comma = _skip_comments(text, previous)
        return text[:comma] + text[comma + 1 : _line_start(text, member.start)].rstrip() + text[member.end :]
    between = text[holder.value + 1 : member.start].rstrip() + text[member.end : holder.end - 1].rstrip()
    return text[: holder.value + 1] + between + text[holder.end - 1 :]


def _line_start(text: str, at: int) -> int:
    begin = text.rfind("\n", 0, at) + 1
    return begin if not text[begin:at].strip() else at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return end + 1 if end >= 0 and not text[at:end].strip() else at


def _past_remark(text: str, at: int) -> int:
    """The end of the line if only a comment follows on it, because that comment belongs to what is before it."""
    end = re.compile(r"\r?\n|$").search(text, at)
    place = end.start() if end else at
    return place if not _uncommented(text)[at:place].strip() else at


def _skip_comments(text: str, at: int) -> int:
    """The first position from `at` on that is neither white space nor in a comment."""
    return _skip(_uncommented(text), at)


def _uncommented(text: str) -> str:
    return _COMMENT_OR_TEXT.sub(_blank, text)


def _blank(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith('"') else re.sub(r"[^\n]", " ", found[0])


def _indent(text: str, at: int) -> str:
    begin = text.rfind("\n", 0, at) + 1
    found = re.match(r"[ \t]*", text[begin:at])
    return found[0] if found else ""


def _step(text: str) -> str:
    """One level of indentation, as the text has it."""
    found = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    return found[1] if found else "  "


def _written(text: str, at: int | None, value: object, indent: str | None = None) -> str:
    deep = indent if indent is not None else _indent(text, at or 0)
    step = _step(text)
    made = json.dumps(value, indent="\t" if step.startswith("\t") else len(step), ensure_ascii=False)
    return made.replace("\n", ("\r\n" if "\r\n" in text else "\n") + deep)
