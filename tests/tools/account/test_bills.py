"""get_bill and get_balance, as a host meets them, against Novita's own books."""

import csv
import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.simulator.account.ledger import lines, slice_of, units
from novita_mcp.simulator.account.routes import HANDLERS
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serverless.state import ServerlessState
from novita_mcp.tools.account.balance_and_bills import ROWS

from ...conftest import Connect, text_of
from ..gpu_stage import built_on

Json = dict[str, Any]


async def ask(client: Client, tool: str = "get_bill", **arguments: Any) -> Json:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


def booked(world: World, start: str, end: str) -> Decimal:
    """What the simulator's ledger holds between two midnights, each day and product rounded as its bill does."""
    first, last = (datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() for day in (start, end))
    sums: dict[Any, int] = {}
    for line in lines(world, world.accounts[DEFAULT_KEY]):
        if first <= line.at < last:
            key = (slice_of(line.at, "Day"), line.category, line.product, line.owner)
            sums[key] = sums.get(key, 0) + line.micro_usd
    return Decimal(sum(map(units, sums.values()))) / 10_000


def added(rows: list[Json]) -> Decimal:
    return sum((Decimal(row["usd"]) for row in rows), Decimal(0))


async def test_a_month_adds_up_to_novitas_books(connect: Connect, world: World) -> None:
    async with connect() as client:
        bill = await ask(client, period="2026-06", kind="usage")

        assert Decimal(bill["total_usd"]) == added(bill["rows"]) == booked(world, "2026-06-01", "2026-07-01") > 0
        assert (bill["first_day"], bill["last_day"]) == ("2026-06-01", "2026-06-30")
        assert {row["category"] for row in bill["rows"]} >= {
            "language model",
            "picture, video or sound model",
            "rented GPU machine",
            "workers of a serverless endpoint",
            "storage",
        }


async def test_a_line_says_in_words_what_it_is_for(connect: Connect) -> None:
    """And what a model reads holds none of Novita's own names for kinds of products."""
    async with connect() as client:
        result = await client.call_tool("get_bill", {"period": "2026-06"})
        by_day = await ask(client, period="2026-06-03", by="day")
        both = await ask(client, period="2026-06-03", by="both")
        months = await ask(client, period="2026-06", kind="monthly")
    bill: Json = result.structured_content or {}
    words = {row["product"]: row["what"] for row in bill["rows"] if row["kind"] == "usage"}
    (term,) = [row["what"] for row in bill["rows"] if row["kind"] == "fixed_term"]

    assert re.fullmatch(
        r"deepseek/deepseek-v3\.2 \(language model\): [\d,]+ tokens read and [\d,]+ made, 2026-06-\d\d to 2026-06-\d\d",
        words["deepseek/deepseek-v3.2"],
    )
    assert words["wan-2.5-i2v"].startswith("wan-2.5-i2v (picture, video or sound model), ")
    assert re.fullmatch(
        r"RTX 3090 24GB \(rented GPU machine\): a term (bought|renewed) in advance, on 2026-06-\d\d", term
    )
    assert [row["what"] for row in by_day["rows"]] == ["Everything, on 2026-06-03"]
    assert all(row["what"].endswith("on 2026-06-03") for row in both["rows"])
    assert [row["what"] for row in months["rows"]] == ["All of 2026-06, paid"]
    told = text_of(result)
    assert not [name for name in ("gen_api", "llm", "cloud_", "fixed_term", "usage") if name in told]
    assert all(row["what"] in told and row["usd"] in told for row in bill["rows"])


async def test_terms_in_advance_are_in_the_whole_bill_and_marked(connect: Connect) -> None:
    async with connect() as client:
        whole = await ask(client, period="2026-06")
        usage = await ask(client, period="2026-06", kind="usage")
        terms = await ask(client, period="2026-06", kind="fixed_term")

        assert Decimal(whole["total_usd"]) == Decimal(usage["total_usd"]) + Decimal(terms["total_usd"])
        assert [(row["product"], row["usd"]) for row in terms["rows"]] == [("RTX 3090 24GB", "90.00")]
        assert whole["voucher_usd"] == "90.00"
        assert Decimal(whole["voucher_usd"]) + Decimal(whole["cash_usd"]) == Decimal(whole["total_usd"])
        assert {row["kind"] for row in whole["rows"]} == {"usage", "fixed_term"}


async def test_what_was_just_bought_is_on_todays_bill(connect: Connect) -> None:
    async with connect() as client:
        before = await ask(client, period="today")
        made = await ask(client, "generate_image", prompt="a fox", model="flux-1-schnell", count=3)
        after = await ask(client, period="today")

        bought = Decimal(after["total_usd"]) - Decimal(before["total_usd"])
        assert bought == Decimal(made["estimated_cost_usd"]) == Decimal("0.009")


