"""Our ledger against Novita's books: over random calls and faults, and what one cap holds back.

What is compared: the simulator's `world.charges` less what it gave back, and the journal's rows through the ledger.
The setting for unknown prices is the simulator's price of what no page has a price for, so that such calls agree too.
Rows that are sure must equal their charge. Rows that are doubtful (no answer came, or the task failed) count in full,
because nobody knows; the simulator knows, so here each is held to be charged either in full or not at all, and the
sum of those that were not is exactly how far the ledger is above the books. Models whose price is a third party's are
left out: the simulator, written from Novita's pages alone, does not know it. What costs by the hour has a test of its
own.
"""

import json
import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from novita_mcp.novita.catalog import MediaModel, media_models
from novita_mcp.novita.errors import NovitaError
from novita_mcp.novita.journal import Journal
from novita_mcp.novita.journal_db import Db
from novita_mcp.novita.ledger import read_ledger, total
from novita_mcp.novita.mapping import plan
from novita_mcp.novita.periods import Period
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.serving import Running
from novita_mcp.simulator.world import Charge, World

from ..building import quick
from ..conftest import Connect, text_of
from .gpu_stage import built_on
from .spending import BY_TIME, CALLS, Things, spending_tools

Json = dict[str, Any]

CALLS_OF_A_RUN = 500
UNKNOWN = Decimal("0.07")
CENT = Decimal("0.01")
ROUNDING = 50
"""Micro dollars: the simulator rounds up for each row of a batch or part of an answer, we for each call."""


def agreeing(does: str, arguments: Json) -> list[MediaModel]:
    """Models of a kind whose price both sides know, or neither."""
    found: list[MediaModel] = []
    for model in media_models():
        if not model.live or does not in model.does:
            continue
        try:
            planned = plan(model, arguments)
        except NovitaError:  # it needs more than these arguments
            continue
        if planned.estimate.basis != "third_party":
            found.append(model)
    return found


IMAGES = agreeing("text_to_image", {"prompt": "a fox"})
VIDEOS = agreeing("text_to_video", {"prompt": "a fox"})
VOICES = agreeing("text_to_speech", {"text": "a fox"})


def a_call(roll: random.Random, things: Things) -> tuple[str, Json]:
    """A tool and good arguments for it."""
    names = [name for name in CALLS if name not in BY_TIME]
    (tool,) = roll.choices(names, [SLOW.get(name, 1) for name in names])
    arguments: Json = CALLS[tool](things)
    words = " ".join(roll.choices(["red", "fox", "snow", "night", "runs", "sleeps", "river"], k=roll.randint(2, 30)))
    if tool == "generate_image":
        model = roll.choice(IMAGES)
        arguments = {"prompt": words, "model": model.id, "count": roll.randint(1, 4)}
    elif tool == "generate_video":
        arguments = {"prompt": words, "model": roll.choice(VIDEOS).id}
    elif tool == "generate_speech":
        arguments = {"text": words, "model": roll.choice(VOICES).id}
    elif tool in ("edit_image", "edit_video"):  # their defaults have a third party's price, or may come to have one
        arguments["model"] = {"edit_image": "flux-1-kontext-dev", "edit_video": "kling-o1-video-edit"}[tool]
    elif tool in ("chat", "complete_text"):
        arguments = {"prompt": words, "max_tokens": roll.randint(1, 400)}
    elif tool == "create_batch":
        arguments["rows"] = [{"prompt": f"{words} {n}"} for n in range(roll.randint(1, 5))]
    if "wait_seconds" in TAKES[tool] and roll.random() < 0.7:
        arguments["wait_seconds"] = 0  # most films need not be fetched here
    return tool, arguments


SLOW = {"generate_music": 0.2, "clone_voice": 0.5, "transcribe_audio": 0.5, "generate_video": 0.7, "edit_video": 0.4}
"""Tools whose calls take the simulator long: less often than others."""

TAKES: dict[str, Any] = {}
"""Tool -> its arguments."""


