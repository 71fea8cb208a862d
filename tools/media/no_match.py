"""Advice if a search finds no media model: which capability the words probably mean, and what can be used instead."""

import re
from collections.abc import Sequence

from ...novita.media.catalog_entry import Capability
from ...novita.media.lookup import MediaModel, media_models
from .stand_ins import ASKED, STAND_INS, otherwise

_MOST = 5

_TALKS = re.compile(r"lip[ -]?sync\w*|talking|avatars?|digital human|speaking (?:head|photo|portrait)", re.IGNORECASE)
_VOICES = re.compile(r"voices?|speakers?|narrators?", re.IGNORECASE)
_MEANT: Sequence[tuple[str, Capability]] = (
    (r"text[ -]?to[ -]?speech|tts|voice[ -]?over|narrat|speech", Capability.TEXT_TO_SPEECH),
    (r"speech[ -]?to[ -]?text|stt|asr|transcri|subtitle", Capability.TRANSCRIBE),
    (r"clon", Capability.CLONE_VOICE),
    (r"music|song|sing", Capability.MUSIC),
    (r"upscal|enlarg|super[ -]?resolution|sharpen", Capability.UPSCALE),
    (r"background|cut[ -]?out|transparen", Capability.REMOVE_BACKGROUND),
    (r"face[ -]?swap|swap|deepfake", Capability.MERGE_FACE),
    (r"dub|translat", Capability.TRANSLATE_VIDEO),
    (r"animat|image[ -]?to[ -]?video|i2v", Capability.IMAGE_TO_VIDEO),
    (r"video|film|clip|t2v", Capability.TEXT_TO_VIDEO),
    (r"caption|describe", Capability.DESCRIBE_IMAGE),
    (r"edit|retouch|i2i", Capability.EDIT_IMAGE),
    (r"image|picture|photo|t2i|draw", Capability.TEXT_TO_IMAGE),
)
"""Patterns of words that people use, and the capability they mean. The first pattern that matches counts."""


def what_would_fit(capability: Capability | None, search: str) -> str:
    """What to do next after an empty list, in whole sentences."""
    told: list[str] = []
    if capability is not None and not _able(capability):
        told.append(f"No model known to live does {capability.value}. {_instead(capability)}".strip())
    elif capability is not None and search:
        told.append(f"Without search, these do {capability.value}: {_names(_able(capability))}.")
    if _TALKS.search(search):
        told.append(
            "No model known to live moves lips to a recording; models that make sound of their own may let people "
            f"speak what the prompt says (generate_video with sound=true): {_names(_with_sound())}."
        )
    elif _VOICES.search(search):
        told.append("Voices are found with voice='calm female', models that read aloud with does='text_to_speech'.")
    elif capability is None and (meant := _meant(search)) is not None:
        told.append(f"does={meant.value!r} may be what is meant: {_names(_able(meant)) or _instead(meant)}")
    told.append("retired=true shows also what was switched off.")
    return " ".join(told)


def _able(capability: Capability) -> list[MediaModel]:
    found = [model for model in media_models() if model.live and capability in model.does]
    return sorted(found, key=lambda model: model.doubt)


def _with_sound() -> list[MediaModel]:
    return [model for model in media_models() if model.live and model.makes == "video" and "sound" in model.arguments]


def _names(found: Sequence[MediaModel]) -> str:
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return ", ".join(model.id for model in found[:_MOST]) + more


def _meant(search: str) -> Capability | None:
    return next((meant for words, meant in _MEANT if re.search(words, search, re.IGNORECASE)), None)


def _instead(capability: Capability) -> str:
    if capability in STAND_INS:
        return STAND_INS[capability][0].differs.format(model="another model")
    if capability in ASKED:
        return ASKED[capability].differs
    return otherwise([capability])
