"""Converts single values from the common spelling to a model's own, or says why that is impossible.

A `ValueError` from here says what the model would take. The caller adds the names of argument and model.
This is written by hand, because no library finds the value nearest to a wish among those that a model takes.
"""

import base64
import binascii
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.answers import a_list
from ..core.json_paths import Json
from ..core.schema_errors import echo
from ..files.kinds import HEAD_BYTES, Form, sniff
from .catalog_entry import MediaModel, Sizes

SHAPE = ("size", "aspect_ratio", "resolution")
"""The arguments that together say how large a picture is."""

_TWINS = {"jpg": "jpeg", "jpeg": "jpg"}


def types_of(schema: Json) -> tuple[str, ...]:
    """The JSON types a schema allows; empty means any."""
    kind: str | list[str] = schema.get("type", [])
    return (kind,) if isinstance(kind, str) else tuple(kind)


def coerce(schema: Json, value: object) -> Any:
    """`value` in the native type and in the nearest allowed spelling. If there is none, it is returned unchanged."""
    allowed = schema.get("enum")
    if allowed is not None:
        return _nearest_spelling(allowed, value)
    if isinstance(value, bool):
        return value
    for kind in types_of(schema):
        if isinstance(value, str):
            text = value.strip()
            if kind == "integer" and re.fullmatch(r"[+-]?\d+(\.0+)?", text):
                return int(float(text)) if "." in text else int(text)
            if kind == "number" and re.fullmatch(r"[+-]?\d+(\.\d+)?", text):
                return float(text)
            if kind == "boolean" and text.casefold() in ("true", "false"):
                return text.casefold() == "true"
        elif isinstance(value, int | float):
            if kind == "integer" and float(value).is_integer():
                return int(value)
            if kind == "string":
                return f"{value:g}" if isinstance(value, float) else str(value)
    if "array" in types_of(schema) and isinstance(value, str | int | float):
        return [coerce(schema.get("items", {}), value)]
    return value


def _nearest_spelling(allowed: list[Any], value: object) -> Any:
    for legal in allowed:
        if legal == value and isinstance(legal, bool) == isinstance(value, bool):
            return legal
    if isinstance(value, bool):
        return value
    wanted = f"{value:g}" if isinstance(value, float) else str(value)
    wanted = wanted.strip().casefold()
    ratio = ":".join(found.groups()) if (found := _RATIO.fullmatch(wanted)) else wanted
    for spelling in (wanted, _TWINS.get(wanted, wanted), ratio, f"{wanted}p"):
        for legal in allowed:
            if str(legal).casefold() == spelling:
                return legal
    return value


def form_of(value: str) -> Form:
    """The form of a file in a request."""
    if value.startswith("data:"):
        return "data_uri"
    return "url" if re.match(r"https?://", value, re.IGNORECASE) else "base64"


