"""Video tools: text, frames, references or a clip in; finished clips out. They are built as in images.py."""

from typing import Annotated, Literal

from pydantic import Field

from ..kit.arguments import (
    SELDOM,
    AspectRatio,
    Confirm,
    DryRun,
    Model,
    OneOrMany,
    Options,
    Resize,
    Resolution,
    SaveTo,
    Seed,
    WaitSeconds,
    WebhookUrl,
)
from ..kit.context import Call
from ..kit.toolset import SPENDS, Toolset
from .media_request import make
from .results import MediaResult

videos = Toolset("videos", "Make and edit videos.")

VideoEdit = Literal["edit", "restyle", "extend", "motion", "translate", "swap_face"]

_EDITS = {
    "edit": "edit_video",
    "restyle": "video_to_video",
    "extend": "extend_video",
    "motion": "motion_control",
    "translate": "translate_video",
    "swap_face": "video_merge_face",
}


@videos.tool("Generate a video", SPENDS)
async def generate_video(
    call: Call,
    prompt: Annotated[str | None, Field(description="What happens in the clip.")] = None,
    image: Annotated[OneOrMany | None, Field(description="First frame: file path, URL or task:<id>/<n>.")] = None,
    end_image: Annotated[str | None, Field(description="Picture it ends with.")] = None,
    images: Annotated[
        list[str] | None,
        Field(
            max_length=10,
            description="Without image: people or things that appear; with image: later key frames.",
        ),
    ] = None,
    audio: Annotated[str | None, Field(description="Recording that the clip follows, as for lip-sync."), SELDOM] = None,
    duration: Annotated[float | None, Field(ge=1, description="Seconds, mostly 5 or 10; at most 15 now.")] = None,
    resolution: Resolution = None,
    aspect_ratio: AspectRatio = None,
    sound: Annotated[bool | None, Field(description="true: the model adds sound of its own.")] = None,
    seed: Annotated[Seed, SELDOM] = None,
    model: Model = None,
    options: Options = None,
    resize: Resize = False,
    webhook_url: WebhookUrl = None,
    save_to: SaveTo = None,
    wait_seconds: WaitSeconds = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Make a new video clip, movie or animation of some seconds from words or pictures: film a scene or an advert,
    animate a still photo so that things or people move, bring a portrait to life, go from a first frame to a last.
    No living model moves lips to a recording. Not for still pictures (generate_image), nor to change a video
    (edit_video) or join clips (combine_media). Costs about $0.1 to $3 and takes minutes; the file is saved, or a
    task_id comes for get_task.
    """
    return await make(call, _wanted(image, end_image, images), title=prompt or "video")


def _wanted(image: str | list[str] | None, end_image: str | None, images: list[str] | None) -> list[str]:
    """The capabilities that fit the frames and pictures that are given."""
    if images:
        return ["multi_frame", "reference_to_video"] if image else ["reference_to_video", "template_video"]
    if end_image:
        return ["first_last_frame"]
    return ["image_to_video"] if image else ["text_to_video"]


@videos.tool("Edit a video", SPENDS)
async def edit_video(
    call: Call,
    video: Annotated[OneOrMany, Field(description="File path, URL or task:<id>/<n>; one a line for many.")],
    prompt: Annotated[str | None, Field(description="What to change.")] = None,
    edit: Annotated[
        VideoEdit,
        Field(
            description="edit: as prompt says; restyle: another look; extend: longer; motion: who is in image moves "
            "like it; translate: dub it; swap_face: put in the face of image."
        ),
    ] = "edit",
    image: Annotated[str | None, Field(description="Picture of the person or face.")] = None,
    images: Annotated[list[str] | None, Field(max_length=10, description="Pictures to draw on."), SELDOM] = None,
    language: Annotated[str | None, Field(description="For translate: such as French."), SELDOM] = None,
    model: Annotated[Model, SELDOM] = None,
    options: Annotated[Options, SELDOM] = None,
    resize: Resize = False,
    save_to: SaveTo = None,
    wait_seconds: Annotated[WaitSeconds, SELDOM] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Change what is seen in a video, film or footage that exists, never a photo: swap a face, or make a person in
    a picture dance and move like in the video. No living model is known that restyles, lengthens or dubs. To cut,
    join or add sound use combine_media. Costs about $0.1 to $3, takes minutes; the new clip is saved.
    """
    return await make(
        call,
        [_EDITS[edit]] if model is None or edit != "edit" else list(_EDITS.values()),
        title=prompt or f"{edit} video",
        edit=None,
    )
