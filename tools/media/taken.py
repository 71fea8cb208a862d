"""Which capabilities each tool covers, and which of a model's arguments it takes."""

import inspect
from collections.abc import Mapping
from functools import cache

from ...novita.media.lookup import MediaModel
from ..kit.toolset import ToolSpec
from .audio import audio
from .images import images
from .videos import videos

TOOLS: Mapping[str, tuple[str, ...]] = {
    "generate_image": ("text_to_image",),
    "edit_image": ("edit_image", "image_to_image", "outpaint", "remove_text", "merge_face", "reimagine"),
    "inpaint_image": ("inpaint", "erase"),
    "upscale_image": ("upscale",),
    "remove_background": ("remove_background",),
    "replace_background": ("replace_background",),
    "describe_image": ("describe_image",),
    "generate_video": (
        *("text_to_video", "image_to_video", "first_last_frame"),
        *("reference_to_video", "multi_frame", "template_video"),
    ),
    "edit_video": (
        *("extend_video", "edit_video", "video_to_video"),
        *("motion_control", "translate_video", "video_merge_face"),
    ),
    "generate_speech": ("text_to_speech",),
    "transcribe_audio": ("transcribe",),
    "clone_voice": ("clone_voice",),
    "design_voice": ("design_voice",),
    "generate_music": ("music",),
    "generate_lyrics": ("lyrics",),
}
"""Tool -> the capabilities it covers."""


def taken_by_tools(model: MediaModel) -> dict[str, tuple[str, ...]]:
    """Tool -> the arguments it takes for this model. Arguments that a tool does not have are given in its `options`."""
    found: dict[str, tuple[str, ...]] = {}
    for tool, does in TOOLS.items():
        if not set(does) & {str(one) for one in model.does}:
            continue
        carried = _arguments(tool)
        own = [name for name in model.arguments if name in carried]
        others = [
            f"options.{name}"
            for name, argument in model.arguments.items()
            if name not in carried and not argument.send and "options" in carried
        ]
        found[tool] = (*own, *others)
    return found


@cache
def _arguments(tool: str) -> frozenset[str]:
    """The names of a tool's arguments."""
    specs: list[ToolSpec] = [spec for toolset in (images, videos, audio) for spec in toolset.tools]
    return frozenset(inspect.signature(next(spec.fn for spec in specs if spec.name == tool)).parameters)
