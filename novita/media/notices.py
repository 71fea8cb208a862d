"""Reads Novita's notices about models that it switches off, from the text of its documentation (llms-full.txt).

We do not trust that text: only a few short names and days are kept, and all they can say is that a known model ends.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime

from pydantic import BaseModel, ConfigDict

from .catalog_entry import MediaModel

_MOST, _LONGEST_NAME, _LONGEST_PART = 1_000, 100, 40_000
_PAGE = re.compile(r"https://(?:docs\.)?novita\.ai/docs/changelog/[\w-]{4,40}(?:\.md)?")
_ENDS = re.compile(r"discontinu|retir|offline|deprecat|sunset|shut|decommission|end of (?:service|life)", re.IGNORECASE)
_DAY = re.compile(r"\b(20\d\d-\d\d-\d\d)\b|\b([A-Z][a-z]{2,8}\.? \d{1,2}(?:st|nd|rd|th)?,? 20\d\d)\b")
_ROW = re.compile(r"[ \t]*\|([^|\n]{1,200})\|([^|\n]{0,200})(?:\|[^\n]{0,400})?")


class Ending(BaseModel):
    """A row of a notice.

    Args:
        name: The model as the notice names it, mostly a display name.
        day: The day on which it is switched off, `YYYY-MM-DD`.
        replacement: The model that the notice recommends instead; may be empty.
        page: The page with the notice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    day: str
    replacement: str = ""
    page: str = ""


def read_notices(text: str) -> tuple[Ending, ...]:
    """All endings in the text, in its order."""
    found: list[Ending] = []
    for part in re.split(r"(?m)^# ", text):
        if len(found) >= _MOST:
            break
        page = _PAGE.search(part[:2_000])
        if page is not None:
            found += _endings(part[:_LONGEST_PART], page.group())
    return tuple(found[:_MOST])


def _endings(part: str, page: str) -> Iterator[Ending]:
    """The rows of the tables in one notice. The day of a row is the last day named before it."""
    day, in_table = "", False
    for line in part.splitlines():
        row = _ROW.fullmatch(line)
        if row is None:
            in_table = False
            if _ENDS.search(line) and (said := _day(line)):
                day = said
            continue
        name, instead = (_plain(cell) for cell in row.groups())
        if not in_table or not name.strip("-: "):  # the head of a table, and the line under it
            in_table = True
            continue
        if day and name and len(name) <= _LONGEST_NAME:
            yield Ending(name=name, day=day, replacement=instead.strip("-–— ")[:_LONGEST_NAME], page=page)


def _plain(cell: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", cell).strip()


def _day(line: str) -> str:
    """The last day that a line names; empty if it names none."""
    said = [one or other for one, other in _DAY.findall(line)]
    for text in reversed(said):
        plain = re.sub(r"(?<=\d)(?:st|nd|rd|th)|[.,]", "", text)
        for form in ("%Y-%m-%d", "%B %d %Y", "%b %d %Y"):
            try:
                return f"{datetime.strptime(plain, form):%Y-%m-%d}"  # a day, anywhere
            except ValueError:
                continue
    return ""


def endings_of(models: Iterable[MediaModel], endings: Iterable[Ending]) -> Mapping[str, Ending]:
    """The models that end, by id. A notice must name the words of the model's id or title, in any order."""
    by_words: dict[frozenset[str], list[str]] = {}
    for model in models:
        for name in {model.id, model.title, *model.aliases}:
            by_words.setdefault(_words(name), []).append(model.id)
    found: dict[str, Ending] = {}
    for ending in endings:
        named = set(by_words.get(_words(ending.name), ()))
        if len(named) == 1:  # if two models have this name, it is unclear which one is meant
            (one,) = named
            if one not in found or found[one].day < ending.day:
                found[one] = ending
    return found


_SAME = (
    (re.compile(r"\btext[ -]to[ -]video\b"), "t2v"),
    (re.compile(r"\bimage[ -]to[ -]video\b|\bimg2video\b"), "i2v"),
    (re.compile(r"\breferences?[ -]to[ -]video\b|\breference2video\b"), "ref2v"),
    (re.compile(r"\btext[ -]to[ -]speech\b|\bapi\b"), " "),
    (re.compile(r"\bv(?=\d)"), ""),
)
"""Spellings that notices and ids use for the same thing."""


def _words(name: str) -> frozenset[str]:
    said = name.casefold()
    for pattern, short in _SAME:
        said = pattern.sub(short, said)
    return frozenset(re.findall(r"[a-z0-9]+(?:\.\d+)*", said))


def is_over(ending: Ending, today: date) -> bool:
    """Whether the model's last day has come."""
    return date.fromisoformat(ending.day) <= today
