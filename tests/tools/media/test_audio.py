"""Speech, voices, music and recognition: real sound in the asked format, and words that come back as they were said."""

from pathlib import Path
from typing import Any

import av
import pytest
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.sound import listen, spoken_length

from ...conftest import Connect
from ..media_things import body_of, clip, done, link_to, nothing_paid, one, recording, refused

LINE = "The quick brown fox jumps over the lazy dog near the river bank."


def rate_of(path: str) -> int:
    """Samples a second of a sound file."""
    with av.open(path) as container:
        return container.streams.audio[0].rate


@pytest.mark.parametrize("format", ["mp3", "wav", "flac"])
async def test_a_text_is_read_aloud_in_the_asked_format(connect: Connect, world: World, format: str) -> None:
    async with connect() as client:
        wish = {"text": LINE, "format": format, "sample_rate": 16_000}
        answer = await done(client.call_tool("generate_speech", wish))

        made = one(answer)
        assert made["path"].endswith(f".{format}")
        assert made["duration_seconds"] == pytest.approx(spoken_length(LINE), abs=0.3)
        assert rate_of(made["path"]) == 16_000
        assert answer["model"] == "minimax-speech-2.8-turbo"
        assert world.count("minimax_speech_2_8_turbo", "accepted") == 1


async def test_bare_samples_are_kept_under_the_suffix_of_what_was_asked(connect: Connect) -> None:
    async with connect() as client:
        wish = {"text": LINE, "format": "pcm", "sample_rate": 16_000, "model": "minimax-speech-02-turbo"}
        made = one(await done(client.call_tool("generate_speech", wish)))

        assert made["path"].endswith(".pcm")
        assert made["bytes"] == pytest.approx(2 * 16_000 * spoken_length(LINE), rel=0.05)


async def test_opus_comes_from_a_model_that_makes_it(connect: Connect) -> None:
    async with connect() as client:
        answer = await done(client.call_tool("generate_speech", {"text": LINE, "format": "opus"}))

        assert answer["model"] == "fish-audio-text-to-speech"
        assert Path(one(answer)["path"]).read_bytes()[:4] == b"OggS"


async def test_a_faster_voice_takes_less_time(connect: Connect) -> None:
    async with connect() as client:
        wish = {"text": LINE, "speed": 2, "voice": "Wise_Woman", "language": "en"}
        made = one(await done(client.call_tool("generate_speech", wish)))

        assert made["duration_seconds"] == pytest.approx(spoken_length(LINE, 2), abs=0.3)


@pytest.mark.old_models
async def test_a_recording_is_written_down(connect: Connect, world: World, tmp_path: Path, settings: Settings) -> None:
    path = recording(tmp_path / "said.mp3", LINE, world)
    async with connect() as client:
        for reference in (path, link_to(path, world, settings.base_url)):
            answer = await done(client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": reference}))
            assert answer["text"] == LINE
    assert world.count("glm_asr", "accepted") == 2


@pytest.mark.old_models
async def test_what_is_said_in_a_video_is_written_down(
    connect: Connect, world: World, tmp_path: Path, settings: Settings
) -> None:
    path = clip(tmp_path / "clip.mp4", said=LINE, world=world)
    async with connect() as client:
        for reference in (path, link_to(path, world, settings.base_url)):
            answer = await done(client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": reference}))

            assert answer["text"] == LINE
            assert body_of(world, "glm_asr")["file"].startswith("data:audio/wav;base64,")


async def test_a_video_without_sound_is_refused(connect: Connect, world: World, tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", seconds=1, world=world)
    async with connect() as client:
        await refused(client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": path}), "video without sound")
    nothing_paid(world)


async def test_a_cloned_voice_speaks(connect: Connect, world: World, tmp_path: Path, settings: Settings) -> None:
    path = recording(tmp_path / "me.mp3", LINE * 3, world)
    async with connect() as client:
        wish = {"audio": link_to(path, world, settings.base_url), "text": "Hello, it is me."}
        answer = await done(client.call_tool("clone_voice", wish))
        voice = answer["values"]["voice_id"]
        assert answer["model"] == "minimax-voice-cloning"
        assert listen(Path(one(answer)["path"]).read_bytes()).seconds > 0.5

        spoken = await done(client.call_tool("generate_speech", {"text": "Hello", "voice": voice}))
        assert one(spoken)["kind"] == "audio"
        assert body_of(world, "minimax_speech_2_8_turbo")["voice_setting"]["voice_id"] == voice


async def test_a_recording_of_this_machine_is_cloned_by_a_model_that_takes_files(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    path = recording(tmp_path / "me.mp3", LINE * 3, world)
    async with connect() as client:
        answer = await done(client.call_tool("clone_voice", {"audio": path, "name": "me", "transcript": LINE * 3}))

        assert answer["model"] == "fish-audio-voice-cloning"
        assert answer["values"]["voice_id"]
        assert world.count("fish_audio_voice_cloning", "accepted") == 1


async def test_a_designed_voice_comes_with_a_sample(connect: Connect, world: World) -> None:
    async with connect() as client:
        wish = {"prompt": "a calm old storyteller", "text": "Once upon a time there was a fox."}
        answer = await done(client.call_tool("design_voice", wish))

        assert answer["values"]["voice_id"]
        assert one(answer)["duration_seconds"] > 1
        assert world.count("minimax_voice_design", "accepted") == 1


@pytest.mark.old_models
async def test_lyrics_are_written_and_then_sung(connect: Connect, world: World) -> None:
    async with connect() as client:
        written = await done(
            client.call_tool(
                "generate_lyrics", {"model": "minimax-music-lyrics", "prompt": "a fox in the rain", "name": "Wet fox"}
            )
        )
        assert written["values"]["song_title"]
        assert written["artifacts"] == []

        wish: dict[str, Any] = {"prompt": "calm folk", "lyrics": written["text"]}
        made = one(await done(client.call_tool("generate_music", wish)))

        assert made["path"].endswith(".mp3")
        assert made["duration_seconds"] > 5
        assert body_of(world, "minimax_music")["lyrics"] == written["text"]