def mime_of(file: str) -> str:
    """The MIME type of a file that a request holds as a data URI or base64."""
    head, comma, _ = file[:200].partition(",")
    if comma and head.startswith("data:"):
        return head.removeprefix("data:").partition(";")[0]
    start = file[: HEAD_BYTES * 4 // 3 // 4 * 4]
    try:
        found = sniff(base64.b64decode(start + "=" * (-len(start) % 4)))
    except binascii.Error:
        found = None
    return found.mime if found is not None else "application/octet-stream"


# Languages -----------------------------------------------------------------------------------------------------

_LANGUAGES = {
    "af": "Afrikaans", "ar": "Arabic", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish",
    "fil": "Filipino", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "ms": "Malay", "nl": "Dutch",
    "nn": "Nynorsk", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "sv": "Swedish", "ta": "Tamil", "th": "Thai", "tr": "Turkish",
    "uk": "Ukrainian", "vi": "Vietnamese", "yue": "Chinese,Yue", "zh": "Chinese",
}  # fmt: skip


def language(schema: Json, value: object) -> Any:
    """A language as the model writes it. `value` may be the English name or the ISO code, whichever the model uses."""
    allowed = a_list(schema.get("enum"))
    direct = coerce(schema, value)
    if direct in allowed or not isinstance(value, str):
        return direct
    code = value.strip().casefold().replace("_", "-")
    named = coerce(schema, _LANGUAGES.get(code))
    if named in allowed:
        return named
    codes = {name.casefold(): short for short, name in _LANGUAGES.items()}
    short = codes.get(code, code)
    same = [legal for legal in allowed if str(legal).casefold().partition("-")[0] == short]
    return same[0] if len(same) == 1 else value


# Sizes ---------------------------------------------------------------------------------------------------------

_SIZE = re.compile(r"\s*(\d{2,5})\s*[x*×]\s*(\d{2,5})\s*", re.IGNORECASE)
_RATIO = re.compile(r"\s*(\d{1,4})\s*[:/x×]\s*(\d{1,4})\s*", re.IGNORECASE)
_SAME_RATIO = 0.03
"""By how much two ratios may differ and still count as equal: makers call 1088x832 4:3, and 1728x960 16:9."""
_SAME_TIER = 0.15


@dataclass(frozen=True)
class Frame:
    """The sizes a model takes, read from its `size` argument and its schema."""

    default: tuple[int, int] | None
    only: tuple[tuple[int, int], ...]
    recommended: tuple[tuple[int, int], ...]
    words: tuple[str, ...]
    exact: tuple[tuple[int, int], ...]
    sides: tuple[int, int]
    pixels: tuple[int, int]
    max_ratio: float
    multiple: int

    @property
    def step(self) -> int:
        """The grid for sizes that we compute. Models work in blocks of 8 pixels, even if they accept any size."""
        return self.multiple if self.multiple > 1 else 8

    @classmethod
    def of(cls, model: MediaModel) -> "Frame | None":
        """The frame of a model with a `size` argument."""
        argument = model.arguments.get("size")
        if argument is None:
            return None
        sizes = argument.sizes or Sizes()
        schemas = [model.field(path) or {} for path in argument.paths]
        text = schemas[0] if argument.as_ == "size" else {}
        sides = sizes.sides or (1, 100_000)
        if argument.as_ == "width_height" and sizes.sides is None:
            sides = (max(s.get("minimum", 1) for s in schemas), min(s.get("maximum", 100_000) for s in schemas))
        constant = model.constants.get(argument.paths[0])
        if argument.as_ == "width_height" and constant is not None:
            constant = f"{constant}x{model.constants[argument.paths[1]]}"
        return cls(
            default=parse_size(sizes.default or constant or text.get("default")),
            only=_sizes(sizes.only or text.get("enum", ())),
            recommended=_sizes(text.get("x-recommended", ())),
            words=sizes.words,
            exact=_sizes(sizes.exact),
            sides=sides,
            pixels=sizes.pixels or (1, 1 << 40),
            max_ratio=sizes.max_ratio or 1e9,
            multiple=sizes.multiple,
        )

    def fit(self, size: object, ratio: object, tier: object) -> tuple[int, int] | str:
        """The native size for what was asked, or one of the model's own words (`2K`).

        Raises:
            ValueError: The model has no such size; the text says which sizes it has.
        """
        if size is not None:
            return self._exact(size, ratio, tier)
        word = self._word(tier)
        if ratio is None and word is not None:
            return word
        if tier is not None and word is None and self.words:
            raise ValueError(f"resolution must be one of {', '.join(self.words)} (got {echo(tier)})")
        shape = parse_ratio(ratio) if ratio is not None else None
        shape = shape or self.default
        if shape is None:
            raise ValueError("needs an aspect_ratio, such as 16:9")
        wide, high = shape
        return self._nearest(wide, high, tier)

    def check(self, width: int, height: int) -> None:
        """Raise ValueError unless the model takes this size."""
        if self.only:
            if (width, height) not in self.only:
                raise ValueError(f"size must be one of {_list(self.only)} (got {width}x{height})")
            return
        if (width, height) in self.recommended:
            return
        low, high = self.sides
        if not (low <= width <= high and low <= height <= high):
            raise ValueError(f"each side must be {low} to {high} pixels (got {width}x{height})")
        few, many = self.pixels
        if not few <= width * height <= many:
            raise ValueError(f"width x height must be {few} to {many} pixels in all (got {width}x{height})")
        if width % self.multiple or height % self.multiple:
            raise ValueError(f"each side must be a multiple of {self.multiple} (got {width}x{height})")
        if max(width / height, height / width) > self.max_ratio:
            raise ValueError(f"one side may be at most {self.max_ratio:g} times the other (got {width}x{height})")

    def _exact(self, size: object, ratio: object, tier: object) -> tuple[int, int] | str:
        word = self._word(size)
        if word is not None and ratio is None and (tier is None or self._word(tier) == word):
            return word
        wanted = parse_size(size)
        if wanted is None:
            words = f", or one of {', '.join(self.words)}" if self.words else ""
            raise ValueError(f"size must look like 1024x768{words} (got {echo(size)})")
        if ratio is not None and not _alike(*wanted, *parse_ratio(ratio)):
            raise ValueError(f"size {wanted[0]}x{wanted[1]} is not {ratio}: give size or aspect_ratio, not both")
        if self.exact and wanted not in self.exact:
            got = f"(got {wanted[0]}x{wanted[1]})"
            raise ValueError(f"size must be {' or '.join(f'{w}x{h}' for w, h in self.exact)}, or an aspect_ratio {got}")
        if tier is not None and not _in_tier(wanted, _tier_pixels(tier)):
            raise ValueError(f"size {wanted[0]}x{wanted[1]} is not {tier}: give size or resolution, not both")
        self.check(*wanted)
        return wanted

    def _word(self, value: object) -> str | None:
        return next((word for word in self.words if word.casefold() == str(value).strip().casefold()), None)

    def _nearest(self, wide: int, high: int, tier: object) -> tuple[int, int]:
        usual = self.default or (1024, 1024)
        pixels = _tier_pixels(tier) if tier is not None else usual[0] * usual[1]
        asked = f"{tier} at {wide}:{high}" if tier is not None else f"{wide}:{high}"
        known = [s for s in self.only or self.recommended if _alike(*s, wide, high)]
        if tier is not None:
            known = [s for s in known if _in_tier(s, pixels)]
        if known:
            return min(known, key=lambda s: abs(math.log(s[0] * s[1] / pixels)))
        if self.only:
            raise ValueError(f"there is no size for {asked}; the sizes are {_list(self.only)}")
        width, height = self._computed(wide / high, pixels)
        if not _alike(width, height, wide, high) or (tier is not None and not _in_tier((width, height), pixels)):
            low, top = self.sides
            raise ValueError(f"{asked} does not fit: each side must be {low} to {top} pixels")
        self.check(width, height)
        return width, height

    def _computed(self, ratio: float, pixels: int) -> tuple[int, int]:
        """A size with about this ratio and number of pixels, on the grid and within the model's bounds."""
        few, many = self.pixels
        low, high = self.sides
        step = self.step
        pixels = min(max(pixels, few), many)
        best: tuple[float, tuple[int, int]] | None = None
        for width in range(math.ceil(low / step) * step, min(high, 16_384) + 1, step):
            height = round(width / ratio / step) * step
            if not (low <= height <= high and few <= width * height <= many):
                continue
            cost = abs(math.log(width * height / pixels)) + 8 * abs(math.log(width / height / ratio))
            if best is None or cost < best[0]:
                best = cost, (width, height)
        return best[1] if best else (1, 1 << 20)


def parse_size(text: object) -> tuple[int, int] | None:
    """`1024x768`, `1024*768` or `1024×768`; None for anything else."""
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    return (int(match[1]), int(match[2])) if match else None


def parse_ratio(text: object) -> tuple[int, int]:
    """`16:9`. Raises ValueError."""
    match = _RATIO.fullmatch(text) if isinstance(text, str) else None
    if match is None or not int(match[1]) or not int(match[2]):
        raise ValueError(f"aspect_ratio must look like 16:9 (got {echo(text)})")
    return int(match[1]), int(match[2])


def fit_image(frame: Frame, image: tuple[int, int], how: str, ratio: object) -> tuple[int, int]:
    """An allowed size that follows the input picture: of the same shape, or with `larger` a canvas of `ratio` around
    it."""
    width, height = image
    if how == "shape":
        return fit_in(frame, width, height)
    if how == "larger":
        wide, high = parse_ratio(ratio)
        step = frame.step
        width, height = width + step, height + step  # both sides must exceed the picture's
        grown = max(width, height * wide / high), max(height, width * high / wide)
        size = math.ceil(grown[0] / step) * step, math.ceil(grown[1] / step) * step
        frame.check(*size)
        return size
    low, high = frame.sides
    scale = min(1.0, high / max(image))
    scale = max(scale, low / min(image))
    step = frame.step
    size = max(low, round(width * scale / step) * step), max(low, round(height * scale / step) * step)
    frame.check(*size)
    return size


def fit_in(frame: Frame, width: float, height: float) -> tuple[int, int]:
    """The nearest size of the same shape that the model makes."""
    least, most = frame.pixels
    ratio = min(max(width / height, 1 / frame.max_ratio), frame.max_ratio)
    pixels = width * height
    if not least <= pixels <= most:
        pixels = min(max(pixels, least * 1.01), most * 0.99)  # leave room for rounding within the bounds
    longest = frame.sides[1] / max(ratio, 1 / ratio) ** 0.5
    pixels = min(pixels, longest**2)
    step = frame.multiple
    wide, high = math.sqrt(pixels * ratio), math.sqrt(pixels / ratio)
    return max(step, round(wide / step) * step), max(step, round(high / step) * step)


def _sizes(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    return tuple(size for size in (parse_size(text) for text in texts) if size)


def _list(sizes: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{width}x{height}" for width, height in sizes)


def _alike(width: int, height: int, wide: int, high: int) -> bool:
    return abs(math.log(width * high / (height * wide))) <= _SAME_RATIO


def _in_tier(size: tuple[int, int], pixels: int) -> bool:
    return abs(size[0] * size[1] / pixels - 1) <= _SAME_TIER


def _tier_pixels(tier: object) -> int:
    """The number of pixels that a word such as `720p` (at 16:9) or `2K` (a square) stands for."""
    text = str(tier).strip().casefold()
    if match := re.fullmatch(r"(\d{3,4})p", text):
        return int(match[1]) ** 2 * 16 // 9
    if match := re.fullmatch(r"([1-8])k", text):
        return (int(match[1]) * 1024) ** 2
    raise ValueError(f"resolution must look like 720p or 2K (got {echo(tier)})")
