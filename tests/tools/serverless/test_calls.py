"""Calling endpoints, as a host meets it: requests, jobs, what comes back, and what must never leave."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.serverless.state import ServerlessState
from novita_mcp.tools.serverless.showing import FIRST_PART, INLINE_TEXT

from ...conftest import text_of
from ..gpu_stage import Json, OpenStage, Stage

IMAGE = "docker.io/acme/served:1"


@pytest.fixture
def world() -> World:
    """A deployment takes some seconds of a clock that only moves when somebody waits."""
    return World(WorldSettings(task_seconds=10, speed=0))


async def sync_one(on: Stage, **changes: Any) -> str:
    wish: Json = {"image": IMAGE, "port": 8000, "name": "web", "min_workers": 1, "confirm": True, **changes}
    return (await on.call("create_endpoint", **wish))["endpoint_id"]


async def async_one(on: Stage, **changes: Any) -> str:
    wish: Json = {"image": IMAGE, "takes_jobs": True, "gpu": "4090", "name": "jobs", "min_workers": 1, "confirm": True}
    return (await on.call("create_endpoint", **{**wish, **changes}))["endpoint_id"]


# sync


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({}, ("GET", "/", None)),
        ({"path": "v1/models"}, ("GET", "/v1/models", None)),
        ({"path": "/v1/x", "body": {"a": 1}}, ("POST", "/v1/x", {"a": 1})),
        ({"path": "delete /v1/x"}, ("DELETE", "/v1/x", None)),
        ({"path": "PUT /v1/x", "body": {"ü": "ß"}}, ("PUT", "/v1/x", {"ü": "ß"})),
    ],
)
async def test_method_path_and_body_arrive_as_given(
    opened: OpenStage, arguments: Json, sent: tuple[str, str, Any]
) -> None:
    async with opened() as on:
        endpoint = await sync_one(on)
        path = f"{arguments.get('path', '/')}?_seconds=0"
        answer = await on.call("call_endpoint", endpoint_id=endpoint, **{**arguments, "path": path})
        echo = answer["result"]
        assert (echo["method"], echo["path"], echo["body"]) == sent


async def test_a_service_never_sees_the_key_and_gets_the_headers_it_wants(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await sync_one(on)
        headers = {"Authorization": "Bearer of-the-service", "X-Mode": "fast"}
        await on.call("call_endpoint", endpoint_id=endpoint, path="/?_seconds=0")
        await on.call("call_endpoint", endpoint_id=endpoint, path="/?_seconds=0", headers=headers)
        bare, dressed = world.received("invoke_sync_endpoint")
        assert "authorization" not in {name.lower() for name in bare.headers}
        assert dressed.headers["x-mode"] == "fast"
        assert "authorization" in dressed.headers
        text = await on.refused("call_endpoint", endpoint_id=endpoint, headers={"X-Key": f"Key {DEFAULT_KEY}"})
        assert "never sent to an endpoint" in text
        assert DEFAULT_KEY not in text
        assert world.count("invoke_sync_endpoint") == 2


ELSEWHERE = (
    "https://example.com/v1",
    "//example.com/v1",
    "http:example.com",
    "file:///etc/passwd",
    "/../../gpu-instance/openapi/v1/endpoints",
    "/%2e%2e/x",
    "/a/..%2f../x",
    "/a b",
    "/a\\b",
    "/a#b",
)


@pytest.mark.parametrize("path", ELSEWHERE)
async def test_no_other_place_than_the_endpoint_is_ever_called(opened: OpenStage, world: World, path: str) -> None:
    async with opened() as on:
        endpoint = await sync_one(on)
        before = sum(world.counters["received"].values())
        text = await on.refused("call_endpoint", endpoint_id=endpoint, path=path, body={})
        assert "Nothing was billed" in text
        # Only the two lists, in which the endpoint is looked up.
        assert sum(world.counters["received"].values()) - before == 2


async def test_the_full_address_of_the_endpoint_is_understood(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await sync_one(on)
        url = (await on.call("get_endpoint", endpoint_id=endpoint))["endpoint"]["url"]
        answer = await on.call("call_endpoint", endpoint_id=endpoint, path=f"{url}/v1/x?_seconds=0")
        assert answer["result"]["path"] == "/v1/x"
        base = url.partition("/_endpoints")[0]
        assert "does not belong to endpoint" in await on.refused(
            "call_endpoint", endpoint_id=endpoint, path=f"{base}/openapi"
        )


async def test_an_endpoint_of_another_account_is_unknown(opened: OpenStage, world: World) -> None:
    world.add_account("sk-other", 50)
    async with opened(api_key="sk-other") as other:
        theirs = await sync_one(other)
        url = (await other.call("get_endpoint", endpoint_id=theirs))["endpoint"]["url"]
    async with opened() as on:
        assert "no endpoint" in await on.refused("call_endpoint", endpoint_id=theirs)
        mine = await sync_one(on)
        assert "does not belong to endpoint" in await on.refused("call_endpoint", endpoint_id=mine, path=f"{url}/x")
        assert world.count("invoke_sync_endpoint") == 0


async def test_a_redirect_is_told_and_not_followed(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await sync_one(on)
        world.trouble(
            {"status": 302, "headers": {"Location": "http://127.0.0.1:9/steal"}}, operation="invoke_sync_endpoint"
        )
        text = await on.refused("call_endpoint", endpoint_id=endpoint)
        assert "redirect to http://127.0.0.1:9/steal" in text
        assert world.count("invoke_sync_endpoint") == 1


@pytest.mark.parametrize(
    ("status", "words"), [(404, "correct path"), (401, "headers"), (500, "service failed"), (503, "get_endpoint")]
)
async def test_an_error_of_the_service_is_an_error_with_its_words(
    opened: OpenStage, world: World, status: int, words: str
) -> None:
    async with opened() as on:
        endpoint = await sync_one(on)
        text = await on.refused("call_endpoint", endpoint_id=endpoint, path=f"/x?_seconds=0&_status={status}")
        assert f"HTTP {status}" in text
        assert '"path": "/x"' in text or '"path":"/x"' in text
        assert words in text
        assert world.count("invoke_sync_endpoint") == 1


@pytest.mark.parametrize("trouble", [{"reset": "after"}, {"cut": 5}])
async def test_a_broken_answer_is_not_asked_for_again(opened: OpenStage, world: World, trouble: Json) -> None:
    async with opened() as on:
        endpoint = await sync_one(on)
        world.trouble(trouble, operation="invoke_sync_endpoint")
        text = await on.refused("call_endpoint", endpoint_id=endpoint, path="/?_seconds=0")
        assert "may have been billed" in text
        assert world.count("invoke_sync_endpoint") == 1


async def test_an_answer_over_the_cap_is_a_file_with_its_first_part_shown(
    opened: OpenStage, world: World, tmp_path: Path
) -> None:
    async with opened() as on:
        endpoint = await sync_one(on)
        size = INLINE_TEXT + 1
        answer = await on.call("call_endpoint", endpoint_id=endpoint, path=f"/?_seconds=0&_bytes={size}")
        (file,) = answer["files"]
        assert Path(file["path"]).read_bytes() == b"x" * size
        assert Path(file["path"]).parent == tmp_path / "out"
        assert answer["text"].startswith("x" * FIRST_PART + "...")
        assert len(answer["text"]) < FIRST_PART + 100
        (content,) = (await on.client.read_resource(file["uri"])).contents
        assert len(getattr(content, "text", "") or getattr(content, "blob", "")) >= size


async def test_a_large_json_answer_is_a_json_file(opened: OpenStage) -> None:
    async with opened() as on:
        endpoint = await sync_one(on)
        body = {"rows": [{"number": index} for index in range(2_000)]}
        answer = await on.call("call_endpoint", endpoint_id=endpoint, path="/?_seconds=0", body=body)
        (file,) = answer["files"]
        assert json.loads(Path(file["path"]).read_text())["body"] == body
        assert file["path"].endswith(".json")
        assert "result" not in answer


async def test_an_answer_can_be_saved_where_the_user_wants_it(opened: OpenStage, tmp_path: Path) -> None:
    async with opened() as on:
        endpoint = await sync_one(on)
        target = str(tmp_path / "mine" / "answer.json")
        answer = await on.call("call_endpoint", endpoint_id=endpoint, path="/?_seconds=0", save_to=target)
        assert answer["files"][0]["path"] == target
        assert json.loads(Path(target).read_text())["method"] == "GET"
        outside = await on.refused("call_endpoint", endpoint_id=endpoint, save_to="/etc/x.json")
        assert "outside the folders" in outside


async def test_an_answer_that_can_be_saved_nowhere_comes_by_the_id_of_its_call(
    opened: OpenStage, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    async with opened() as on:
        endpoint = await sync_one(on)
        for place in ("out", "data"):
            (tmp_path / place).write_text("in the way")
        answer = await on.call("call_endpoint", endpoint_id=endpoint, path="/?_seconds=0&_bytes=300000")
        (file,) = answer["files"]
        assert "in memory until this server ends" in file["note"]
        (tmp_path / "out").unlink()
        fetched = await on.call("get_task", task_id=file["uri"].split("/")[-2])
        assert Path(fetched["artifacts"][0]["path"]).read_bytes() == b"x" * 300_000
        assert world.count("invoke_sync_endpoint") == 1


async def test_a_picture_comes_as_a_picture(opened: OpenStage, world: World) -> None:
    png = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
        "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
    )
    async with opened() as on:
        endpoint = await sync_one(on)
        world.trouble({"status": 200, "body": png, "content_type": "image/png"}, operation="invoke_sync_endpoint")
        result = await on.client.call_tool("call_endpoint", {"endpoint_id": endpoint})
        assert not result.is_error, text_of(result)
        answer: Json = result.structured_content or {}
        assert Path(answer["files"][0]["path"]).read_bytes() == png
        assert [block.type for block in result.content] == ["text", "image"]


async def test_a_call_waits_for_the_deployment_and_then_is_sent_once(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        made = await on.call(
            "create_endpoint", image=IMAGE, port=80, name="w", min_workers=1, wait_seconds=0, confirm=True
        )
        assert made["status"] == "working"
        answer = await on.call("call_endpoint", endpoint_id="w", path="/?_seconds=0")
        assert answer["http_status"] == 200
        assert world.count("invoke_sync_endpoint") == 1


async def test_a_deployment_that_does_not_come_up_in_time_is_sent_nothing(opened: OpenStage, world: World) -> None:
    world.never_end_next_task()
    async with opened() as on:
        await on.call("create_endpoint", image=IMAGE, port=80, name="w", wait_seconds=0, confirm=True)
        answer = await on.call("call_endpoint", endpoint_id="w", wait_seconds=5)
        assert answer["status"] == "not_ready"
        assert "get_endpoint" in answer["next_step"]
        assert world.count("invoke_sync_endpoint") == 0


async def test_two_endpoints_of_one_name_are_told_apart_by_id(opened: OpenStage) -> None:
    async with opened() as on:
        first = await sync_one(on)
        second = await sync_one(on, options={"allow_duplicate": True})
        text = await on.refused("call_endpoint", endpoint_id="web")
        assert first in text
        assert second in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "Which endpoint"),
        ({"cancel": True}, "Which job"),
        ({"job_id": "j-1", "body": {"n": 1}}, "job_id waits"),
        ({"job_id": "j-nobody"}, "was not sent through this server"),
        ({"endpoint_id": "web", "path": "FLY /x"}, "no method 'FLY'"),
        ({"endpoint_id": "web", "headers": {"Host": "x"}}, "set by this server"),
        ({"endpoint_id": "web", "headers": {"X": "a\r\nB: c"}}, "cannot be sent"),
    ],
)
async def test_bad_calls_are_refused_before_anything_is_sent(
    opened: OpenStage, world: World, arguments: Json, words: str
) -> None:
    async with opened() as on:
        await sync_one(on)
        text = await on.refused("call_endpoint", **arguments)
        assert words in text
        assert "Nothing was billed" in text
        assert world.count("invoke_sync_endpoint") == world.count("run_async_job") == 0


async def test_a_dry_run_shows_the_request_and_sends_nothing(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        sync, jobs = await sync_one(on), await async_one(on)
        shown = await on.call("call_endpoint", endpoint_id=sync, path="/v1/x", body={"a": 1}, dry_run=True)
        assert (shown["status"], shown["request"]["method"], shown["request"]["body"]) == ("dry_run", "POST", {"a": 1})
        assert shown["request"]["url"].endswith("/v1/x")
        assert shown["estimated_cost_usd"] == "0.016667"  # two minutes of a worker
        shown = await on.call("call_endpoint", endpoint_id=jobs, body={"a": 1}, dry_run=True)
        assert shown["request"]["body"] == {"input": {"a": 1}}
        assert world.count("invoke_sync_endpoint") == world.count("run_async_job") == 0


# async


async def test_a_job_without_patience_is_waited_for_by_its_id(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await async_one(on)
        sent = await on.call("call_endpoint", endpoint_id=endpoint, body={"q": "x"}, wait_seconds=0)
        assert sent["status"] == "working"
        assert f"job_id={sent['job_id']}" in sent["next_step"]
        hint = await on.refused("get_task", task_id=sent["job_id"])
        assert f"call_endpoint with job_id={sent['job_id']}" in hint
    async with opened() as on:  # another process, the same journal
        done = await on.call("call_endpoint", job_id=sent["job_id"])
        assert (done["status"], done["result"]) == ("succeeded", {"echo": {"q": "x"}})
        assert world.count("run_async_job") == 1


async def test_a_job_sent_from_elsewhere_is_found_by_its_endpoint(opened: OpenStage, settings: Settings) -> None:
    async with opened() as on:
        endpoint = await async_one(on)
        sent = await on.call("call_endpoint", endpoint_id=endpoint, body={"q": 1}, wait_seconds=0)
    async with opened(journal="off") as on:
        assert "Give its endpoint_id" in await on.refused("call_endpoint", job_id=sent["job_id"])
        done = await on.call("call_endpoint", job_id=sent["job_id"], endpoint_id="jobs")
        assert done["result"] == {"echo": {"q": 1}}


async def test_a_job_is_cancelled_at_novita_on_request(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await async_one(on)
        sent = await on.call("call_endpoint", endpoint_id=endpoint, body={"_seconds": 500}, wait_seconds=0)
        stopped = await on.call("call_endpoint", job_id=sent["job_id"], cancel=True)
        assert stopped["status"] == "cancelled"
        (state,) = world.area(ServerlessState).all[endpoint].jobs.values()
        assert state.status == "CANCELLED"
        assert (await on.call("call_endpoint", job_id=sent["job_id"]))["status"] == "cancelled"
        assert (await on.call("list_tasks"))["tasks"][0]["state"] == "cancelled"


async def test_cancelling_a_job_that_has_ended_shows_its_result(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await async_one(on)
        sent = await on.call("call_endpoint", endpoint_id=endpoint, body={"q": 2}, wait_seconds=0)
        world.advance(60)
        await on.call("get_endpoint", endpoint_id=endpoint)
        ended = await on.call("call_endpoint", job_id=sent["job_id"], cancel=True)
        assert (ended["status"], ended["result"]) == ("succeeded", {"echo": {"q": 2}})


async def test_a_failed_job_says_why(opened: OpenStage) -> None:
    async with opened() as on:
        endpoint = await async_one(on)
        text = await on.refused("call_endpoint", endpoint_id=endpoint, body={"_error": "out of memory"})
        assert "failed: out of memory" in text
        assert (await on.call("list_tasks"))["tasks"][0]["state"] == "failed"


async def test_a_job_over_four_mebibytes_is_refused_before_it_is_sent(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await async_one(on)
        text = await on.refused("call_endpoint", endpoint_id=endpoint, body={"x": "y" * (4 * 2**20 - 15)})
        assert "at most 4 MiB" in text
        assert world.count("run_async_job") == 0
        fits = await on.call("call_endpoint", endpoint_id=endpoint, body={"x": "y" * (4 * 2**20 - 21)}, wait_seconds=0)
        assert fits["status"] == "working"


async def test_a_large_output_is_a_file_that_outlives_novitas_copy(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await async_one(on)
        done = await on.call("call_endpoint", endpoint_id=endpoint, body={"_bytes": 100_000})
        (file,) = done["files"]
        assert json.loads(Path(file["path"]).read_text()) == {"data": "x" * 100_000}
        again = await on.call("call_endpoint", job_id=done["job_id"])
        assert again["files"] == done["files"]
        world.advance(7 * 3_600)
        kept = await on.call("call_endpoint", job_id=done["job_id"])
        assert kept["files"] == done["files"]
        assert "no longer keeps it" in kept["next_step"]


async def test_a_result_nobody_fetched_in_time_is_said_to_be_gone(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await async_one(on)
        sent = await on.call("call_endpoint", endpoint_id=endpoint, body={}, wait_seconds=0)
        world.advance(60)
        await on.call("get_endpoint", endpoint_id=endpoint)
        world.advance(7 * 3_600)
        assert "kept 6 hours" in await on.refused("call_endpoint", job_id=sent["job_id"])


async def test_a_job_whose_answer_is_lost_is_not_sent_again(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await async_one(on)
        world.trouble({"reset": "after"}, operation="run_async_job")
        text = await on.refused("call_endpoint", endpoint_id=endpoint, body={})
        assert "not sent again" in text
        assert world.count("run_async_job") == 1
        assert (await on.call("list_tasks"))["tasks"][0]["state"] == "unconfirmed"


async def test_faults_while_looking_lose_nothing(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await async_one(on)
        world.trouble({"status": 500}, operation="get_async_job_status", times=3)
        world.trouble({"garbage": True}, operation="get_async_job_status", skip=3, times=2)
        done = await on.call("call_endpoint", endpoint_id=endpoint, body={"q": 3})
        assert done["result"] == {"echo": {"q": 3}}
        assert world.count("run_async_job") == 1


async def test_the_gateway_may_know_an_endpoint_by_an_older_name(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await async_one(on, options={"app_name": "app"})
        world.trouble({"error": "SERVERLESS_ENDPOINT_NOT_FOUND", "group": "gpu"}, path=f"/v1/{endpoint}-app/run")
        done = await on.call("call_endpoint", endpoint_id=endpoint, body={"q": 4})
        assert done["result"] == {"echo": {"q": 4}}
        assert len(world.area(ServerlessState).all[endpoint].jobs) == 1


async def test_an_async_endpoint_takes_no_http_requests(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await async_one(on)
        text = await on.refused("call_endpoint", endpoint_id=endpoint, path="/x", body={})
        assert "it takes jobs" in text
        assert world.count("run_async_job") == 0


async def test_the_queue_of_an_async_endpoint_is_shown(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        endpoint = await async_one(on)
        await on.call("call_endpoint", endpoint_id=endpoint, body={"_seconds": 500}, wait_seconds=0)
        shown = await on.call("get_endpoint", endpoint_id=endpoint)
        assert shown["queue"]["jobs"]["in_progress"] == 1
        world.trouble({"status": 404}, operation="get_async_endpoint_health", times=-1)
        shown = await on.call("get_endpoint", endpoint_id=endpoint)
        assert "queue is not shown" in shown["next_step"]


async def test_over_http_long_answers_are_read_as_resources_and_no_path_is_told(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]], world: World
) -> None:
    world.set(task_seconds=0)
    async with connect_http() as client:
        wish: Json = {"image": IMAGE, "port": 80, "name": "w", "min_workers": 1, "confirm": True}
        made = await client.call_tool("create_endpoint", wish)
        assert not made.is_error, text_of(made)
        result = await client.call_tool("call_endpoint", {"endpoint_id": "w", "path": "/?_bytes=50000"})
        assert not result.is_error, text_of(result)
        answer: Json = result.structured_content or {}
        (file,) = answer["files"]
        assert "path" not in file
        (content,) = (await client.read_resource(file["uri"])).contents
        assert getattr(content, "text", "").startswith("xxx") or getattr(content, "blob", "")
        saved = await client.call_tool("call_endpoint", {"endpoint_id": "w", "save_to": "here.json"})
        assert saved.is_error
