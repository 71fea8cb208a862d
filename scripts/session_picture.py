"""Draw README's picture docs/session.svg: the terminal after a run of `novita-mcp demo`, and the pictures it made.

Run as `python scripts/session_picture.py` after a change of the demo; tests/server/commands/test_demo.py fails if the
picture is out of date.
"""

import base64
import io
import re
import sys
import tempfile
from pathlib import Path

from novita_mcp.server.commands.demo import Bars, DemoOutcome, ending, opening, run_demo
from novita_mcp.server.settings import Settings
from PIL import Image
from rich.console import Console
from rich.terminal_theme import MONOKAI

PAGE = Path(__file__).resolve().parent.parent / "docs" / "session.svg"
COLUMNS = 112
TILE, GAP = 196, 12
"""The size of a small picture and the gap between two, in pixels."""
SHOWN = ("picture", "posters", "night")
"""The steps whose pictures are drawn."""

# The SVG refers to no font on the net; the reader's own monospace font is used.
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="novita-mcp demo">
<style>
text {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
 font-size: {char_height}px; line-height: {line_height}px; white-space: pre; }}
{styles}
</style>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


class Kept(Bars):
    """Draws the demo's bars on a hidden terminal, and keeps the output."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO(), force_terminal=True, width=COLUMNS, highlight=False))
        self.outcome, self.tools = DemoOutcome(folder=""), 0

    def started(self, outcome: DemoOutcome, tools: int) -> None:
        super().started(outcome, tools)
        self.tools = tools

    def finished(self, outcome: DemoOutcome) -> None:
        super().finished(outcome)
        self.outcome = outcome


def main() -> int:
    """Run the demo and write the picture. Returns the demo's exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        show = Kept()
        if code := run_demo(Settings(output_dir=folder), as_json=False, show=show):
            return code
        pictures = [folder / file for step in show.outcome.steps if step.step in SHOWN for file in step.files]
        show.outcome.folder = "~/.local/share/novita-mcp/simulated/demo"  # the place on a user's machine
        PAGE.write_text(with_pictures(drawn(show), pictures), encoding="utf-8")
    print(f"{PAGE.name}: {PAGE.stat().st_size:,} bytes")
    return 0


def drawn(show: Kept) -> str:
    """The terminal at the end of the run, as SVG."""
    console = Console(file=io.StringIO(), record=True, force_terminal=True, width=COLUMNS, highlight=False)
    for line in (*opening(show.outcome, show.tools, COLUMNS), show.bars, *ending(show.outcome, COLUMNS)):
        console.print(line)
    drawn = console.export_svg(title="novita-mcp demo", theme=MONOKAI, code_format=SVG, unique_id="demo")
    # With clipping a text loses the parts below its line, such as an underscore; how much depends on the font.
    return re.sub(r' clip-path="url\(#demo-line-\d+\)"', "", drawn)


def with_pictures(svg: str, pictures: list[Path]) -> str:
    """The SVG with a row of small pictures below the terminal."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert found is not None
    width, height = (float(number) for number in found.groups())
    left = (width - len(pictures) * (TILE + GAP) + GAP) / 2
    row = [tile(path, left + place * (TILE + GAP), height + GAP) for place, path in enumerate(pictures)]
    whole = svg.replace(found[0], f'viewBox="0 0 {width:g} {height + TILE + 2 * GAP:g}"')
    return whole.replace("</svg>", "\n".join(row) + "\n</svg>")


def tile(path: Path, x: float, y: float) -> str:
    with Image.open(path) as picture:
        small = picture.convert("RGB")
        small.thumbnail((TILE * 2, TILE * 2))
    packed = io.BytesIO()
    small.save(packed, "WEBP", quality=60)
    data = base64.b64encode(packed.getvalue()).decode()
    return f'<image x="{x:g}" y="{y:g}" width="{TILE}" height="{TILE}" href="data:image/webp;base64,{data}"/>'


if __name__ == "__main__":
    sys.exit(main())
