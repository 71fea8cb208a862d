"""Serverless endpoints, as a host meets them: the whole story, and what can go wrong in it."""

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.serverless.state import ServerlessState

from ..gpu_stage import Json, OpenStage, Person, Stage, leases_are_looked_at

IMAGE = "docker.io/vllm/vllm-openai:v0.10"
SYNC: Json = {"image": IMAGE, "port": 8000, "gpu": "4090", "name": "chat"}
ASYNC: Json = {"image": IMAGE, "takes_jobs": True, "gpu": "4090", "name": "jobs", "min_workers": 1}


@pytest.fixture
def world() -> World:
    """A deployment takes some seconds of a clock that only moves when somebody waits."""
    return World(WorldSettings(task_seconds=10, speed=0))


async def deployed(on: Stage, **changes: Any) -> str:
    """The id of a fresh endpoint that serves."""
    answer = await on.call("create_endpoint", **{**SYNC, "min_workers": 1, "confirm": True, **changes})
    assert answer["status"] == "serving"
    return answer["endpoint_id"]


@pytest.mark.parametrize("way", ["elicitation", "confirm"])
async def test_the_whole_story_of_an_endpoint(opened: OpenStage, world: World, way: str) -> None:
    person = Person() if way == "elicitation" else None
    yes: Json = {} if person else {"confirm": True}
    price = "estimated $0.50 per worker-hour: $0.50 to $1.00 per hour for 1 to 2 workers ($24.00 per day at most)"
    async with opened(person) as on:
        wish: Json = {**SYNC, "min_workers": 1, "max_workers": 2}
        if person is None:
            question = await on.call("create_endpoint", **wish)
            assert question["status"] == "needs_confirmation"
            assert price in question["next_step"]
            assert world.count("create_serverless_endpoint") == 0
        made = await on.call("create_endpoint", **wish, **yes)
        assert made["status"] == "serving"
        if person is not None:
            assert price in person.asked[0]
        assert world.count("create_serverless_endpoint") == 1
        sync = made["endpoint_id"]
        assert made["endpoint"]["workers_running"] == 1
        assert made["endpoint"]["usd_per_hour"] == "0.50"

        answer = await on.call("call_endpoint", endpoint_id=sync, path="/v1/echo?_seconds=0", body={"hello": "there"})
        assert answer["http_status"] == 200
        assert answer["result"]["body"] == {"hello": "there"}
        assert (answer["result"]["method"], answer["result"]["path"]) == ("POST", "/v1/echo")
        assert float(answer["estimated_cost_usd"]) < 0.001

        jobs = (await on.call("create_endpoint", **ASYNC, **yes))["endpoint_id"]
        done = await on.call("call_endpoint", endpoint_id="jobs", body={"n": 3})
        assert (done["status"], done["result"]) == ("succeeded", {"echo": {"n": 3}})
        listed = await on.call("list_endpoints")
        assert {(each["endpoint_id"], each["type"]) for each in listed["endpoints"]} == {
            (sync, "sync"),
            (jobs, "async"),
        }

        idle = await on.call("update_endpoint", endpoint_id=sync, min_workers=0, **yes)
        assert idle["changes"] == ["min_workers: 1 -> 0"]
        world.advance(120)
        shown = await on.call("get_endpoint", endpoint_id=sync)
        assert (shown["endpoint"]["workers_running"], shown["status"]) == (0, "serving")
        assert shown["endpoint"]["usd_per_hour"] == "0.00"

        for endpoint in (sync, jobs):
            gone = await on.call("delete_endpoint", endpoint_id=endpoint, **yes)
            assert gone["status"] == "deleted"
        assert (await on.call("list_endpoints"))["total"] == 0
        tasks = (await on.call("list_tasks"))["tasks"]
        assert {(task["tool"], task["state"]) for task in tasks} == {
            ("create_endpoint", "succeeded"),
            ("call_endpoint", "succeeded"),
            ("update_endpoint", "succeeded"),
        }


