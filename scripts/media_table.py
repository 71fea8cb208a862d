"""Write docs/media-models.md from the catalogue: every documented media operation, its tool, its model, its state.

python scripts/media_table.py            write
python scripts/media_table.py --check    exit 1 if the page is stale
"""

import argparse
import json
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from novita_mcp.novita.media.lookup import media_models, not_models

PAGE = Path(__file__).resolve().parent.parent / "docs" / "media-models.md"
AREAS = ("image", "video", "audio")

TOOLS = {
    "generate_image": ("text_to_image",),
    "edit_image": ("edit_image", "image_to_image", "outpaint", "remove_text", "merge_face", "reimagine"),
    "inpaint_image": ("inpaint", "erase"),
    "upscale_image": ("upscale",),
    "remove_background": ("remove_background",),
    "replace_background": ("replace_background",),
    "describe_image": ("describe_image",),
    "generate_video": (
        *("text_to_video", "image_to_video", "first_last_frame"),
        *("reference_to_video", "multi_frame", "template_video"),
    ),
    "edit_video": (
        *("extend_video", "edit_video", "video_to_video"),
        *("motion_control", "translate_video", "video_merge_face"),
    ),
    "generate_speech": ("text_to_speech",),
    "transcribe_audio": ("transcribe",),
    "clone_voice": ("clone_voice",),
    "design_voice": ("design_voice",),
    "generate_music": ("music",),
    "generate_lyrics": ("lyrics",),
}
"""Which tool stands for which capabilities."""

HEAD = """\
# Every media operation

Made by `python scripts/media_table.py` from the catalogue; do not edit. How to add a model: [models.md](models.md).

`run_media_model` takes any of these models with its own input. States: **listed** in Novita's documentation index of
August 2026; **unlisted**: documented, but not in that index; **unconfirmed**: known from other sources, never picked
by itself; **retired**: said to be switched off, called only when asked for by name or when nothing else is left.
"""


def operations(area: str) -> Iterator[str]:
    """The documented operations of an area, in the order of the documentation."""
    book: dict[str, Any] = json.loads(
        (files("novita_mcp.simulator.core.documentation") / f"{area}.json").read_text("utf-8")
    )
    yield from book["operations"]


def page() -> str:
    models = {model.operation: model for model in media_models()}
    others = not_models()
    parts = [HEAD]
    for area in AREAS:
        parts += [f"## {area.capitalize()}\n", "| operation | tool | model | state |", "|---|---|---|---|"]
        for operation in operations(area):
            if model := models.get(operation):
                tools = [tool for tool, does in TOOLS.items() if set(does) & {str(one) for one in model.does}]
                cells = [", ".join(f"`{tool}`" for tool in tools), f"`{model.id}`", model.state]
            else:
                cells = ["", "", f"no model: {others[operation]}"]
            parts.append(f"| `{operation}` | {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        fresh = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()
        print("fresh" if fresh else f"{PAGE.name} is stale: run python scripts/media_table.py")
        return 0 if fresh else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