def a_fault(roll: random.Random, world: World) -> str:
    """Disturb the next call, or not."""
    name = roll.choice(FAULTS)
    match name:
        case "a task that fails":
            world.fail_next_task()
        case "an answer lost after it took effect":
            world.trouble({"reset": "after"}, method="POST", path=roll.choice(PATHS))
        case "a request lost before":
            world.trouble({"reset": "before"}, method="POST", path=roll.choice(PATHS))
        case "half an answer":
            world.trouble({"garbage": True, "handled": True}, method="POST", path=roll.choice(PATHS))
        case "a 500 that took effect":
            world.trouble({"status": 500, "handled": True}, method="POST", path=roll.choice(PATHS))
        case "a 503":
            world.trouble({"status": 503}, method="POST", path=roll.choice(PATHS))
        case "a 429":
            world.trouble({"status": 429, "headers": {"Retry-After": "1"}}, method="POST", path=roll.choice(PATHS))
        case "no credit":
            world.trouble({"error": "BILLING_BALANCE_NOT_ENOUGH"}, method="POST", path=roll.choice(PATHS))
        case "a fault while looking":
            world.trouble({"status": 502}, operation="get_task_result")
        case _:
            pass
    return name


PATHS = ("/v3/*", "/openai/*", "/*")
FAULTS = (
    *["none"] * 7,
    "a task that fails",
    "an answer lost after it took effect",
    "a request lost before",
    "half an answer",
    "a 500 that took effect",
    "a 503",
    "a 429",
    "no credit",
    "a fault while looking",
)


@dataclass
class Row:
    """What the journal says of one job."""

    tool: str
    state: str
    counted: int
    known: bool

    @property
    def free(self) -> bool:
        return self.state == "refused" or (self.state == "cancelled" and self.counted == 0)

    @property
    def doubtful(self) -> bool:
        return self.state in ("submitting", "unconfirmed", "failed", "cancelled") and not self.known and not self.free


async def rows_of(journal: Journal) -> dict[str, Row]:
    """Every job by its key, read apart from the ledger under test."""

    def read(db: Db) -> dict[str, Row]:
        found = db.execute(f"SELECT key, tool, state, counted_micro, {db.fact('facts', 'usd')} FROM jobs").fetchall()
        return {key: Row(tool, state, counted, usd is not None) for key, tool, state, counted, usd in found}

    return await journal.transact(read)


def paid(charges: list[Charge]) -> int:
    """Micro dollars, less what was given back."""
    return sum(charge.micro_usd for charge in charges if not charge.refunded)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20261123])
