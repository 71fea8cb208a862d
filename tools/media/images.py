"""Image tools: a prompt or a picture in, finished pictures out."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field

from ..kit.arguments import (
    AspectRatio,
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
from .media_request import How, make
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
    checkpoint: Annotated[str | None, Field(description="See search_checkpoints.")] = None,
    options: Options = None,
    webhook_url: WebhookUrl = None,
    save_to: SaveTo = None,
    wait_seconds: WaitSeconds = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Make pictures from text; the finished files are saved and shown small. Costs about $0.003 to $0.05 each."""
    return await make(
        call,
        "generate_image",
        ["text_to_image"],
        {
            "prompt": prompt,
            "count": count,
            "size": size,
            "aspect_ratio": aspect_ratio,
            "seed": seed,
            "format": format,
            "checkpoint": checkpoint,
            "webhook_url": webhook_url,
        },
        How(model, options, save_to, wait_seconds, confirm, dry_run),
        title=prompt,
    )


@images.tool("Edit an image", SPENDS)
async def edit_image(
    call: Call,
    image: Image,
    prompt: Annotated[str | None, Field(description="What to change.")] = None,
    edit: Annotated[Edit, Field(description="outpaint: to size; swap_face: images[0].")] = "instruct",
    images: Annotated[list[str] | None, Field(max_length=14, description="More pictures to draw on.")] = None,
    strength: Strength = None,
    size: Size = None,
    checkpoint: Annotated[str | None, Field(description="See search_checkpoints.")] = None,
    model: Model = None,
    options: Options = None,
    resize: Resize = False,
    webhook_url: WebhookUrl = None,
    save_to: SaveTo = None,
    wait_seconds: WaitSeconds = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Change a picture. Costs money."""
    return await make(
        call,
        "edit_image",
        [_EDITS[edit]] if model is None or edit != "instruct" else list(_EDITS.values()),
        {
            "image": image,
            "prompt": prompt,
            "images": images,
            "strength": strength,
            "size": size,
            "checkpoint": checkpoint,
            "webhook_url": webhook_url,
        },
        How(model, options, save_to, wait_seconds, confirm, dry_run, resize),
        title=prompt or f"{edit} {_named(image)}",
    )


@images.tool("Inpaint an image", SPENDS)
async def inpaint_image(
    call: Call,
    image: Image,
    mask: Annotated[str | None, Field(description="Path or URL; white is changed.")] = None,
    prompt: Annotated[str | None, Field(description="What to put there; none: erase.")] = None,
    checkpoint: Annotated[str | None, Field(description="See search_checkpoints.")] = None,
    model: Model = None,
    options: Options = None,
    resize: Resize = False,
    webhook_url: WebhookUrl = None,
    save_to: SaveTo = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Repaint the masked part of a picture, or erase what is there. Costs money."""
    return await make(
        call,
        "inpaint_image",
        ["inpaint"] if prompt and mask else ["erase", "inpaint"] if model else ["erase"],
        {
            "image": image,
            "mask": mask,
            "prompt": prompt,
            "checkpoint": checkpoint,
            "webhook_url": webhook_url,
        },
        How(model, options, save_to, None, confirm, dry_run, resize),
        title=prompt or f"erased {_named(image)}",
    )


@images.tool("Upscale an image", SPENDS)
async def upscale_image(
    call: Call,
    image: Image,
    scale: Annotated[float | None, Field(ge=1, le=8, description="Times larger.")] = None,
    model: Model = None,
    resize: Resize = False,
    webhook_url: WebhookUrl = None,
    save_to: SaveTo = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Make a picture larger and sharper. Costs money. No upscaler lives: it is re-drawn, details change."""
    return await make(
        call,
        "upscale_image",
        ["upscale"],
        {"image": image, "scale": scale, "webhook_url": webhook_url},
        How(model, None, save_to, None, confirm, dry_run, resize),
        title=f"upscaled {_named(image)}",
    )


@images.tool("Remove a background", SPENDS)
async def remove_background(
    call: Call,
    image: Image,
    model: Model = None,
    resize: Resize = False,
    save_to: SaveTo = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Cut out the subject of a picture, on transparency. Costs money. No cut-out model lives: layers come."""
    return await make(
        call,
        "remove_background",
        ["remove_background"],
        {"image": image},
        How(model, None, save_to, None, confirm, dry_run, resize),
        title=f"cutout {_named(image)}",
    )


@images.tool("Replace a background", SPENDS)
async def replace_background(
    call: Call,
    image: Image,
    prompt: Annotated[str, Field(min_length=1, description="The new background.")],
    model: Model = None,
    resize: Resize = False,
    save_to: SaveTo = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Put the subject of a picture before a new background. Costs money."""
    return await make(
        call,
        "replace_background",
        ["replace_background"],
        {"image": image, "prompt": prompt},
        How(model, None, save_to, None, confirm, dry_run, resize),
        title=prompt,
    )


@images.tool("Describe an image", SPENDS)
async def describe_image(
    call: Call, image: Image, model: Model = None, confirm: Confirm = False, dry_run: DryRun = False
) -> MediaResult:
    """Write a prompt that would make such a picture. Costs money."""
    return await make(
        call,
        "describe_image",
        ["describe_image"],
        {"image": image},
        How(model, confirm=confirm, dry_run=dry_run),
        title=f"description of {_named(image)}",
    )


def _named(image: str) -> str:
    """The input in a word or two, for file names; without the date and number this server gave it."""
    if image.startswith(("data:", "task:")):
        return "picture"
    stem = PurePosixPath(image.replace("\\", "/").partition("?")[0]).stem
    return re.sub(r"^\d{4}-\d\d-\d\d_|_\d+$", "", stem)[:40] or "picture"
