"""Finds the voice that reads a text, and the models that know it.

A call names a voice by its id, which may be that of a voice made here before, or by a description in words.
"""

from dataclasses import dataclass

from ...novita.core.errors import InputError
from ...novita.journal.made_voices import maker_of_voice
from ...novita.media.lookup import media_model
from ...novita.media.voices import (
    KnownVoice,
    family_by_form,
    family_of,
    known_voice,
    looks_like_an_id,
    pick_voice,
    speakers,
)
from ..kit.context import Caller
from .freshness import up_to_date


@dataclass(frozen=True)
class Spoken:
    """How to speak.

    Args:
        voice: Its id; None leaves the choice to the model.
        among: Ids of the models that know the voice; None if any model may be used.
        remark: Says which voice was chosen for a description.
    """

    voice: str | None = None
    among: tuple[str, ...] | None = None
    remark: str = ""


async def read_voice(caller: Caller, voice: str | None, *, language: str | None, model: str | None) -> Spoken:
    """The voice that a call means.

    Raises:
        InputError: No voice fits the description, or the named model does not know the voice.
    """
    if voice is None or not voice.strip():
        return Spoken()
    await up_to_date(caller)
    given = voice.strip()
    known, maker, remark = known_voice(given), None, ""
    if known is None:
        maker = await maker_of_voice(caller.app.journal, caller.owner, given)
    if known is None and maker is None and not looks_like_an_id(given):
        families = [family_of(media_model(model).id)] if model else None
        known = pick_voice(given, language=language or "", families=families)
        remark = f"The voice is {known.words}."
    family = known.family if known else family_of(maker or "") or family_by_form(given)
    among = tuple(each.id for each in speakers(family)) if family else None
    if model and family and among and media_model(model).id not in among:
        raise InputError(
            f"{media_model(model).id} does not know the voice {given[:80]!r}: it is {_whose(known, maker, family)}",
            next_step=f"Leave out model, or name one of {', '.join(among[:4])}.",
        )
    return Spoken(known.id if known else given, among, remark)


def _whose(known: KnownVoice | None, maker: str | None, family: str) -> str:
    return f"made by {maker}" if maker and known is None else f"one of {family}"
