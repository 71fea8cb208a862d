"""Names for files that are made from other files."""

from collections.abc import Sequence

_MADE_WORDS = {
    "remove_background": "cutout",
    "replace_background": "background",
    "image_to_image": "restyled",
    "reimagine": "variation",
    "outpaint": "extended",
    "remove_text": "without-text",
    "merge_face": "face",
    "upscale": "upscaled",
    "inpaint": "inpainted",
    "erase": "erased",
    "describe_image": "description",
    "transcribe": "transcript",
    "clone_voice": "voice",
    "image_to_video": "clip",
    "first_last_frame": "clip",
}
"""Capability -> the word that is added to the source's name, if a call works on many files; otherwise `edited`."""


def made_word(does: Sequence[str]) -> str:
    return _MADE_WORDS.get(does[0], "edited")


def suffix_of(does: Sequence[str]) -> str:
    """The ending that is planned for a made file. When the file arrives, its real type decides."""
    if does[0] in ("describe_image", "transcribe"):
        return ".txt"
    return ".mp4" if "video" in does[0] or does[0] in ("first_last_frame", "motion_control") else ".png"