async def test_500_random_calls_with_faults_agree_with_novitas_books_to_the_cent(
    seed: int, simulator: Running, world: World, settings: Settings, tmp_path: Path
) -> None:
    world.add_account("sk-simulated", 10_000)
    world.set(unlisted_price_usd=float(UNKNOWN))
    roll, things = random.Random(seed), Things(tmp_path, world, simulator.url)
    chosen = replace(settings, toolsets="all", unknown_price_usd=UNKNOWN, thumbnails=False)
    bought: dict[str, list[Charge]] = {}
    happened: Counter[str] = Counter()
    tools: Counter[str] = Counter()
    journal = Journal(Path(settings.journal))

    async with Client(create_app(chosen, build=quick), mode="legacy") as client:
        TAKES.update({tool.name: tool.input_schema["properties"] for tool in (await client.list_tools()).tools})
        batches: list[str] = []
        working: list[str] = []
        seen: set[str] = set()
        for _ in range(CALLS_OF_A_RUN):
            tool, arguments = a_call(roll, things)
            fault = a_fault(roll, world)
            before = len(world.charges)
            result = await client.call_tool(tool, arguments)
            world.troubles.clear()
            world.tasks.doomed.clear()
            happened[f"{fault}: {'error' if result.is_error else 'answer'}"] += 1
            tools[tool] += 1
            answer: Json = result.structured_content or {}
            if answer.get("batch_id"):
                batches.append(answer["batch_id"])
            if answer.get("status") == "working" and answer.get("task_id"):
                working.append(answer["task_id"])
            keys = set(await rows_of(journal)) - seen
            assert len(keys) <= 1, f"{tool} made {len(keys)} rows"
            seen |= keys
            new = world.charges[before:]
            assert keys or not new, f"{tool} was charged and not noted: {text_of(result)}"
            for key in keys:
                bought[key] = new
        # What was left running ends, well or not, and half of it is looked at.
        for task_id in working[::2]:
            await client.call_tool("get_task", {"task_id": task_id, "wait_seconds": 1})
        for batch_id in batches:
            before = len(world.charges)
            await client.call_tool("get_batch", {"batch_id": batch_id})
            late = world.charges[before:]
            assert all(charge.ref == batch_id for charge in late)

    rows = await rows_of(journal)
    counted = sum(row.counted for row in rows.values())
    never_charged = 0
    for key, row in rows.items():
        charged = paid(bought.get(key, []))
        where = f"{row.tool}, {row.state}: counted {row.counted}, charged {charged}"
        if row.tool == "create_batch":
            continue  # charged row by row as it runs: part of the sums below
        if row.free:
            assert charged == 0, where
        elif row.doubtful:
            if row.tool in BY_TOKENS:
                assert charged <= row.counted + ROUNDING, where
            else:
                assert charged in (0, row.counted), where
            never_charged += row.counted - charged
        else:
            assert abs(charged - row.counted) <= (ROUNDING if row.tool in BY_TOKENS else 0), where
    books = Decimal(paid(world.charges)) / 1_000_000
    ours = Decimal(counted - never_charged) / 1_000_000
    assert abs(books - ours) < CENT, f"Novita charged ${books}, we say ${ours}"

    today = datetime.now(UTC).date()
    ledger = total(await read_ledger(journal, Period(today.replace(year=today.year - 1), today)))
    await journal.close()
    assert ledger.counted == Decimal(counted) / 1_000_000
    assert ledger.doubtful == Decimal(sum(row.counted for row in rows.values() if row.doubtful)) / 1_000_000
    assert ledger.calls == len(rows)
    # What the ledger says of itself: the truth lies between all and all that is sure.
    assert ledger.counted - ledger.doubtful - CENT < books < ledger.counted + CENT
    # And that the run was worth something.
    assert sum(tools.values()) == CALLS_OF_A_RUN
    assert set(tools) == {name for name in CALLS if name not in BY_TIME}
    assert {name for name in spending_tools() if name not in BY_TIME} <= set(tools)
    assert sum(row.doubtful for row in rows.values()) > 20
    assert sum(row.free for row in rows.values()) > 5
    assert books > 5


BY_TOKENS = frozenset({"chat", "complete_text", "create_embeddings", "rerank"})
"""Their estimate is the most they may cost; an answer that was lost cost what it cost."""


# One cap, two servers


async def test_two_servers_and_one_cap_never_submit_more_than_a_dollar(
    simulator: Running, world: World, settings: Settings, tmp_path: Path
) -> None:
    """The whole way: forty films at once through two servers on one journal. Each is estimated at $0.35: two fit."""
    film: Json = {"prompt": "a fox", "model": "kling-2.5-turbo-t2v", "wait_seconds": 0}
    capped = replace(settings, spend_limit_usd=Decimal(1), thumbnails=False)
    said: list[str] = []
    async with (
        Client(create_app(capped, build=quick), mode="legacy") as left,
        Client(create_app(capped, build=quick), mode="legacy") as right,
        anyio.create_task_group() as group,
    ):

        async def ask(client: Client) -> None:
            said.append(text_of(await client.call_tool("generate_video", film)))

        for _ in range(20):
            group.start_soon(ask, left)
            group.start_soon(ask, right)

    assert world.count("kling_2_5_turbo_t2v") == 2
    refused = [text for text in said if "cap" in text]
    assert len(refused) == 38
    assert all("Nothing was billed" in text and "NOVITA_MCP_SPEND_LIMIT_USD" in text for text in refused)


