"""Image tools: a prompt or a picture in, finished pictures out.

Each tool names the capability it needs. `make` takes all arguments of the call, as the signature declares them; a tool
passes only those that it changes.
"""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field

from ...novita.core.errors import InputError
from ..kit.arguments import (
    SELDOM,
    AspectRatio,
    Checkpoint,
    Confirm,
    Count,
    DryRun,
    Image,
    ImageFormat,
    Model,
    Options,
    Prompt,
    Resize,
    SaveTo,
    Seed,
    Size,
    Strength,
    WaitSeconds,
    WebhookUrl,
)
from ..kit.context import Call
from ..kit.toolset import SPENDS, Toolset
from .media_request import make
from .results import MediaResult

images = Toolset("images", "Make and edit pictures.")

Edit = Literal["instruct", "restyle", "reimagine", "outpaint", "remove_text", "swap_face"]

_EDITS = {
    "instruct": "edit_image",
    "restyle": "image_to_image",
    "reimagine": "reimagine",
    "outpaint": "outpaint",
    "remove_text": "remove_text",
    "swap_face": "merge_face",
}
_IN_STYLE = (
    "Take the style of picture {place}, its technique, palette, line and light, and none of its subject; keep what the "
    "first picture shows."
)
"""Tells a model that edits by words which picture's style to take. Pictures are counted in the order they are sent."""


