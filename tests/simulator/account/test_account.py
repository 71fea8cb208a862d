"""Balance, bills, budgets, keys: whole 0.0001 USD, as text where the routes say text."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from novita_mcp.simulator.account.team import Teams

from ..sim_api import Api, Json

DAY = 86_400


@pytest.fixture
def now(api: Api) -> Iterator[int]:
    """After one picture was bought."""
    api.good("seedream_3_0_txt2img", {"prompt": "x", "size": "512x512"})
    yield int(api.world.clock.now()) + 1


def units(bills: list[Json]) -> int:
    return sum(int(bill["amount"]) for bill in bills)


def test_the_balance_is_text_and_the_old_route_gives_a_number(api: Api, now: int) -> None:
    assert api.good("get_user_balance")["availableBalance"] == "999700"
    assert api.good("get_user_legacy")["credit_balance"] == 999_700
    assert api.good("get_user_balance", path="/v3/user/balance")["cashBalance"] == "999700"


def test_a_picture_shows_up_in_the_bill_of_its_day(api: Api, now: int) -> None:
    query: Json = {"cycleType": "Day", "productCategory": "gen_api", "startTime": now - DAY, "endTime": now}
    bills = api.good("query_usage_based_billing", **query, productName="seedream")["bills"]
    assert [(bill["productName"], bill["amount"], bill["payAmountDisplay"]) for bill in bills] == [
        ("seedream-3-0-txt2img", "300", 0.03)
    ]
    assert int(bills[0]["startTime"]) <= now < int(bills[0]["endTime"])


def test_the_lines_of_a_month_add_up_to_its_bill(api: Api, now: int) -> None:
    (month,) = api.good("query_monthly_bill", startMonth="2026-01", pageSize=1)["data"]
    span: Json = {"startTime": int(month["startTime"]), "endTime": int(month["endTime"]) + 1}
    by_day = api.good("query_usage_based_billing", cycleType="Day", productCategory="summary", **span)["bills"]
    by_month = api.good("query_usage_based_billing", cycleType="Month", productCategory="summary", **span)["bills"]
    assert units(by_day) == units(by_month) == int(month["totalAmount"]) > 0
    assert {int(bill["endTime"]) - int(bill["startTime"]) for bill in by_day} == {DAY}
    assert month["status"] == "paid"


def test_months_begin_in_october_2025_and_end_with_an_unpaid_one(api: Api) -> None:
    months: list[Json] = []
    page = 1
    while data := api.good("query_monthly_bill", page=page, pageSize=5)["data"]:
        months += data
        page += 1
    assert months[0]["billingMonth"] == "2025-10"
    assert [month["status"] for month in months[-2:]] == ["paid", "pending"]


def test_bills_by_key_name_the_key(api: Api, now: int) -> None:
    query: Json = {"cycleType": "Hour", "startTime": now - 7 * DAY, "endTime": now, "category": "gen_api"}
    bills = api.good("query_apikey_bill", **query)["bills"]
    assert bills[-1]["productName"] == "seedream-3-0-txt2img"
    assert {bill["apikeyMask"] for bill in bills} == {"sk-s****ated"}


@pytest.mark.parametrize(
    ("operation", "query", "reason"),
    [
        ("query_usage_based_billing", {"cycleType": "Year", "productCategory": "llm"}, "INVALID_BILL_CYCLE"),
        ("query_usage_based_billing", {"cycleType": "Day", "productCategory": "cats"}, "INVALID_PRODUCT_CATEGORY"),
        ("query_usage_based_billing", {"cycleType": "Day"}, "INVALID_REQUEST_BODY"),
        ("query_fixed_term_billing", {"category": "llm"}, "INVALID_PRODUCT_CATEGORY"),
        (
            "query_apikey_bill",
            {"cycleType": "Hour", "startTime": 1_780_000_000, "endTime": 1_780_000_000 + 8 * DAY},
            "INVALID_BILL_CYCLE",
        ),
        (
            "query_apikey_bill",
            {"cycleType": "Day", "startTime": 1_760_000_000, "endTime": 1_760_100_000},
            "INVALID_BILL_CYCLE",
        ),
    ],
)
def test_a_bill_that_cannot_be_drawn_up_is_refused_by_name(api: Api, operation: str, query: Json, reason: str) -> None:
    assert api.refused(operation, **query)[:2] == (400, reason)


def test_the_monthly_rent_of_the_past_is_a_fixed_term_line(api: Api) -> None:
    bills = api.good("query_fixed_term_billing", startTime=1_780_000_000, endTime=1_780_000_000 + 31 * DAY)["bills"]
    assert [(bill["tradeMode"], bill["tradeType"]) for bill in bills] == [("monthly", "monthly_re_buy")]


def test_transactions_keep_the_wallet_in_step(api: Api, now: int) -> None:
    first = api.good("query_transactions", pageNo=1, pageSize=2)
    every = api.good("query_transactions", pageNo=1, pageSize=100)["data"]
    assert first["data"] == every[:2]
    assert first["total"] == len(every)
    oldest_first = every[::-1]
    for before, after in pairwise(oldest_first):
        sign = 1 if after["transactionType"] == "recharge" else -1
        moved = sign * int(after["transactionAmount"])
        assert int(after["walletBalance"]) == int(before["walletBalance"]) + moved
    only = api.good("query_transactions", pageNo=1, pageSize=100, transactionType="consume")["data"]
    assert {row["transactionType"] for row in only} == {"consume"}


def test_quotas_can_be_filtered(api: Api) -> None:
    found = api.good("list_quotas", modal="image", quotaObject="txt2img")["data"]
    assert [(quota["quotaObject"], quota["currentQuota"]) for quota in found] == [("txt2img_v3", 20)]


def test_a_member_budget_holds_against_what_was_spent(api: Api, now: int) -> None:
    member = api.good("query_member_budgets")["budgets"][0]
    assert (member["budget_type"], member["used"]) == ("Unlimited", 0)
    known = {"member_id": member["member_id"]}
    api.good("update_member_budget", known | {"budget_type": "Recurring", "budget_limit": 10_000, "cycle": "Monthly"})
    after = api.good("query_member_budgets")
    assert after["budget_count"] == 1
    assert (after["budgets"][0]["used"], after["budgets"][0]["remaining"]) == (300, 9700)
    assert api.good("check_member_budget", known)["enough"] is True
    assert api.good("check_member_budget_by_cost", known | {"cost": 9700})["enough"] is True
    assert api.good("check_member_budget_by_cost", known | {"cost": 9801})["enough"] is False


def test_a_key_budget_counts_language_models_only(api: Api, now: int) -> None:
    known = {"member_id": api.good("query_member_budgets")["budgets"][0]["member_id"]}
    key = api.good("query_key_budgets", **known)["key_budgets"][0]
    assert (key["budget_type"], key["used"], key["budget_limit"]) == ("Unlimited", 0, 0)
    known |= {"key_id": key["key_id"]}
    api.good("update_key_budget", known | {"budget_type": "One-time", "budget_limit": 10_000})
    assert api.good("check_key_budget", known)["enough"] is True
    assert api.good("check_key_budget_by_cost", known | {"cost": 10_000})["enough"] is True


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"member_id": "nobody", "budget_type": "Unlimited"}, "member_id"),
        ({"budget_type": "One-time"}, "budget_limit"),
        ({"budget_type": "Recurring", "budget_limit": 10_000}, "cycle"),
        ({"budget_type": "One-time", "budget_limit": 9_999}, "budget_limit"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(api: Api, body: Json, named: str) -> None:
    known = {"member_id": api.good("query_member_budgets")["budgets"][0]["member_id"]}
    status, _, message = api.refused("update_member_budget", known | body)
    assert status == 400
    assert message.startswith(named)


def test_the_policy_of_a_key_is_kept_normalised_and_reset(api: Api) -> None:
    key = api.good("list_api_keys", includePolicySummary=True)["keys"][0]
    known = {"stringId": key["stringId"]}
    default = api.good("get_key_model_access_policy", **known)
    assert (default["policy"]["allowedModels"], default["updatedAt"]) == (None, 0)
    model = {"type": "llm", "id": "deepseek/deepseek-v3.2"}
    sent = {"mode": "selected", "allowedModels": [model, model], "excludedModels": [model]}
    kept = api.good("put_key_model_access_policy", sent, **known)
    assert (kept["allowedModelCount"], kept["excludedModelCount"]) == (1, 0)
    assert kept["policy"]["source"] == {"type": "private_policy"}
    teams, account = api.world.area(Teams), api.world.accounts["sk-simulated"]
    assert [teams.allows(account, name) for name in ("deepseek/deepseek-v3.2", "other")] == [True, False]
    assert api.good("list_api_keys", includePolicySummary=True)["keys"][0]["modelAccessPolicy"]["mode"] == "selected"
    hello = {"model": "deepseek/deepseek-v3.1", "messages": [{"role": "user", "content": "hi"}]}
    assert api.refused("create_chat_completion", hello)[:2] == (403, "ACCESS_DENY")
    api.good("delete_key_model_access_policy", **known)
    api.good("create_chat_completion", hello)
    assert api.good("get_key_model_access_policy", **known) == default
    assert teams.allows(account, "other")


def test_a_policy_without_models_or_of_a_foreign_key_is_refused(api: Api) -> None:
    known = {"stringId": api.good("list_api_keys")["keys"][0]["stringId"]}
    assert api.refused("put_key_model_access_policy", {"mode": "selected"}, **known)[0] == 400
    assert api.refused("get_key_model_access_policy", stringId="key_foreign")[0] == 403
