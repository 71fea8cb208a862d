"""Options without circles: what a tool does not carry itself stands in `options`, or the error names the one way."""

import re
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.core.errors import InputError, UnknownModelError
from novita_mcp.novita.media import mapping
from novita_mcp.novita.media.catalogue import advised, shipped, use_catalog
from novita_mcp.novita.media.lookup import Capability, MediaModel, alternatives, choose, complaints, media_model
from novita_mcp.novita.media.mapping import refuse_what_it_cannot
from novita_mcp.simulator.core.world import World
from novita_mcp.tools import TOOLSETS
from novita_mcp.tools.kit.argument_reading import unknown_argument
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


def test_every_combination_that_a_tool_lacks_has_one_right_path() -> None:
    """Every common argument that a model of a tool takes and the tool does not carry, given in the wrong place."""
    combinations = {
        (tool, taken.removeprefix("options."))
        for model in MODELS
        for tool, all_taken in taken_by_tools(model).items()
        for taken in all_taken
        if taken.startswith("options.")
    }
    carried = {spec.name: list(spec.build().taken["properties"]) for toolset in TOOLSETS for spec in toolset.tools}
    assert len(combinations) > 40
    for tool, name in combinations - {("transcribe_audio", "prompt")}:  # which says more than what it is
        assert name not in carried[tool]
        assert f"options={{'{name}': ...}}" in unknown_argument(name, carried[tool]), (tool, name)


@pytest.mark.parametrize("capability", Capability)
def test_no_advice_names_what_this_caller_was_turned_away_from(capability: Capability) -> None:
    """As the journal has it: the head of the chain is gone, so all that is advised comes after it."""
    head, *rest = shipped().living[capability] or (None,)
    if head is None or not rest:
        return
    named = next((model for model in MODELS if capability in model.does and model.id != head.id), head)

    def told() -> list[str]:
        use_catalog(shipped(), gone=[head.id])
        with pytest.raises(UnknownModelError) as unknown:
            media_model(f"{head.id}x")
        ids = [model.id for model in alternatives(named, n=100)]
        assert [model.id for model in advised((head, *rest))] == [model.id for model in rest]
        return [*ids, *re.split(r"[ ,?]+", unknown.value.next_step)]

    assert head.id not in copy_context().run(told)
    assert advised((head, head)) == [head]  # a call elsewhere knows nothing of that, and none stands twice


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


@pytest.mark.parametrize("model", ["seedream-4.5", None])
async def test_what_is_asked_is_held_against_the_model_once(
    connect: Connect, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str | None
) -> None:
    looked: list[str] = []

    def noted(model: MediaModel, *arguments: Any, **more: Any) -> dict[str, str]:
        looked.append(model.id)
        return complaints(model, *arguments, **more)

    monkeypatch.setattr(mapping, "complaints", noted)
    wish: Json = {"image": picture(tmp_path / "a.png"), "prompt": "snow", "dry_run": True}
    async with connect() as client:
        told = await client.call_tool("edit_image", wish | ({"model": model} if model else {}))
    assert looked == [(told.structured_content or {})["model"]]
    nothing_paid(world)


async def test_an_option_that_a_named_model_cannot_honour_is_refused_before_its_picture_is_read(
    connect: Connect, world: World
) -> None:
    wish: Json = {"image": "data:image/png;base64,AAAA", "prompt": "snow", "model": "seedream-4.5"}
    async with connect() as client:
        said = await refused(client.call_tool("edit_image", wish | {"options": {"duration": 5}}))
        assert "`duration` is not one of its arguments" in said
        assert "cannot be read" not in said
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
    assert len(told) > len(ODD), capability
    named = [(own, word) for own, text in told for word in text.replace(",", " ").replace("'", " ").split()]
    assert not {word.strip(".:;()") for own, word in named if word.strip(".:;()") != own} & RETIRED
