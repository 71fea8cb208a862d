"""What one cap holds back, what is said of unknown prices, and what estimate_cost says beforehand."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import anyio
import pytest
from mcp import Client
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.serving import Running

from ...building import quick
from ...conftest import Connect, fields_of, text_of
from ..gpu_stage import built_on
from .test_ledger_matches_simulator import CENT, paid

MODEL = "deepseek/deepseek-v3.2"
Json = dict[str, Any]


# One cap, two servers


@pytest.mark.old_models
async def test_two_servers_and_one_cap_never_submit_more_than_a_dollar(
    simulator: Running, world: World, settings: Settings
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

        async def ask(client: Client, number: int) -> None:
            said.append(text_of(await client.call_tool("generate_video", {**film, "prompt": f"fox {number}"})))

        for number in range(20):
            group.start_soon(ask, left, 2 * number)
            group.start_soon(ask, right, 2 * number + 1)

    assert world.count("kling_2_5_turbo_t2v") == 2
    refused = [text for text in said if "cap" in text]
    assert len(refused) == 38
    assert all("Nothing was billed" in text and "NOVITA_MCP_SPEND_LIMIT_USD" in text for text in refused)


@pytest.mark.old_models
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
        assert "cap" in text_of(await client.call_tool("generate_video", {**film, "again": True}))
        assert len(world.charges) == 1


# Prices nobody knows, and prices by the hour


@pytest.mark.old_models
async def test_an_unknown_price_is_said_and_counted_as_settled(connect: Connect, world: World) -> None:
    asked: Json = {"prompt": "a fox", "model": "hunyuan-image-3"}
    async with connect(build=quick, unknown_price_usd=Decimal("0.40"), spend_limit_usd=Decimal(1)) as client:
        for _ in range(2):
            result = await client.call_tool("generate_image", asked)
            assert not result.is_error, text_of(result)
            assert fields_of(result)["estimated_cost_usd"] == "unknown"
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
        answer: Json = fields_of(made)
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
        assert (await estimate(client, "hunyuan-image-3", prompt="a fox"))["basis"] == "unknown"
        assert (await estimate(client, "seedream-4.0", prompt="a fox"))["basis"] == "maker"
        assert (await estimate(client, "kling-v3.0-4k-t2v", duration=10))["basis"] == "third_party"


async def test_an_estimate_of_a_language_model_bounds_what_is_then_charged(connect: Connect, world: World) -> None:
    async with connect(build=quick) as client:
        told = await estimate(client, MODEL, prompt="Say something.", max_tokens=100)
        assert (told["basis"], world.charges) == ("live", [])
        await client.call_tool("chat", {"model": MODEL, "prompt": "Say something.", "max_tokens": 100})
        assert 0 < paid(world.charges) <= Decimal(told["estimated_cost_usd"]) * 1_000_000 + 10
        # A batch is so many times one call; what is read and made is priced apart.
        many = await estimate(client, MODEL, prompt_tokens=1_000_000, max_tokens=1, rows=3)
        one = await estimate(client, MODEL, prompt_tokens=1_000_000, max_tokens=1)
        assert Decimal(many["estimated_cost_usd"]) == 3 * Decimal(one["estimated_cost_usd"])
        embedding = await estimate(client, "baai/bge-m3", prompt_tokens=1_000_000)
        assert Decimal(embedding["estimated_cost_usd"]) == Decimal("0.01")


async def test_an_estimate_of_a_machine_is_by_hour_day_and_month(connect: Connect) -> None:
    async with connect(build=quick) as client:
        listed = await client.call_tool("list_gpu_products", {"gpu": "RTX 4090"})
        answer: Json = fields_of(listed)
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
        told = await estimate(client, "hunyuan-image-3", prompt="a fox")
        assert (told["estimated_cost_usd"], told["basis"]) == ("unknown", "unknown")
        assert "count it as $0.40" in told["note"]


@pytest.mark.parametrize(
    ("model", "arguments", "says"),
    [
        ("no-such-thing", {}, "list_gpu_products"),
        ("deepseek/deepseek-v9", {}, "deepseek/deepseek-v3"),
        (MODEL, {"hours": 3}, "prompt_tokens"),
        ("flux-1-schnell", {"voice": "x"}, "voice"),
    ],
)
async def test_what_cannot_be_estimated_says_why(model: str, arguments: Json, says: str, connect: Connect) -> None:
    async with connect(build=quick) as client:
        result = await client.call_tool("estimate_cost", {"model": model, "arguments": arguments})
        assert result.is_error
        assert says in text_of(result)


# Several models at once


async def compare(client: Client, models: list[str], count: int = 1, **arguments: Any) -> Json:
    wish = {"models": models, "count": count, "arguments": arguments}
    result = await client.call_tool("estimate_cost", wish)
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


async def test_twenty_clips_on_several_models_are_a_table_with_the_row_of_each(connect: Connect) -> None:
    models = ["kling-v3.0-std-t2v", "kling-v3.0-pro-t2v", "minimax-h3", "no-such-model"]
    async with connect(build=quick) as client:
        told = await compare(client, models, 20, duration=10, sound=False)
        loud = await compare(client, models, 20, duration=10, sound=True)
        one = await estimate(client, "kling-v3.0-std-t2v", duration=10, sound=False)
    table = {line["model"]: line for line in told["table"]}

    assert set(table) == set(models)
    line = table["kling-v3.0-std-t2v"]
    assert line["each_usd"] == one["estimated_cost_usd"]
    assert Decimal(line["estimated_cost_usd"]) == 20 * Decimal(one["estimated_cost_usd"])
    assert "false" in line["price_row"]
    assert one["price_row"] == line["price_row"]
    noisy = {line["model"]: line for line in loud["table"]}["kling-v3.0-std-t2v"]
    assert Decimal(noisy["estimated_cost_usd"]) > Decimal(line["estimated_cost_usd"])
    assert "true" in noisy["price_row"]
    assert told["table"][-1]["estimated_cost_usd"] == "unknown"
    assert "no-such-model" in table["no-such-model"]["note"]
    sums = [Decimal(line["estimated_cost_usd"]) for line in told["table"] if line["estimated_cost_usd"] != "unknown"]
    assert sums == sorted(sums)
    assert told["model"] == told["table"][0]["model"]


async def test_a_length_no_clip_has_is_told_and_not_cut_off(connect: Connect) -> None:
    async with connect(build=quick) as client:
        told = await compare(client, ["kling-v3.0-std-t2v"], duration=45)
    assert told["table"][0]["estimated_cost_usd"] == "unknown"
    assert "duration" in told["table"][0]["note"]


async def test_a_million_tokens_are_a_million_whatever_one_answer_holds(connect: Connect) -> None:
    async with connect(build=quick) as client:
        result = await client.call_tool("list_models", {"kind": "chat", "limit": 5})
        rows: list[Json] = fields_of(result)["models"]
        told = await compare(client, [row["id"] for row in rows], output_tokens=1_000_000, prompt_tokens=0)
        most = await estimate(client, rows[0]["id"], prompt_tokens=0, max_tokens=1_000_000)
    table = {line["model"]: line for line in told["table"]}

    for row in rows:
        assert Decimal(table[row["id"]]["estimated_cost_usd"]) == Decimal(row["output_usd_per_million"])
        assert f"One answer ends at {row['max_output']:,} tokens" in table[row["id"]]["note"]
    assert Decimal(most["estimated_cost_usd"]) == Decimal(rows[0]["output_usd_per_million"])
    assert "1000000 made" in most["note"] and "One answer ends at" in most["note"]


async def test_what_no_prompt_holds_is_priced_as_several(connect: Connect) -> None:
    async with connect(build=quick) as client:
        result = await client.call_tool("get_model", {"model": MODEL})
        card: Json = fields_of(result)
        told = await estimate(client, MODEL, prompt_tokens=card["context"] * 3, output_tokens=0)
    assert f"A prompt holds {card['context']:,} tokens: 3 prompts" in told["note"]


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("kling", {"kling-v3.0-std-t2v", "kling-v3.0-pro-i2v"}),
        ("Seedance", {"seedance-v1-lite-t2v"}),
        ("kimi-k2", {"moonshotai/kimi-k2.6"}),
    ],
)
async def test_the_beginning_of_a_name_means_its_whole_family(connect: Connect, name: str, members: set[str]) -> None:
    """Each member that takes what is asked, as a row; of one member alone, its estimate."""
    wish = {"prompt_tokens": 1000} if "kimi" in name else {"duration": 10}
    async with connect(build=quick) as client:
        told = await client.call_tool("estimate_cost", {"model": name, "count": 20, "arguments": wish})
        alone = await estimate(client, "llama-3.3-70b", prompt_tokens=1000)
        strange = await client.call_tool("estimate_cost", {"model": "kl", "arguments": wish})
    table = {line["model"]: line for line in fields_of(told)["table"]}
    assert table.keys() >= members
    assert all(line["estimated_cost_usd"] != "unknown" for line in table.values())
    assert alone["model"] == "meta-llama/llama-3.3-70b-instruct"
    assert strange.is_error
