"""The limits a model sets on a file it is given: checking a picture, clip or sound, and making a picture fit them."""

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from ..core.errors import InputError
from .decoding import UNREADABLE, open_header
from .kinds import MEDIA_TYPES, MediaType, media_type
from .pictures import Probe, displayed_size, upright

if TYPE_CHECKING:
    from PIL.Image import Image

MIB = 2**20
RESIZE_DOES_IT = "Call again with resize=true to have it brought within the limits."


class MediaLimits(BaseModel):
    """The limits of one model on one file argument. None means that no limit is known.

    Args:
        formats: Names as in `media_types` ("png", "jpeg", "mp4").
        min_side: The shorter side must have at least so many pixels; `max_side` bounds the longer side.
        max_pixels: Width times height.
        min_ratio: Width divided by height, like `max_ratio`.
        min_seconds: Length of video and audio, like `max_seconds`.
        alpha: Whether the model accepts transparent pictures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int | None = None
    formats: tuple[str, ...] = ()
    min_side: int | None = None
    max_side: int | None = None
    max_pixels: int | None = None
    min_ratio: float | None = None
    max_ratio: float | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    alpha: bool = True

    def takes(self, found: MediaType) -> bool:
        return not self.formats or found in [media_type(name) for name in self.formats]

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """The nearest size with the same ratio that keeps to the limits on sides and pixels."""
        factor = 1.0
        if self.max_side is not None:
            factor = min(factor, self.max_side / max(width, height))
        if self.max_pixels is not None:
            factor = min(factor, (self.max_pixels / (width * height)) ** 0.5)
        if self.min_side is not None and min(width, height) * factor < self.min_side:
            factor = self.min_side / min(width, height)
            made = max(self.min_side, round(width * factor)), max(self.min_side, round(height * factor))
        else:
            made = max(1, int(width * factor + 1e-6)), max(1, int(height * factor + 1e-6))
        return made


@dataclass(frozen=True)
class BrokenLimit:
    """A limit that a file breaks. `mendable` says whether resizing the picture would mend that."""

    what: str
    mendable: bool
    about: Literal["format", "bytes", "sides", "seconds", "alpha"] = "sides"


def find_trouble(limits: MediaLimits, found: MediaType, size: int | None, measures: Probe) -> list[BrokenLimit]:
    """Every limit that a file is known to break. A measure that could not be read counts as within its limit."""
    picture = found.kind == "image"
    broken: list[BrokenLimit] = []
    if not limits.takes(found):
        names = ", ".join(name.upper() for name in limits.formats)
        broken.append(BrokenLimit(f"it is {found.name.upper()} and the model takes {names}", picture, "format"))
    if size is not None and limits.max_bytes is not None and size > limits.max_bytes:
        text = f"it has {size / MIB:.1f} MiB and the model takes at most {limits.max_bytes / MIB:.1f} MiB"
        broken.append(BrokenLimit(text, picture, "bytes"))
    width, height = measures.width, measures.height
    if width and height:
        broken += _sides(limits, width, height, mendable=picture)
    seconds = measures.duration
    if seconds is not None:
        if limits.max_seconds is not None and seconds > limits.max_seconds + 0.05:
            text = f"it is {seconds:.1f} s long and the model takes at most {limits.max_seconds:g} s"
            broken.append(BrokenLimit(text, False, "seconds"))
        if limits.min_seconds is not None and seconds < limits.min_seconds - 0.05:
            text = f"it is {seconds:.1f} s long and the model wants at least {limits.min_seconds:g} s"
            broken.append(BrokenLimit(text, False, "seconds"))
    return broken


def _sides(limits: MediaLimits, width: int, height: int, *, mendable: bool) -> list[BrokenLimit]:
    size = f"it is {width}x{height} pixels"
    broken: list[BrokenLimit] = []
    if limits.max_side is not None and max(width, height) > limits.max_side:
        broken.append(BrokenLimit(f"{size} and the longer side may have at most {limits.max_side}", mendable))
    if limits.min_side is not None and min(width, height) < limits.min_side:
        broken.append(BrokenLimit(f"{size} and the shorter side must have at least {limits.min_side}", mendable))
    if limits.max_pixels is not None and width * height > limits.max_pixels:
        most = limits.max_pixels / 1e6
        broken.append(
            BrokenLimit(f"{size} ({width * height / 1e6:.1f} megapixels) and at most {most:.1f} fit", mendable)
        )
    ratio = width / height
    low, high = limits.min_ratio, limits.max_ratio
    if (low is not None and ratio < low * 0.999) or (high is not None and ratio > high * 1.001):
        bounds = f"{low:g} to {high:g}" if low and high else f"at least {low:g}" if low else f"at most {high:g}"
        broken.append(
            BrokenLimit(f"{size}, a ratio of {ratio:.2f}, and the model takes {bounds} (width / height)", False)
        )
    return broken


def refuse(name: str, broken: list[BrokenLimit]) -> InputError:
    """The error for these limits: one sentence that names all of them and says what to do."""
    hopeless = [trouble for trouble in broken if not trouble.mendable]
    if not hopeless:
        step = RESIZE_DOES_IT
    elif any("ratio" in trouble.what for trouble in hopeless):
        step = "Crop or pad it first, or choose another model."
    else:
        step = "Shorten or convert it first, or choose another model."
    return InputError(f"{name} does not fit the model: {'; '.join(trouble.what for trouble in broken)}", next_step=step)


def bring_within(
    data: bytes, found: MediaType, limits: MediaLimits, name: str, *, resize: bool = True
) -> tuple[bytes, MediaType, Probe]:
    """The picture turned upright, scaled, flattened and converted so that it keeps to `limits`, without its metadata.

    Blocks: call it in a thread.

    Args:
        resize: Whether the picture may become smaller or larger. If not, only its format and orientation change.

    Raises:
        InputError: The picture cannot be decoded, or cannot be brought within the limits.
    """
    try:
        with open_header(data) as picture:
            profile: bytes | None = picture.info.get("icc_profile")
            size = limits.scaled(*displayed_size(picture)) if resize else displayed_size(picture)
            whole = upright(picture, about=size)
    except UNREADABLE as error:
        raise InputError(f"{name} is damaged: it cannot be decoded") from error
    whole.info = {}  # Pillow would write the original's metadata again: comments, prompts
    if profile is not None and profile[16:20] != b"RGB ":
        profile = None  # the profile describes colours that are converted by now
    if whole.mode == "RGBA" and not limits.alpha:
        whole = _flat(whole)
    for _ in range(12):
        scaled = whole if whole.size == size else _scale(whole, size)
        for made, kind in _encodings(scaled, found, limits, profile):
            if limits.max_bytes is None or len(made) <= limits.max_bytes:
                measures = Probe(*scaled.size)
                left = find_trouble(limits, kind, len(made), measures)
                if left:
                    raise refuse(name, left)
                return made, kind, measures
        if not resize:
            raise InputError(
                f"{name} becomes larger than the model's {(limits.max_bytes or 0) / MIB:.1f} MiB when it is converted",
                next_step=RESIZE_DOES_IT,
            )
        size = max(1, size[0] * 4 // 5), max(1, size[1] * 4 // 5)
        if limits.min_side is not None and min(size) < limits.min_side:
            break
    raise InputError(
        f"{name} cannot be brought within the model's limits: it stays too large", next_step="Use another picture."
    )


def _scale(picture: "Image", size: tuple[int, int]) -> "Image":
    from PIL import Image

    return picture.resize(size, Image.Resampling.LANCZOS)


def _flat(picture: "Image") -> "Image":
    """The picture on a white ground, as a viewer shows it."""
    from PIL import Image

    ground = Image.new("RGB", picture.size, "white")
    ground.paste(picture, mask=picture.getchannel("A"))
    return ground


def _encodings(
    picture: "Image", found: MediaType, limits: MediaLimits, profile: bytes | None
) -> list[tuple[bytes, MediaType]]:
    """The picture in its own format, if the model accepts it, then in smaller accepted formats, best quality first."""
    png, jpeg, webp = (MEDIA_TYPES[name] for name in ("png", "jpeg", "webp"))
    photo = found.name in ("heic", "avif") and picture.mode == "RGB"
    order = [found] if found in (png, jpeg, webp) else [jpeg] if photo else [png]
    order += [kind for kind in ((webp, png) if picture.mode == "RGBA" else (jpeg, webp, png)) if kind not in order]
    made: list[tuple[bytes, MediaType]] = []
    for kind in order:
        if not limits.takes(kind) or (kind is jpeg and picture.mode == "RGBA" and limits.takes(png)):
            continue
        shown = _flat(picture) if kind is jpeg and picture.mode == "RGBA" else picture
        for quality in (92,) if kind is png else (92, 80):
            sink = BytesIO()
            extra = {"icc_profile": profile} if profile else {}
            shown.save(sink, kind.name.upper(), **extra, **({} if kind is png else {"quality": quality}))
            made.append((sink.getvalue(), kind))
            if limits.max_bytes is None or sink.tell() <= limits.max_bytes:
                return made
    if not made:
        raise InputError(f"The model takes {', '.join(limits.formats)}, which cannot be written here")
    return made
