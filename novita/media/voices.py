"""The known voices, and the search for one by language, gender and style, or by a description in words.

scripts/carry_facts.py writes the table catalog/voices.json. Models that know the same voices form a family, which is
the common beginning of their ids: `minimax`, `fish-audio`, `txt2speech`, `glm-tts`.
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
        id: The id that models take.
        family: The family of models that know the voice.
        language: The language that it speaks; `any` if it follows the text or the argument `language`.
        sure: Whether a page of Novita or of the model's maker names it. Otherwise Novita may not accept it.
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
        """The words that may describe this voice."""
        said = f"{self.id} {self.name} {self.language} {self.gender} {self.style} {self.age} {self.accent}"
        return frozenset(_root(word) for word in _split(said))


@cache
def voices() -> tuple[KnownVoice, ...]:
    """All voices. Those that Novita's own pages name come first."""
    data = json.loads((Path(__file__).with_name("catalog") / "voices.json").read_text(encoding="utf-8"))
    return tuple(KnownVoice.model_validate(row) for row in data["voices"])


def family_of(model: str) -> str:
    """The family of the model with this id; empty if the model has no voices."""
    return next((name for name in ("minimax", "fish-audio", "txt2speech", "glm-tts") if model.startswith(name)), "")


def speakers(family: str) -> list[MediaModel]:
    """The models that can use the voices of a family; those with the best evidence of life come first."""
    return [model for model in able_to(["text_to_speech"]) if family_of(model.id) == family]


def known_voice(voice_id: str) -> KnownVoice | None:
    """The voice with this id, ignoring upper and lower case."""
    wanted = voice_id.strip().casefold()
    return next((voice for voice in voices() if voice.id.casefold() == wanted), None)


def looks_like_an_id(text: str) -> bool:
    """Whether a text may be an id that is in no table, such as that of a cloned voice. A description has several
    words."""
    return not re.search(r"\s", text.strip())


_FISH_ID = re.compile(r"[0-9a-f]{32}")


def family_by_form(voice_id: str) -> str:
    """The family whose ids look like this one; empty if ids of any family may."""
    return "fish-audio" if _FISH_ID.fullmatch(voice_id.strip().casefold()) else ""


def like(
    description: str, *, language: str = "", families: Iterable[str] | None = None
) -> list[tuple[KnownVoice, int]]:
    """Voices, each with the number of words in the description that do not fit it; the best come first.

    Args:
        language: The English name of a language (`Korean`); only voices that speak it are returned.
        families: Only voices of these families are returned.
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
    """The voice that fits a description. Only sure voices are chosen, because a call with a wrong id may be billed.

    Raises:
        InputError: No sure voice fits; the error names the nearest ones, including those that are not sure.
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
    """The nearest voices, with sure ones and others in turn, so that a short list shows both kinds."""
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
    """The words of a text; `Calm_Woman` and `CalmLady` have two words each."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [word for word in re.split(r"[^A-Za-z]+", apart) if len(word) > 1]
