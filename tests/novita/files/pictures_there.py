"""Names for finished pictures, and what stands in a folder."""

from datetime import date
from pathlib import Path
from typing import Any

from novita_mcp.novita.files.artifacts import Artifact, NameHint

FOX = NameHint("Red fox in the snow!", 0, date(2026, 11, 23))


def image(url: str | None = None, **more: Any) -> Artifact:
    return Artifact(task_id="t1", index=0, kind="image", url=url, **more)


def kept(folder: Path) -> list[str]:
    """Everything in the folder, hidden or not."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.exists() else []
