"""The one road of what spends: who is asked, at what price, and what a yes is worth. Through a tool made for it."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Annotated, Any, Literal

import anyio.abc
import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.server import MCPServer
from mcp_types import ElicitRequestParams, ElicitResult
from novita_mcp.novita.core.costs import FREE, Cost, assumed, ceiling
from novita_mcp.novita.journal.jobs import Paid
from novita_mcp.novita.journal.rows import Job, JobState
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.tools.kit.context import App, Call
from novita_mcp.tools.kit.purchase import Direct, Purchase, Submitted, carry_out
from novita_mcp.tools.kit.quotes import KEPT_SECONDS, Quotes
from novita_mcp.tools.kit.toolset import SPENDS, CountedUsd, ToolResult, Toolset
from pydantic import Field

from ...building import QuickClock, build_app
from ...conftest import text_of

Json = dict[str, Any]
THRESHOLD = Decimal(1)


@dataclass
class Shop:
    """What things cost now, and what was sold."""

    cost: Cost = FREE
    always_asks: bool = False
    noted: bool = True
    sold: list[Decimal | None] = field(default_factory=list[Decimal | None])
    clock: QuickClock = field(default_factory=QuickClock)


SHOP = Shop()


class Bought(ToolResult):
    status: Literal["sold", "working", "needs_confirmation", "dry_run"] = Field(description="What became of it.")
    model: str | None = Field(default=None, description="Which.")
    estimated_cost_usd: str | None = Field(default=None, description="USD.")
    counted_usd: CountedUsd = None
    next_step: str | None = Field(default=None, description="What to do now.")
    request: Json | None = Field(default=None, description="With dry_run.")


shop = Toolset("shop", "For tests.")


@shop.tool("Buy a thing", SPENDS)
async def buy_thing(
    call: Call,
    thing: Annotated[str, Field(description="Which.")] = "fox",
    confirm: Annotated[bool, Field(description="Yes.")] = False,
    dry_run: Annotated[bool, Field(description="Only show.")] = False,
) -> Bought:
    """Buy it at the price of now."""

    async def plan() -> Purchase[Bought]:
        cost = SHOP.cost

        async def give() -> Bought:
            SHOP.sold.append(cost.usd)
            return Bought(status="sold", model=thing)

        async def start(paid_for: Paid) -> tuple[Job, Bought]:
            async def send(_: Job) -> Bought:
                return await give()

            async def note(job: Job, _: Bought) -> Job:
                return await call.app.journal.finish(job.key, JobState.SUCCEEDED)

            return await call.app.jobs.submit(paid_for, kind="thing", send=send, note=note)

        async def working(_: Job, bought: Bought) -> Bought:
            return bought

        async def follow(_: Job, bought: Bought, budget: float) -> Bought:
            assert budget >= 0
            return bought

        async def request() -> Json:
            return {"request": {"method": "POST", "path": "/thing", "body": {"thing": thing}}}

        return Purchase(
            answer=Bought,
            effect=f"Buy {thing}.",
            model=thing,
            title=thing,
            cost=cost,
            sending=Submitted(start=start, working=working, follow=follow) if SHOP.noted else Direct(act=give),
            dry_run=request,
            about=thing,
            always_asks=SHOP.always_asks,
        )

    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


@pytest.fixture(autouse=True)
def opened_shop() -> Generator[Shop]:
    fresh = Shop()
    SHOP.__dict__.update(fresh.__dict__)
    yield SHOP


@dataclass
class Customer:
    """Answers what is asked, after something may have happened meanwhile."""

    answer: ElicitResult
    meanwhile: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    asked: list[str] = field(default_factory=list[str])
    forms: list[Json] = field(default_factory=list[Json])

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        self.forms.append(params.model_dump(by_alias=True)["requestedSchema"])
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return self.answer


YES = ElicitResult(action="accept", content={"yes": True})
NO = ElicitResult(action="decline")
Open = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def opened(settings: Settings, era: str) -> Open:
    """Opens a client that has the tool; `customer` can be asked."""

    @asynccontextmanager
    async def open_client(customer: Customer | None = None, **changes: Any) -> AsyncGenerator[Client]:
        def build(chosen: Settings, background: anyio.abc.TaskGroup) -> App:
            return build_app(chosen, background, clock=SHOP.clock)

        app = create_app(replace(settings, **({"confirm_above_usd": THRESHOLD} | changes)), build=build)
        for spec in shop.tools:
            app._tool_manager._tools[spec.name] = spec.build()  # pyright: ignore[reportPrivateUsage]
        app.offered.update({tool.name: tool for tool in await MCPServer.list_tools(app)})
        options: Json = {"elicitation_callback": customer} if customer is not None else {}
        async with Client(app, mode=era, **options) as client:
            yield client

    return open_client


async def buy(client: Client, **arguments: Any) -> Json:
    result = await client.call_tool("buy_thing", arguments)
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


def costs(usd: str) -> Cost:
    return Cost(Decimal(usd), "by the shop's list.")


# Who is asked

CASES: dict[str, tuple[Cost, bool, bool]] = {
    "above the threshold": (costs("1.01"), False, True),
    "at the threshold": (costs("1.00"), False, False),
    "nothing": (FREE, False, False),
    "nothing, but it destroys": (FREE, True, True),
    "unknown, at most dear": (assumed("second_of_video", 2), False, True),
    "unknown, at most cheap": (assumed("picture", 1), False, False),
    "unknown of a kind that always asks": (assumed("picture", 1, asks=True), False, True),
    "known of a kind that asks without a price": (Cost(Decimal("0.10"), asks=True), False, False),
}


@pytest.mark.parametrize("way", ["nobody", "yes", "no"])
@pytest.mark.parametrize("noted", [True, False], ids=["noted", "not noted"])
@pytest.mark.parametrize("case", CASES)
async def test_what_counts_as_more_than_the_threshold_is_sent_only_after_a_yes(
    case: str, noted: bool, way: str, opened: Open
) -> None:
    SHOP.cost, SHOP.always_asks, asks = CASES[case]
    SHOP.noted = noted
    customer = None if way == "nobody" else Customer(YES if way == "yes" else NO)
    async with opened(customer) as client:
        result = await client.call_tool("buy_thing", {})
        assert len(SHOP.sold) == (1 if way == "yes" or not asks else 0)
        if customer is not None:
            assert len(customer.asked) == (1 if asks else 0)
        if asks and way == "nobody":
            answer: Json = result.structured_content or {}
            assert (answer["status"], answer["model"]) == ("needs_confirmation", "fox")
            assert "confirm=true" in answer["next_step"]
            await buy(client, confirm=True)
            assert len(SHOP.sold) == 1
        assert result.is_error == (asks and way == "no")


@pytest.mark.parametrize("settled", [None, Decimal("0.40"), Decimal(7)])
async def test_the_number_that_caps_count_is_the_number_that_asks(settled: Decimal | None, opened: Open) -> None:
    SHOP.cost = assumed("second_of_video", 3, things=2)
    counted = ceiling("second_of_video") * 3 if settled is None else settled * 2
    async with opened(unknown_price_usd=settled, confirm_above_usd=counted) as client:
        assert (await buy(client))["status"] == "sold"
    async with opened(unknown_price_usd=settled, confirm_above_usd=counted - Decimal("0.01")) as client:
        asked = await buy(client)
        assert asked["estimated_cost_usd"] == "unknown"
        assert Decimal(asked["counted_usd"]) == counted
        assert f"The price is not known; counted as at most ${counted:.2f}." in asked["next_step"]
    async with opened(unknown_price_usd=settled, call_limit_usd=counted - Decimal("0.01")) as client:
        refused = await client.call_tool("buy_thing", {"confirm": True})
        assert refused.is_error and f"${counted.normalize():f}" in text_of(refused).replace("0 and", " and")
    assert len(SHOP.sold) == 1


async def test_a_dry_run_asks_nobody_and_shows_request_and_price(opened: Open) -> None:
    SHOP.cost = costs("5")
    customer = Customer(YES)
    async with opened(customer) as client:
        shown = await buy(client, dry_run=True)
    assert (shown["status"], shown["estimated_cost_usd"]) == ("dry_run", "5")
    assert shown["request"]["body"] == {"thing": "fox"}
    assert "by the shop's list. Call again without dry_run to send it." in shown["next_step"]
    assert customer.asked == [] and SHOP.sold == []


# What a yes is


async def test_the_form_has_no_answer_in_it_beforehand(opened: Open) -> None:
    SHOP.cost = costs("5")
    customer = Customer(YES)
    async with opened(customer) as client:
        await buy(client)
    assert customer.forms == [
        {"type": "object", "properties": {"yes": {"type": "boolean", "title": "Go ahead"}}, "required": ["yes"]}
    ]


@pytest.mark.parametrize("content", [{"yes": "false"}, {"yes": "true"}, {"yes": 1}, {"yes": None}, {}, None], ids=str)
async def test_only_a_true_is_a_yes(content: Any, opened: Open) -> None:
    SHOP.cost = costs("5")
    customer = Customer(ElicitResult(action="accept", content=content))
    async with opened(customer) as client:
        result = await client.call_tool("buy_thing", {})
        assert result.is_error
        assert "declined" in text_of(result)
    assert SHOP.sold == [] and len(customer.asked) == 1


# A yes is for the price shown


def now_costs(usd: str) -> Callable[[], None]:
    def change() -> None:
        SHOP.cost = costs(usd)

    return change


async def test_a_price_that_rose_while_somebody_was_asked_is_asked_about_again(opened: Open) -> None:
    SHOP.cost = costs("5")
    customer = Customer(YES, [now_costs("6")])
    async with opened(customer) as client:
        await buy(client)
    assert ["$5.00" in customer.asked[0], "$6.00" in customer.asked[1]] == [True, True]
    assert SHOP.sold == [Decimal(6)]


async def test_a_price_that_fell_while_somebody_was_asked_is_fine(opened: Open) -> None:
    SHOP.cost = costs("5")
    customer = Customer(YES, [now_costs("4")])
    async with opened(customer) as client:
        await buy(client)
    assert len(customer.asked) == 1
    assert SHOP.sold == [Decimal(4)]


@pytest.mark.parametrize("first", [{}, {"dry_run": True}], ids=["asked", "dry"])
async def test_a_second_call_that_confirms_a_lower_price_is_asked_again(first: Json, opened: Open) -> None:
    SHOP.cost = costs("5")
    async with opened() as client:
        await buy(client, **first)
        SHOP.cost = costs("6")
        again = await buy(client, confirm=True)
        assert (again["status"], again["estimated_cost_usd"]) == ("needs_confirmation", "6")
        assert SHOP.sold == []
        assert (await buy(client, confirm=True))["status"] == "sold"
    assert SHOP.sold == [Decimal(6)]


async def test_a_yes_without_a_quote_or_long_after_one_is_taken_as_it_is(opened: Open) -> None:
    SHOP.cost = costs("5")
    async with opened() as client:
        assert (await buy(client, confirm=True))["status"] == "sold"
        await buy(client)
        await SHOP.clock.sleep(KEPT_SECONDS + 1)
        SHOP.cost = costs("6")
        assert (await buy(client, confirm=True))["status"] == "sold"
        await buy(client)
        SHOP.cost = costs("7")
        assert (await buy(client, thing="hen", confirm=True))["status"] == "sold"
    assert SHOP.sold == [Decimal(5), Decimal(6), Decimal(7)]


def test_what_was_shown_for_this_very_call_counts_before_what_was_shown_for_the_like() -> None:
    clock = QuickClock()
    quotes = Quotes(clock)
    quotes.show("me", ["small", "about fox"], Decimal(1))
    quotes.show("me", ["large", "about fox"], Decimal(5))
    assert quotes.latest("me", ["small", "about fox"]) == 1
    assert quotes.latest("me", ["medium", "about fox"]) == 5
    assert quotes.latest("you", ["small", "about fox"]) is None
