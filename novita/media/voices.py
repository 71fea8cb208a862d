"""Voices as data: found by language, gender and style, or by a description in words.

The table is catalog/voices.json, carried by scripts/carry_facts.py. A family is what all models that know the same
voices begin with: `minimax`, `fish-audio`, `txt2speech`, `glm-tts`.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..core.errors import InputError
from .lookup import MediaModel, able_to

_ANY = "any"


class KnownVoice(BaseModel):
    """One voice.

    Args:
        id: As the model takes it.
        family: Whose it is.
        language: What it speaks by nature; `any` where that follows the text or `language`.
        sure: Whether a page of Novita names it, or its model's; else nobody knows whether Novita takes it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    family: str
    language: str = _ANY
    gender: str = ""
    style: str = ""
    age: str = ""
    accent: str = ""
    name: str = ""
    sure: bool = True

    @property
    def words(self) -> str:
        """`English_Graceful_Lady (female, graceful lady, middle-aged, British accent)`."""
        language = "" if self.language == _ANY else self.language
        doubt = "" if self.sure else "Novita may not take it"
        told = [part for part in (self.name, language, self.gender, self.style, self.age, self.accent, doubt) if part]
        return f"{self.id} ({', '.join(told)})" if told else self.id

    @property
    def tokens(self) -> frozenset[str]:
        """The words that a description of it may hold."""
        said = f"{self.id} {self.name} {self.language} {self.gender} {self.style} {self.age} {self.accent}"
        return frozenset(_root(word) for word in _split(said))


@cache
def voices() -> tuple[KnownVoice, ...]:
    """Every voice, those that Novita's own pages name first."""
    data = json.loads((Path(__file__).with_name("catalog") / "voices.json").read_text(encoding="utf-8"))
    return tuple(KnownVoice.model_validate(row) for row in data["voices"])


def family_of(model: str) -> str:
    """The family a model belongs to, by its id; empty for none that has voices."""
    return next((name for name in ("minimax", "fish-audio", "txt2speech", "glm-tts") if model.startswith(name)), "")


def speakers(family: str) -> list[MediaModel]:
    """The models that speak with the voices of a family, the best evidence of life first."""
    return [model for model in able_to(["text_to_speech"]) if family_of(model.id) == family]


def known_voice(voice_id: str) -> KnownVoice | None:
    """The voice of this id, upper and lower case aside."""
    wanted = voice_id.strip().casefold()
    return next((voice for voice in voices() if voice.id.casefold() == wanted), None)


def looks_like_an_id(text: str) -> bool:
    """Whether a text may be an id that no table has, such as a cloned voice's; a description has several words."""
    return not re.search(r"\s", text.strip())


_FISH_ID = re.compile(r"[0-9a-f]{32}")


def family_by_form(voice_id: str) -> str:
    """The family whose ids look like this; empty where any may."""
    return "fish-audio" if _FISH_ID.fullmatch(voice_id.strip().casefold()) else ""


def like(
    description: str, *, language: str = "", families: Iterable[str] | None = None
) -> list[tuple[KnownVoice, int]]:
    """Voices with how many words of a description are not said of them, the fewest first.

    Args:
        language: In English (`Korean`); only voices that speak it.
        families: Only these.
    """
    words = (_root(word) for word in _split(description))
    wanted = list(dict.fromkeys(word for word in words if word not in _EMPTY))
    allowed = None if families is None else set(families)
    spoken = {voice.language.casefold().partition(" ")[0] for voice in voices()} - {_ANY}
    found: list[tuple[KnownVoice, int]] = []
    for voice in voices():
        speaks = voice.language == _ANY or language.casefold() in voice.language.casefold()
        if (allowed is not None and voice.family not in allowed) or not speaks:
            continue
        # A voice for any language speaks each language that is asked for.
        every = spoken if voice.language == _ANY else set[str]()
        found.append((voice, sum(word not in voice.tokens and word not in every for word in wanted)))
    genders = {word for word in wanted if word in ("female", "male")}
    return sorted(found, key=lambda one: (one[1], bool(genders) and one[0].gender not in genders, not one[0].sure))


def pick_voice(description: str, *, language: str = "", families: Iterable[str] | None = None) -> KnownVoice:
    """The voice that a description in words means, of those that pages name: a wrong id may be billed.

    Raises:
        InputError: None fits it; names the nearest, also those of which nobody knows whether Novita takes them.
    """
    ranked = like(description, language=language, families=families)
    fitting = [voice for voice, misses in ranked if voice.sure and not misses and voice.family != "glm-tts"]
    if fitting and set(map(_root, _split(description))) - _EMPTY:
        return fitting[0]
    shown = "; ".join(voice.words for voice in spread([voice for voice, _ in ranked])[:6])
    raise InputError(
        f"No voice is known that is {description.strip()[:80]!r}",
        next_step=f"The nearest are: {shown}. Give an id as voice; list_media_models with voice finds more, and "
        "design_voice invents one.",
    )


def spread(near: Sequence[KnownVoice]) -> list[KnownVoice]:
    """The nearest voices with the sure ones and the others taking turns, so that both kinds are seen."""
    sure, unsure = [one for one in near if one.sure], [one for one in near if not one.sure]
    turns: list[KnownVoice] = []
    for place in range(max(len(sure), len(unsure))):
        turns += [*sure[place : place + 1], *unsure[place : place + 1]]
    return turns


_EMPTY = frozenset({"voice", "accent", "speaker", "with", "and", "the", "of", "in", "speaking", "sounding", "very"})
_ROOTS = {
    "woman": "female", "women": "female", "lady": "female", "girl": "female", "feminine": "female",
    "man": "male", "men": "male", "guy": "male", "gentleman": "male", "boy": "male", "masculine": "male",
    "brit": "british", "uk": "british", "us": "american", "usa": "american", "mandarin": "chinese",
}  # fmt: skip


def _root(word: str) -> str:
    return _ROOTS.get(word.casefold(), word.casefold())


def _split(text: str) -> list[str]:
    """Words, also out of `Calm_Woman` and `CalmLady`."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [word for word in re.split(r"[^A-Za-z]+", apart) if len(word) > 1]
