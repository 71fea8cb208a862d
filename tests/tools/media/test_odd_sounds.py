"""Recordings as phones and messengers write them are converted; those without a sound are refused before money."""

import base64
import re
import struct
import wave
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pytest
from novita_mcp.novita.files.sound import cut_at_silences
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.hearing import Hearing
from novita_mcp.simulator.media.sound import SoundFormat, encode, speak

from ...conftest import Connect
from ...odd_media import SOUND_KINDS, put, sound_as, wav
from ..media_things import Json, body_of, done, nothing_paid, refused

pytestmark = pytest.mark.old_models

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
            answer = await done(client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": path}))
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
        assert (await done(client.call_tool("transcribe_audio", wish | {"model": "glm-asr"})))["text"] == LINE


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
            call = client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": put(tmp_path, name, data)})
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
        assert (await done(client.call_tool("transcribe_audio", wish | {"model": "glm-asr"})))["text"] == LINE


async def test_a_large_wav_becomes_small_enough_for_a_voice(connect: Connect, world: World, tmp_path: Path) -> None:
    path = put(tmp_path, "long.wav", wav(130, rate=96_000))
    assert Path(path).stat().st_size > 20_000_000
    async with connect() as client:
        await done(client.call_tool("clone_voice", {"audio": path, "model": "fish-audio-voice-cloning", "name": "Ada"}))
    assert len(world.charges) <= 1


LINES = [f"Line {number}: {LINE}" for number in range(1, 17)]


def long_talk(world: World, pause: float = 1.0) -> bytes:
    """Somebody who says line after line, with a pause after each; about a minute, as WAV."""
    joined = BytesIO()
    with wave.open(joined, "wb") as whole:
        for line in LINES:
            with wave.open(BytesIO(spoken(world, line)), "rb") as said:
                if line == LINES[0]:
                    whole.setparams(said.getparams())
                whole.writeframes(said.readframes(said.getnframes()))
                whole.writeframes(bytes(2 * said.getnchannels() * int(pause * said.getframerate())))
    return joined.getvalue()


def seconds_of(uri: str) -> float:
    with wave.open(BytesIO(base64.b64decode(uri.partition(",")[2])), "rb") as sound:
        return sound.getnframes() / sound.getframerate()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wav", "opus", "m4a"])
async def test_a_long_recording_is_cut_at_silences_and_its_text_joined(
    connect: Connect, world: World, tmp_path: Path, kind: str
) -> None:
    """Kind 8. No word is cut in two: the simulator understands whole lines only."""
    talk = long_talk(world)
    path = put(tmp_path, f"meeting.{kind}", talk if kind == "wav" else sound_as(kind, talk))
    async with connect() as client:
        answer = await done(client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": path}))

    sent = [request.body for request in world.received("glm_asr")]
    assert len(sent) > 1
    assert all(seconds_of(body["file"]) <= 30 for body in sent)
    assert answer["text"] == " ".join(LINES)
    assert f"in {len(sent)} pieces" in answer["remark"]
    assert "prompt" not in sent[0] and sent[1]["prompt"].startswith("Line 1:")


async def test_a_long_recording_behind_a_link_is_cut_too(
    connect: Connect, world: World, tmp_path: Path, settings: Settings
) -> None:
    stored = world.files.add("meeting.wav", "audio/wav", long_talk(world))
    async with connect() as client:
        wish = {"audio": world.files.link(stored, settings.base_url)}
        assert (await done(client.call_tool("transcribe_audio", wish | {"model": "glm-asr"})))["text"] == " ".join(
            LINES
        )


async def test_what_a_long_recording_costs_is_the_price_of_all_its_pieces(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    path, short = put(tmp_path, "meeting.wav", long_talk(world)), put(tmp_path, "note.wav", spoken(world))
    async with connect(confirm_above_usd=Decimal("0.000001")) as client:
        asked: Json = (
            await client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": path})
        ).structured_content or {}
        once: Json = (
            await client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": short})
        ).structured_content or {}
    assert asked["status"] == once["status"] == "needs_confirmation"
    pieces = int(re.findall(r"in (\d+) pieces", asked["next_step"])[0])
    assert Decimal(asked["counted_usd"]) == pieces * Decimal(once["counted_usd"])
    nothing_paid(world)


async def test_what_was_written_down_before_a_piece_failed_is_kept(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    path = put(tmp_path, "meeting.wav", long_talk(world))
    world.trouble({"error": "INVALID_AUDIO_FILE", "group": "media"}, operation="glm_asr", skip=1)
    async with connect() as client:
        answer = await done(client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": path}))

    assert answer["text"].startswith("Line 1:")
    assert "[Missing: pieces 2 to" in answer["text"]
    assert "INVALID_AUDIO_FILE" in answer["values"]["missing"]
    assert len(world.received("glm_asr")) == 2


def test_pieces_without_any_silence_are_cut_all_the_same() -> None:
    pieces = cut_at_silences(wav(70), "hum.wav", 30)

    assert len(pieces) >= 3
    lengths = [seconds_of(f"data:,{base64.b64encode(piece).decode()}") for piece in pieces]
    assert max(lengths) <= 30
    assert abs(sum(lengths) - 70) < 0.01


async def test_half_an_hour_is_the_most(connect: Connect, world: World, tmp_path: Path) -> None:
    path = put(tmp_path, "lecture.wav", wav(1_900, rate=8_000))
    async with connect() as client:
        await refused(
            client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": path}),
            "half an hour",
            "Nothing was billed",
        )
    nothing_paid(world)
