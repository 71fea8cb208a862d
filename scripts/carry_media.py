"""What is known of the media models' life: lifecycle.yaml in, novita/media/catalog/states.json out.

See carry_facts.py.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import yaml

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
TABLES = ("image.json", "video.json", "audio.json")

_DAY = re.compile(r"20\d\d(?:-\d\d)?(?:-\d\d)?")
_INSIDE = re.compile(r"\s*\([^()]*index ids?[^()]*\)|, as recorded in this folder \([^()]*\)")
"""Where a reader of ours once found a page says nothing to others."""
_SURE = ("high", "medium", "low")
_ALIVE = ("live", "unlisted")


def states(folder: Path) -> str:
    """The text of media_states.json: state, evidence and replacement by model, and who is asked first for what."""
    book: Json = yaml.safe_load((folder / "lifecycle.yaml").read_text(encoding="utf-8"))
    sources: Json = {
        name: {"page": _INSIDE.sub("", row["page"]), "date": _last_day(str(row["date"]))}
        for name, row in book["sources"].items()
    }
    models = {name: _entry(row, sources) for name, row in book["models"]["media"].items()}
    used = {key for row in models.values() for key in row["evidence"]}
    parts: Json = {
        "as_of": book["safe_defaults"]["as_of"],
        "sources": {name: sources[name] for name in sources if name in used},
        "models": models,
        "chains": _chains(book["safe_defaults"], models),
    }
    rows = [f"{json.dumps(name)}: {_lines(value)}" for name, value in parts.items()]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _entry(row: Json, sources: Json) -> Json:
    """`date` is the day it went, or the newest sign of life."""
    word, _, rest = row["state"].partition(" ")
    sure, _, why = row["confidence"].partition(":")
    signs = [sources[key]["date"] for key in row["evidence"]]
    return {
        "state": word,
        "date": _last_day(rest) if word == "retired" else max(signs, default=""),
        "confidence": sure.split(" ")[0],
        "why": why.strip(),
        "evidence": row["evidence"],
        "replacement": row["replacement"].casefold() if row["replacement"] else None,
        "note": row.get("note", ""),
    }


def _last_day(text: str) -> str:
    found = _DAY.findall(text)
    return found[-1] if found else ""


def _chains(safe: Json, states: Json) -> Json:
    """Capability -> living models, the first to take first: as `safe_defaults` has them, then by the rule it names."""
    tables = [json.loads((ROOT / "novita" / "media" / "catalog" / name).read_text(encoding="utf-8")) for name in TABLES]
    models: list[Json] = [model for table in tables for model in table["models"]]
    does: dict[str, list[Json]] = {}
    for model in models:
        if states.get(model["id"], model)["state"] in _ALIVE:
            for capability in model["does"]:
                does.setdefault(capability, []).append(model)
    known = {capability for model in models for capability in model["does"]}
    found: Json = {}
    for capability in sorted(known):
        able = {model["id"]: model for model in does.get(capability, [])}
        first = [row["id"] for row in cast("list[Json]", safe.get(capability, [])) if row["id"] in able]
        rest = [able[name] for name in able if name not in first]
        found[capability] = [*first, *(model["id"] for model in sorted(rest, key=lambda m: _rank(m, states)))]
    return found


def _rank(model: Json, states: Json) -> tuple[int, int, bool, float]:
    """Evidence of life, then price."""
    row = states.get(model["id"], {"state": model.get("state"), "confidence": "low"})
    prices = [float(price["usd"]) for price in model.get("price", ()) if not price.get("extra")]
    return _ALIVE.index(row["state"]), _SURE.index(row["confidence"]), not prices, min(prices, default=0.0)


def _lines(value: Any) -> str:
    """One line per row: small files whose differences can still be read."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    rows: Iterable[tuple[str, Any]] = cast(Json, value).items()
    return "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in rows) + "\n}"
