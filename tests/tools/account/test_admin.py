"""The account_admin toolset, as a host meets it: everything can be read, and nothing is changed without a yes."""

import json
from decimal import Decimal
from typing import Any

import pytest
from mcp import Client
from novita_mcp.simulator.account.team import HANDLERS, Teams
from novita_mcp.simulator.core.world import DEFAULT_KEY, World

from ...conftest import Connect, text_of

Json = dict[str, Any]
SWITCHED_ON: Json = {"toolsets": "default,account_admin"}
SETTERS = ("put_key_model_access_policy", "delete_key_model_access_policy", "update_member_budget", "update_key_budget")


async def ask(client: Client, tool: str, **arguments: Any) -> Json:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return text_of(result)


def changes(world: World) -> int:
    return sum(world.count(operation) for operation in SETTERS)


def member(world: World, number: int = 0) -> str:
    return list(world.area(Teams).of(world.accounts[DEFAULT_KEY]).members)[number]


async def test_it_is_off_unless_asked_for(connect: Connect) -> None:
    async with connect() as client:
        assert "update_budget" not in {tool.name for tool in (await client.list_tools()).tools}
    async with connect(**SWITCHED_ON) as client:
        assert "update_budget" in {tool.name for tool in (await client.list_tools()).tools}


# Reading


async def test_transactions_are_paged_and_filtered(connect: Connect) -> None:
    async with connect(**SWITCHED_ON) as client:
        first = await ask(client, "list_transactions")
        topped_up = await ask(client, "list_transactions", type="recharge", period="2026-06")

        assert first["total"] >= len(first["transactions"]) > 0
        assert {line["type"] for line in first["transactions"]} == {"recharge", "consume"}
        (line,) = topped_up["transactions"]
        assert line["at"].startswith("2026-06-01")
        assert Decimal(line["balance_after_usd"]) > Decimal(line["usd"]) > 0


async def test_bills_by_key_name_the_key_and_add_up(connect: Connect) -> None:
    async with connect(**SWITCHED_ON) as client:
        bill = await ask(client, "get_key_bill", period="2026-06")
        assert {row["api_key"] for row in bill["rows"]} == {"default"}
        assert sum(Decimal(row["usd"]) for row in bill["rows"]) == Decimal(bill["total_usd"]) > 0
        assert (await ask(client, "get_key_bill", period="2026-06", key="Default"))["total_usd"] == bill["total_usd"]
        assert "Keys with bills: default" in await refusal(client, "get_key_bill", period="2026-06", key="other")
        assert "2026-01-01" in await refusal(client, "get_key_bill", period="2025-12")


async def test_quotas_are_found_by_model_and_unit(connect: Connect) -> None:
    async with connect(**SWITCHED_ON) as client:
        quotas = await ask(client, "list_quotas", model="deepseek", unit="RPM")
        (line,) = quotas["quotas"]
        assert (line["model"], line["now"], line["by_tier"]["T5"]) == ("deepseek/deepseek-v3.2", 10, 1_000)


async def test_keys_are_listed_masked(connect: Connect) -> None:
    async with connect(**SWITCHED_ON) as client:
        result = await client.call_tool("list_api_keys", {})
        answer: Json = result.structured_content or {}
        keys: list[Json] = answer["keys"]
        assert [(key["name"], key["models"]) for key in keys] == [("default", "all"), ("notebook", "all")]
        assert DEFAULT_KEY not in text_of(result)


async def test_budgets_of_members_and_of_their_keys(connect: Connect, world: World) -> None:
    async with connect(**SWITCHED_ON) as client:
        members = await ask(client, "list_budgets")
        assert [line["kind"] for line in members["budgets"]] == ["unlimited", "unlimited"]
        assert "limit_usd" not in members["budgets"][0]
        keys = await ask(client, "list_budgets", member_id=member(world))
        assert [line["name"] for line in keys["budgets"]] == ["default"]