async def test_a_year_comes_in_pieces_nobody_refuses(connect: Connect, world: World) -> None:
    """query_usage_based_billing: 31 days at most."""
    async with connect() as client:
        bill = await ask(client, period="2025-11-05 to 2026-10-20", kind="usage", by="day")

        assert world.count("query_usage_based_billing", "refused") == 0
        assert world.count("query_usage_based_billing") == 12
        assert Decimal(bill["total_usd"]) == booked(world, "2025-11-05", "2026-10-21")


async def test_pages_join_to_the_whole_and_every_page_has_the_same_total(connect: Connect) -> None:
    async with connect() as client:
        rows: list[Json] = []
        totals: set[str] = set()
        counts: set[int] = set()
        offset: int | None = 0
        while offset is not None:
            page = await ask(client, period="2026-03 to 2026-05", by="both", offset=offset)
            rows += page["rows"]
            totals.add(page["total_usd"])
            counts.add(page["total_rows"])
            assert len(page["rows"]) <= ROWS
            offset = page.get("next_offset")

        assert counts == {len(rows)}
        assert len(rows) > ROWS
        (total,) = totals
        assert added(rows) == Decimal(total)
        assert len({(row["day"], row["product"], row.get("kind"), row["category"]) for row in rows}) == len(rows)


async def test_a_page_that_draws_it_takes_all_rows_at_once(connect: Connect) -> None:
    """Ours: the argument stands in no list, and a model's answer is as long as before."""
    async with connect() as client:
        bill = await ask(client, period="2026-03 to 2026-05", by="both", limit=1000)

        assert len(bill["rows"]) == bill["total_rows"] > ROWS and "next_offset" not in bill
        assert added(bill["rows"]) == Decimal(bill["total_usd"])
        (tool,) = [each for each in (await client.list_tools()).tools if each.name == "get_bill"]
        assert "limit" not in tool.input_schema["properties"]


async def test_a_page_of_the_longest_rows_is_no_long_answer(connect: Connect) -> None:
    async with connect() as client:
        result = await client.call_tool("get_bill", {"period": "2026", "by": "both"})
        assert len(text_of(result)) < 28_000


async def test_groupings_have_one_total(connect: Connect) -> None:
    async with connect() as client:
        bills = [await ask(client, period="2026-06", by=by) for by in ("product", "day", "both")]
        assert len({bill["total_usd"] for bill in bills}) == 1
        by_product, by_day, _ = bills
        assert added(by_product["rows"]) == added(by_day["rows"])
        assert [row["day"] for row in by_day["rows"]] == sorted(row["day"] for row in by_day["rows"])


async def test_monthly_bills_say_where_they_stand(connect: Connect) -> None:
    async with connect() as client:
        bill = await ask(client, period="2025-10 to 2026-09", kind="monthly")
        assert [row["month"] for row in bill["rows"]] == [
            *(f"2025-{m}" for m in (10, 11, 12)),
            *(f"2026-0{m}" for m in range(1, 10)),
        ]
        assert {row["status"] for row in bill["rows"]} == {"paid"}
        assert added(bill["rows"]) == Decimal(bill["total_usd"])


@pytest.mark.parametrize("kind", [None, "monthly"])
async def test_the_csv_file_holds_the_same_total(kind: str | None, connect: Connect) -> None:
    async with connect() as client:
        bill = await ask(client, period="2026-06", csv=True, **({"kind": kind} if kind else {}))
        file = Path(bill["file"])
        assert file.suffix == ".csv"
        assert file.parent.name == "out"
        with file.open(encoding="utf-8") as table:
            rows = list(csv.DictReader(table))
        column = "total_usd" if kind else "amount_usd"
        assert sum(Decimal(row[column]) for row in rows) == Decimal(bill["total_usd"])


async def test_remote_callers_get_the_table_and_no_path(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]],
) -> None:
    async with connect_http() as client:
        bill = await ask(client, period="2026-06", csv=True)
        assert "file" not in bill
        assert bill["csv"].startswith("day,kind,category,product")


@pytest.mark.parametrize(
    ("period", "says"),
    [("whenever", "2026-10-01 to 2026-10-15"), ("2099", "has not begun"), ("2020 to 2025", "kind=monthly")],
)
async def test_a_period_that_will_not_do_says_what_would(
    period: str, says: str, connect: Connect, world: World
) -> None:
    async with connect() as client:
        result = await client.call_tool("get_bill", {"period": period})
        assert result.is_error
        assert says in text_of(result)
        assert world.count("query_usage_based_billing") == 0


