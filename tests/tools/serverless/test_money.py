"""What endpoints cost, by our ledger and by the simulator's books: held against each other before any bill is read."""

from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.core.costs import ceiling
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import Job
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.serverless.state import ServerlessState
from novita_mcp.tools.kit.context import Caller
from novita_mcp.tools.serverless.waiting import settle_endpoints

from ..gpu_stage import Json, OpenStage, Person, Stage, StageClock, built_on

HOUR = 3_600
CENT, MICRO = Decimal("0.01"), Decimal("0.000001")
PRICE = Decimal("0.50")
"""Of a worker on an RTX 4090, in USD an hour."""
KEPT: Json = {"image": "docker.io/a/b:1", "port": 8000, "gpu": "4090", "name": "web", "confirm": True} | {
    "min_workers": 1,
    "max_workers": 1,
}
JOBS: Json = {"image": "docker.io/a/b:1", "takes_jobs": True, "gpu": "4090", "name": "jobs", "confirm": True}


@pytest.fixture
def world() -> World:
    """A deployment takes some seconds of a clock that only moves when somebody waits."""
    return World(WorldSettings(task_seconds=10, speed=0))


class EndpointBooks:
    """Our ledger and theirs."""

    def __init__(self, settings: Settings, world: World) -> None:
        self._settings, self._world = settings, world

    async def rows(self) -> list[Job]:
        """Newest first."""
        journal = Journal(Path(self._settings.journal), clock=StageClock(self._world))
        found = await journal.recent(owner_of(DEFAULT_KEY), limit=50)
        await journal.close()
        return found

    async def ours(self, *tools: str) -> Decimal:
        return sum((row.counted for row in await self.rows() if not tools or row.tool in tools), Decimal(0))

    def theirs(self) -> Decimal:
        self._world.settle()
        return sum((Decimal(str(charge.usd)) for charge in self._world.charges), Decimal(0))

    async def agree(self) -> None:
        assert abs(await self.ours() - self.theirs()) < CENT, (await self.rows(), self._world.charges)


@pytest.fixture
def books(settings: Settings, world: World) -> EndpointBooks:
    return EndpointBooks(settings, world)


async def made(on: Stage, **changes: Any) -> str:
    answer = await on.call("create_endpoint", **{**KEPT, **changes})
    return answer["endpoint_id"]


# what goes on costing


