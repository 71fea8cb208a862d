"""Write the table in docs/gpu.md: every operation of the GPU and serverless areas, with the tools that call it.

python scripts/gpu_table.py            write
python scripts/gpu_table.py --check    exit 1 if the page is stale
"""

import json
import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from novita_mcp.novita.gpu.routes import LEFT_OUT, ROUTES
from novita_mcp.novita.serverless.endpoints import OPERATIONS
from written_page import write_or_check

PAGE = Path(__file__).resolve().parent.parent / "docs" / "gpu.md"
BEGIN, END = "<!-- operations: made by scripts/gpu_table.py -->", "<!-- end of operations -->"

TOOLS: Mapping[str, tuple[str, ...] | str] = {
    **{name: route.tools for name, route in ROUTES.items()},
    **LEFT_OUT,
    **{name: each if isinstance(each, str) else each.tools for name, each in OPERATIONS.items()},
}
"""Operation -> the tools that call it, or the reason why there is none."""


def operations(area: str) -> Iterator[tuple[str, str]]:
    """The documented operations of an area, as (id, method and path), in the order of the documentation."""
    book: dict[str, Any] = json.loads(
        (files("novita_mcp.simulator.core.documentation") / f"{area}.json").read_text("utf-8")
    )
    for name, facts in book["operations"].items():
        yield name, f"{facts['method']} {facts['path']}"


def table() -> str:
    lines: list[str] = []
    for area, title in (("gpu", "GPU"), ("serverless", "Serverless")):
        lines += [f"### {title}\n", "| operation | route | tools |", "|---|---|---|"]
        for name, route in operations(area):
            tools = TOOLS[name]
            shown = f"left out: {tools}" if isinstance(tools, str) else ", ".join(f"`{tool}`" for tool in tools)
            lines.append(f"| `{name}` | `{route}` | {shown} |")
        lines.append("")
    return "\n".join(lines)


def page() -> str:
    """The text of the page with a new table. The prose around the table stays."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{head}{BEGIN}\n\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page, __doc__))
