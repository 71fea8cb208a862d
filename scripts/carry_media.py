"""Makes the tables of states, prices and voices of media models from lifecycle.yaml and prices.yaml.

carry_facts.py writes them.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import yaml

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
TABLES = ("image.json", "video.json", "audio.json", "newer.json")

_DAY = re.compile(r"20\d\d(?:-\d\d)?(?:-\d\d)?")
_INSIDE = re.compile(
    r"\s*\([^()]*(?:index id|stored file id)[^()]*\)|\s*\(\d{9,}\)"
    r"|, as recorded in this folder \([^()]*\)|, as catalogued in [\w.]+ and [\w.]+"
)
"""Notes about where somebody found a page. They are of no use outside the folder of the sources, and are removed."""
_SURE = ("high", "medium", "low")
_ALIVE = ("live", "unlisted")


def states(folder: Path) -> str:
    """The text of states.json: state, evidence and replacement of each model, and the chains: for each capability the
    models in the order in which they are tried."""
    book: Json = yaml.safe_load((folder / "lifecycle.yaml").read_text(encoding="utf-8"))
    bill: Json = yaml.safe_load((folder / "prices.yaml").read_text(encoding="utf-8"))
    sources: Json = {
        name: {"page": _INSIDE.sub("", row["page"]), "date": _last_day(str(row["date"]))}
        for name, row in book["sources"].items()
    }
    models = {name: _entry(row, sources) for name, row in book["models"]["media"].items()}
    models |= _newer(book["new"]["media"], sources)
    for name, doubt in _doubts(bill).items():
        if models[name]["state"] != "retired":
            models[name]["note"] = f"{models[name]['note']} {doubt}".lstrip()
    used = {key for row in models.values() for key in row["evidence"]}
    parts: Json = {
        "as_of": book["safe_defaults"]["as_of"],
        "sources": {name: sources[name] for name in sources if name in used},
        "models": models,
        "chains": _chains(book["safe_defaults"], models, bill),
    }
    rows = [f"{json.dumps(name)}: {_lines(value)}" for name, value in parts.items()]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def simulated_states(folder: Path) -> str:
    """The text of the simulator's lifecycle.json: which media models are switched off, and what the notices say.

    For models that are only in the source's list of new models, `_newer` decides whether they are live.
    """
    book: Json = yaml.safe_load((folder / "lifecycle.yaml").read_text(encoding="utf-8"))
    told = {name: row["state"].partition(" ") for name, row in book["models"]["media"].items()}
    newer = {name: (row["state"], "", "") for name, row in _newer(book["new"]["media"], book["sources"]).items()}
    models: Json = {}
    for entry in _entries():
        state, _, since = (told | newer)[entry["id"]]
        row = {"operation": entry["operation"], "title": entry["title"], "makes": entry["makes"], "state": state}
        models[entry["id"]] = row | ({"gone": _last_day(since)} if state == "retired" else {})
    notices = [
        {
            "page": row["page"],
            "dated": row["dated"],
            "retires": str(row["retires"]),
            "rows": list(map(_whole, row["rows"])),
        }
        for row in book["notices"]
    ]
    return (
        f'{{\n"models": {_lines(models)},\n"notices": [\n'
        + ",\n".join(json.dumps(row, ensure_ascii=False) for row in notices)
        + "\n]\n}\n"
    )


def _whole(row: Json) -> Json:
    """A notice's row, without the replacement if every copy of the notice cuts its name off."""
    return row | ({"replacement": None} if "(cut)" in str(row["replacement"]) else {})


def _entry(row: Json, sources: Json) -> Json:
    """The state of one model. `date` is the day it was retired, or the day of the newest evidence that it lives."""
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


_SPELLED = {"gpt-image-2-edit": "gpt-image-2"}
"""Our id -> the source's id, for a model of which we have one entry for each of its two routes."""


