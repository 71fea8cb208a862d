"""What the documentation says about video requests besides their schemas: which fields exclude each other, which files
may be sent, and what a film costs."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final

from .inputs import PICTURE_TYPES, InputLimits
from .video_plan import Fields

Rule = tuple[str, Callable[[Fields], bool], str]


def _pair(width: str, height: str, *pairs: tuple[int, int]) -> Callable[[Fields], bool]:
    return lambda f: width not in f.given or height not in f.given or (f[width], f[height]) in pairs


def _unless(condition: Callable[[Fields], bool], wanted: Callable[[Fields], bool]) -> Callable[[Fields], bool]:
    return lambda f: not condition(f) or wanted(f)


def _not_both(one: str, other: str) -> Callable[[Fields], bool]:
    return lambda f: not (f.given.get(one) and f.given.get(other))


def _fine(f: Fields) -> bool:
    return "1920" in f.get("size", "") or f.get("resolution") == "1080P"


RULES: Final[tuple[Rule, ...]] = (
    ("txt2video", lambda f: sum(p["frames"] for p in f["prompts"]) <= 128, "prompts: at most 128 frames in all"),
    (
        "img2video",
        lambda f: f["frames_num"] == {"SVD-XT": 25, "SVD": 14}[f["model_name"]],
        "frames_num: 25 with SVD-XT, 14 with SVD",
    ),
    ("hunyuan_video_fast", _pair("width", "height", (1280, 720), (720, 1280)), "width and height: 1280 and 720"),
    (
        "wan_[ti]2v",
        _pair("width", "height", (832, 480), (480, 832), (1280, 720), (720, 1280)),
        "width and height: 832 goes with 480, 1280 with 720",
    ),
    (
        "minimax_hailuo_*",
        _unless(lambda f: f["resolution"] == "1080P", lambda f: f["duration"] == 6),
        "resolution: 1080P only for 6 s",
    ),
    ("wan_2_2_*", _unless(_fine, lambda f: f["duration"] == 5), "duration: only 5 at 1080P"),
    ("wan_2_2_*", _unless(_fine, lambda f: not f.get("loras")), "loras: not at 1080P"),
    ("wan2_7_i2v", _not_both("image_url", "first_clip_url"), "image_url: not together with first_clip_url"),
    ("kling_v3_0_*", _not_both("end_image", "multi_prompt"), "end_image: not together with multi_prompt"),
    (
        "kling_v1_6_i2v",
        _unless(lambda f: bool(f.get("end_image_url")), lambda f: f["mode"] == "Professional"),
        "end_image_url: Professional only",
    ),
    (
        "vidu_2_0_*",
        _unless(lambda f: f["duration"] == 8, lambda f: f.get("resolution", "720p") == "720p"),
        "resolution: only 720p for 8 s",
    ),
    (
        "pixverse_*",
        _unless(lambda f: f["fast_mode"], lambda f: f["resolution"] != "1080p"),
        "resolution: no 1080p with fast_mode",
    ),
    (
        "sora_2_text2video",
        _unless(lambda f: f.get("size", "").startswith(("1024", "1792")), lambda f: f["professional"]),
        "size: the 1024 and 1792 sizes need professional",
    ),
    (
        "sora_2_img2video",
        _unless(lambda f: f["resolution"] == "1080p", lambda f: f["professional"]),
        "resolution: 1080p needs professional",
    ),
    ("veo_*", lambda f: f["enhance_prompt"] is True, "enhance_prompt: only true is taken"),
    (
        "vidu_q3_turbo_i2v",
        _unless(lambda f: "audio_type" in f.given, lambda f: f["audio"]),
        "audio_type: needs audio",
    ),
    ("wan2_7_videoedit", lambda f: f["duration"] != 1, "duration: 0, or 2 to 10"),
)

_LINK: Final = "u"
_LINK_OR_DATA: Final = "ud"
_KLING: Final = InputLimits("udb", 10, (300, 100_000), 2.5, types=frozenset({"JPEG", "PNG"}))
_VIDU: Final = InputLimits("udb", 50, (1, 100_000), 4, types=frozenset({"JPEG", "PNG", "WEBP"}))
_SEEDANCE: Final = InputLimits("udb", 30, (300, 6000), 2.5, types=PICTURE_TYPES | {"TIFF", "GIF"})

# Limits of pictures by operation and field, as an error names it. The first row that fits both counts.
PICTURES: Final[tuple[tuple[str, str, InputLimits], ...]] = (
    ("img2video", "image_file", InputLimits("b", 30, (1, 2048))),
    ("video_merge_face", "face_image_base64", InputLimits("b", 30, (1, 2048))),
    ("wan_2_5_i2v_preview", "*", InputLimits(_LINK, 10, (360, 2000), types=PICTURE_TYPES, opaque=True)),
    ("wan_2_2_i2v", "*", InputLimits(_LINK, 10, (360, 2000), types=PICTURE_TYPES, opaque=True)),
    ("wan2_6_i2v", "*", InputLimits(_LINK_OR_DATA, 10, (360, 2000), types=PICTURE_TYPES, opaque=True)),
    ("wan2_7_i2v", "*", InputLimits(_LINK, 20, (240, 8000), 8, types=PICTURE_TYPES, opaque=True)),
    ("wan2_7_videoedit", "*", InputLimits(_LINK, 20, (240, 8000))),
    ("wan2_7_r2v", "*", InputLimits(_LINK)),
    ("wan_i2v", "*", InputLimits(_LINK)),
    ("kling_v1_6_i2v", "*", InputLimits(_LINK)),
    ("kling_v2_1_*", "*", InputLimits("udb", 10, (300, 100_000), types=frozenset({"JPEG", "PNG"}))),
    ("kling_2_5_*", "*", InputLimits("udb", 10, (300, 100_000), types=frozenset({"JPEG", "PNG"}))),
    ("kling_o1_*", "*", InputLimits("udb")),
    ("kling_*", "end_image", InputLimits(_LINK, 10, (300, 100_000), 2.5, types=frozenset({"JPEG", "PNG"}))),
    ("kling_*", "*", _KLING),
    ("minimax_video_01", "*", InputLimits(_LINK)),
    ("minimax_*", "*", InputLimits(_LINK_OR_DATA)),
    (
        "vidu_q1_reference2video",
        "*",
        InputLimits(_LINK_OR_DATA, 50, (128, 100_000), 4, types=frozenset({"JPEG", "PNG", "WEBP"})),
    ),
    ("vidu_q1_*", "*", InputLimits(_LINK_OR_DATA, 50, (1, 100_000), 4, types=frozenset({"JPEG", "PNG", "WEBP"}))),
    ("vidu_2_0_*", "*", InputLimits(_LINK_OR_DATA, 50, (1, 100_000), 4, types=frozenset({"JPEG", "PNG", "WEBP"}))),
    ("vidu_q3_pro_i2v", "*", InputLimits(_LINK, 50, (1, 100_000), 4, types=frozenset({"JPEG", "PNG", "WEBP"}))),
    ("vidu*", "*", _VIDU),
    ("seedance_v1_5_*", "*", InputLimits(_LINK_OR_DATA, 30, (300, 6000), 2.5, types=_SEEDANCE.types)),
    ("seedance_*", "*", _SEEDANCE),
    ("pixverse_*", "*", _KLING),
    ("sora_*", "*", InputLimits("udb", types=frozenset({"JPEG", "PNG"}))),
    ("veo_*", "*_url", InputLimits(_LINK)),
    ("veo_*", "*_base64", InputLimits("b")),
    ("*", "*", InputLimits("udb")),
)
CLIP_LIMITS: Final[tuple[tuple[str, InputLimits], ...]] = (
    ("wan2_7_r2v", InputLimits(_LINK)),
    ("wan2_7_*", InputLimits(_LINK, 100, (240, 4096), seconds=(2, 10))),
    ("kling_*motion_control", InputLimits(_LINK, 10, (300, 100_000), seconds=(3, 30))),
    ("*", InputLimits(_LINK)),
)
SOUND_LIMITS: Final[tuple[tuple[str, InputLimits], ...]] = (
    ("wan2_7_i2v", InputLimits(_LINK, 15, seconds=(2, 30), types=frozenset({"wav", "mp3"}))),
    ("vidu_*", InputLimits(_LINK, 20, types=frozenset({"mp3", "wav", "mp4", "flac"}))),
    ("*", InputLimits(_LINK, 15, seconds=(3, 30), types=frozenset({"wav", "mp3"}))),
)


def broken_rule(operation_id: str, fields: Fields) -> str | None:
    """The first documented rule that the request breaks, or None."""
    return next((text for name, holds, text in RULES if fnmatchcase(operation_id, name) and not holds(fields)), None)


def picture_limits(operation_id: str, field: str) -> InputLimits:
    return next(lim for name, at, lim in PICTURES if fnmatchcase(operation_id, name) and fnmatchcase(field, at))


def limits_of(table: tuple[tuple[str, InputLimits], ...], operation_id: str) -> InputLimits:
    return next(limits for name, limits in table if fnmatchcase(operation_id, name))
