"""Lays out text for people: to the width of the terminal, with whole words and names, and amounts aligned."""

import os
import re
import sys
from collections.abc import Sequence

LEAST = 30
"""The least width for an explanation beside its term. With less it goes below the term."""


def columns() -> int | None:
    """The width of stdout; None for a file or a pipe, where lines are not broken."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    if not sys.stdout.isatty():
        return None
    import shutil  # imported here, because most starts have no terminal

    return shutil.get_terminal_size().columns


def wrapped(text: str, width: int | None, *, first: str = "", rest: str | None = None) -> list[str]:
    """Break a text into lines, only between words. A word that is wider than the screen gets a line of its own.

    A path or command that went through `whole` counts as one word.

    Args:
        first: The beginning of the first line.
        rest: The beginning of the other lines; by default as many blanks.
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
    """A path or a command as one word for `wrapped`, even if it contains blanks."""
    return str(name).replace(" ", _GLUE)


def say(*sentences: str) -> None:
    """Print sentences to stdout, each on lines of its own."""
    width = columns()
    for sentence in sentences:
        indent = " " * (len(sentence) - len(sentence.lstrip()))
        sys.stdout.write("\n".join(wrapped(sentence.lstrip(), width, first=indent)) + "\n")


def explained(rows: Sequence[tuple[str, str]], width: int | None, *, indent: str = "") -> list[str]:
    """Lines with terms, each with its explanation beside it, or below it if the screen is too narrow."""
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
    """Amounts as texts of equal length, with their decimal points aligned."""
    parts = [amount.partition(".") for amount in amounts]
    before = max((len(whole) for whole, _, _ in parts), default=0)
    after = max((len(point + part) for _, point, part in parts), default=0)
    return [f"{whole.rjust(before)}{(point + part).ljust(after)}" for whole, point, part in parts]


def table(rows: Sequence[Sequence[str]], width: int | None, *, names: int) -> list[str]:
    """The lines of a table: first the columns with names, then those with numbers, aligned at the decimal point. If the
    table is too wide, the numbers go below the names.

    Args:
        rows: The first row is the head.
        names: The number of columns with names.
    """
    # A head has no decimal point, so only the cells below it are aligned.
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
    """Lines with the cells beside each other. Lines break only between cells."""
    lines = [""]
    for cell in cells:
        longer = f"{lines[-1]}  {cell}" if lines[-1] else cell
        if lines[-1] and len(longer) > width:
            lines.append(f"  {cell}")
        else:
            lines[-1] = longer
    return lines


def shortened(text: str, width: int) -> str:
    """As many whole words of a text as fit."""
    import textwrap

    return textwrap.shorten(text, max(width, 4), placeholder=" ...", break_on_hyphens=False)


def doing(message: str | None) -> str:
    """The activity in a progress message of the server, without names, ids and times, which a bar shows itself."""
    said = (message or "").partition(": ")[2] or message or ""
    parts = [part for part in said.split(", ")[1:] if not re.fullmatch(r"\d+ s", part)]
    return ", ".join(parts) or ("submitting" if said == "submitting" else "accepted" if "accepted" in said else "")