def _newer(rows: list[Json], sources: Json) -> Json:
    """The states of models that are only in the source's list of new models. The quality of the evidence decides:
    recorded answers make a model live with high confidence, a page of Novita's with medium confidence."""
    found: Json = {}
    told = {name.casefold(): row for row in rows for name in (row["id"], *row.get("also", ()))}
    for entry in _entries():
        row = told.get(_SPELLED.get(entry["id"], entry["id"]))
        if row is None:
            continue
        seen = row["basis"].startswith("live captures")
        alive = seen or "Novita model page exists" in row["basis"]
        found[entry["id"]] = {
            "state": "live" if alive else "unknown",
            "date": max(sources[key]["date"] for key in row["evidence"]),
            "confidence": "high" if seen else "medium" if alive else "low",
            "why": row["basis"],
            "evidence": row["evidence"],
            "replacement": None,
            "note": "",
        }
    return found


def _doubts(bill: Json) -> dict[str, str]:
    """Model -> a reason to doubt that it lives, for models that no notice names as retired."""
    ended = {name: f"Its maker ended it on {day}." for name, day in bill["retired"]["ended_by_the_maker"].items()}
    likely = "A notice of 3 August 2026 probably names it, in rows that no copy shows."
    return dict.fromkeys(bill["contradictions"]["state_likely"], likely) | ended


def _last_day(text: str) -> str:
    found = _DAY.findall(text)
    return found[-1] if found else ""


def _chains(safe: Json, states: Json, bill: Json) -> Json:
    """Capability -> its living models in the order in which they are tried: first those of `safe_defaults`, then the
    others by `_rank`."""
    models = _entries()
    does: dict[str, list[Json]] = {}
    for model in models:
        if states.get(model["id"], model)["state"] in _ALIVE:
            for capability in model["does"]:
                does.setdefault(capability, []).append(model)
    known = {capability for model in models for capability in model["does"]}
    found: Json = {}
    for capability in sorted(known):
        able = {model["id"]: model for model in does.get(capability, [])}
        told = [str(row["id"]).casefold() for row in cast("list[Json]", safe.get(capability, []))]
        first = [name for name in told if name in able]
        rest = [able[name] for name in able if name not in first]
        found[capability] = [*first, *(model["id"] for model in sorted(rest, key=lambda m: _rank(m, states, bill)))]
    return found


def _rank(model: Json, states: Json, bill: Json) -> tuple[int, int, bool, bool, float]:
    """The sort key of a model in a chain: the evidence that it lives, then its price, for a clip of five seconds."""
    row = states[model["id"]]
    doubted = model["id"] in _doubts(bill) or "Same engine as txt2img" in row["note"]  # txt2img's route is gone
    main = [price for price in bill["prices"].get(model["id"], ()) if not price.get("extra")]
    each = [float(price["usd"]) * (5 if price["unit"] == "second" else 1) for price in main]
    return _ALIVE.index(row["state"]), _SURE.index(row["confidence"]), doubted, not each, min(each, default=0.0)


