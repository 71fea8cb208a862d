"""How played Python writes a value as text, shows it as a notebook does, and prints an error."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from .stand_ins import METHODS, Module, Shown

LARGEST = 1_000_000
"""The most letters of a text, items of a list, and bits of a number."""
Scopes = tuple[dict[str, Any], ...]
"""The local names of the functions that are running, the innermost function first."""


@dataclass
class Function:
    """A function that the user's code defines."""

    name: str
    parameters: list[str]
    defaults: list[Any]
    body: list[ast.stmt] | ast.expr
    called: "Callable[[Function, tuple[Any, ...], dict[str, Any]], Any]"
    around: Scopes

    def __call__(self, *values: Any, **named: Any) -> Any:
        return self.called(self, values, named)


def as_text(value: Any = "") -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, BaseException) else said(value)


def said(value: Any) -> str:
    """repr() with a limit: a list that contains another one twice, thirty levels deep, would fill the memory."""
    parts: list[str] = []
    _say(value, parts, [LARGEST])
    return "".join(parts)


def _say(value: Any, parts: list[str], left: list[int]) -> None:
    """Write repr() of a value into `parts`, until no letters are left."""

    def add(text: str) -> None:
        left[0] -= len(text) + 1
        if left[0] < 0:
            raise MemoryError("too large for the simulator, which does not run code")
        parts.append(text)

    match value:
        case _ if isinstance(value, list | tuple | set | frozenset):
            several: list[Any] = list(cast(Any, value))
            name = type(cast(Any, value)).__name__
            opening, closing = {"list": "[]", "tuple": "()"}.get(name, "{}")
            add(opening)
            for index, one in enumerate(several):
                add(", " if index else "")
                _say(one, parts, left)
            add("," * (opening == "(" and len(several) == 1) + closing)
        case dict():
            add("{")
            for index, (key, one) in enumerate(cast("dict[Any, Any]", value).items()):
                add(", " if index else "")
                _say(key, parts, left)
                add(": ")
                _say(one, parts, left)
            add("}")
        case Function(name=name):
            add(f"<function {name}>")
        case Module(name=name):
            add(f"<module '{name}' (played)>")
        case _:
            shows = METHODS.get(cast("type[Any]", type(value)), {}).get("_show")
            add(shows(value).kinds["text"] if shows is not None else repr(value))


def shown(value: Any) -> Shown:
    """What a notebook shows of a value: always text, and for some values also a table or a picture."""
    if isinstance(value, Shown):
        return value
    if (show := METHODS.get(cast("type[Any]", type(value)), {}).get("_show")) is not None:
        return show(value)
    return Shown({"text": _text(value)})


def _text(value: Any) -> str:
    # A text is shown without its outer quotes.
    return repr(value)[1:-1] if isinstance(value, str) else said(value)


def traceback_of(error: BaseException, code: str, line: int, cell: int) -> str:
    """The traceback as a notebook prints it, with the line marked."""
    lines = code.splitlines()
    first, last = max(1, line - 2), min(len(lines), line + 2)
    marked = [
        f"{'---->' if number == line else '     '} {number} {lines[number - 1]}" for number in range(first, last + 1)
    ]
    name = type(error).__name__
    head = f"{name}{' ' * max(1, 42 - len(name))}Traceback (most recent call last)"
    where = f"Cell In[{cell}], line {line}"
    return "\n".join(["-" * 75, head, where, *marked, "", f"{name}: {error}"])
