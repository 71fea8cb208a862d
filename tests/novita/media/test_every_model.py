"""Every model, once: common arguments in, something made out, with the simulator holding both to the documentation."""

import base64
from collections.abc import Generator
from io import BytesIO
from typing import cast

import pytest
from novita_mcp.novita.core.client import NovitaClient, new_http
from novita_mcp.novita.core.waiting import Phase
from novita_mcp.novita.journal.jobs import Accepted
from novita_mcp.novita.media import calls
from novita_mcp.novita.media.lookup import MediaModel, media_models
from novita_mcp.novita.media.mapping import plan
from novita_mcp.novita.media.outcomes import MediaOutcome
from novita_mcp.simulator.core.world import DEFAULT_KEY, World, WorldSettings
from novita_mcp.simulator.media.film import Film, make_film
from novita_mcp.simulator.media.sound import SoundFormat, encode, speak
from novita_mcp.simulator.serving import Running, serve
from PIL import Image, ImageDraw

from .test_mapping import NATIVE_ONLY, base

every_model = pytest.mark.parametrize("model", media_models(), ids=lambda model: model.id)

UNIFIED: dict[str, object] = {"checkpoint": "kling2.1_master_t2v", "prompt": "a fox"}
"""Which other arguments the unified route takes depends on the model named inside."""


@pytest.fixture(scope="module")
def novita() -> Generator[Running]:
    """One Novita for all models; tasks are done at the first look."""
    with serve(World(WorldSettings(task_seconds=0, old_models=True), balance_usd=10_000)) as running:
        yield running


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """A real picture, mask, film and recording, as data URIs by kind."""
    picture = Image.new("RGB", (512, 512), "white")
    ImageDraw.Draw(picture).ellipse((128, 128, 384, 384), fill="red")
    packed = BytesIO()
    picture.save(packed, "PNG")
    said = speak("It was a dark and stormy night, and the fox slept well. " * 4)
    return {
        "image": f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}",
        "video": f"data:video/mp4;base64,{base64.b64encode(make_film(Film(640, 480, 4))).decode()}",
        "audio": f"data:audio/mpeg;base64,{base64.b64encode(encode(said, SoundFormat('mp3'))).decode()}",
    }


def kind_of(name: str) -> str:
    return name if name in ("video", "audio") else "image"


def arguments_for(model: MediaModel, files: dict[str, str], link: dict[str, str]) -> dict[str, object]:
    """The least a model needs, with real files in the form it likes best."""
    given = base(model) if model.id != "unified-video" else dict(UNIFIED)
    for name in model.media_arguments():
        if name not in given:
            continue
        form, real = model.arguments[name].send[0], files[kind_of(name)]
        if form == "url":
            one = link[kind_of(name)]
        elif form == "base64":
            one = real.partition(",")[2]
        else:
            one = real
        many = given[name]
        given[name] = [one] * len(cast(list[object], many)) if isinstance(many, list) else one
    return given


@every_model
async def test_a_model_makes_what_its_entry_says(model: MediaModel, novita: Running, files: dict[str, str]) -> None:
    world = novita.world
    link = {
        kind: world.files.link(
            world.files.add(f"a.{suffix}", uri[5:].partition(";")[0], base64.b64decode(uri.partition(",")[2])),
            novita.url,
        )
        for (kind, uri), suffix in zip(files.items(), ("png", "mp4", "mp3"), strict=True)
    }
    planned = plan(model, arguments_for(model, files, link), NATIVE_ONLY.get(model.id))
    async with new_http() as http:
        client = NovitaClient(http, DEFAULT_KEY, novita.url)
        answer = await calls.submit(client, planned)
        if isinstance(answer, Accepted):
            assert model.mode == "async"
            seen = await calls.looker(calls.looking_at(model))(client, answer.task_id)
            assert seen.phase is Phase.SUCCEEDED, seen.reason
            answer = seen.value
    assert isinstance(answer, MediaOutcome)
    if model.makes == "voice":
        assert answer.values["voice_id"]
    else:
        assert {output.kind for output in answer.outputs} == {model.makes}
        assert all(output.url or output.data or output.text for output in answer.outputs)