def _lines(value: Any) -> str:
    """JSON with one line for each row, so that files are small and differences are readable."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    rows: Iterable[tuple[str, Any]] = cast(Json, value).items()
    return "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in rows) + "\n}"


# Prices -----------------------------------------------------------------------------------------------------------

_BASES = {"novita": "documented", "novita-blog": "documented", "maker": "maker", "third-party": "third_party"}
_ROUNDED = re.compile(r"max\(round\((?P<of>[\w*]+?)\*(?P<each>[\d.e-]+)\)/10000, (?P<least>[\d.]+)\) USD per \w+.*")
_BOUNDED = re.compile(r"max\((?P<of>[\w*]+?)\*(?P<each>[\d.e-]+), (?P<least>[\d.]+)\) USD per \w+.*")
_DIVIDED = re.compile(r"(?P<each>[\d.]+)\*\((?P<of>[\w*]+)\)/(?P<over>\d+) USD per \w+")
_BOTH = "seconds of input and output are both billed"

_MING: Json = {"basis": "documented", "source": "page-ming", "seen": "2026-09"}
_PROMOTION = "0 while a promotion lasts, whose end is not known; this is the price that it strikes through."
_H3: Json = {"per": "second", "basis": "maker", "source": "minimax_paygo_via_phaseo", "seen": "2026-08", "seconds": 15}
_NEWER_PRICES: Json = {
    # 1 USD per million tokens in and out: 4096 for a picture of 1024x1024, 16384 for one of 2048x2048, the default
    "ming-image-0.1-design": [
        {"usd": "0.004096", "per": "image", "when": {"size": ["1024x1024"]}, **_MING, "note": _PROMOTION},
        {"usd": "0.016384", "per": "image", **_MING, "note": _PROMOTION},
    ],
    # 2 USD per million output tokens, assuming that the model splits a picture into eight layers of 2048x2048
    "ming-image-0.1-design-layer": [{"usd": "0.262144", "per": "image", **_MING, "note": _PROMOTION}],
    "minimax-h3": [
        {"usd": "0.08", "when": {"resolution": ["768P"]}, **_H3},
        {"usd": "0.13", "when": {"resolution": ["2K"]}, **_H3},
    ],
}
"""Prices of models that prices.yaml has outside its table, or lifecycle.yaml under `new`."""
_SERIES = "sequential_image_generation"
_LENGTHS: dict[str, Json] = {
    # "character_orientation image gives 5 s, video as long as the reference (3 to 30 s)"
    "kling-v3.0-motion-control": {"character_orientation": {"image": 5, "video": 30}},
    "kling-v2.6-pro-motion-control": {"": {"": 30}},
    "kling-o1-video-edit": {"": {"": 10}},  # "3 to 10 s of input"
    "wan2.7-videoedit": {"": {"": 10}},  # billing_rules: "without duration: 10 s", however long the clip is
    # "no limit on the length is documented"; under dear_calls ten minutes are the dearest
    "heygen-video-translate": {"": {"": 600}},
    "vidu-q2-pro-multiframe": {"": {"": 63}},  # at most nine key frames, with at most seven seconds before each
    "vidu-q2-turbo-multiframe": {"": {"": 63}},
}
"""The longest clip, in seconds, of models that have no field for the length: model -> field -> its value -> seconds."""
_CHARGED_BY_BODY = {"wan2.7-videoedit"}
"""Models whose charge depends on the request alone. If it has no length, the longest is charged."""


def prices(folder: Path) -> str:
    """The text of prices.json: the price rows of each model, those with the best basis first, formulas as factors."""
    book: Json = yaml.safe_load((folder / "prices.yaml").read_text(encoding="utf-8"))
    models = {model["id"]: model for model in _entries()}
    safe = yaml.safe_load((folder / "lifecycle.yaml").read_text(encoding="utf-8"))["safe_defaults"]
    found: Json = {}
    for name, rows in book["prices"].items():
        # A maker's price of 0 says nothing about the most that Novita may charge, so it is left out.
        made = [one for row in rows for one in _rows(models[name], row, book["prices"]) if float(one["usd"])]
        found[name] = made or _from_defaults(name, safe)
    found |= _NEWER_PRICES
    used = {row["source"] for rows in found.values() for row in rows}
    sources = {name: _INSIDE.sub("", text) for name, text in book["sources"].items() if name in used}
    sources["page-ming"] = "https://novita.ai/models/model-detail/ming-image-0.1-design and ...-layer"
    sources["pricing-07"] = "https://novita.ai/pricing, as compiled by a third party"
    parts: Json = {"compiled": book["about"]["compiled"], "sources": sources, "models": found}
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {_lines(value)}" for name, value in parts.items()) + "\n}\n"


def voices(folder: Path) -> str:
    """The text of voices.json: one row for each voice; first the voices on pages of Novita's or of the model's."""
    book: Json = yaml.safe_load((folder / "prices.yaml").read_text(encoding="utf-8"))["voices"]
    sure: list[Json] = []
    for family, told in book.items():
        rows = told.get("voices") or told.get("documented_at_novita", {}).get("voices", [])
        language = {"language": "Chinese"} if family == "glm-tts" else {}
        sure += [{**row, "family": family, **language} for row in rows]
    system = book["minimax"]["system_voices"]["by_language"]
    unsure = [
        {**row, "family": "minimax", "language": language, "sure": False}
        for language, rows in system.items()
        for row in rows
    ]
    each = [json.dumps(_spelled(row), ensure_ascii=False) for row in (*sure, *unsure)]
    source = "Novita's API reference, docs.fish.audio; the others: a list of the maker's, not tried at Novita"
    return f'{{\n"source": {json.dumps(source)},\n"voices": [\n' + ",\n".join(each) + "\n]\n}\n"


def _spelled(row: Json) -> Json:
    """A row with only the known keys, and their values as texts."""
    known = ("id", "family", "language", "gender", "style", "age", "accent", "name", "sure")
    return {key: row[key] if key == "sure" else str(row[key]) for key in known if row.get(key) not in (None, "none")}


def _from_defaults(name: str, safe: Json) -> list[Json]:
    """The price of a model in `safe_defaults`, which has the form `0.10 USD/voice`."""
    for rows in safe.values():
        for row in cast("list[Json]", rows) if isinstance(rows, list) else ():
            match = re.fullmatch(r"([\d.]+) USD/(\w+)", str(row.get("price")))
            if row.get("id") == name and match is not None and "pricing-07" in row["evidence"]:
                told: Json = {"basis": "third_party", "whose": "Novita", "source": "pricing-07", "seen": "2026-07"}
                return [{"usd": match[1], "per": match[2], **told}]
    return []


def simulated_prices(folder: Path) -> str:
    """The text of the simulator's prices.json: the same rows by operation, without what only a reader needs.

    The simulator knows how many pictures a series has and how long a film is, so the rows need no upper bounds.
    """
    rows: Json = json.loads(prices(folder))["models"]
    kept = ("usd", "per", "when", "times", "over", "step", "least", "extra", "basis")
    found = {model["operation"]: rows[model["id"]] for model in _entries() if model["id"] in rows}

    def lean(row: Json) -> Json:
        made = {key: row[key] for key in kept if key in row}
        made |= {"per": "1M_characters"} if row["per"] == "1M_bytes" else {}  # the name in Novita's list
        return made | ({"input_too": True} if "input_seconds" in row else {})

    told = {name: [lean(row) for row in rows if _SERIES not in row.get("when", {})] for name, rows in found.items()}
    return f'{{\n"operations": {_lines(told)}\n}}\n'


def _entries() -> list[Json]:
    tables = [json.loads((ROOT / "novita" / "media" / "catalog" / name).read_text(encoding="utf-8")) for name in TABLES]
    return [model for table in tables for model in table["models"]]


def _rows(model: Json, row: Json, prices: Json) -> Iterable[Json]:
    """Our rows for one row of the source: one row, or one for each length or series."""
    conditions, name = row.get("conditions", ""), model["id"]
    made: Json = {"usd": str(row["usd"]), "per": row["unit"]}
    when: Json = dict(row.get("when", {}))
    if (pictured := re.search(r"no images|with images", conditions)) is not None:
        when["images"] = pictured[0] == "with images"
    if "formula" in row:
        made |= _formula(model, row["formula"], prices)
        made["example"] = f"${row['usd']} per {row['unit']} at {conditions.partition(';')[0]}"
    if name == "unified-video" and (length := re.fullmatch(r"(\d+) s", conditions)):
        when["duration"] = [int(length[1]), length[1]]
    if re.fullmatch(r"5 s", conditions) and name != "unified-video" and _field(model, "duration"):
        when["duration"] = [5]
    if any(each.get("conditions") == _BOTH for each in prices[name]):
        made["input_seconds"] = 10
    if when:
        made["when"] = when
    made |= {"extra": True} if row.get("extra") else {}
    made |= {"next_megapixel": row["extra_megapixel_usd"]} if "extra_megapixel_usd" in row else {}
    if "UTF-8 bytes" in row.get("note", ""):  # bytes or characters is not clear; bytes give the higher, safe estimate
        made["per"] = "1M_bytes"
    made |= {"basis": _BASES[row["basis"]], "source": row["source"], "seen": row["seen"]}
    made |= {key: row[old] for key, old in (("whose", "price_of"), ("note", "note")) if old in row}
    if _field(model, _SERIES) and (most := _field(model, "max_images")):
        yield {**made, "when": {**when, _SERIES: ["auto"]}, "times": [most]}
    for field, lengths in _LENGTHS.get(name, {"": {"": 0}}).items():
        for value, seconds in lengths.items():
            more: Json = {"when": {**when, field: [value]}} if field else {}
            bounds: Json = {"seconds": seconds} if seconds else {}
            if seconds and "video" in model["arguments"] and name not in _CHARGED_BY_BODY and value != "image":
                bounds["follows"] = True
            yield {**made, **more, **bounds}
    if name == "minimax-voice-cloning" and row["basis"] == "third-party":
        # "the trial text is billed as speech on top": at the price of the more expensive of the two possible models
        speech = prices["minimax-speech-2.8-hd"][0]
        of = {"basis": "documented", "source": speech["source"], "seen": speech["seen"]}
        yield {"usd": str(speech["usd"]), "per": speech["unit"], "extra": True, **of}


def _formula(model: Json, text: str, prices: Json) -> Json:
    """A formula of the source as factors, divisor, rounding step and minimum."""
    if text.startswith("as "):
        text = next(row["formula"] for row in prices[text.split(" ")[1]] if "formula" in row)
    for pattern, step in ((_ROUNDED, "0.0001"), (_BOUNDED, ""), (_DIVIDED, "")):
        if (match := pattern.fullmatch(text.partition(";")[0])) is not None:
            parts = match.groupdict()
            usd = f"{parts['each']}e-4" if pattern is _ROUNDED and "e" not in parts["each"] else parts["each"]
            if pattern is _ROUNDED and "e" in parts["each"]:
                number, _, power = parts["each"].partition("e")
                usd = f"{number}e{int(power) - 4}"
            made: Json = {"usd": usd, "times": [_factor(model, name, text) for name in parts["of"].split("*")]}
            made |= {key: value for key, value in (("over", parts.get("over")), ("step", step)) if value}
            return made | ({"least": parts["least"]} if parts.get("least") else {})
    raise SystemExit(f"{model['id']}: a formula of a kind not known: {text}")


def _factor(model: Json, name: str, formula: str) -> str:
    """The path of the native field for a name in a formula. `@width` and `@height`: the size of the input picture."""
    if name in ("width", "height") and "size is that of the input picture" in formula:
        return f"@{name}"
    spellings = {"frames": ("prompts[].frames", "frames_num"), "scale_factor": ("scale_factor", "upscaling_resize")}
    for wanted in spellings.get(name, (name,)):
        if (found := _field(model, wanted)) is not None:
            return found
    raise SystemExit(f"{model['id']} has no field {name!r} of its formula")


def _field(model: Json, name: str) -> str | None:
    return next((path for path in _fields(model["input"]) if path == name or path.endswith(f".{name}")), None)


def _fields(schema: Json, prefix: str = "") -> Iterable[str]:
    for name, part in schema.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from _fields(part, f"{prefix}{name}.")
        yield from _fields(part.get("items", {}), f"{prefix}{name}[].")