async def test_what_novita_refused_makes_room_under_the_cap_and_what_is_unclear_does_not(
    connect: Connect, world: World
) -> None:
    film: Json = {"prompt": "a fox", "model": "kling-2.5-turbo-t2v", "wait_seconds": 0}
    async with connect(build=quick, spend_limit_usd=Decimal("0.70")) as client:
        world.trouble({"error": "BILLING_BALANCE_NOT_ENOUGH"}, operation="kling_2_5_turbo_t2v")
        assert (await client.call_tool("generate_video", film)).is_error
        world.trouble({"reset": "before"}, operation="kling_2_5_turbo_t2v")
        assert (await client.call_tool("generate_video", film)).is_error  # nobody knows: 0.35 stay taken
        assert not (await client.call_tool("generate_video", film)).is_error
        assert "cap" in text_of(await client.call_tool("generate_video", film))
        assert len(world.charges) == 1


# Prices nobody knows, and prices by the hour


async def test_an_unknown_price_is_said_and_counted_as_settled(connect: Connect, world: World) -> None:
    asked: Json = {"prompt": "a fox", "model": "seedream-4.5"}
    async with connect(build=quick, unknown_price_usd=Decimal("0.40"), spend_limit_usd=Decimal(1)) as client:
        for _ in range(2):
            result = await client.call_tool("generate_image", asked)
            assert not result.is_error, text_of(result)
            assert (result.structured_content or {})["estimated_cost_usd"] == "unknown"
        refused = await client.call_tool("generate_image", asked)
        assert refused.is_error
        assert "0.8" in text_of(refused)
        (content,) = (await client.read_resource("novita://spend")).contents
        spend: Json = json.loads(getattr(content, "text", ""))
        assert (spend["total"]["usd"], spend["total"]["unpriced_calls"]) == ("0.80", 2)
        assert any("no known price" in note for note in spend["notes"])
        assert len(world.charges) == 2


async def test_an_hour_of_a_gpu_is_in_the_ledger_as_novita_charges_it(
    connect: Connect, world: World, settings: Settings
) -> None:
    async with connect(build=built_on(world)) as client:
        made = await client.call_tool(
            "create_gpu_instance", {"image": "docker.io/library/ubuntu:24.04", "confirm": True}
        )
        assert not made.is_error, text_of(made)
        begun = world.clock.now()
        world.advance(3_600 - (world.clock.now() - begun))
        answer: Json = made.structured_content or {}
        gone = {"instance_id": answer["instance_id"], "confirm": True}
        stopped = await client.call_tool("stop_gpu_instance", gone)
        assert not stopped.is_error, text_of(stopped)
        (content,) = (await client.read_resource("novita://spend")).contents
        spend: Json = json.loads(getattr(content, "text", ""))
        assert abs(Decimal(spend["total"]["usd"]) - Decimal(paid(world.charges)) / 1_000_000) < CENT
        assert any("Machines" in note for note in spend["notes"])


# estimate_cost


async def estimate(client: Client, model: str, **arguments: Any) -> Json:
    result = await client.call_tool("estimate_cost", {"model": model, "arguments": arguments})
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


async def test_an_estimate_of_media_is_what_is_then_charged(connect: Connect, world: World) -> None:
    async with connect(build=quick) as client:
        told = await estimate(client, "flux-1-schnell", prompt="a fox", count=3)
        assert not world.charges
        assert told["basis"] == "documented"
        await client.call_tool("generate_image", {"prompt": "a fox", "model": "flux-1-schnell", "count": 3})
        assert Decimal(told["estimated_cost_usd"]) * 1_000_000 == paid(world.charges)
        assert (await estimate(client, "seedream-4.5", prompt="a fox"))["basis"] == "unknown"
        assert (await estimate(client, "kling-2.5-turbo-t2v", duration=10))["basis"] == "third_party"