@pytest.mark.parametrize("of_key", [False, True])
@pytest.mark.parametrize(("cost", "enough"), [(None, True), ("5", True), ("5.0001", False)])
async def test_a_budget_can_be_asked(
    of_key: bool, cost: str | None, enough: bool, connect: Connect, world: World
) -> None:
    team = world.area(Teams).of(world.accounts[DEFAULT_KEY])
    holder = team.keys[0] if of_key else team.members[member(world)]
    holder.budget.kind, holder.budget.limit = "One-time", 50_000
    given: Json = {"member_id": member(world)}
    given |= {"key_id": team.keys[0].id} if of_key else {}
    given |= {"cost_usd": cost} if cost else {}
    async with connect(**SWITCHED_ON) as client:
        assert (await ask(client, "check_budget", **given))["enough"] is enough


# Changing


async def test_a_budget_is_set_after_a_yes_and_to_the_unit(connect: Connect, world: World) -> None:
    wanted: Json = {"member_id": member(world, 1), "kind": "monthly", "limit_usd": "12.3456"}
    async with connect(**SWITCHED_ON) as client:
        asked = await ask(client, "update_budget", **wanted)
        assert asked["status"] == "needs_confirmation"
        assert "Dev to monthly, $12.3456? Until now: unlimited" in asked["next_step"]
        assert changes(world) == 0

        done = await ask(client, "update_budget", **wanted, confirm=True)

        assert done["budget"]["limit_usd"] == "12.3456"
        budget = world.area(Teams).of(world.accounts[DEFAULT_KEY]).members[member(world, 1)].budget
        assert (budget.kind, budget.limit, budget.cycle) == ("Recurring", 123_456, "Monthly")
        assert changes(world) == 1


async def test_a_keys_budget_is_set_and_lifted(connect: Connect, world: World) -> None:
    key = world.area(Teams).of(world.accounts[DEFAULT_KEY]).keys[0]
    given: Json = {"member_id": key.member_id, "key_id": key.id, "confirm": True}
    async with connect(**SWITCHED_ON) as client:
        assert (await ask(client, "update_budget", kind="one_time", limit_usd="3", **given))["budget"]["left_usd"]
        assert key.budget.limit == 30_000
        assert (await ask(client, "update_budget", kind="unlimited", **given))["budget"]["kind"] == "unlimited"
        assert key.budget.kind == "Unlimited"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "monthly"},
        {"kind": "monthly", "limit_usd": "0.5"},
        {"kind": "one_time", "limit_usd": "2.00005"},
        {"kind": "unlimited", "limit_usd": "5"},
        {"kind": "forever", "limit_usd": "5"},
    ],
)
async def test_a_budget_that_makes_no_sense_is_refused_before_anything_is_sent(
    wrong: Json, connect: Connect, world: World
) -> None:
    async with connect(**SWITCHED_ON) as client:
        await refusal(client, "update_budget", member_id=member(world), confirm=True, **wrong)
        assert changes(world) == 0


async def test_whose_budget_does_not_exist_is_told_who_there_is(connect: Connect, world: World) -> None:
    async with connect(**SWITCHED_ON) as client:
        said = await refusal(client, "update_budget", member_id="nobody", kind="unlimited", confirm=True)
        assert member(world) in said
        assert changes(world) == 0


async def test_a_key_is_held_to_models_and_let_go_again(connect: Connect, world: World) -> None:
    async with connect(**SWITCHED_ON) as client:
        assert (await ask(client, "get_key_models", key="default"))["access"] == "all"
        asked = await ask(client, "set_key_models", key="default", only=["deepseek/deepseek-v3.2"])
        assert asked["status"] == "needs_confirmation"
        assert "only deepseek/deepseek-v3.2? Until now: all models" in asked["next_step"]
        assert changes(world) == 0

        given: Json = {"key": "default", "confirm": True}
        held = await ask(client, "set_key_models", only=["deepseek/deepseek-v3.2"], **given)
        assert (held["access"], held["models"]) == ("only", ["deepseek/deepseek-v3.2"])
        assert (await ask(client, "list_api_keys"))["keys"][0]["models"] == "only 1"

        spared = await ask(client, "set_key_models", all_but=["openai/gpt-oss-120b"], **given)
        assert (spared["access"], spared["models"]) == ("all_but", ["openai/gpt-oss-120b"])

        free = await ask(client, "set_key_models", every=True, **given)
        assert (free["access"], free["is_default"]) == ("all", True)
        assert world.count("delete_key_model_access_policy") == 1


