"""The voices of this world, and how a request becomes a recording."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from ..core.calls import Call, Json
from ..core.prices import usd_each
from ..core.world import Account, World
from .hearing import Hearing
from .sound import SoundFormat, encode, speak

# fmt: off
MINIMAX_VOICES: Final = frozenset(
    [
        "Wise_Woman",
        "Friendly_Person",
        "Inspirational_girl",
        "Deep_Voice_Man",
        "Calm_Woman",
        "Casual_Guy",
        "Lively_Girl",
        "Patient_Man",
        "Young_Knight",
        "Determined_Man",
        "Lovely_Girl",
        "Decent_Boy",
        "Imposing_Manner",
        "Elegant_Man",
        "Abbess",
        "Sweet_Girl_2",
        "Exuberant_Girl",
    ]
)
# fmt: on
GLM_VOICES: Final = frozenset(["tongtong", "chuichui", "xiaochen", "jam", "kazi", "douji", "luodo"])
UNUSED_VOICE_LIVES: Final = 168 * 3600
"""Seconds after which a cloned MiniMax voice disappears if nobody has used it."""


@dataclass
class Voice:
    """A cloned or designed voice. `ends` is the time at which an unused one disappears, or None for never."""

    ends: float | None = None


class VoiceState:
    """The voices that accounts made, by maker (minimax, glm or fish), account and id."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._voices: dict[tuple[str, str, str], Voice] = {}

    def has(self, maker: str, account: Account, voice_id: str) -> bool:
        return self._find(maker, account, voice_id) is not None

    def add(self, maker: str, account: Account, voice_id: str) -> None:
        ends = self._world.clock.now() + UNUSED_VOICE_LIVES if maker == "minimax" else None
        self._voices[maker, account.id, voice_id] = Voice(ends)

    def use(self, maker: str, account: Account, voice_id: str) -> bool:
        """Whether the account has the voice. Using a voice also keeps it from disappearing."""
        voice = self._find(maker, account, voice_id)
        if voice is not None:
            voice.ends = None
        return voice is not None

    def _find(self, maker: str, account: Account, voice_id: str) -> Voice | None:
        voice = self._voices.get((maker, account.id, voice_id))
        if voice is not None and voice.ends is not None and voice.ends <= self._world.clock.now():
            del self._voices[maker, account.id, voice_id]
            return None
        return voice


@dataclass(frozen=True)
class Reading:
    """A text to be read aloud, and the file it becomes."""

    text: str
    voice: str
    form: SoundFormat
    speed: float = 1.0
    volume: float = 1.0
    pitch: int = 0

    def record(self) -> bytes:
        samples = speak(
            self.text, voice=self.voice, speed=self.speed, volume=self.volume, pitch=self.pitch, rate=self.form.rate
        )
        return encode(samples, self.form)


async def record(call: Call, reading: Reading) -> bytes:
    """The recording of a text. This world can transcribe it."""
    call.world.area(Hearing).note(reading.text)
    return await asyncio.to_thread(reading.record)


def charge_text(call: Call, text: str) -> None:
    call.charge(usd_each(call.operation.id, call.body, letters=len(text)), note=f"{len(text)} characters")


def minimax_reading(body: Json, *, channels: int = 1) -> Reading:
    """The reading that voice_setting and audio_setting describe. The generations spell their fields differently."""
    voice: Json = body.get("voice_setting", {})
    audio: Json = body.get("audio_setting", {})
    return Reading(
        body.get("text", ""),
        voice.get("voice_id") or "+".join(f"{part['voice_id']}:{part['weight']}" for part in _mixed(body)),
        SoundFormat(
            audio.get("format", "mp3"),
            audio.get("sample_rate", audio.get("audio_sample_rate", 32000)),
            audio.get("channel", channels),
            audio.get("bitrate", 128000),
        ),
        voice.get("speed", 1.0),
        voice.get("vol", 1.0),
        voice.get("pitch", 0),
    )


def _mixed(body: Json) -> list[Json]:
    """The voices to mix. The two generations spell the field differently."""
    return body.get("timbre_weights", body.get("timber_weights", []))


def minimax_problem(call: Call, body: Json) -> tuple[int, str] | None:
    """MiniMax's own status code and text for a request that its schema lets pass."""
    if not body.get("text", "").strip():
        return 2013, "invalid params, text is empty"
    if invisible_share(body["text"]) > 0.1:
        return 1042, "invisible characters exceed 10%"
    audio: Json = body.get("audio_setting", {})
    setting: Json = body.get("voice_setting", {})
    if body.get("stream") and audio.get("format") == "wav":
        return 2013, "invalid params, wav is not supported with stream"
    voices: list[str] = [part["voice_id"] for part in _mixed(body)]
    if single := setting.get("voice_id"):
        voices.append(single)
    if not voices:
        return 2013, "invalid params, voice_id is required"
    made = call.world.area(VoiceState)
    for voice in voices:
        if voice not in MINIMAX_VOICES and not made.use("minimax", call.account, voice):
            return 2013, f"invalid params, voice id not exist: {voice}"
    return None


def invisible_share(text: str) -> float:
    hidden = sum(not (letter.isprintable() or letter.isspace()) for letter in text)
    return hidden / max(1, len(text))


async def in_parts(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
        await asyncio.sleep(0)