async def test_an_estimate_of_a_language_model_bounds_what_is_then_charged(connect: Connect, world: World) -> None:
    async with connect(build=quick) as client:
        told = await estimate(client, "deepseek/deepseek-v3.2", prompt="Say something.", max_tokens=100)
        assert (told["basis"], world.charges) == ("live", [])
        await client.call_tool("chat", {"prompt": "Say something.", "max_tokens": 100})
        assert 0 < paid(world.charges) <= Decimal(told["estimated_cost_usd"]) * 1_000_000 + 10
        # A batch is so many times one call; what is read and made is priced apart.
        many = await estimate(client, "deepseek/deepseek-v3.2", prompt_tokens=1_000_000, max_tokens=1, rows=3)
        one = await estimate(client, "deepseek/deepseek-v3.2", prompt_tokens=1_000_000, max_tokens=1)
        assert Decimal(many["estimated_cost_usd"]) == 3 * Decimal(one["estimated_cost_usd"])
        embedding = await estimate(client, "baai/bge-m3", prompt_tokens=1_000_000)
        assert Decimal(embedding["estimated_cost_usd"]) == Decimal("0.01")


async def test_an_estimate_of_a_machine_is_by_hour_day_and_month(connect: Connect) -> None:
    async with connect(build=quick) as client:
        listed = await client.call_tool("list_gpu_products", {"gpu": "RTX 4090"})
        answer: Json = listed.structured_content or {}
        product: Json = answer["products"][0]
        told = await estimate(client, product["product_id"], hours=10, count=2)
        hourly = Decimal(product["usd_per_hour"])
        assert Decimal(told["usd_per_hour"]) == 2 * hourly
        assert Decimal(told["estimated_cost_usd"]) == 20 * hourly
        assert Decimal(told["usd_per_day"]) == 48 * hourly
        assert Decimal(told["usd_per_month"]) == 1_440 * hourly
        assert "estimated" in told["note"]
        by_name = await estimate(client, product["name"], hours=10, count=2)
        assert by_name["estimated_cost_usd"] == told["estimated_cost_usd"]


async def test_an_estimate_of_a_machine_without_cards_is_by_hour_day_and_month(connect: Connect) -> None:
    async with connect(build=quick) as client:
        told = await estimate(client, "cpu.4c8g", hours=10)
        assert (told["usd_per_hour"], told["usd_per_day"], told["usd_per_month"]) == ("0.06", "1.44", "43.20")
        assert (told["estimated_cost_usd"], told["basis"]) == ("0.60", "live")
        assert "estimated" in told["note"]
        refused = await client.call_tool("estimate_cost", {"model": "cpu.4c8g", "arguments": {"count": 2}})
        assert refused.is_error and "no cards" in text_of(refused)


async def test_an_estimate_nobody_can_make_says_what_limits_count_it_as(connect: Connect) -> None:
    async with connect(build=quick, unknown_price_usd=Decimal("0.40")) as client:
        told = await estimate(client, "flux-1-kontext-dev", prompt="a fox", count=3)
        assert (told["estimated_cost_usd"], told["basis"]) == ("unknown", "unknown")
        assert "count it as $1.20" in told["note"]


@pytest.mark.parametrize(
    ("model", "arguments", "says"),
    [
        ("no-such-thing", {}, "list_gpu_products"),
        ("deepseek/deepseek-v9", {}, "deepseek/deepseek-v3"),
        ("deepseek/deepseek-v3.2", {"hours": 3}, "prompt_tokens"),
        ("flux-1-schnell", {"voice": "x"}, "voice"),
    ],
)
async def test_what_cannot_be_estimated_says_why(model: str, arguments: Json, says: str, connect: Connect) -> None:
    async with connect(build=quick) as client:
        result = await client.call_tool("estimate_cost", {"model": model, "arguments": arguments})
        assert result.is_error
        assert says in text_of(result)
