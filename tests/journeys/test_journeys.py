"""Every request of docs/journeys.md, walked call by call; what came of it is looked at, and what it took is counted."""

import ast
import base64
import csv
import json
from array import array
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.film import look_at
from novita_mcp.simulator.media.hearing import Hearing
from novita_mcp.simulator.media.sound import SoundFormat, encode, listen, speak
from novita_mcp.simulator.sandbox.service import area as sandboxes
from novita_mcp.simulator.serving import Running
from PIL import Image

from ..conftest import fields_of, text_of
from ..odd_media import photo
from ..tokens import counted
from ..tool_calls import Walk, filled, rich_world, settings_at
from ..tools.gpu_stage import built_on
from ..tools.media_things import body_of, clip, mask, picture, recording
from .page import PAGE, Journey, journeys, together, write

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="away from the source")

Json = dict[str, Any]

JOURNEYS = {journey.slug: journey for journey in (journeys() if PAGE.is_file() else [])}
TOLERANCE = 0.1
"""By how much tokens may differ from the page: ids, times and links are others each time."""
HOME = "/home/ann/Pictures"
"""What is counted for the folder of a test."""


@dataclass
class Way:
    """A journey. `here` is the user's folder, `world` is Novita."""

    journey: Journey
    here: Path
    world: World
    settings: Settings
    tokens: int = 0
    walked: list[int] = field(default_factory=list[int])

    async def walk(self, **changes: Any) -> list[Json]:
        """All calls one after the other; their answers in fields."""
        async with self.begun(**changes) as on:
            return [fields_of(await on.call(number)) for number in range(len(on.calls))]

    @asynccontextmanager
    async def begun(self, **changes: Any) -> AsyncGenerator[Walk]:
        """A server of its own, and a client that makes the calls."""
        app = create_app(replace(self.settings, **changes), build=built_on(self.world))
        async with Client(app, mode="auto") as client:
            yield _Counting(self, client)


class _Counting(Walk):
    """Counts what a model writes and reads."""

    def __init__(self, way: Way, client: Client) -> None:
        super().__init__(client, way.journey.calls, here=str(way.here))
        self._way = way

    async def call(self, number: int, *, refused: bool = False) -> CallToolResult:
        tool, arguments, _ = self.calls[number]
        said = json.dumps(filled(arguments, self.known), ensure_ascii=False, separators=(",", ":"))
        result = await super().call(number, refused=refused)
        self._way.tokens += counted(f"{tool}{said}\n{text_of(result)}".replace(str(self._way.here), HOME))
        self._way.walked.append(number)
        return result


@pytest.fixture
def world() -> World:
    return rich_world()


@pytest.fixture
def way(request: pytest.FixtureRequest, world: World, simulator: Running, tmp_path: Path) -> Generator[Way]:
    """The journey that a test is named after. Afterwards its figures are held against the page."""
    journey = JOURNEYS[request.node.originalname.removeprefix("test_")]
    here = tmp_path / "Pictures"
    here.mkdir()
    way = Way(journey, here, world, settings_at(here, simulator.url))
    yield way
    assert way.walked == [*range(len(journey.calls))], "each call of the page is made once, in its order"
    if request.config.getoption("--update-journeys"):
        write(journey, way.tokens)
    else:
        calls, tokens = journey.spent
        assert calls == len(journey.calls)
        assert abs(way.tokens - tokens) <= TOLERANCE * tokens, f"{way.tokens} tokens, and the page says {tokens}"


def made(answer: Json, number: int = 0) -> Path:
    """A file of an answer, which is where it is said to be."""
    path = Path(answer["artifacts"][number]["path"])
    assert path.stat().st_size == answer["artifacts"][number]["bytes"]
    return path


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as opened:
        opened.load()
        return opened.size