@images.tool("Generate an image", SPENDS)
async def generate_image(
    call: Call,
    prompt: Prompt,
    model: Model = None,
    count: Count = None,
    size: Size = None,
    aspect_ratio: AspectRatio = None,
    seed: Seed = None,
    format: ImageFormat = None,
    checkpoint: Annotated[Checkpoint, SELDOM] = None,
    options: Options = None,
    webhook_url: WebhookUrl = None,
    save_to: SaveTo = None,
    wait_seconds: WaitSeconds = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Draw, paint, design or create a new picture from words: photo, illustration, drawing, poster, logo, icon,
    banner, wallpaper, portrait, cartoon, product shot, concept art, in any style such as watercolour; one or
    several variants. To change a picture that exists use edit_image. Costs about $0.003 to $0.05 each; the files
    are saved and shown.
    """
    return await make(call, ["text_to_image"], title=prompt)


@images.tool("Edit an image", SPENDS)
async def edit_image(
    call: Call,
    image: Image,
    prompt: Annotated[str | None, Field(description="What to change.")] = None,
    edit: Annotated[
        Edit,
        Field(
            description="instruct: do as prompt says; restyle: redraw it like prompt; reimagine: a variation; "
            "outpaint: extend it to size; remove_text: erase writing; swap_face: put in the face of images[0]."
        ),
    ] = "instruct",
    images: Annotated[
        list[str] | None,
        Field(max_length=14, description="More pictures to combine, or for swap_face the face."),
    ] = None,
    style: Annotated[str | None, Field(description="Picture whose style image gets.")] = None,
    count: Count = None,
    strength: Annotated[Strength, SELDOM] = None,
    size: Size = None,
    checkpoint: Annotated[Checkpoint, SELDOM] = None,
    model: Model = None,
    options: Annotated[Options, SELDOM] = None,
    resize: Resize = False,
    webhook_url: WebhookUrl = None,
    save_to: SaveTo = None,
    wait_seconds: Annotated[WaitSeconds, SELDOM] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Change an existing photo or picture as told in words: recolour, change the colour of something, put on, add,
    replace or take off things, clothes, hair, sky, weather, season; turn it into a cartoon, anime or painting,
    combine photos, retouch, make it wider beyond its borders, remove text, swap faces. Costs about $0.03 to $0.06;
    the edited picture is saved and shown.
    """
    if style is not None:
        if edit not in ("instruct", "restyle"):
            raise InputError(f"style goes with edit=instruct or restyle, not {edit}")
        edit, images = "instruct", [*(images or []), style]
        prompt = f"{prompt or 'Redraw this picture.'} {_IN_STYLE.format(place=len(images) + 1)}"
    return await make(
        call,
        [_EDITS[edit]] if model is None or edit != "instruct" else list(_EDITS.values()),
        title=prompt or f"{edit} {_named(image)}",
        prompt=prompt,
        images=images,
        edit=None,
        style=None,
    )


@images.tool("Inpaint an image", SPENDS)
async def inpaint_image(
    call: Call,
    image: Image,
    mask: Annotated[str | None, Field(description="Picture, white where to change.")] = None,
    prompt: Annotated[str | None, Field(description="What to put there; left out: erase.")] = None,
    checkpoint: Annotated[Checkpoint, SELDOM] = None,
    model: Annotated[Model, SELDOM] = None,
    options: Annotated[Options, SELDOM] = None,
    resize: Resize = False,
    webhook_url: WebhookUrl = None,
    save_to: SaveTo = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Erase or replace one spot of a photo and leave the rest: get rid of an unwanted object, person, tourist,
    watermark or blemish, or paint something new only inside a masked area. Costs up to $0.26, the price is not
    known; the picture is saved and shown.
    """
    return await make(
        call,
        ["inpaint"] if prompt and mask else ["erase", "inpaint"] if model else ["erase"],
        title=prompt or f"erased {_named(image)}",
    )


@images.tool("Upscale an image", SPENDS)
async def upscale_image(
    call: Call,
    image: Image,
    scale: Annotated[float | None, Field(ge=1, le=8, description="Times larger.")] = None,
    size: Annotated[str | None, Field(description="Or pixels: 3840 (longer side) or 3840x2160.")] = None,
    model: Annotated[Model, SELDOM] = None,
    options: Annotated[Options, SELDOM] = None,
    resize: Resize = False,
    webhook_url: WebhookUrl = None,
    save_to: SaveTo = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Upscale or enlarge a small, blurry or low-resolution picture: make it bigger, sharper, HD, 4K, ready to
    print. No upscaler lives now, so it is redrawn larger and details may change. Costs about $0.03; the picture is
    saved and shown.
    """
    return await make(call, ["upscale"], title=f"upscaled {_named(image)}")


@images.tool("Remove a background", SPENDS)
async def remove_background(
    call: Call,
    image: Image,
    model: Annotated[Model, SELDOM] = None,
    options: Annotated[Options, SELDOM] = None,
    resize: Resize = False,
    save_to: SaveTo = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Cut out the subject of a photo, such as a product, person or logo, on nothing: a transparent PNG or sticker. No
    cut-out model lives now, so the picture comes apart in layers. For a new scene use replace_background. Costs up to
    $0.27; the files are saved.
    """
    return await make(call, ["remove_background"], title=f"cutout {_named(image)}")


@images.tool("Replace a background", SPENDS)
async def replace_background(
    call: Call,
    image: Image,
    prompt: Annotated[str, Field(min_length=1, description="The new background.")],
    model: Annotated[Model, SELDOM] = None,
    options: Annotated[Options, SELDOM] = None,
    resize: Resize = False,
    save_to: SaveTo = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Keep the person or product of a photo as it is and put another background, backdrop, scene or place behind it: a
    beach, a studio, a kitchen; one photo or a whole folder. Costs about $0.03; the picture is saved and shown.
    """
    return await make(call, ["replace_background"], title=prompt)


@images.tool("Describe an image", SPENDS)
async def describe_image(
    call: Call,
    image: Image,
    model: Annotated[Model, SELDOM] = None,
    options: Annotated[Options, SELDOM] = None,
    confirm: Annotated[Confirm, SELDOM] = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Say what is in a picture: a caption, alt text, description, or the prompt that would recreate an image like it.
    For questions about a picture use chat. Costs under $0.01; returns text.
    """
    return await make(call, ["describe_image"], title=f"description of {_named(image)}")


def _named(image: str | list[str]) -> str:
    """A short name for the input, used in file names. A date and number that this server once added are left out."""
    if isinstance(image, list):
        return "pictures"
    if image.startswith(("data:", "task:")):
        return "picture"
    stem = PurePosixPath(image.replace("\\", "/").partition("?")[0]).stem
    return re.sub(r"^\d{4}-\d\d-\d\d_|_\d+$", "", stem)[:40] or "picture"
