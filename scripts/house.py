"""Draw the house in docs/how-it-works.md: rooms (subfolders), floors (layers), and what each imports.

python scripts/house.py            write
python scripts/house.py --check    exit 1 if the page is stale

tests/test_layout.py reads the imports and checks the floors; this script draws what it found.
"""

import sys
from collections.abc import Iterable
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from written_page import write_or_check

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "how-it-works.md"
BEGIN, END = "<!-- house: made by scripts/house.py -->", "<!-- end of house -->"
SAYS = {
    "server": "settings, transports, commands",
    "tools": "what an agent can ask for",
    "novita": "what Novita is, typed",
    "simulator": "Novita on this machine",
}
WIDTH = 100

Rooms = dict[str, set[str]]


@cache
def layout() -> ModuleType:
    """Import tests/test_layout.py by its path."""
    spec = spec_from_file_location("layout_of_the_house", ROOT / "tests" / "test_layout.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rooms(house: ModuleType) -> Rooms:
    """Every room, with the rooms that its files import. A top folder itself counts as a room."""
    found: Rooms = {}
    for top in house.FOLDERS:
        for file in house.sources(top):
            found.setdefault(house.room_of(house.dotted(file)), set())
        for arrow in house.our_arrows(top):
            here, there = house.room_of(house.dotted(arrow.file)), house.room_of(arrow.module)
            if here != there:
                found[here].add(there)
    return found


def floors(house: ModuleType, top: str, found: Rooms) -> list[list[str]]:
    """The rooms of a folder floor by floor, from the top, sorted by name."""
    names = sorted(room.partition("/")[2] for room in found if room.startswith(f"{top}/"))
    known: tuple[str | None, ...] = house.FLOORS.get(top, (None,))
    rows = [[name for name in names if name == floor or (floor is None and name not in known)] for floor in known]
    return [row for row in reversed(rows) if row]


def drawing(house: ModuleType, found: Rooms) -> str:
    lines: list[str] = []
    for top in house.FOLDERS:
        others = sorted({room.partition("/")[0] for name in found if name.split("/")[0] == top for room in found[name]})
        knows = [other for other in others if other != top]
        lines += [f"{top + '/':<12}{SAYS[top]}" + (f"; imports {', '.join(knows)}" if knows else "; imports no other")]
        for row in floors(house, top, found):
            shown = [name + _beside(top, name, row, found) for name in row]
            lines += [f"{'':<12}[ {part} ]" for part in _wrapped(shown)]
        lines.append("")
    return "\n".join(lines).rstrip()


def _beside(top: str, name: str, row: list[str], found: Rooms) -> str:
    """The rooms on its own floor that a room imports."""
    near = sorted(other for other in row if f"{top}/{other}" in found[f"{top}/{name}"])
    return f" -> {', '.join(near)}" if near else ""


def _wrapped(parts: list[str]) -> list[str]:
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + 15 > WIDTH:
            lines.append(part)
        else:
            lines[-1] += f" | {part}"
    return lines


def table(house: ModuleType, found: Rooms) -> str:
    lines = ["| room | imports from its own folder | from the others |", "|---|---|---|"]
    for top in house.FOLDERS:
        for room in sorted(each for each in found if each.split("/")[0] == top):
            own = sorted(each for each in found[room] if each.split("/")[0] == top)
            far = sorted(found[room] - set(own))
            lines.append(f"| `{room}` | {_named(each.partition('/')[2] or each for each in own)} | {_named(far)} |")
    return "\n".join(lines)


def _named(names: Iterable[str]) -> str:
    return ", ".join(names) or "-"


def page() -> str:
    """The text of the page with a new drawing. The prose around the drawing stays."""
    house = layout()
    found = rooms(house)
    text = PAGE.read_text(encoding="utf-8")
    head, begun, rest = text.partition(BEGIN)
    if not begun:
        raise SystemExit(f"{PAGE.name} has no line {BEGIN}")
    every = f"<details><summary>Every arrow</summary>\n\n{table(house, found)}\n\n</details>"
    drawn = f"```text\n{drawing(house, found)}\n```\n\n{every}"
    return f"{head}{BEGIN}\n\n{drawn}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page, __doc__))