# deploying


async def test_no_patience_names_the_endpoint_and_get_waits_on(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        made = await on.call("create_endpoint", **SYNC, wait_seconds=0, confirm=True)
        assert made["status"] == "working"
        assert "get_endpoint" in made["next_step"]
        ready = await on.call("get_endpoint", endpoint_id=made["endpoint_id"], wait_seconds=60)
        assert ready["status"] == "serving"
        assert world.count("create_serverless_endpoint") == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_deployment_that_fails_ends_the_wait_with_its_reason(
    opened: OpenStage, world: World, kind: str
) -> None:
    async with opened() as on:
        wish = SYNC if kind == "sync" else ASYNC
        text = await on.refused("create_endpoint", **{**wish, "image": "registry.invalid/a:1"}, confirm=True)
        assert "IMAGE_NOT_FOUND" in text
        assert "delete_endpoint" in text
        job = (await on.call("list_tasks"))["tasks"][0]
        assert (job["state"], job["tool"]) == ("failed", "create_endpoint")


async def test_a_lost_answer_is_not_sent_again_and_a_second_try_is_warned(opened: OpenStage, world: World) -> None:
    world.trouble({"reset": "after"}, operation="create_serverless_endpoint")
    async with opened() as on:
        text = await on.refused("create_endpoint", **SYNC, confirm=True)
        assert "not sent again" in text
        assert "list_endpoints" in text
        assert world.count("create_serverless_endpoint") == 1

        again = await on.refused("create_endpoint", **SYNC, confirm=True)
        assert "exists already" in again
        assert "allow_duplicate" in again
        assert world.count("create_serverless_endpoint") == 1
        listed = await on.call("list_endpoints")
        assert listed["total"] == 1
        assert "unconfirmed" not in listed

        second = await on.call("create_endpoint", **SYNC, options={"allow_duplicate": True}, confirm=True)
        assert second["status"] == "serving"


async def test_a_lost_answer_that_created_nothing_stays_listed_as_unconfirmed(opened: OpenStage, world: World) -> None:
    world.trouble({"status": 502}, operation="create_serverless_endpoint")
    async with opened() as on:
        assert "not sent again" in await on.refused("create_endpoint", **SYNC, confirm=True)
        (lost,) = (await on.call("list_endpoints"))["unconfirmed"]
        assert lost.startswith("chat: sent ")
        assert "got no answer" in await on.refused("create_endpoint", **SYNC, confirm=True)
        assert world.count("create_serverless_endpoint") == 1


async def test_a_template_brings_image_command_port_and_variables(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        template = await on.call(
            "create_gpu_template",
            name="served",
            image="docker.io/acme/served:1",
            command="serve",
            ports=["22/tcp", "9000/http"],
            env={"MODE": "fast", "TOKEN": "keep-this-secret"},
        )
        made = await on.call("create_endpoint", template_id=template["template_id"], env={"MODE": "slow"}, confirm=True)
        shown = await on.call("get_endpoint", endpoint_id=made["endpoint_id"])
        assert shown["endpoint"]["image"] == "docker.io/acme/served:1"
        assert (shown["settings"]["port"], shown["settings"]["command"]) == ("9000", "serve")
        assert shown["env"] == ["MODE", "TOKEN"]
        assert "keep-this-secret" not in str(shown)
        (endpoint,) = world.area(ServerlessState).all.values()
        assert {row["key"]: row["value"] for row in endpoint.plan.envs} == {"MODE": "slow", "TOKEN": "keep-this-secret"}


async def test_offers_show_prices_stock_and_limits(opened: OpenStage) -> None:
    async with opened() as on:
        shown = await on.call("list_endpoints", offers=True)
        assert [offer["name"] for offer in shown["offers"]][:2] == ["RTX 4090 24GB", "RTX 5090 32GB"]
        assert shown["offers"][0]["usd_per_worker_hour"] == "0.50"
        assert shown["limits"]["max_workers"] == "0 to 10"
        assert "12.8" in shown["limits"]["cuda_version"]


BAD: dict[str, tuple[Json, tuple[str, ...]]] = {
    "neither image nor template": ({"image": None}, ("Neither image nor template_id",)),
    "both": ({"template_id": "x"}, ("Both image and template_id",)),
    "no port": ({"port": None}, ("No port",)),
    "port too high": ({"port": 70_000}, ("Port 70000", "1 to 65535")),
    "port zero": ({"port": 0}, ("Port 0",)),
    "port reserved": ({"port": 2222}, ("Port 2222",)),
    "unknown region": ({"options": {"region": "mars"}}, ("no region 'mars'", "us-ca-06")),
    "no GPU of that name": ({"gpu": "RTX 9999"}, ("RTX 9999", "There are:", "RTX 4090")),
    "an async one on another GPU": ({"takes_jobs": True, "gpu": "L40S"}, ("async endpoints run on", "H100")),
    "too many workers": ({"max_workers": 500}, ("max_workers 500", "0 to 10")),
    "fewer at most than at least": ({"min_workers": 3, "max_workers": 2}, ("max_workers 2", "min_workers 3")),
    "no workers at all": ({"max_workers": 0}, ("max_workers 0",)),
    "negative workers": ({"min_workers": -1}, ("min_workers -1",)),
    "idle for ever": ({"options": {"idle_seconds": 99_999}}, ("idle_seconds 99999", "1 to 3600")),
    "a misspelt option": ({"options": {"idle_secnds": 5}}, ("idle_secnds", "Did you mean idle_seconds?")),
    "an option that is an argument": ({"options": {"port": 80}}, ("port", "argument of its own")),
    "a text for a number": ({"options": {"gpus": "two"}}, ("gpus", "whole number")),
    "unknown CUDA": ({"options": {"cuda_version": "99"}}, ("cuda_version '99'", "12.8")),
    "unknown scaling": ({"options": {"scale_by": "luck"}}, ("luck", "queue or concurrency")),
    "app name with capitals": ({"options": {"app_name": "Chat"}}, ("app_name", "lower-case")),
    "health path without slash": ({"options": {"health_path": "ok"}}, ("health_path", "/")),
    "a volume nobody has": ({"options": {"volumes": {"v": "/data"}}}, ("no network volume 'v'",)),
    "more cards than free": ({"options": {"gpus": 8}, "gpu": "L40S"}, ("8 x L40S", "in stock")),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_wrong_is_told_before_anything_is_sent(opened: OpenStage, world: World, case: str) -> None:
    changes, words = BAD[case]
    wish = {name: value for name, value in {**SYNC, **changes}.items() if value is not None}
    async with opened() as on:
        text = await on.refused("create_endpoint", **wish, confirm=True)
        for word in words:
            assert word in text
        assert "billed" in text
    assert world.count("create_serverless_endpoint") == 0
    assert world.count("gpus_v2_create_endpoint") == 0
    assert not world.charges


@pytest.mark.parametrize("lost", [False, True])
async def test_a_lease_lets_an_endpoint_idle_after_a_restart_even_if_its_create_was_lost(
    opened: OpenStage, world: World, lost: bool
) -> None:
    wish: Json = {**SYNC, "min_workers": 1, "options": {"stop_after_hours": 0.1}, "confirm": True}
    async with opened() as on:
        asked = await on.call("create_endpoint", **{**wish, "confirm": False})
        assert "After 0.1 hours no worker is kept alive" in asked["next_step"]
        if lost:
            world.trouble({"reset": "after"}, operation="create_serverless_endpoint")
            await on.refused("create_endpoint", **wish)
        else:
            made = await on.call("create_endpoint", **wish)
            ends = datetime.fromisoformat(made["endpoint"]["idles_at"]).timestamp()
            assert 300 < ends - world.clock.now() <= 360
    world.advance(400)  # the lease ends while nobody is there
    line: Json = {}
    async with opened() as on:
        for _ in range(50):
            (line,) = (await on.call("list_endpoints"))["endpoints"]
            if line["min_workers"] == 0 and "idles_at" not in line:
                break
            world.advance(6)
        assert (line["min_workers"], line.get("idles_at")) == (0, None)
        assert world.count("update_serverless_endpoint") == 1


async def idles(on: Stage, world: World) -> None:
    """Until the end of its lease is seen to have been acted on."""
    with anyio.fail_after(60):
        while True:
            (line,) = (await on.call("list_endpoints"))["endpoints"]
            if line["min_workers"] == 0 and "idles_at" not in line:
                return
            world.advance(6)
            await anyio.sleep(0.02)


async def test_workers_brought_up_after_the_lease_are_told_to_have_none_and_are_let_be(
    opened: OpenStage, world: World
) -> None:
    wish: Json = {**SYNC, "min_workers": 1, "options": {"stop_after_hours": 0.1}, "confirm": True}
    async with opened() as on:
        endpoint = (await on.call("create_endpoint", **wish))["endpoint_id"]
        more: Json = {"endpoint_id": endpoint, "min_workers": 2, "max_workers": 3}
        asked = await on.call("update_endpoint", **more)
        assert "Its lease from before applies: its workers are let go at 20" in asked["next_step"]
        assert "install --lease-timer" in asked["next_step"]
        world.advance(400)
        await idles(on, world)
        asked = await on.call("update_endpoint", **more)
        assert "No lease applies: they are kept alive until you change it." in asked["next_step"]
        done = await on.call("update_endpoint", **more, confirm=True)
        assert "No lease applies" in done["next_step"] and done["endpoint"].get("idles_at") is None
        updates = world.count("update_serverless_endpoint")
        world.advance(2 * 3_600)
        await leases_are_looked_at()
        assert world.count("update_serverless_endpoint") == updates
        assert (await on.call("get_endpoint", endpoint_id=endpoint))["endpoint"]["min_workers"] == 2


async def test_a_lease_ends_when_nobody_is_kept_alive_any_more(opened: OpenStage, world: World) -> None:
    """By hand, before its time; what is brought up later is not let go by it."""
    wish: Json = {**SYNC, "min_workers": 1, "options": {"stop_after_hours": 1}, "confirm": True}
    async with opened() as on:
        endpoint = (await on.call("create_endpoint", **wish))["endpoint_id"]
        change: Json = {"endpoint_id": endpoint, "confirm": True}
        down = await on.call("update_endpoint", **change, min_workers=0)
        assert "lease" not in down.get("next_step", "") and down["endpoint"].get("idles_at") is None
        up = await on.call("update_endpoint", **change, min_workers=1)
        assert "No lease applies" in up["next_step"]
        updates = world.count("update_serverless_endpoint")
        world.advance(2 * 3_600)
        await leases_are_looked_at()
        assert world.count("update_serverless_endpoint") == updates


def hold_leases(path: Path, until: float) -> None:
    """As if another process were at them until then."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE kept_leases SET claimed_until = ?", (until,))


async def test_a_lease_that_ran_out_while_nobody_was_kept_alive_ends_nothing_brought_up_later(
    opened: OpenStage, world: World, tmp_path: Path
) -> None:
    """Let go elsewhere while no server of ours ran; the first one that does has not looked at its leases yet."""
    journal = tmp_path / "journal.sqlite3"
    wish: Json = {**SYNC, "min_workers": 1, "options": {"stop_after_hours": 1}, "confirm": True}
    async with opened() as on:
        endpoint = (await on.call("create_endpoint", **wish))["endpoint_id"]
    async with opened(journal="off") as elsewhere:
        await elsewhere.call("update_endpoint", endpoint_id=endpoint, min_workers=0, confirm=True)
    world.advance(2 * 3_600)
    hold_leases(journal, world.clock.now() + 3_600)
    async with opened() as on:
        up = await on.call("update_endpoint", endpoint_id=endpoint, min_workers=1, confirm=True)
        assert "No lease applies" in up["next_step"]
        hold_leases(journal, 0)
        await leases_are_looked_at()
        assert world.count("update_serverless_endpoint") == 2


@pytest.mark.parametrize("hours", [0, 1e-9, -1, 9_000, 1e300, 10**400, "six"])
async def test_a_lease_that_cannot_be_is_refused(opened: OpenStage, world: World, hours: Any) -> None:
    async with opened() as on:
        assert "stop_after_hours" in await on.refused(
            "create_endpoint", **SYNC, options={"stop_after_hours": hours}, confirm=True
        )
        assert world.count("create_serverless_endpoint") == 0


# changing


async def test_what_is_not_named_stays_as_it_is(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await deployed(
            on,
            max_workers=3,
            env={"A": "one", "B": "two-that-is-secret"},
            options={"command": "serve --fast", "idle_seconds": 33, "concurrency": 7, "request_timeout": 77}
            | {"app_name": "chatty", "cuda_version": "12.8", "region": "us-ca-06", "health_path": "/ready"},
        )
        plan = world.area(ServerlessState).all[endpoint].plan
        before = vars(plan).copy()
        changed = await on.call("update_endpoint", endpoint_id=endpoint, max_workers=4, env={"A": "1"}, confirm=True)
        assert changed["changes"] == ["env A: another value", "max_workers: 3 -> 4"]
        after = vars(world.area(ServerlessState).all[endpoint].plan)
        assert {name for name in after if after[name] != before[name]} == {"most", "envs"}
        assert {row["key"]: row["value"] for row in after["envs"]} == {"A": "1", "B": "two-that-is-secret"}

        removed = await on.call("update_endpoint", endpoint_id=endpoint, env={"B": ""}, confirm=True)
        assert removed["changes"] == ["env B: removed"]


async def test_an_async_endpoint_is_changed_through_the_second_generation(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = (await on.call("create_endpoint", **ASYNC, env={"A": "1"}, confirm=True))["endpoint_id"]
        before = vars(world.area(ServerlessState).all[endpoint].plan).copy()
        changed = await on.call("update_endpoint", endpoint_id=endpoint, max_workers=2, confirm=True)
        assert changed["changes"] == ["max_workers: 1 -> 2"]
        after = vars(world.area(ServerlessState).all[endpoint].plan)
        assert {name for name in after if after[name] != before[name]} == {"most"}
        assert world.count("gpus_v2_update_endpoint", "accepted") == 1


NEW: Json = {"options": {"image": "docker.io/acme/new:2"}}


async def test_options_that_a_host_sends_as_text_are_read(opened: OpenStage) -> None:
    as_text = {"idle_seconds": "33 s", "concurrency": "7", "gpus": 1.0, "stop_after_hours": "30 minutes"}
    as_meant = {"idle_seconds": 33, "concurrency": 7, "gpus": 1, "stop_after_hours": 0.5}
    async with opened() as on:
        told, meant = [
            await on.call("create_endpoint", **SYNC, options=options, dry_run=True) for options in (as_text, as_meant)
        ]
        assert told == meant
        refused = await on.refused("create_endpoint", **SYNC, options={"idle_seconds": "1e999"}, dry_run=True)
        assert "idle_seconds" in refused
        image = await on.refused("update_endpoint", endpoint_id=await deployed(on), options={"image": "my box"})
        assert "'my box' is no name of a container image" in image


async def test_a_change_is_shown_with_its_effect_and_asked_for(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await deployed(on)
        asked = await on.call("update_endpoint", endpoint_id=endpoint, max_workers=2, **NEW)
        assert asked["status"] == "needs_confirmation"
        for words in (f"image: {IMAGE} -> docker.io/acme/new:2", "max_workers: 1 -> 2", "workers are replaced"):
            assert words in asked["next_step"]
        assert world.count("update_serverless_endpoint") == 0


async def test_a_dry_run_shows_what_would_be_sent_and_its_price(opened: OpenStage, world: World) -> None:
    secret = {"env": {"TOKEN": "keep-this-secret"}}
    async with opened() as on:
        shown = await on.call("create_endpoint", **SYNC, **secret, min_workers=2, max_workers=2, dry_run=True)
        assert (shown["status"], shown["estimated_cost_usd"]) == ("dry_run", "1.00")
        assert world.count("create_serverless_endpoint") == 0
        endpoint = await deployed(on, **secret, min_workers=2, max_workers=2)
        (sent,) = world.received("create_serverless_endpoint")
        shown["request"]["body"]["endpoint"].pop("envs")
        assert sent.body["endpoint"].items() >= shown["request"]["body"]["endpoint"].items()

        shown = await on.call("update_endpoint", endpoint_id=endpoint, max_workers=3, min_workers=3, dry_run=True)
        assert (shown["status"], shown["estimated_cost_usd"]) == ("dry_run", "0.50")
        assert shown["request"]["body"]["workerConfig"]["maxNum"] == 3
        assert "keep-this-secret" not in str(shown)
        assert world.count("update_serverless_endpoint") == 0


async def test_a_change_to_what_is_so_already_sends_nothing(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await deployed(on)
        same = await on.call("update_endpoint", endpoint_id=endpoint, min_workers=1, confirm=True)
        assert "has these settings already" in same["next_step"]
        text = await on.refused("update_endpoint", endpoint_id=endpoint, options={"app_name": "new"}, confirm=True)
        assert "cannot be changed later" in text
        assert world.count("update_serverless_endpoint") == 0


@pytest.mark.parametrize("tool", ["get_endpoint", "update_endpoint", "delete_endpoint", "call_endpoint"])
async def test_what_does_not_exist_is_named_beside_what_does(opened: OpenStage, world: World, tool: str) -> None:
    async with opened() as on:
        endpoint = await deployed(on)
        changes: Json = {"confirm": True} if tool in ("update_endpoint", "delete_endpoint") else {}
        text = await on.refused(tool, endpoint_id="no-such-endpoint", **changes)
        assert "no endpoint 'no-such-endpoint'" in text
        assert f"'chat' ({endpoint})" in text
        assert len(world.area(ServerlessState).all) == 1


async def test_a_delete_whose_answer_is_lost_is_repeated_until_it_is_gone(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await deployed(on)
        world.trouble({"reset": "after"}, operation="delete_serverless_endpoint")
        gone = await on.call("delete_endpoint", endpoint_id=endpoint, confirm=True)
        assert gone["status"] == "deleted"
        assert not world.area(ServerlessState).all


@pytest.mark.parametrize("answer", ["nobody", "decline", "cancel"])
async def test_nothing_is_deployed_changed_or_deleted_without_a_yes(
    opened: OpenStage, world: World, answer: str
) -> None:
    async with opened() as on:
        endpoint = await deployed(on)
    person = None if answer == "nobody" else Person(answer)
    async with opened(person) as on:
        for tool, arguments in (
            ("create_endpoint", {**SYNC, "name": "second"}),
            ("update_endpoint", {"endpoint_id": endpoint, "max_workers": 5}),
            ("delete_endpoint", {"endpoint_id": endpoint}),
        ):
            if person is None:
                assert (await on.call(tool, **arguments))["status"] == "needs_confirmation"
            else:
                assert "declined" in await on.refused(tool, **arguments)
    assert list(world.area(ServerlessState).all) == [endpoint]
    assert world.count("update_serverless_endpoint") == world.count("delete_serverless_endpoint") == 0


async def test_the_list_survives_a_second_generation_that_fails(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await deployed(on)
        world.trouble({"status": 500}, path="/gpus/v2/*", times=-1)
        (line,) = (await on.call("list_endpoints"))["endpoints"]
        assert (line["endpoint_id"], line["type"]) == (endpoint, "sync")
        assert "usd_per_worker_hour" not in line