async def test_a_wrong_key_is_told_with_the_next_step(connect: Connect) -> None:
    async with connect(api_key="sk-of-nobody") as client:
        for tool in ("get_bill", "get_balance"):
            result = await client.call_tool(tool, {})
            assert result.is_error
            assert "401" in text_of(result)
            assert "sk-of-nobody" not in text_of(result)


async def test_a_fault_that_passes_costs_no_bill(connect: Connect, world: World) -> None:
    world.trouble({"garbage": True}, operation="query_usage_based_billing")
    world.trouble({"reset": "after"}, operation="query_usage_based_billing")
    async with connect() as client:
        bill = await ask(client, period="2026-06", kind="usage")
        assert Decimal(bill["total_usd"]) == booked(world, "2026-06-01", "2026-07-01")


async def test_the_balance_is_in_dollars_and_shows_what_was_sent(connect: Connect, world: World) -> None:
    world.add_account(DEFAULT_KEY, 12.3456)
    async with connect() as client:
        balance = await ask(client, "get_balance")
        assert (balance["available_usd"], balance["raw"]["availableBalance"]) == ("12.3456", "123456")


async def a_machine_of_three_days_ago(client: Client, world: World) -> Decimal:
    """Rented for two hours, deleted, and three days have passed; what Novita charged for it."""
    made = await ask(client, "create_gpu_instance", image="docker.io/library/ubuntu:24.04", disk_gb=160, confirm=True)
    world.advance(7_200)
    await ask(client, "delete_gpu_instance", instance_id=made["instance_id"], confirm=True)
    world.advance(3 * 86_400)
    return Decimal(sum(charge.micro_usd for charge in world.charges)) / 1_000_000


async def spent(client: Client) -> Json:
    (content,) = (await client.read_resource("novita://spend")).contents
    return json.loads(getattr(content, "text", ""))


async def test_the_bill_has_the_last_word_in_the_ledger(connect: Connect, world: World) -> None:
    async with connect(build=built_on(world)) as client:
        charged = await a_machine_of_three_days_ago(client, world)
        bill = await ask(client, period="last 7 days", kind="usage")
        assert "1 machine, from $" in bill["note"]
        assert "note" not in await ask(client, period="last 7 days", kind="usage")
        told = await spent(client)
        assert abs(Decimal(told["total"]["usd"]) - charged) < Decimal("0.001")
        assert told["total"]["known_usd"] == told["total"]["usd"]


async def test_an_endpoint_deleted_elsewhere_is_corrected_once_a_list_lacks_it(connect: Connect, world: World) -> None:
    """Nobody was kept alive: its estimate stands until then, and its call is in its lines."""
    async with connect(build=built_on(world), toolsets="all") as client:
        made = await ask(
            client, "create_endpoint", image="docker.io/library/nginx:1", port=80, name="fox", confirm=True
        )
        await ask(client, "call_endpoint", endpoint_id=made["endpoint_id"], body={"a": 1}, confirm=True)
        state = world.area(ServerlessState)
        world.advance(600)
        await ask(client, "list_endpoints")  # its idle worker is charged
        state.delete(state.all[made["endpoint_id"]])
        world.advance(600)
        await ask(client, "list_endpoints")
        world.advance(3 * 86_400)
        told = await spent(client)
        assert "Just corrected by Novita's bill: 1 endpoint" in told["notes"][-1]
        charged = Decimal(sum(charge.micro_usd for charge in world.charges)) / 1_000_000
        assert abs(Decimal(told["total"]["usd"]) - charged) < Decimal("0.001")
        assert charged > 0


async def test_the_ledger_asks_for_the_bill_by_itself_and_says_when_it_cannot(connect: Connect, world: World) -> None:
    async with connect(build=built_on(world)) as client:
        assert world.count("query_usage_based_billing") == 0
        charged = await a_machine_of_three_days_ago(client, world)
        world.trouble({"status": 400}, operation="query_usage_based_billing", times=-1)
        seen = await spent(client)
        assert "could not be corrected by Novita's bill" in seen["notes"][-1]
        assert abs(Decimal(seen["total"]["usd"]) - charged) < Decimal("0.02")
        world.troubles.clear()
        told = await spent(client)
        assert "Just corrected by Novita's bill: 1 machine" in told["notes"][-1]
        assert "known_usd" in told["total"]
        asked = world.count("query_usage_based_billing")
        assert (await spent(client))["total"] == told["total"]
        assert world.count("query_usage_based_billing") == asked


def test_every_billing_route_of_the_account_has_its_tool() -> None:
    """So that a route added to the simulator's account is noticed here."""
    ours = {"get_user_balance", "query_monthly_bill", "query_usage_based_billing", "query_fixed_term_billing"}
    admin = {"query_apikey_bill", "query_transactions", "list_quotas"}
    left_out = {"get_user_legacy"}  # the deprecated twin of the balance
    assert set(HANDLERS) == ours | admin | left_out
