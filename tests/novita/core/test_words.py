"""Numbers and money in sentences: said in one way, and one of a thing is never several."""

import ast
import re
from collections.abc import Generator
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import pytest
from novita_mcp.novita.core.words import counted

FOLDERS = [Path(str(import_module(f"novita_mcp.{name}").__file__)).parent for name in ("novita", "tools", "server")]


@pytest.mark.parametrize(
    ("number", "word", "said"),
    [
        (1, "task", "1 task"),
        (0, "file", "0 files"),
        (2, "batch", "2 batches"),
        (1200, "sandbox", "1,200 sandboxes"),
        (1.0, "hour", "1 hour"),
        (1.5, "hour", "1.5 hours"),
        (20.0, "minute", "20 minutes"),
        (Decimal("720.00"), "hour", "720 hours"),
        (3, "more character", "3 more characters"),
    ],
)
def test_things_are_counted_as_people_say_it(number: int | float | Decimal, word: str, said: str) -> None:
    assert counted(number, word) == said


def sentences() -> Generator[tuple[str, ast.expr, str]]:
    """Every place of our texts where a value stands between words: where that is, the value, and what follows it."""
    for folder in FOLDERS:
        for file in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    for value, after in zip(node.values, [*node.values[1:], ast.Constant("")], strict=True):
                        if isinstance(value, ast.FormattedValue):
                            words = str(after.value) if isinstance(after, ast.Constant) else ""
                            yield f"{folder.name}/{file.name}:{node.lineno}", value.value, words


THINGS = [
    "batches",
    "calls",
    "cards",
    "characters",
    "days",
    "documents",
    "endpoints",
    "files",
    "hours",
    "instances",
    "jobs",
    "keys",
    "letters",
    "lines",
    "machines",
    "members",
    "minutes",
    "models",
    "months",
    "offers",
    "pages",
    "parts",
    "pictures",
    "pieces",
    "prompts",
    "requests",
    "results",
    "rows",
    "sandboxes",
    "seconds",
    "tasks",
    "templates",
    "texts",
    "things",
    "tokens",
    "tools",
    "vectors",
    "voices",
    "volumes",
    "workers",
]


def test_no_text_says_several_of_what_may_be_one() -> None:
    """`1 models`: what is counted goes through `counted`, unless it is a limit of ours, which is never one."""
    several = re.compile(rf" (?:more |other )?(?:{'|'.join(THINGS)})\b")
    found = [
        f"{where}: {ast.unparse(value)}"
        for where, value, after in sentences()
        if several.match(after) and not re.fullmatch(r"[A-Z_. 0-9/]+|shots|kind|channel|_lengths.*", ast.unparse(value))
    ]

    assert found == []


def test_no_text_writes_money_by_itself() -> None:
    """Sums with two to four decimals, prices of one exactly: by `say_usd` and `say_exactly`, and nothing else."""
    written = [
        f"{file.name}:{node.lineno}"
        for folder in FOLDERS
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr) and file.name not in ("money.py", "prompts.py")
        for before, value in zip(node.values, node.values[1:], strict=False)
        if isinstance(before, ast.Constant)
        and str(before.value).endswith("$")
        and isinstance(value, ast.FormattedValue)
    ]

    assert written == []
