"""Remembers what was spoken in this world, so that a recording of it can be transcribed."""

from __future__ import annotations

import hashlib
import random

from ..core.bounds import Kept
from ..core.world import World
from .sound import call_sign, listen

_SUBJECTS = ("The train", "My sister", "Our meeting", "The weather", "A small dog", "The new model")
_VERBS = ("arrives", "was seen", "starts", "sounds better", "waits", "was mentioned")
_PLACES = ("at the station", "before noon", "near the river", "in the second room", "after the break", "as planned")


class Hearing:
    """The spoken texts by call sign (see sound.py)."""

    def __init__(self, world: World) -> None:
        self._said: Kept[int, str] = Kept(world.bounds.records, most_bytes=world.bounds.upload_bytes, size=len)

    def note(self, text: str) -> str:
        """Remember a text that is spoken, and return it."""
        self._said[call_sign(text)] = text
        return text

    def transcribe(self, data: bytes) -> str:
        """The text of a recording: word by word if it was made here, or else a sentence invented from the bytes.

        Raises NotSoundError.
        """
        known = [self._said[sign] for sign in listen(data).signs if sign in self._said]
        return " ".join(known) or self.made_up(data)

    def made_up(self, data: bytes) -> str:
        rng = random.Random(hashlib.sha256(data).digest())
        return f"{rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_PLACES)}."
