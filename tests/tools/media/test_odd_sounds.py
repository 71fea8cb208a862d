"""Recordings as phones and messengers write them are converted; those without a sound are refused before money."""

import base64
import struct
from pathlib import Path

import pytest
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.hearing import Hearing
from novita_mcp.simulator.media.sound import SoundFormat, encode, speak

from ...conftest import Connect
from ...odd_media import SOUND_KINDS, put, sound_as, wav
from ..media_things import body_of, done, nothing_paid, refused

LINE = "The quick brown fox jumps over the lazy dog."


def spoken(world: World, text: str = LINE) -> bytes:
    """Somebody saying a text that the simulator will understand again, as WAV."""
    return encode(speak(world.area(Hearing).note(text)), SoundFormat("wav"))


async def test_whatever_a_phone_or_a_messenger_writes_is_transcribed(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    async with connect() as client:
        for kind in SOUND_KINDS:
            path = put(tmp_path, f"PTT-20260904-WA0001.{kind}", sound_as(kind, spoken(world)))
            answer = await done(client.call_tool("transcribe_audio", {"audio": path}))
            if kind not in ("3gp", "amr"):  # a telephone's voice is too poor for the simulator's ear
                assert answer["text"] == LINE, kind
            sent = body_of(world, "glm_asr")["file"]
            assert sent.startswith("data:audio/wav;base64,"), kind


async def test_a_voice_note_behind_a_link_is_converted(
    connect: Connect, world: World, tmp_path: Path, settings: Settings
) -> None:
    stored = world.files.add("PTT.opus", "audio/ogg", sound_as("opus", spoken(world)))
    async with connect() as client:
        wish = {"audio": world.files.link(stored, settings.base_url)}
        assert (await done(client.call_tool("transcribe_audio", wish)))["text"] == LINE


def soundless() -> dict[str, bytes]:
    whole = wav(2)
    return {
        "header_only.wav": whole[:44],
        "a header that promises more.wav": whole[: len(whole) // 2],
        "an honest header.wav": wav(0),
        "one sample.wav": wav(0.001),
        "header only.flac": sound_as("flac", whole)[:80],
        "half an m4a.m4a": sound_as("m4a", whole)[: len(sound_as("m4a", whole)) // 2],
        "no packets.opus": sound_as("opus", whole)[:120],
        "noise.mp3": b"ID3\x04\0\0\0\0\0\0" + bytes(range(256)) * 20,
    }


async def test_a_sound_without_a_sound_is_refused_before_money(connect: Connect, world: World, tmp_path: Path) -> None:
    async with connect() as client:
        for name, data in soundless().items():
            call = client.call_tool("transcribe_audio", {"audio": put(tmp_path, name, data)})
            await refused(call, name, "Nothing was billed")
        packed = base64.b64encode(wav(0)).decode()
        call = client.call_tool("clone_voice", {"audio": f"data:audio/wav;base64,{packed}"})
        await refused(call, "no sound", "Nothing was billed")
    nothing_paid(world)


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
async def test_a_recording_whose_header_does_not_know_its_length_is_whole(
    connect: Connect, world: World, tmp_path: Path, length: int
) -> None:
    """Of a program that was killed, or that wrote into a pipe."""
    data = bytearray(spoken(world))
    data[4:8] = data[40:44] = struct.pack("<I", length)
    async with connect() as client:
        wish = {"audio": put(tmp_path, "killed.wav", bytes(data))}
        assert (await done(client.call_tool("transcribe_audio", wish)))["text"] == LINE


async def test_a_large_wav_becomes_small_enough_for_a_voice(connect: Connect, world: World, tmp_path: Path) -> None:
    path = put(tmp_path, "long.wav", wav(130, rate=96_000))
    assert Path(path).stat().st_size > 20_000_000
    async with connect() as client:
        await done(client.call_tool("clone_voice", {"audio": path, "model": "fish-audio-voice-cloning", "name": "Ada"}))
    assert len(world.charges) <= 1
