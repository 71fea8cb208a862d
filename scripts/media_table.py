"""Write docs/media-models.md from the catalogue: every documented media operation with its tool, model and state.

python scripts/media_table.py            write
python scripts/media_table.py --check    exit 1 if the page is stale
"""

import json
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from novita_mcp.novita.media.lookup import MediaModel, media_models, not_models
from novita_mcp.novita.media.price_rows import price_line
from novita_mcp.tools.media.taken import TOOLS
from written_page import write_or_check

PAGE = Path(__file__).resolve().parent.parent / "docs" / "media-models.md"
AREAS = ("image", "video", "audio", "newer")

HEAD = """\
# Every media operation

Made by `python scripts/media_table.py` from the catalogue; do not edit. How to add a model: [models.md](models.md).

`run_media_model` takes any of these models with its own input. Nobody called these models for this table, so the states
come from public evidence, which is listed below:

- **live**: the model is documented or was seen to answer, and no notice names it.
- **unlisted**: no notice names it, but it is gone from Novita's documentation index or pricing page.
- **unknown**: the evidence disagrees, or there is none. The server does not choose it while another model works.
- **retired**: a notice or a caller says that it is gone. The server calls it only by name, or if no other is left.

The date is the day on which it was retired, or the day of the newest evidence that it works.

A price is Novita's own. With "about" it is the price of the model's maker or of another third party, and Novita's price
may differ; the spending limits then count half as much again. `estimate_cost` takes all settings into account.
"""


def operations(area: str) -> Iterator[str]:
    """The documented operations of an area, in the order of the documentation."""
    book: dict[str, Any] = json.loads(
        (files("novita_mcp.simulator.core.documentation") / f"{area}.json").read_text("utf-8")
    )
    yield from book["operations"]


def sources() -> dict[str, dict[str, str]]:
    """The sources of evidence for the models' states, by name."""
    file = files("novita_mcp.novita.media.catalog") / "states.json"
    return json.loads(file.read_text(encoding="utf-8"))["sources"]


def price_sources() -> dict[str, str]:
    """The sources of prices, by name."""
    file = files("novita_mcp.novita.media.catalog") / "prices.json"
    return json.loads(file.read_text(encoding="utf-8"))["sources"]


def basis(model: MediaModel) -> str:
    """Whose price the model has, its source and its date; empty if there is no price."""
    if not model.price:
        return ""
    row = model.price[0]
    whose = {"documented": "Novita's own", "maker": "the maker's", "third_party": "a third party's"}[row.basis]
    return f"{whose}{f' ({row.whose})' if row.whose else ''}, {row.source}, {row.seen}"


def page() -> str:
    models = {model.operation: model for model in media_models()}
    others = not_models()
    parts = [HEAD]
    for area in AREAS:
        parts += [
            f"## {area.capitalize()}\n",
            "| operation | tool | model | state | evidence | price | whose, from where, seen |",
            "|---|---|---|---|---|---|---|",
        ]
        for operation in operations(area):
            if model := models.get(operation):
                tools = [tool for tool, does in TOOLS.items() if set(does) & {str(one) for one in model.does}]
                life = model.life
                state = " ".join(part for part in (life.state, life.date) if part)
                cells = [", ".join(f"`{tool}`" for tool in tools), f"`{model.id}`", state]
                cells += [", ".join((life.confidence, *life.evidence)), price_line(model), basis(model)]
            else:
                cells = ["", "", f"no model: {others[operation]}", "", "", ""]
            parts.append(f"| `{operation}` | {' | '.join(cells)} |")
        parts.append("")
    parts += ["## Evidence\n", *(f"- **{name}** ({row['date']}): {row['page']}" for name, row in sources().items()), ""]
    parts += ["## Where prices stood\n", *(f"- **{name}**: {text}" for name, text in price_sources().items()), ""]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page, __doc__))