async def test_a_worker_kept_alive_for_two_hours_counts_two_hours(
    opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    async with opened() as on:
        endpoint = await made(on)
        (row,) = await books.rows()
        assert (row.facts.resource, row.usd_per_day, row.counted) == (endpoint, 24 * PRICE, PRICE)
        world.advance(2 * HOUR)
        await books.agree()
        await on.call("delete_endpoint", endpoint_id=endpoint, confirm=True)
        await books.agree()
        assert books.theirs() > 2 * PRICE - CENT
        world.advance(5 * HOUR)
        await books.agree()
        (row,) = await books.rows()
        assert row.usd_per_day is None


async def test_deleted_within_the_hour_it_counts_what_it_ran(
    opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    async with opened() as on:
        endpoint = await made(on)
        world.advance(HOUR / 4)
        await on.call("delete_endpoint", endpoint_id=endpoint, confirm=True)
        await books.agree()


async def test_nobody_waited_and_it_counts_from_its_beginning_once_it_is_seen(
    opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    async with opened() as on:
        endpoint = await made(on, wait_seconds=0)
    world.advance(3 * HOUR)
    assert await books.ours() == PRICE
    async with opened() as on:
        await on.call("get_endpoint", endpoint_id=endpoint)
        await books.agree()
        world.advance(HOUR)
        await on.call("list_endpoints")
        await books.agree()


async def test_it_does_not_count_before_it_was_seen_to_run(
    opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    """A deployment that hangs for hours, with somebody looking, costs nothing."""
    world.never_end_next_task()
    async with opened() as on:
        endpoint = await made(on, wait_seconds=0)
        for _ in range(3):
            world.advance(HOUR)
            assert (await on.call("get_endpoint", endpoint_id=endpoint))["status"] == "working"
        state = world.area(ServerlessState).all[endpoint]
        state.line.set("serving")
        state.pool.open = True
        world.advance(60)
        assert (await on.call("get_endpoint", endpoint_id=endpoint, wait_seconds=60))["status"] == "serving"
        world.advance(2 * HOUR)
        await on.call("delete_endpoint", endpoint_id=endpoint, confirm=True)
        assert await books.ours() < 2 * PRICE + 2 * CENT


async def test_each_change_of_the_workers_kept_alive_counts_from_then_on(
    opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    async with opened() as on:
        endpoint = await made(on, max_workers=3)
        world.advance(HOUR)
        await on.call("update_endpoint", endpoint_id=endpoint, min_workers=3, confirm=True)
        newest, oldest = await books.rows()
        assert (newest.usd_per_day, oldest.usd_per_day) == (72 * PRICE, None)
        assert newest.counted == 2 * PRICE  # an hour of those added is taken at once
        world.advance(HOUR)
        await on.call("list_endpoints")
        # The two that were added had to start first: no look tells when they did.
        assert abs(await books.ours() - books.theirs()) < 2 * CENT
        await on.call("update_endpoint", endpoint_id=endpoint, min_workers=0, confirm=True)
        before = await books.ours()
        world.advance(5 * HOUR)
        await on.call("list_endpoints")
        assert abs(await books.ours() - before) <= MICRO  # rounded once more as it ends
        assert abs(before - books.theirs()) < 3 * CENT  # idle for a minute, then gone
        await on.call("update_endpoint", endpoint_id=endpoint, min_workers=1, confirm=True)
        world.advance(2 * HOUR)
        await on.call("delete_endpoint", endpoint_id=endpoint, confirm=True)
        assert abs(await books.ours() - books.theirs()) < 3 * CENT
        assert all(row.usd_per_day is None for row in await books.rows())


async def test_a_change_that_nobody_looked_after_counts_from_when_it_was_asked_for(
    opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    async with opened() as on:
        endpoint = await made(on, max_workers=2)
        world.advance(HOUR)
        await on.call("update_endpoint", endpoint_id=endpoint, min_workers=2, wait_seconds=0, confirm=True)
    world.advance(2 * HOUR)
    async with opened() as on:
        await on.call("list_endpoints")
        await books.agree()


async def test_a_change_made_elsewhere_is_followed_from_when_it_is_seen(
    opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    async with opened() as on:
        endpoint = await made(on)
        world.advance(HOUR)
        await on.call("list_endpoints")
        async with opened(journal="off") as elsewhere:
            await elsewhere.call("update_endpoint", endpoint_id=endpoint, min_workers=0, confirm=True)
        await on.call("get_endpoint", endpoint_id=endpoint)
        world.advance(3 * HOUR)
        await books.agree()
        async with opened(journal="off") as elsewhere:
            await elsewhere.call("update_endpoint", endpoint_id=endpoint, min_workers=1, confirm=True)
        await on.call("list_endpoints")
        world.advance(HOUR)
        async with opened(journal="off") as elsewhere:
            await elsewhere.call("delete_endpoint", endpoint_id=endpoint, confirm=True)
        await on.call("list_endpoints")
        await books.agree()
        assert [row.usd_per_day for row in await books.rows()] == [None]


async def test_a_lease_ends_what_it_goes_on_costing(opened: OpenStage, world: World, books: EndpointBooks) -> None:
    async with opened() as on:
        endpoint = await made(on, options={"stop_after_hours": 2})
    world.advance(2 * HOUR)
    async with opened() as on:  # another process, whose watch looks at the leases
        plan = world.area(ServerlessState).all[endpoint].plan
        for _ in range(50):
            if plan.least == 0 and (await books.rows())[0].usd_per_day is None:
                break
            await on.call("list_gpu_products")  # anything that is no look at endpoints
            world.advance(1)
            plan = world.area(ServerlessState).all[endpoint].plan
        assert plan.least == 0
        world.advance(5 * HOUR)
        await on.call("list_endpoints")
        assert abs(await books.ours() - books.theirs()) < 2 * CENT
        assert (await books.rows())[0].usd_per_day is None


@pytest.mark.parametrize("leased", [False, True])
async def test_a_create_whose_answer_was_lost_counts_once_its_endpoint_is_found(
    opened: OpenStage, world: World, books: EndpointBooks, leased: bool
) -> None:
    world.trouble({"reset": "after"}, operation="create_serverless_endpoint")
    async with opened() as on:
        await on.refused("create_endpoint", **KEPT, options={"stop_after_hours": 9} if leased else {})
        (row,) = await books.rows()
        assert (row.state, row.counted, row.usd_per_day) == ("unconfirmed", PRICE, None)
        world.advance(2 * HOUR)
        (line,) = (await on.call("list_endpoints"))["endpoints"]
        (row,) = await books.rows()
        assert (row.facts.resource, row.state) == (line["endpoint_id"], "succeeded")
        assert abs(await books.ours() - books.theirs()) < CENT
        world.advance(HOUR)
        await on.call("delete_endpoint", endpoint_id=line["endpoint_id"], confirm=True)
        await books.agree()


async def test_an_endpoint_without_workers_kept_alive_holds_its_estimate(
    opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    async with opened() as on:
        endpoint = await made(on, min_workers=0)
        world.advance(9 * HOUR)
        await on.call("list_endpoints")
        await on.call("delete_endpoint", endpoint_id=endpoint, confirm=True)
        (row,) = await books.rows()
        assert (row.counted, row.usd_per_day) == (PRICE, None)


async def test_a_failing_list_of_one_generation_ends_nothing(
    opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    """An async endpoint is in both lists or, where v1 does not know it, in v2's alone: not seen is not gone."""
    async with opened() as on:
        await on.call("create_endpoint", **{**JOBS, "min_workers": 1})
        world.trouble({"status": 500}, path="/gpus/v2/*", times=-1)
        world.trouble(
            {"status": 200, "body": '{"endpoints": [], "total": 0}'}, operation="list_serverless_endpoints", times=-1
        )
        world.trouble({"status": 404}, operation="get_serverless_endpoint", times=-1)
        world.advance(HOUR)
        assert (await on.call("list_endpoints"))["total"] == 0
        assert (await books.rows())[0].usd_per_day == 24 * PRICE


async def test_an_unknown_price_is_counted_as_such_and_never_as_nothing(
    opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    async with opened() as on:
        endpoint = await made(on)
        world.trouble({"status": 500}, operation="gpus_v2_list_products", times=-1)
        changed = await on.call("update_endpoint", endpoint_id=endpoint, max_workers=2, min_workers=2, confirm=True)
        assert changed["estimated_cost_usd"] == "unknown"
        world.advance(2 * HOUR)
        await on.call("list_endpoints")
        update, creation = await books.rows()
        assert (update.counted, update.usd_per_day) == (ceiling("hour_of_a_card"), None)
        assert creation.usd_per_day == 48 * PRICE  # followed at the price that is known


# calls


async def test_calls_on_workers_that_are_kept_alive_anyway_are_not_counted_twice(
    opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    async with opened() as on:
        web, jobs = await made(on), (await on.call("create_endpoint", **{**JOBS, "min_workers": 1}))["endpoint_id"]
        answer = await on.call("call_endpoint", endpoint_id=web, path="/?_seconds=0")
        done = await on.call("call_endpoint", endpoint_id=jobs, body={"_seconds": 30})
        assert Decimal(answer["estimated_cost_usd"]) >= 0
        assert Decimal("0.004") < Decimal(done["estimated_cost_usd"]) < CENT
        assert {row.facts.resource for row in await books.rows() if row.tool == "call_endpoint"} == {web, jobs}
        assert await books.ours("call_endpoint") == 0
        world.advance(HOUR)
        assert abs(await books.ours() - books.theirs()) < 2 * CENT


async def test_calls_that_start_workers_count_their_time(opened: OpenStage, world: World, books: EndpointBooks) -> None:
    async with opened() as on:
        jobs = (await on.call("create_endpoint", **JOBS))["endpoint_id"]
        sent = await on.call("call_endpoint", endpoint_id=jobs, body={"_seconds": 200}, wait_seconds=0)
        most = PRICE * 300 / HOUR
        assert abs(Decimal(sent["estimated_cost_usd"]) - most) < Decimal("0.00001")
        assert abs(await books.ours("call_endpoint") - most) < Decimal("0.00001")
        done = await on.call("call_endpoint", job_id=sent["job_id"], wait_seconds=600)
        spent = Decimal(done["estimated_cost_usd"])
        assert PRICE * 200 / HOUR < spent < PRICE * 240 / HOUR
        assert await books.ours("call_endpoint") == spent
        again = await on.call("call_endpoint", job_id=sent["job_id"])
        assert again["estimated_cost_usd"] == done["estimated_cost_usd"]


async def test_a_cancelled_job_counts_no_more_than_it_took(
    opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    async with opened() as on:
        jobs = (await on.call("create_endpoint", **JOBS))["endpoint_id"]
        sent = await on.call("call_endpoint", endpoint_id=jobs, body={"_seconds": 200}, wait_seconds=0)
        world.advance(72)
        stopped = await on.call("call_endpoint", job_id=sent["job_id"], cancel=True)
        assert abs(Decimal(stopped["estimated_cost_usd"]) - CENT) < Decimal("0.0005")
        assert await books.ours("call_endpoint") == Decimal(stopped["estimated_cost_usd"])


# before and after


@pytest.mark.parametrize("way", ["elicitation", "confirm", "decline"])
async def test_a_dear_call_is_asked_for(opened: OpenStage, world: World, books: EndpointBooks, way: str) -> None:
    person = None if way == "confirm" else Person("accept" if way == "elicitation" else "decline")
    async with opened(person, confirm_above_usd=Decimal("0.10")) as on:
        web = await made(on)
        cheap = await on.call("call_endpoint", endpoint_id=web, path="/?_seconds=0", wait_seconds=60)
        assert cheap["status"] == "succeeded"
        wish: Json = {"endpoint_id": web, "path": "/?_seconds=0", "wait_seconds": 1_800}
        if way == "confirm":
            asked = await on.call("call_endpoint", **wish)
            assert (asked["status"], asked["estimated_cost_usd"]) == ("needs_confirmation", "0.25")
            assert "a worker for 1800 s at most, about $0.25" in asked["next_step"]
            assert world.count("invoke_sync_endpoint") == 1
            assert (await on.call("call_endpoint", **wish, confirm=True))["status"] == "succeeded"
        elif way == "elicitation":
            assert (await on.call("call_endpoint", **wish))["status"] == "succeeded"
        else:
            assert "declined" in await on.refused("call_endpoint", **wish)
        assert world.count("invoke_sync_endpoint") == (1 if way == "decline" else 2)
        if person is not None:
            assert [question for question in person.asked if "about $0.25" in question]


async def test_a_dear_job_is_asked_for_and_not_queued_without_a_yes(opened: OpenStage, world: World) -> None:
    async with opened(confirm_above_usd=Decimal("0.04")) as on:
        jobs = (await on.call("create_endpoint", **JOBS))["endpoint_id"]
        asked = await on.call("call_endpoint", endpoint_id=jobs, body={})
        assert (asked["status"], asked["estimated_cost_usd"]) == ("needs_confirmation", "0.041667")
        assert world.count("run_async_job") == 0
        sent = await on.call("call_endpoint", endpoint_id=jobs, body={}, confirm=True)
        assert sent["status"] == "succeeded"


async def test_every_answer_about_an_endpoint_says_what_was_estimated(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        asked = await on.call("create_endpoint", **{**KEPT, "confirm": False})
        early = await on.call("create_endpoint", **{**KEPT, "wait_seconds": 0})
        assert (asked["status"], asked["estimated_cost_usd"]) == ("needs_confirmation", "0.50")
        assert (early["status"], early["estimated_cost_usd"]) == ("working", "0.50")
        endpoint = early["endpoint_id"]
        late = await on.call("call_endpoint", endpoint_id=endpoint, wait_seconds=1)
        assert (late["status"], late["estimated_cost_usd"]) == ("not_ready", "0.000139")
        two: Json = {"endpoint_id": endpoint, "min_workers": 3, "max_workers": 3}
        asked = await on.call("update_endpoint", **two)
        assert (asked["status"], asked["estimated_cost_usd"]) == ("needs_confirmation", "1.00")
        changed = await on.call("update_endpoint", **two, confirm=True)
        assert (changed["status"], changed["estimated_cost_usd"]) == ("serving", "1.00")
        same = await on.call("update_endpoint", **two, confirm=True)
        assert same["estimated_cost_usd"] == "0.00"


async def test_of_a_job_sent_from_elsewhere_no_cost_is_known(opened: OpenStage) -> None:
    async with opened() as on:
        jobs = (await on.call("create_endpoint", **JOBS))["endpoint_id"]
        sent = await on.call("call_endpoint", endpoint_id=jobs, body={"_seconds": 100}, wait_seconds=0)
    async with opened(journal="off") as on:
        seen = await on.call("call_endpoint", job_id=sent["job_id"], endpoint_id=jobs, wait_seconds=0)
        assert (seen["status"], seen["estimated_cost_usd"]) == ("working", "unknown")


# dry runs

REHEARSED: dict[str, tuple[str, Json]] = {
    "a change": ("update_endpoint", {"min_workers": 2, "max_workers": 2, "env": {"MODE": "slow"}}),
    "a request": ("call_endpoint", {"path": "PUT /v1/x?_seconds=0", "body": {"a": [1, "b"]}}),
    "a job": ("call_endpoint", {"body": {"a": [1, "b"]}}),
}


@pytest.mark.parametrize("case", REHEARSED)
async def test_what_a_dry_run_shows_is_what_goes_out_and_what_it_costs(
    opened: OpenStage, world: World, books: EndpointBooks, case: str
) -> None:
    """As tests/tools/kit/test_dry_run.py has it for tools that need no endpoint first."""
    tool, arguments = REHEARSED[case]
    async with opened() as on:
        wish = {**JOBS, "min_workers": 0} if case == "a job" else KEPT
        made = await on.call("create_endpoint", **{**wish, "env": {"TOKEN": "keep-this-secret"}})
        arguments = {"endpoint_id": made["endpoint_id"], **arguments}
    # Whatever it costs: a dry run does not ask.
    async with opened(confirm_above_usd=Decimal(0)) as on:
        rows, charged, requests = await books.rows(), books.theirs(), len(world.requests)
        shown = await on.call(tool, **arguments, dry_run=True)
        assert shown["status"] == "dry_run"
        assert Decimal(shown["estimated_cost_usd"]) > 0
        assert not [request for request in list(world.requests)[requests:] if request.method != "GET"]
        assert [row.key for row in await books.rows()] == [row.key for row in rows]
        assert books.theirs() == charged
        assert "keep-this-secret" not in str(shown)

        answer = await on.call(tool, **arguments, confirm=True)
        newest = (await books.rows())[0]
        assert newest.tool == tool
        assert newest.estimate is not None
        assert abs(newest.estimate - Decimal(shown["estimated_cost_usd"])) < Decimal("0.000002")
        assert Decimal(answer["estimated_cost_usd"]) <= Decimal(shown["estimated_cost_usd"])
        (sent,) = [request for request in list(world.requests)[requests:] if request.method != "GET"]
        request: Json = shown["request"]
        where = request.get("path") or request["url"].partition("://")[2].partition("/")[2]
        target = f"{sent.path}?{sent.query}" if sent.query else sent.path
        assert (sent.method, target.lstrip("/")) == (request["method"], where.lstrip("/"))
        assert hidden(sent.body) == request.get("body")


def hidden(body: Json) -> Json:
    """A body as a dry run shows it."""
    rows: list[Json] = body.get("envs", [])
    return {**body, "envs": [{**row, "value": "(hidden)"} for row in rows]} if rows else body


# settling


async def test_settling_asks_novita_only_while_something_is_open(
    settings: Settings, opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    """What list_tasks does before it says what is running up cost."""

    async def settle() -> int:
        before = len(world.requests)
        async with anyio.create_task_group() as background:
            app = built_on(world)(settings, background)
            await settle_endpoints(Caller(app, app.client, cast(Any, None)))
            await app.close()
            background.cancel_scope.cancel()  # what else a server does
        return len(world.requests) - before

    assert await settle() == 0
    async with opened() as on:
        endpoint = await made(on, wait_seconds=0)
        idle = await made(on, name="idle", min_workers=0)
        world.advance(2 * HOUR)
        assert 0 < await settle() <= 2
        rows = {row.facts.resource: row for row in await books.rows()}
        assert (rows[endpoint].state, rows[endpoint].usd_per_day) == ("succeeded", 24 * PRICE)
        assert (rows[idle].state, rows[idle].usd_per_day) == ("succeeded", None)
        assert abs(rows[endpoint].counted - books.theirs()) < CENT
        async with opened(journal="off") as elsewhere:
            await elsewhere.call("delete_endpoint", endpoint_id=endpoint, confirm=True)
        assert await settle() > 0
        rows = {row.facts.resource: row for row in await books.rows()}
        assert rows[endpoint].usd_per_day is None
        assert abs(rows[endpoint].counted - books.theirs()) < CENT
        assert await settle() == 0


async def test_a_deployment_that_was_removed_before_it_served_is_not_open_for_ever(
    settings: Settings, opened: OpenStage, world: World, books: EndpointBooks
) -> None:
    world.never_end_next_task()
    async with opened() as on:
        endpoint = await made(on, wait_seconds=0)
        async with opened(journal="off") as elsewhere:
            await elsewhere.call("delete_endpoint", endpoint_id=endpoint, confirm=True)
        world.advance(60)
        await on.call("list_endpoints")
        (row,) = await books.rows()
        assert (row.state, row.usd_per_day) == ("cancelled", None)
        assert "gone" in row.reason
