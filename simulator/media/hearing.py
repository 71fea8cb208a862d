"""What was spoken in this world, so that it can be heard again."""

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
    """The table from call sign to text."""

    def __init__(self, world: World) -> None:
        self._said: Kept[int, str] = Kept(world.bounds.records, most_bytes=world.bounds.upload_bytes, size=len)

    def note(self, text: str) -> str:
        """Remember that this text is being spoken, and give it back."""
        self._said[call_sign(text)] = text
        return text

    def transcribe(self, data: bytes) -> str:
        """What is said in a file: our own speech word by word, else a sentence made up from the bytes.

        Raises NotSoundError.
        """
        known = [self._said[sign] for sign in listen(data).signs if sign in self._said]
        return " ".join(known) or self.made_up(data)

    def made_up(self, data: bytes) -> str:
        rng = random.Random(hashlib.sha256(data).digest())
        return f"{rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_PLACES)}."
