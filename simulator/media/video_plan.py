"""Reads from a request which film it asks for. Nothing here knows of HTTP or files.

Each model has its own field names, and may nest them in `input`, `parameters`, `request` or `extra`. But no name means
two things. So all nested objects are merged, over the documented defaults, and then read by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from ..core.facts import Operation, request_schema

Json = dict[str, Any]
_LAYERS: Final = ("input", "parameters", "request", "extra")

FIRST: Final = ("image_file", "image", "image_url", "image_base64", "img_url", "start_image", "images")
KEYS: Final = ("image_settings",)
LAST: Final = ("end_image", "end_image_url", "last_image", "last_frame_url", "last_image_url", "last_image_base64")
REFERENCES: Final = (
    "subjects",
    "reference_images",
    "reference_image_url",
    "reference_image_url_2",
    "reference_image_url_3",
)
CLIPS: Final = ("video", "video_url", "first_clip_url", "reference_urls")
SOUNDS: Final = ("audio_url", "driving_audio_url", "audio")
SWITCHES: Final = ("sound", "audio", "generate_audio", "add_audio", "bgm")
SPEAKS_UNASKED: Final = frozenset(["wan2_7_t2v", "wan2_7_i2v", "sora_2_text2video", "sora_2_img2video"])
"""These models make sound although no field asks for it."""

EDITS: Final = frozenset(
    ["wan2_7_videoedit", "kling_o1_video_edit", "kling_o1_ref2v", "heygen_video_translate", "video_merge_face"]
)
"""These operations change the clip. Others only take a motion, a look or the last frame from it."""

# Pixels of the shorter side if no field names it, by the first pattern found in the operation id or mode.
_TIERS: Final = (
    ("4k", 2160),
    ("professional", 1080),
    ("standard", 720),
    ("kling-v3-0-pro", 1080),
    ("_std_", 720),
    ("_pro", 1080),
    ("master", 1080),
    ("turbo", 1080),
    ("kling_o1", 1080),
    ("vidu_2_0", 360),
)
_FPS: Final = {"minimax_video_01": 25, "txt2video": 8, "wan_t2v": 16, "hunyuan_video_fast": 24}
_SECONDS: Final = {"minimax_video_01": 6.0}
ZERO_IS_RANDOM: Final = ("vidu_q3", "vidu_q2_template2video")

Source = Literal["first", "key", "last", "reference"]


@dataclass(frozen=True)
class WantedFile:
    """One file of a request: the field, as an error names it, its value, and what the file is for."""

    field: str
    value: str
    role: Source = "first"


@dataclass(frozen=True)
class FilmPlan:
    """The film that is asked for. `width`, `height` and `seconds` are None if an input decides them."""

    words: str
    seconds: float | None
    size: tuple[int, int] | None
    ratio: float | None
    tier: int
    fps: int | None
    seed: int | None
    count: int
    container: str
    pictures: tuple[WantedFile, ...]
    clips: tuple[WantedFile, ...]
    sound: WantedFile | None
    makes_sound: bool
    music_only: bool
    keeps_sound: bool


class Fields(Mapping[str, Any]):
    """The fields of a request by name, wherever they are nested, with the documented defaults."""

    def __init__(self, operation: Operation, body: Json) -> None:
        self.given = _laid_flat(body)
        self._all = _defaults(request_schema(operation)) | self.given

    def __getitem__(self, name: str) -> Any:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def plan(operation: Operation, fields: Fields) -> FilmPlan:
    """Read the request, without any checks."""
    name = operation.id
    sound = next((WantedFile(f, fields[f]) for f in SOUNDS if isinstance(fields.get(f), str)), None)
    switched = any(fields.get(switch) is True for switch in SWITCHES)
    return FilmPlan(
        words=_words(fields),
        seconds=_seconds(name, fields),
        size=_size(name, fields),
        ratio=_ratio(fields),
        tier=_tier(name, fields),
        fps=_fps(name, fields),
        seed=_seed(name, fields),
        count=int(fields.get("sample_count", 1)),
        container=fields.get("response_video_type", "mp4"),
        pictures=tuple(_pictures(fields)),
        clips=tuple(_clips(fields)),
        sound=sound,
        makes_sound=sound is None and (switched or name in SPEAKS_UNASKED),
        music_only=fields.get("bgm") is True and not any(fields.get(s) is True for s in SWITCHES[:-1]),
        keeps_sound=fields.get("keep_original_sound", name in EDITS) is True,
    )


def frame_size(wanted: FilmPlan, shape: tuple[int, int] | None) -> tuple[int, int]:
    """Pixels of the film; `shape` is the size of the picture or clip it starts from."""
    if wanted.size is not None:
        return wanted.size
    ratio = wanted.ratio or (min(4.0, max(0.25, shape[0] / shape[1])) if shape else 16 / 9)
    if ratio >= 1:
        return _even(wanted.tier * ratio), wanted.tier
    return wanted.tier, _even(wanted.tier / ratio)


def _laid_flat(body: Mapping[str, Any]) -> Json:
    flat: Json = {}
    for name, value in body.items():
        if name in _LAYERS and isinstance(value, dict):
            flat |= _laid_flat(cast("Json", value))
        elif value is not None:
            flat[name] = value
    return flat


def _defaults(schema: Json) -> Json:
    found: Json = {}
    properties: dict[str, Json] = schema.get("properties", {})
    for name, inner in properties.items():
        if name in _LAYERS:
            found |= _defaults(inner)
        elif "default" in inner:
            found[name] = inner["default"]
    return found


def _words(fields: Fields) -> str:
    prompts: list[Json] = [*fields.get("prompts", []), *fields.get("image_settings", [])]
    prompts += _shots(fields)
    parts = [fields.get("prompt", ""), *(one.get("prompt", "") for one in prompts), fields.get("template", "")]
    return " ".join(part for part in parts if part)


def _shots(fields: Fields) -> list[Json]:
    """Kling's shots. Some routes do not document their shape, so they may be anything."""
    return [cast("Json", shot) for shot in fields.get("multi_prompt", []) if isinstance(shot, dict)]


