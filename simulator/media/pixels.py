"""Makes real pictures at little cost: paints them from words and a seed, or changes a picture that was sent.

The same words, seed and size give the same bytes. All functions take and give Pillow images; `encode` makes the file.
"""

import hashlib
import io
import random
from typing import Literal, cast

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageStat

Picture = Image.Image
Size = tuple[int, int]
Encoding = Literal["png", "jpeg", "webp"]

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
SUFFIXES = {"png": "png", "jpeg": "jpeg", "webp": "webp"}
# A prompt may name these colours, so that the picture of something red is red.
COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "white", "black", "gray")


def dice(*parts: object) -> random.Random:
    """A random generator that depends only on these parts. (hash() of a text differs between processes.)"""
    return random.Random(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest())


def paint(words: str, seed: int, size: Size, *, style: str = "", mark: bool = False) -> Picture:
    """A new picture for a prompt: soft colours, a few shapes, and the words of the prompt. `mark` adds a watermark."""
    roll = dice(words, seed, style)
    named = [ImageColor.getrgb(word)[:3] for word in words.lower().split() if word in COLOURS]
    small = Image.new("RGB", (4, 4))
    small.putdata([_near(roll, named) for _ in range(16)])
    # The picture is drawn small and then enlarged, so the cost of a shape does not grow with the picture.
    scale = max(1, max(size) // 512)
    canvas = small.resize((max(1, size[0] // scale), max(1, size[1] // scale)), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(canvas, "RGBA")
    for _ in range(roll.randint(5, 9)):
        x, y = roll.uniform(-0.1, 0.9) * canvas.width, roll.uniform(-0.1, 0.9) * canvas.height
        w, h = roll.uniform(0.1, 0.5) * canvas.width, roll.uniform(0.1, 0.5) * canvas.height
        colour = (*_near(roll, named), roll.randint(90, 200))
        if roll.random() < 0.6:
            draw.ellipse((x, y, x + w, y + h), fill=colour)
        else:
            draw.polygon([(x, y + h), (x + w * roll.random(), y), (x + w, y + h * roll.random())], fill=colour)
    picture = canvas.resize(size, Image.Resampling.BILINEAR)
    caption(picture, words)
    if mark:
        stamp(picture, "AI generated")
    return picture


def _near(roll: random.Random, named: list[tuple[int, ...]]) -> tuple[int, int, int]:
    """A colour, which is mostly close to a named one."""
    free = (roll.randrange(256), roll.randrange(256), roll.randrange(256))
    if not named or roll.random() < 0.2:
        return free
    wanted = roll.choice(named)
    return cast("tuple[int, int, int]", tuple((3 * w + f) // 4 for w, f in zip(wanted, free, strict=True)))


def caption(picture: Picture, words: str) -> None:
    """Write the words along the bottom of a picture, in place."""
    size = max(10, min(picture.width, picture.height) // 22)
    font = ImageFont.load_default(size)
    text = " ".join(words.split())
    # Pillow's built-in font has only Latin letters.
    text = text.encode("latin-1", "replace").decode("latin-1")[: int(picture.width / (size * 0.6))]
    draw = ImageDraw.Draw(picture, "RGBA")
    top = picture.height - int(size * 1.8)
    draw.rectangle((0, top, picture.width, picture.height), fill=(0, 0, 0, 110))
    draw.text((size * 0.5, top + size * 0.3), text, font=font, fill=(255, 255, 255, 235))


def stamp(picture: Picture, text: str) -> None:
    """Draw a watermark into the upper right corner of a picture, in place."""
    size = max(8, min(picture.size) // 30)
    font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(picture, "RGBA")
    draw.text((picture.width - size * 0.5, size * 0.4), text, font=font, fill=(255, 255, 255, 160), anchor="ra")


def encode(picture: Picture, encoding: str, quality: int = 88) -> bytes:
    """The file: png, jpeg or webp."""
    out = io.BytesIO()
    if encoding == "jpeg":
        picture.convert("RGB").save(out, "JPEG", quality=quality)
    elif encoding == "webp":
        picture.save(out, "WEBP", quality=quality, method=0)
    else:
        picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


def cover(picture: Picture, size: Size) -> Picture:
    """The picture scaled and cut to the size, with its proportions kept."""
    scale = max(size[0] / picture.width, size[1] / picture.height)
    wide = picture.resize(
        (max(size[0], round(picture.width * scale)), max(size[1], round(picture.height * scale))),
        Image.Resampling.BILINEAR,
    )
    left, top = (wide.width - size[0]) // 2, (wide.height - size[1]) // 2
    return wide.crop((left, top, left + size[0], top + size[1]))


def rework(picture: Picture, words: str, seed: int, size: Size, strength: float = 0.45) -> Picture:
    """The picture changed by a prompt. At strength 0 it stays the same, and at 1 it is a new picture."""
    base = cover(picture.convert("RGB"), size)
    mixed = Image.blend(base, paint(words, seed, size, style="rework"), min(1.0, max(0.0, strength)))
    caption(mixed, words)
    return mixed


def vary(picture: Picture, seed: int) -> Picture:
    """A variant of a picture: mirrored, and in warmer or colder colours."""
    roll = dice("vary", seed)
    turned = picture.convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return ImageEnhance.Color(turned).enhance(roll.uniform(0.4, 1.9))


def subject_mask(picture: Picture) -> Picture:
    """A mask (mode L) that is white where the colour differs from the border. If nothing differs it is an oval."""
    small = picture.convert("RGB")
    small.thumbnail((256, 256))
    edge = Image.new("RGB", (2 * (small.width + small.height), 1))
    strips = [
        small.crop((0, 0, small.width, 1)),
        small.crop((0, small.height - 1, small.width, small.height)),
        small.crop((0, 0, 1, small.height)).transpose(Image.Transpose.ROTATE_90),
        small.crop((small.width - 1, 0, small.width, small.height)).transpose(Image.Transpose.ROTATE_90),
    ]
    at = 0
    for strip in strips:
        edge.paste(strip, (at, 0))
        at += strip.width
    border = tuple(int(level) for level in ImageStat.Stat(edge).median)
    distance = ImageChops.difference(small, Image.new("RGB", small.size, border)).convert("L")
    mask = distance.point([0 if level < 24 else 255 for level in range(256)])
    share = ImageStat.Stat(mask).mean[0] / 255
    if not 0.02 < share < 0.9:
        mask = Image.new("L", small.size, 0)
        box = (small.width * 0.15, small.height * 0.1, small.width * 0.85, small.height * 0.95)
        ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask.filter(ImageFilter.MedianFilter(5)).resize(picture.size, Image.Resampling.BILINEAR)


def cut_out(picture: Picture) -> Picture:
    """The subject on a transparent background (RGBA)."""
    out = picture.convert("RGB")
    out.putalpha(subject_mask(picture))
    return out


def on_background(picture: Picture, words: str, seed: int) -> Picture:
    """The subject before a new, painted background."""
    return Image.composite(
        picture.convert("RGB"), paint(words, seed, picture.size, style="background"), subject_mask(picture)
    )


def erase(picture: Picture, mask: Picture | None) -> Picture:
    """The picture with the white part of the mask, or else the subject, filled with what lies around it."""
    where = (mask or subject_mask(picture)).convert("L").resize(picture.size)
    base = picture.convert("RGB")
    keep = ImageChops.invert(where)
    if ImageStat.Stat(keep).sum[0] == 0:
        return base.filter(ImageFilter.GaussianBlur(20))
    around = tuple(int(level) for level in ImageStat.Stat(base, keep).mean)
    hole = base.copy()
    hole.paste(around, (0, 0, *base.size), where)
    soft = hole.filter(ImageFilter.GaussianBlur(max(4, min(base.size) // 40)))
    return Image.composite(soft, base, where)


def repaint(picture: Picture, mask: Picture, words: str, seed: int, *, blur: int = 0, strength: float = 1.0) -> Picture:
    """The picture with the white part of the mask painted anew by the prompt. The rest is unchanged."""
    where = mask.convert("L").point([0 if level < 128 else 255 for level in range(256)])
    if blur:
        where = where.filter(ImageFilter.GaussianBlur(blur))
    base = picture.convert("RGB")
    fresh = Image.blend(base, paint(words, seed, base.size, style="inpaint"), min(1.0, max(0.1, strength)))
    return Image.composite(fresh, base, where)


def without_text(picture: Picture) -> Picture:
    """The picture with thin strokes smoothed away."""
    return picture.convert("RGB").filter(ImageFilter.MedianFilter(5))


def put_face(target: Picture, face: Picture) -> Picture:
    """The target with an oval from the middle of the other picture in its middle."""
    base = target.convert("RGB")
    side = (max(1, base.width // 3), max(1, base.height // 3))
    oval = Image.new("L", side, 0)
    ImageDraw.Draw(oval).ellipse((0, 0, side[0] - 1, side[1] - 1), fill=255)
    base.paste(cover(face.convert("RGB"), side), ((base.width - side[0]) // 2, (base.height - side[1]) // 3), oval)
    return base


def has_face(picture: Picture) -> bool:
    """Whether a picture may have a face. Only a picture of a single colour surely has none."""
    low_high = picture.convert("L").getextrema()
    return low_high[0] != low_high[1]


def extend(picture: Picture, words: str, seed: int, size: Size, shift: Size = (0, 0)) -> Picture:
    """The picture on a larger painted canvas, its centre `shift` away from the canvas' centre."""
    canvas = paint(words, seed, size, style="outpaint")
    left = (size[0] - picture.width) // 2 + shift[0]
    top = (size[1] - picture.height) // 2 + shift[1]
    canvas.paste(picture.convert("RGB"), (left, top))
    return canvas


def enlarge(picture: Picture, size: Size) -> Picture:
    return picture.resize(size, Image.Resampling.BICUBIC)


def describe(picture: Picture) -> str:
    """A prompt that describes the picture: its shape, light and main colours."""
    small = picture.convert("RGB").resize((16, 16))
    means = ImageStat.Stat(small).mean
    names = {name: ImageColor.getrgb(name)[:3] for name in COLOURS}

    def nearest(pixel: tuple[float, ...]) -> str:
        return min(names, key=lambda name: sum((a - b) ** 2 for a, b in zip(names[name], pixel, strict=True)))

    pixels = [cast("tuple[int, ...]", small.getpixel((x, y))) for x in range(0, 16, 3) for y in range(0, 16, 3)]
    found = [nearest(pixel) for pixel in pixels]
    common = sorted(set(found), key=lambda name: (-found.count(name), name))[:3]
    shape = (
        "portrait" if picture.height > picture.width else "landscape" if picture.width > picture.height else "square"
    )
    light = "bright" if sum(means) / 3 > 140 else "dark" if sum(means) / 3 < 80 else "soft light"
    return f"a {shape} picture, {light}, {', '.join(common)} tones, detailed, {picture.width}x{picture.height}"
