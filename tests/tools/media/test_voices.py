"""Voices: found by what they are like, picked by words, and one that was made here goes to the models that know it."""

from pathlib import Path

import pytest
from novita_mcp.novita.core.errors import InputError
from novita_mcp.novita.media.lookup import media_models
from novita_mcp.novita.media.voices import known_voice, like, pick_voice, speakers, voices
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.serving import Running

from ...conftest import Connect, text_of
from ..media_things import Json, body_of, done, link_to, nothing_paid, recording, refused


def test_every_documented_voice_is_in_the_table() -> None:
    for model in media_models():
        argument = model.arguments.get("voice")
        assert set(argument.known if argument else ()) <= {voice.id for voice in voices()}
    assert all(speakers(voice.family) for voice in voices())


@pytest.mark.parametrize(
    ("description", "id"),
    [
        ("calm female", "Calm_Woman"),
        ("a deep male voice", "Deep_Voice_Man"),
        ("calm Korean woman", "Calm_Woman"),  # who speaks any language
    ],
)
def test_a_description_means_a_voice_of_which_all_of_it_is_said(description: str, id: str) -> None:
    assert pick_voice(description).id == id


def test_what_fits_none_is_refused_with_near_ones() -> None:
    with pytest.raises(InputError) as told:
        pick_voice("calm British female")
    assert "Calm_Woman" in told.value.next_step
    assert "English_Graceful_Lady" in told.value.next_step
    assert known_voice("wise_woman") is not None
    exact = [voice for voice, misses in like("Korean female") if not misses]
    assert {voice.gender for voice in exact} == {"female"}
    assert {voice.language for voice in exact} == {"any", "Korean"}


async def test_words_are_never_sent_as_a_voice_and_a_language_is_never_dropped(connect: Connect, world: World) -> None:
    async with connect() as client:
        wish: Json = {"text": "Good morning.", "voice": "calm British female"}
        await refused(client.call_tool("generate_speech", wish), "The nearest are", "Nothing was billed")
        nothing_paid(world)

        spoken = await done(client.call_tool("generate_speech", wish | {"voice": "calm female", "language": "ko"}))
        body = body_of(world, "minimax_speech_2_8_turbo")
        assert body["voice_setting"]["voice_id"] == "Calm_Woman"
        assert body["language_boost"] == "Korean"
        assert spoken["remark"] == "The voice is Calm_Woman (female)."

        unsure = client.call_tool("generate_speech", wish | {"voice": "British lady"})
        await refused(unsure, "English_Graceful_Lady", "Novita may not take it", "Nothing was billed")

        found = await client.call_tool("list_media_models", {"voice": "British female"})
        told: Json = found.structured_content or {}
        assert told["voices"][0].startswith("English_Graceful_Lady")
        assert "minimax-speech-2.8-turbo" in text_of(found)


CLONES: dict[str, tuple[str, str]] = {
    "minimax-voice-cloning": ("minimax", "fish-audio-text-to-speech"),
    "fish-audio-voice-cloning": ("fish-audio", "minimax-speech-2.8-turbo"),
}


@pytest.mark.parametrize("maker", CLONES)
async def test_a_cloned_voice_is_spoken_by_a_model_that_knows_it(
    connect: Connect, world: World, simulator: Running, tmp_path: Path, maker: str
) -> None:
    family, stranger = CLONES[maker]
    said = recording(tmp_path / "fox.mp3", "the fox sleeps in the snow and dreams of summer " * 5, world)
    async with connect() as client:
        wish = {"audio": link_to(said, world, simulator.url), "model": maker, "confirm": True}
        wish |= {"name": "Fox1"} if maker.startswith("fish") else {}
        cloned = await done(client.call_tool("clone_voice", wish))
        voice = cloned["values"]["voice_id"]
        assert f'generate_speech(text=..., voice="{voice}")' in cloned["next_step"]
    async with connect() as client:  # another session remembers
        spoken = await done(client.call_tool("generate_speech", {"text": "Good morning.", "voice": voice}))
        assert spoken["model"].startswith(family)

        paid = len(world.charges)
        wish = {"text": "Good morning.", "voice": voice, "model": stranger}
        await refused(client.call_tool("generate_speech", wish), f"made by {maker}", "Nothing was billed")
        assert len(world.charges) == paid


async def test_a_designed_voice_is_spoken_by_a_model_that_knows_it(connect: Connect) -> None:
    async with connect() as client:
        made = await done(client.call_tool("design_voice", {"prompt": "an old fox, hoarse", "text": "Good morning."}))
        wish = {"text": "Good morning.", "voice": made["values"]["voice_id"]}
        assert (await done(client.call_tool("generate_speech", wish)))["model"].startswith("minimax")
