"""Options without circles: what a tool does not carry itself stands in `options`, or the error names the one way."""

from pathlib import Path

import pytest
from novita_mcp.novita.core.errors import InputError, UnknownModelError
from novita_mcp.novita.media.catalogue import shipped
from novita_mcp.novita.media.lookup import Capability, choose, media_model
from novita_mcp.novita.media.mapping import refuse_what_it_cannot
from novita_mcp.simulator.core.world import World
from novita_mcp.tools.media.taken import TOOLS, taken_by_tools

from ...conftest import Connect, text_of
from ..media_things import Json, body_of, done, nothing_paid, picture, recording, refused

MODELS = shipped().models
RETIRED = {model.id for model in MODELS if model.state == "retired"}


def test_every_argument_of_a_model_is_carried_by_its_tools_or_taken_in_their_options() -> None:
    lost = [
        (tool, model.id, name)
        for model in MODELS
        for tool, taken in taken_by_tools(model).items()
        for name, argument in model.arguments.items()
        if not argument.send and not {name, f"options.{name}"} & set(taken)
    ]
    assert lost == []
    assert {tool for model in MODELS for tool in taken_by_tools(model)} == set(TOOLS)


async def test_options_choose_the_stand_in_and_go_before_its_own_choice(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    async with connect() as client:
        wish: Json = {"image": picture(tmp_path / "fox.png"), "confirm": True}
        await done(client.call_tool("upscale_image", wish | {"options": {"size": "2048x2048"}}))
        assert body_of(world, "seedream_5_0_lite")["size"] == "2048x2048"
        other = await done(client.call_tool("upscale_image", wish | {"options": {"format": "png"}}))
        assert other["model"] == "gpt-image-2-edit"


async def test_a_chat_model_that_stands_in_drops_no_options(connect: Connect, world: World, tmp_path: Path) -> None:
    async with connect() as client:
        seen: Json = {"image": picture(tmp_path / "fox.png"), "options": {"language": "en"}}
        heard: Json = {"audio": recording(tmp_path / "a.wav", "Good morning.", world), "options": {"prompt": "names"}}
        for tool, wish in (("describe_image", seen), ("transcribe_audio", heard)):
            await refused(client.call_tool(tool, wish), "takes no `options`", "Nothing was billed")
    nothing_paid(world)


async def test_what_is_tried_though_nothing_is_known_to_live_is_said_before_a_yes(
    connect: Connect, world: World
) -> None:
    async with connect() as client:
        wish: Json = {"lyrics": "[verse]\nThe fox is in the snow\n", "dry_run": True}
        said = text_of(await client.call_tool("generate_music", wish))
        assert "No model that is known to live does this as it is asked" in said
        named = text_of(await client.call_tool("generate_music", wish | {"model": "minimax-music"}))
        assert "known to live" not in named
        assert "said to be switched off since 2026-09-30" in named
    nothing_paid(world)


ODD: Json = {
    "prompt": "x",
    "fps": 999,
    "checkpoint": "x",
    "duration": 3_600,
    "count": 99,
    "scale": 99,
    "voice": "Nobody",
}


@pytest.mark.parametrize("capability", Capability)
def test_no_error_about_arguments_names_what_is_gone_while_something_lives(capability: Capability) -> None:
    """Of a model that was named only its own name may stand there."""
    if not shipped().living[capability]:
        return
    told: list[tuple[str, str]] = []
    for model in (model for model in MODELS if capability in model.does):
        for name, value in ODD.items():
            try:
                refuse_what_it_cannot(model, {"prompt": "x", name: value})
            except InputError as error:
                told.append((model.id, error.next_step))
        try:
            media_model(f"{model.id}x")
        except UnknownModelError as error:
            told.append(("", error.next_step))
    for name, value in ODD.items():
        try:
            choose(capability, {"prompt": "x", name: value})
        except InputError as error:
            told.append(("", str(error)))
    named = [(own, word) for own, text in told for word in text.replace(",", " ").replace("'", " ").split()]
    assert not {word.strip(".:;()") for own, word in named if word.strip(".:;()") != own} & RETIRED