def _seconds(name: str, fields: Fields) -> float | None:
    if "prompts" in fields:
        return sum(scene["frames"] for scene in fields["prompts"]) / _FPS[name]
    if "frames_num" in fields:
        return fields["frames_num"] / fields["frames_per_second"]
    if "image_settings" in fields:
        return sum(float(key.get("duration", 5)) for key in fields["image_settings"])
    shots = _shots(fields)
    if shots and "duration" not in fields.given:
        return sum(float(shot.get("duration", 5)) for shot in shots)
    if "duration" in fields or "duration_seconds" in fields:
        asked = float(fields.get("duration", fields.get("duration_seconds", 0)))
        return asked or None  # 0 means the length of the clip.
    if isinstance(fields.get("frames"), int):
        return max(1, fields["frames"]) / _FPS[name]
    if fields.get("character_orientation") == "image":
        return 5
    if any(clip in fields for clip in (*CLIPS, "video_assets_id")):
        return None
    return _SECONDS.get(name, 5)


def _size(name: str, fields: Fields) -> tuple[int, int] | None:
    if isinstance(size := fields.get("size"), str):
        width, height = re.split(r"[*x]", size)
        return int(width), int(height)
    if name == "sora_2_text2video":
        return 720, 1280  # The first of the documented sizes, as no default is documented.
    if name == "wan_i2v":
        return None  # The picture decides the shape; width and height only decide the number of pixels.
    given = fields.given
    if name == "wan_t2v" and not ("width" in given and "height" in given):
        return 832, 480
    if "width" in fields and "height" in fields:
        return fields["width"], fields["height"]
    return None


def _ratio(fields: Fields) -> float | None:
    text = fields.get("aspect_ratio", fields.get("ratio"))
    match = re.fullmatch(r"(\d+):(\d+)", text) if isinstance(text, str) else None
    return int(match[1]) / int(match[2]) if match and int(match[2]) and int(match[1]) else None


def _tier(name: str, fields: Fields) -> int:
    if isinstance(tier := fields.get("resolution"), str) and (digits := re.match(r"\d+", tier)):
        return int(digits[0])
    if name == "wan_i2v":
        return min(fields["width"], fields["height"])
    if name.startswith("vidu_2_0_") and fields.get("duration") == 8:
        return 720
    told = f"{fields.get('mode', '')} {fields.get('model_name', '')} {name}".lower()
    return next((tier for pattern, tier in _TIERS if pattern in told), 720)


def _fps(name: str, fields: Fields) -> int | None:
    if fields.get("enable_frame_interpolation"):
        return 24
    asked = fields.get("fps", fields.get("frames_per_second"))
    return asked if isinstance(asked, int) else _FPS.get(name)


def _seed(name: str, fields: Fields) -> int | None:
    seed = fields.get("seed")
    if not isinstance(seed, int) or seed < 0 or (seed == 0 and name.startswith(ZERO_IS_RANDOM)):
        return None
    return seed


def _pictures(fields: Fields) -> Iterator[WantedFile]:
    for name in FIRST:
        yield from _wishes(name, fields.get(name), "first")
    for number, key in enumerate(fields.get("image_settings", [])):
        yield WantedFile(f"image_settings.{number}.key_image", key["key_image"], "key")
    for number, medium in enumerate(fields.get("media", [])):
        if medium["type"] != "reference_video":
            yield WantedFile(
                f"media.{number}.url", medium["url"], "first" if medium["type"] == "first_frame" else "reference"
            )
    for name in REFERENCES:
        yield from _wishes(name, fields.get(name), "reference")
    for name in LAST:
        yield from _wishes(name, fields.get(name), "last")


def _clips(fields: Fields) -> Iterator[WantedFile]:
    for name in CLIPS:
        yield from _wishes(name, fields.get(name), "reference")
    for number, medium in enumerate(fields.get("media", [])):
        if medium["type"] == "reference_video":
            yield WantedFile(f"media.{number}.url", medium["url"], "reference")
    for number, subject in enumerate(fields.get("subjects", [])):
        yield from _wishes(f"subjects.{number}.videos", subject.get("videos"), "reference")


def _wishes(name: str, value: Any, role: Source) -> Iterator[WantedFile]:
    """A text, a list of texts, or a list of subjects with pictures."""
    if isinstance(value, str):
        if value:
            yield WantedFile(name, value, role)
    elif isinstance(value, list):
        for number, item in enumerate(cast("list[Any]", value)):
            inner = cast("Json", item).get("images") if isinstance(item, dict) else item
            yield from _wishes(f"{name}.{number}", inner, role)


def _even(pixels: float) -> int:
    return round(pixels / 2) * 2
