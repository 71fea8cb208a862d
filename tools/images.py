"""Image tools: a prompt or a picture in, finished pictures out."""

from typing import Annotated, Literal

from pydantic import Field

from .arguments import AspectRatio, Count, Model, NegativePrompt, Options, Prompt, SaveTo, Seed, Size, WaitSeconds
from .context import Call
from .making import make
from .media_results import MediaResult
from .toolset import SPENDS, Toolset

images = Toolset("images", "Make and edit pictures.")

ImageFormat = Annotated[
    Literal["png", "jpeg", "webp"] | None, Field(description="File format, where the model offers it.")
]


@images.tool("Generate an image", SPENDS)
async def generate_image(
    call: Call,
    prompt: Prompt,
    model: Model = None,
    count: Count = None,
    size: Size = None,
    aspect_ratio: AspectRatio = None,
    seed: Seed = None,
    negative_prompt: NegativePrompt = None,
    format: ImageFormat = None,  # the word every image tool uses
    options: Options = None,
    save_to: SaveTo = None,
    wait_seconds: WaitSeconds = None,
) -> MediaResult:
    """Make pictures from a text prompt; returns the finished files, saved and shown small.

    Costs money: mostly $0.003 to $0.05 a picture, estimated in the answer. To change a picture use edit_image.
    If it takes longer than wait_seconds the answer has status working and a task_id for get_task; do not ask again.
    """
    return await make(
        call,
        tool="generate_image",
        does=["text_to_image"],
        model=model,
        arguments={
            "prompt": prompt,
            "count": count,
            "size": size,
            "aspect_ratio": aspect_ratio,
            "seed": seed,
            "negative_prompt": negative_prompt,
            "format": format,
        },
        options=options,
        title=prompt,
        save_to=save_to,
        wait_seconds=wait_seconds,
    )
