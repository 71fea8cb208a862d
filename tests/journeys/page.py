"""docs/journeys.md: what users ask for, the calls that do it, and the figures that stand there."""

import re
from dataclasses import dataclass
from pathlib import Path

from ..tool_calls import ToolCall, calls_in

PAGE = Path(__file__).parents[2] / "docs" / "journeys.md"
_FIGURES = re.compile(r"^Calls (\d+), tokens ([\d,]+)\.$", re.MULTILINE)
_ALL = re.compile(r"^Together: calls (\d+), tokens ([\d,]+)\.$", re.MULTILINE)


@dataclass(frozen=True)
class Journey:
    """One request. `spent` is what the page says of calls and tokens."""

    number: int
    title: str
    calls: tuple[ToolCall, ...]
    spent: tuple[int, int]

    @property
    def slug(self) -> str:
        """The title as the name of a test."""
        return re.sub(r"[^a-z0-9]+", "_", self.title.casefold()).strip("_")


def journeys() -> list[Journey]:
    """All of the page, in its order."""
    found: list[Journey] = []
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        number, _, title = heading.partition(". ")
        assert re.match(r"\n> \S", text), f"{heading}: what the user says comes first"
        found.append(Journey(int(number), title, calls_in(text), _read(_FIGURES, text)))
    return found


def together() -> tuple[int, int]:
    """The calls and tokens of all, as the page says them."""
    return _read(_ALL, PAGE.read_text(encoding="utf-8"))


def _read(pattern: re.Pattern[str], text: str) -> tuple[int, int]:
    ((calls, tokens),) = pattern.findall(text)
    return int(calls), int(tokens.replace(",", ""))


def write(journey: Journey, tokens: int) -> None:
    """Put new figures of one journey, and the sums, on the page."""
    head, *sections = re.split(r"^(?=## )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections[journey.number - 1] = _FIGURES.sub(
        f"Calls {len(journey.calls)}, tokens {tokens:,}.", sections[journey.number - 1]
    )
    sums = [sum(each) for each in zip(*(_read(_FIGURES, section) for section in sections), strict=True)]
    head = _ALL.sub(f"Together: calls {sums[0]}, tokens {sums[1]:,}.", head)
    PAGE.write_text(head + "".join(sections), encoding="utf-8")