async def test_a_developer_is_told_how_many_models_where_novita_keeps_the_list_back(
    connect: Connect, world: World
) -> None:
    """Source: get_key_model_access_policy. A developer sees own keys only, and without the model lists."""
    policy: Json = {"mode": "selected", "source": {"type": "private_policy"}}
    hidden: Json = {"stringId": "key_1", "policy": policy, "policyStatus": "active", "allowedModelCount": 3}
    hidden |= {"excludedModelCount": 0, "updatedAt": 0, "updatedBy": ""}
    world.trouble({"status": 200, "body": json.dumps(hidden)}, operation="get_key_model_access_policy", times=2)
    async with connect(**SWITCHED_ON) as client:
        told = await ask(client, "get_key_models", key="default")
        assert (told["access"], told["models"], told["count"]) == ("only", [], 3)
        asked = await ask(client, "set_key_models", key="default", every=True)
        assert "Until now: only 3 models." in asked["next_step"]


@pytest.mark.parametrize("lists", [{}, {"only": []}, {"only": ["a"], "every": True}, {"only": ["a"], "all_but": ["b"]}])
async def test_lists_that_make_no_sense_change_nothing(lists: Json, connect: Connect, world: World) -> None:
    async with connect(**SWITCHED_ON) as client:
        await refusal(client, "set_key_models", key="default", confirm=True, **lists)
        assert changes(world) == 0


async def test_an_unknown_key_is_answered_with_the_known_ones(connect: Connect, world: World) -> None:
    async with connect(**SWITCHED_ON) as client:
        said = await refusal(client, "set_key_models", key="nothing", every=True, confirm=True)
        assert "(default)" in said
        assert "(notebook)" in said
        assert changes(world) == 0


async def test_a_passing_fault_sets_a_budget_once_more_not_never(connect: Connect, world: World) -> None:
    """A budget is replaced as a whole, so a second try does no harm."""
    world.trouble({"reset": "after"}, operation="update_member_budget")
    async with connect(**SWITCHED_ON) as client:
        done = await ask(client, "update_budget", member_id=member(world), kind="one_time", limit_usd="2", confirm=True)
        assert done["budget"]["limit_usd"] == "2.00"


def test_every_team_route_has_its_tool() -> None:
    """So that a route added to the simulator's team is noticed here."""
    reads = {"query_member_budgets", "query_key_budgets", "list_api_keys", "get_key_model_access_policy"}
    checks = {"check_member_budget", "check_member_budget_by_cost", "check_key_budget", "check_key_budget_by_cost"}
    assert set(HANDLERS) == reads | checks | set(SETTERS)


async def test_members_and_keys_are_found_by_their_names(connect: Connect, world: World) -> None:
    async with connect(**SWITCHED_ON) as client:
        ada = next(one for one in (await ask(client, "list_budgets"))["budgets"] if one["id"] == member(world))
        name = ada["name"].upper()
        (key, *_) = (await ask(client, "list_budgets", member_id=name))["budgets"]

        assert (await ask(client, "check_budget", member_id=name, key_id=key["name"]))["enough"]
        wish: Json = {"member_id": name, "key_id": key["name"], "kind": "one_time", "limit_usd": "3"}
        done = await ask(client, "update_budget", **wish, confirm=True)
        assert done["budget"]["id"] == key["id"]
        (sent,) = world.received("update_key_budget")
        assert (sent.body["member_id"], sent.body["key_id"]) == (ada["id"], key["id"])
        assert "There are: " in await refusal(client, "check_budget", member_id="nobody")
        assert key["name"] in await refusal(client, "check_budget", member_id=name, key_id="nothing")