def test_the_page_has_thirty_journeys_and_each_is_walked() -> None:
    source = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    walked = {
        node.name.removeprefix("test_")
        for node in source.body
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    assert walked == JOURNEYS.keys()
    assert [journey.number for journey in JOURNEYS.values()] == [*range(1, 31)]


def test_the_sums_are_those_of_the_journeys(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--update-journeys"):
        assert together() == tuple(map(sum, zip(*(journey.spent for journey in JOURNEYS.values()), strict=True)))


async def test_a_poster_with_variants(way: Way) -> None:
    (answer,) = await way.walk()
    assert len({made(answer, number).read_bytes() for number in range(3)}) == 3
    width, height = size_of(made(answer))
    assert abs(width / height - 3 / 4) < 0.01
    assert sum(charge.micro_usd for charge in way.world.charges) <= Decimal(answer["estimated_cost_usd"]) * 1_000_000


async def test_the_same_in_another_s_style(way: Way) -> None:
    picture(way.here / "painting.jpg", colour="teal")
    poster, styled = await way.walk()
    (width, height), (wide, high) = size_of(made(poster)), size_of(made(styled))
    assert abs(width / height - wide / high) < 0.01
    assert len(body_of(way.world, "seedream_5_0_lite")["image"]) == 2


async def test_a_photo_that_lies_on_its_side_becomes_a_clip(way: Way) -> None:
    (way.here / "photo.jpg").write_bytes(photo((1600, 1200), orientation=6))
    way.world.set(task_seconds=80)
    begun, answer = await way.walk()
    assert begun["status"] == "working"
    film = look_at(made(answer).read_bytes())
    assert (film.width, film.height, round(film.seconds)) == (1280, 720, 5)


async def test_a_line_read_by_a_calm_british_voice(way: Way) -> None:
    async with way.begun() as on:
        refused = text_of(await on.call(0, refused=True))
        assert "Nothing was billed" in refused and "design_voice" in refused
        asked = fields_of(await on.call(1))
        assert asked["status"] == "needs_confirmation"
        assert not way.world.charges
        answer = fields_of(await on.call(2))
    assert listen(made(answer).read_bytes()).seconds > 1
    assert body_of(way.world, "minimax_voice_design")["preview_text"] == way.journey.calls[0].arguments["text"]
    assert answer["values"]["voice_id"] in answer["next_step"]


async def test_both_joined(way: Way) -> None:
    way.world.set(task_seconds=80)
    clip, line, *_, joined = await way.walk()
    assert clip["status"] == "working"
    film, said = look_at(made(joined).read_bytes()), listen(made(line).read_bytes())
    assert (round(film.seconds), film.sound) == (5, True)
    assert listen(made(joined).read_bytes()).signs == said.signs


async def test_a_recording_of_three_minutes_written_down(way: Way) -> None:
    agenda = [f"Then we spoke about item {number} and agreed on it." for number in range(1, 58)]
    spoken = sum((speak(way.world.area(Hearing).note(sentence)) for sentence in agenda), array("h"))
    assert 170 < len(spoken) / 32_000 < 190
    (way.here / "meeting.mp3").write_bytes(encode(spoken, SoundFormat("mp3")))
    (answer,) = await way.walk()
    body = body_of(way.world, "create_chat_completion")
    (heard,) = [part["input_audio"] for part in body["messages"][-1]["content"] if part["type"] == "input_audio"]
    assert base64.b64decode(heard["data"].rpartition(",")[2]) == (way.here / "meeting.mp3").read_bytes()
    assert body["max_tokens"] > 180 * 5, "there is room for all the words"
    assert "I heard the mp3 recording" in answer["text"]  # what this model says of a sound


async def test_twelve_cut_outs(way: Way) -> None:
    (way.here / "products").mkdir()
    for number in range(1, 13):
        picture(way.here / "products" / f"IMG_{number:03}.png", (300 + number, 240))
    asked, answer = await way.walk()
    assert asked["status"] == "needs_confirmation" and "12 files" in asked["next_step"]
    assert [line["status"] for line in answer["each"]] == ["done"] * 12
    for number, line in enumerate(answer["each"], 1):
        assert all(Path(path).name.startswith(f"IMG_{number:03}_cutout") for path in line["made"])
        with Image.open(line["made"][-1]) as layer:
            assert "A" in layer.getbands()
    assert len(way.world.charges) == 12


async def test_a_picture_of_3840_pixels(way: Way) -> None:
    (way.here / "photo.jpg").write_bytes(photo((1200, 1600), orientation=6))
    (answer,) = await way.walk()
    assert size_of(made(answer)) == (3840, 2880)


async def test_a_bench_where_the_mask_is_white(way: Way) -> None:
    picture(way.here / "park.png")
    mask(way.here / "mask.png")
    (answer,) = await way.walk()
    assert size_of(made(answer)) == (640, 480)
    assert way.world.count("gpt_image_2_edit", "accepted") == 1


async def test_ten_seconds_from_the_first_picture_to_the_last(way: Way) -> None:
    picture(way.here / "dawn.png", colour="orange")
    picture(way.here / "dusk.png", colour="navy")
    way.world.set(task_seconds=80)
    _, answer = await way.walk()
    assert round(look_at(made(answer).read_bytes()).seconds) == 10
    body = body_of(way.world, "seedance_v1_lite_i2v")
    assert body["image"] != body["last_image"]


async def test_a_cloned_voice_says_hello(way: Way) -> None:
    lines = "Good morning, this is Ann, and I read a few lines so that you know my voice. " * 3
    recording(way.here / "me.wav", lines, way.world)
    voice, answer = await way.walk()
    assert listen(made(answer).read_bytes()).seconds > 1
    assert body_of(way.world, "fish_audio_text_to_speech")["reference_id"] == voice["values"]["voice_id"]


async def test_the_cheapest_gpu_with_24_gb_for_three_hours(way: Way) -> None:
    offers, asked, begun, reached = await way.walk()
    prices = [Decimal(offer["usd_per_hour"]) for offer in offers["products"]]
    assert prices[0] == min(prices) and all(offer["memory_gb"] >= 24 for offer in offers["products"])
    assert asked["status"] == "needs_confirmation"
    assert f"about ${prices[0] * 3} in all" in asked["next_step"]
    assert begun["status"] == "running"
    assert reached["access"]["ssh_command"].startswith("ssh ")
    async with way.begun() as on:  # another server, three hours later: the lease is kept
        way.world.advance(3 * 3_600 + 60)
        stopped = await on.client.call_tool("get_gpu_instance", {"instance_id": begun["instance_id"]})
        for _ in range(100):
            if fields_of(stopped)["instance"]["state"] != "running":
                break
            way.world.advance(60)
            stopped = await on.client.call_tool("get_gpu_instance", {"instance_id": begun["instance_id"]})
    assert fields_of(stopped)["instance"]["state"] in ("toStop", "stopping", "exited")


async def test_what_runs_and_what_it_costs(way: Way) -> None:
    await rented(way)
    (answer,) = await way.walk()
    assert {line["name"] for line in answer["running"]} >= {"one", "pool"}
    assert Decimal(answer["running_usd_per_hour"]) == sum(Decimal(line["usd_per_hour"]) for line in answer["running"])


async def test_everything_stopped(way: Way) -> None:
    await rented(way)
    asked, answer = await way.walk()
    assert asked["status"] == "needs_confirmation"
    assert len(answer["stopped"]) == 2 and not answer["failed"]
    way.world.advance(300)
    async with way.begun() as on:
        (line,) = fields_of(await on.client.call_tool("list_gpu_instances", {}))["instances"]
        pool = fields_of(await on.client.call_tool("get_endpoint", {"endpoint_id": "pool"}))
    assert (line["state"], pool["endpoint"]["min_workers"]) == ("exited", 0)


async def rented(way: Way) -> None:
    """A machine and an endpoint that keeps a worker."""
    image = "docker.io/library/ubuntu:24.04"
    async with way.begun() as on:
        wish: Json = {"image": image, "gpu": "4090", "confirm": True}
        one = await on.client.call_tool("create_gpu_instance", {**wish, "name": "one"})
        pool = await on.client.call_tool("create_endpoint", {**wish, "name": "pool", "port": 80, "min_workers": 1})
    assert (fields_of(one)["status"], fields_of(pool)["status"]) == ("running", "serving")


async def test_an_endpoint_that_scales_to_zero(way: Way) -> None:
    way.world.set(speed=100)  # whoever calls it waits on the line while a worker starts
    asked, served, called, change, changed = await way.walk()
    assert asked["status"] == change["status"] == "needs_confirmation"
    assert served["endpoint"]["min_workers"] == 0
    assert called["result"]["body"] == {"text": "lovely"}
    assert changed["endpoint"]["max_workers"] == 3


@pytest.mark.slow
async def test_two_thousand_rows_labelled(way: Way) -> None:
    with (way.here / "reviews.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("id", "review"), *((number, f"It was lovely {number} times") for number in range(2_000))]
        )
    async with way.begun() as on:
        begun = fields_of(await on.call(0))
        assert begun["status"] == "working"
        known = on.known
    way.world.advance(86_400)
    async with way.begun() as on:
        on.known = known
        answer = fields_of(await on.call(1))
    assert answer["status"] == "succeeded"
    (table,) = [file["path"] for file in answer["files"] if file["path"].endswith(".csv")]
    with Path(table).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2_000
    assert {row["label"] for row in rows} <= {"good", "bad"}
    assert [row["id"] for row in rows] == [str(number) for number in range(2_000)]


async def test_the_nearest_of_500_texts(way: Way) -> None:
    notes = [
        f"note {number} about taxes" if number % 100 else f"a red fox in the snow, {number}" for number in range(500)
    ]
    (way.here / "notes.txt").write_text("\n".join(notes))
    (answer,) = await way.walk()
    assert {near["index"] for near in answer["nearest"]} == {0, 100, 200, 300, 400}
    assert Path(answer["files"][0]["path"]).is_file()


async def test_twenty_documents_ranked(way: Way) -> None:
    answers = [f"Answer {number} about shipping" for number in range(20)]
    answers[7] = "Return a parcel with the label we sent"
    (way.here / "answers.txt").write_text("\n".join(answers))
    (answer,) = await way.walk()
    assert answer["results"][0]["index"] == 7
    assert len(answer["results"]) == 3


async def test_a_question_about_a_picture(way: Way) -> None:
    picture(way.here / "park.png", (800, 600))
    (answer,) = await way.walk()
    assert "800x600" in answer["text"]


async def test_fields_taken_from_a_text(way: Way) -> None:
    (answer,) = await way.walk()
    assert answer["parsed"].keys() == {"name", "date", "total"}
    assert isinstance(answer["parsed"]["total"], int | float)


async def test_five_models_compared(way: Way) -> None:
    (answer,) = await way.walk()
    costs = [Decimal(line["estimated_cost_usd"]) for line in answer["table"]]
    assert len(costs) == 5 and costs == sorted(costs)
    assert not way.world.charges


async def test_what_was_spent_this_month(way: Way) -> None:
    bill, balance = await way.walk()
    assert sum(Decimal(row["usd"]) for row in bill["rows"]) == Decimal(bill["total_usd"])
    assert Decimal(balance["available_usd"]) == 5_000


async def test_twenty_kling_clips_priced(way: Way) -> None:
    (answer,) = await way.walk()
    assert all("kling" in line["model"] for line in answer["table"])
    cheapest = answer["table"][0]
    assert Decimal(cheapest["estimated_cost_usd"]) == 20 * Decimal(cheapest["each_usd"]) > 0
    assert not way.world.charges


async def test_models_that_sync_lips(way: Way) -> None:
    (answer,) = await way.walk()
    assert answer["models"] == []
    assert "No model known to live moves lips" in answer["next_step"]


async def test_a_checkpoint_with_a_lora(way: Way) -> None:
    way.world.set(old_models=True)
    *_, answer = await way.walk()
    assert size_of(made(answer)) == (1024, 1024)
    body = body_of(way.world, "txt2img")["request"]
    assert body["model_name"] == way.journey.calls[-1].arguments["checkpoint"]
    assert body["loras"][0]["strength"] == 0.7


async def test_what_failed_yesterday(way: Way) -> None:
    way.world.set(task_seconds=10)
    async with way.begun() as on:
        way.world.trouble({"status": 400}, operation="seedream_5_0_lite", times=1)
        wish: Json = {"prompt": "a fox", "model": "seedream-5.0-lite"}
        assert (await on.client.call_tool("generate_image", wish)).is_error
        assert not (await on.client.call_tool("generate_image", {**wish, "again": True})).is_error
    way.world.advance(86_400)
    (answer,) = await way.walk()
    (line,) = answer["tasks"]
    assert line["state"] == "refused" and line["reason"]


async def test_a_rainy_song_of_thirty_seconds(way: Way) -> None:
    way.world.set(old_models=True)
    song, cut = await way.walk()
    assert "about 30 seconds" in body_of(way.world, "minimax_music")["prompt"]
    assert "No model takes a length" in song["remark"]
    assert abs(listen(made(cut).read_bytes()).seconds - 30) < 0.2
    way.world.set(old_models=False)  # as Novita is today
    async with Way(way.journey, way.here, way.world, way.settings).begun(journal="off") as on:
        gone = text_of(await on.call(0, refused=True))
    assert "No other model for this is known to live" in gone and "Nothing was billed" in gone


async def test_a_table_drawn_in_a_clean_machine(way: Way) -> None:
    (way.here / "sales.csv").write_text("city,sold\nRome,3\nParis,4\n")
    _, _, ran, deleted = await way.walk(toolsets="default,sandbox")
    assert min(size_of(Path(ran["files"][0]["path"]))) > 100
    assert "Sold by city" in ran["charts"][0]
    assert deleted["status"] == "deleted"
    assert sandboxes(way.world).sandboxes == {}


async def test_a_gif_and_a_still_of_a_clip(way: Way) -> None:
    clip(way.here / "clip.mp4", seconds=4, world=way.world)
    gif, still = await way.walk()
    with Image.open(made(gif)) as opened:
        lasts = 0
        for number in range(getattr(opened, "n_frames", 1)):
            opened.seek(number)
            lasts += opened.info["duration"]
    assert abs(lasts - 2_000) < 200
    assert size_of(made(still)) == (640, 480)
    assert not way.world.charges


async def test_alt_texts_for_a_folder(way: Way) -> None:
    (way.here / "products").mkdir()
    for number in range(1, 13):
        picture(way.here / "products" / f"IMG_{number:03}.png", (300 + number, 240))
    (answer,) = await way.walk()
    assert [f"{300 + number}x240" in line["text"] for number, line in enumerate(answer["each"], 1)] == [True] * 12
