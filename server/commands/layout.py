"""Text for people: as wide as what it is shown on, words and names whole, amounts under each other's point."""

import os
import re
import sys
from collections.abc import Sequence

LEAST = 30
"""Columns for an explanation beside its term; with less room it goes below."""


def columns() -> int | None:
    """How wide stdout is; None where it is a file or a pipe, whose lines are as long as they are."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    if not sys.stdout.isatty():
        return None
    import shutil  # not at every start: only people have screens

    return shutil.get_terminal_size().columns


def wrapped(text: str, width: int | None, *, first: str = "", rest: str | None = None) -> list[str]:
    """Lines that break between words only: what is wider than the screen stands alone on its line.

    What `whole` has made one word stays one.

    Args:
        first: What the first line begins with.
        rest: What the others begin with; as much white if not given.
    """
    rest = " " * len(first) if rest is None else rest
    if width is None:
        return [first + text.replace(_GLUE, " ")]
    import textwrap

    lines = textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_GLUE, " ") for line in lines] or [first.rstrip()]


_GLUE = "\u00a0"


def whole(name: object) -> str:
    """A path or a command as one word for `wrapped`, whatever spaces it has."""
    return str(name).replace(" ", _GLUE)


def say(*sentences: str) -> None:
    """Sentences to stdout, a line each where there is room."""
    width = columns()
    for sentence in sentences:
        indent = " " * (len(sentence) - len(sentence.lstrip()))
        sys.stdout.write("\n".join(wrapped(sentence.lstrip(), width, first=indent)) + "\n")


def explained(rows: Sequence[tuple[str, str]], width: int | None, *, indent: str = "") -> list[str]:
    """Terms, each with its explanation beside it, or below where that has no room."""
    term = max((len(name) for name, _ in rows), default=0)
    beside = len(indent) + term + 2
    lines: list[str] = []
    for name, text in rows:
        if width is None or width - beside >= LEAST:
            lines += wrapped(text, width, first=f"{indent}{name.ljust(term)}  ")
        else:
            lines += [f"{indent}{name}", *wrapped(text, width, first=f"{indent}    ")]
    return [line.rstrip() for line in lines]


def at_the_point(amounts: Sequence[str]) -> list[str]:
    """Amounts as texts of one length, their points under each other."""
    parts = [amount.partition(".") for amount in amounts]
    before = max((len(whole) for whole, _, _ in parts), default=0)
    after = max((len(point + part) for _, point, part in parts), default=0)
    return [f"{whole.rjust(before)}{(point + part).ljust(after)}" for whole, point, part in parts]


def table(rows: Sequence[Sequence[str]], width: int | None, *, names: int) -> list[str]:
    """A table with a head: names to the left, then numbers at their point. Too wide, the numbers go below the names.

    Args:
        names: How many columns are names.
    """
    # A head has no point: only what stands below it is laid under each other.
    bodies = [at_the_point([row[place] for row in rows[1:]]) for place in range(names, len(rows[0]))]
    numbers = [[head, *body] for head, body in zip(rows[0][names:], bodies, strict=True)]
    widths = [max(map(len, column)) for column in numbers]
    right = [
        "  ".join(cell.rjust(wide) for cell, wide in zip(line, widths, strict=True))
        for line in zip(*numbers, strict=True)
    ]
    right = right or [""] * len(rows)
    spans = [max(len(row[place]) for row in rows) for place in range(names)]
    left = ["  ".join(cell.ljust(span) for cell, span in zip(row, spans, strict=False)) for row in rows]
    both = zip(left, right, strict=True)
    lines = [f"{name}  {number}".rstrip() if names else number.rstrip() for name, number in both]
    if width is None or max(map(len, lines)) <= width:
        return lines
    folded: list[str] = []
    for row, number in zip(rows, right, strict=True):
        folded += [*_cells([cell for cell in row[:names] if cell], width), f"  {number}".rstrip()]
    return folded


def _cells(cells: Sequence[str], width: int) -> list[str]:
    """Cells beside each other, each of them whole."""
    lines = [""]
    for cell in cells:
        longer = f"{lines[-1]}  {cell}" if lines[-1] else cell
        if lines[-1] and len(longer) > width:
            lines.append(f"  {cell}")
        else:
            lines[-1] = longer
    return lines


def shortened(text: str, width: int) -> str:
    """What fits of it, in whole words."""
    import textwrap

    return textwrap.shorten(text, max(width, 4), placeholder=" ...", break_on_hyphens=False)


def doing(message: str | None) -> str:
    """What goes on, out of what the server says: without names, ids and times that a bar shows itself."""
    said = (message or "").partition(": ")[2] or message or ""
    parts = [part for part in said.split(", ")[1:] if not re.fullmatch(r"\d+ s", part)]
    return ", ".join(parts) or ("submitting" if said == "submitting" else "accepted" if "accepted" in said else "")
