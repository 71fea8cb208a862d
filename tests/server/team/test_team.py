"""What a server for a team has besides its callers: shared keys and storage, limits, counts, logs, spans, an end."""

import json
import logging
import signal
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from mcp.shared.exceptions import MCPError
from novita_mcp.novita.core.client import owner_of
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.logs import JsonLines
from novita_mcp.server.metrics import NAMES, Metrics
from novita_mcp.server.rate_limit import RateLimit
from novita_mcp.server.settings import SettingError, Settings, read_settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.media.tasks import TaskStore
from novita_mcp.simulator.serving import Running
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ...conftest import text_of
from ...serving import serve_asgi
from ...storage import Storage, run_storage
from ..callers import caller, facts
from ..children import PATIENCE
from ..test_mcp_tasks import Tasks, ask, start
from .team import copies

pytestmark = pytest.mark.old_models

OLD, NEW = "an old key of at least thirty-two characters", "a new key of at least thirty-two characters"
OTHER_KEY = "sk-somebody-else"


@pytest.fixture
def served() -> Generator[Any]:
    """Serves settings until the test ends; the URL."""
    with ExitStack() as stack:

        def open_server(settings: Settings) -> str:
            return stack.enter_context(serve_asgi(http_app(web_server(settings), settings)))

        yield open_server


# Task handles over copies


async def test_a_handle_is_good_at_every_copy_and_outlives_a_rotation_of_keys(served: Any, settings: Settings) -> None:
    one, two = served(replace(settings, handle_keys=OLD)), served(replace(settings, handle_keys=OLD))
    rotated, later = served(replace(settings, handle_keys=f"{NEW},{OLD}")), served(replace(settings, handle_keys=NEW))

    async def sealed_at(url: str) -> str:
        async with caller(url, extensions=[Tasks()]) as client:
            return (await start(client)).task_id

    async def status_at(url: str, handle: str) -> str | None:
        async with caller(url, extensions=[Tasks()]) as client:
            try:
                return (await ask(client, "tasks/get", handle)).status
            except MCPError as error:
                return error.message

    old, new = await sealed_at(one), await sealed_at(rotated)
    assert [await status_at(url, old) for url in (one, two, rotated)] == ["completed"] * 3
    assert [await status_at(url, new) for url in (rotated, later)] == ["completed"] * 2
    assert [await status_at(later, old), await status_at(two, new)] == ["Unknown task"] * 2


# Files over copies


@pytest.fixture(scope="module")
def storage() -> Generator[Storage]:
    with run_storage() as running:
        yield running


@pytest.fixture
def kept(settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Settings of a copy whose files go to storage."""
    for name, value in {**storage.credentials, "XDG_DATA_HOME": str(tmp_path / "data")}.items():
        monkeypatch.setenv(name, value)
    return replace(settings, artifacts=storage.url())


async def test_a_file_made_at_one_copy_is_had_from_any(
    served: Any, kept: Settings, storage: Storage, era: str, world: World
) -> None:
    one, two = served(kept), served(kept)
    async with caller(one, mode=era) as client:
        seen = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        made = facts(seen)
        film = facts(await client.call_tool("generate_video", {"prompt": "a fox runs", "wait_seconds": 60}))
    world.files.files.clear()  # Novita forgot it
    async with caller(two, mode=era) as client:
        again = await client.call_tool("get_task", {"task_id": made["task_id"]})
        found = facts(again)
        frame = await client.call_tool("get_task", {"task_id": film["task_id"]})
        for shown in (seen, again, frame):
            assert [block.type for block in shown.content] == ["text", "image"], text_of(shown)
        (resource,) = (await client.read_resource(f"novita://artifacts/{made['task_id']}/0")).contents

    (first,), (second,) = made["artifacts"], found["artifacts"]
    assert first["url"].startswith(storage.endpoint)
    assert "X-Amz-Signature" in first["url"]
    assert first["expires_at"]
    assert "path" not in first
    assert first["sha256"] == second["sha256"]
    picture = httpx.get(second["url"]).content
    assert picture.startswith((b"\x89PNG", b"\xff\xd8", b"RIFF"))
    assert len(picture) == first["bytes"]
    assert resource.model_dump()["blob"]


async def test_what_came_as_bytes_is_kept_too_and_no_address_of_ours_is_shown(
    served: Any, kept: Settings, storage: Storage
) -> None:
    before = storage.keys()
    async with caller(served(kept)) as client:
        made = await client.call_tool("generate_speech", {"text": "hello"})
        listed = await client.call_tool("list_tasks", {})

    assert not made.is_error, text_of(made)
    assert "s3://" not in text_of(made) + text_of(listed)
    assert len(storage.keys() - before) == 1


async def test_a_kept_file_is_an_input_for_the_next_tool(served: Any, kept: Settings) -> None:
    async with caller(served(kept)) as client:
        made = facts(await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"}))
        edited = await client.call_tool("edit_image", {"image": f"task:{made['task_id']}/0", "prompt": "a hat"})

        assert not edited.is_error, text_of(edited)


def test_storage_that_cannot_be_is_named_at_the_start(settings: Settings) -> None:
    with pytest.raises(SettingError, match="NOVITA_MCP_ARTIFACTS"):
        web_server(replace(settings, artifacts="s3://bucket?key=secret"))
    with pytest.raises(SettingError, match="NOVITA_MCP_ARTIFACTS"):
        read_settings({"NOVITA_MCP_ARTIFACTS": "/mnt/files"})


# Limits


async def test_who_calls_too_often_is_told_when_to_come_back_and_others_are_not(
    served: Any, settings: Settings, world: World, era: str
) -> None:
    world.add_account(OTHER_KEY)
    url = served(replace(settings, rate_limit=2))
    async with caller(url, mode=era) as client, caller(url, OTHER_KEY, mode=era) as other:
        answers = [await client.call_tool("get_balance", {}) for _ in range(3)]
        others = await other.call_tool("get_balance", {})

    assert [answer.is_error for answer in answers] == [False, False, True]
    assert "Too many calls" in text_of(answers[2])
    assert "Nothing was sent" in text_of(answers[2])
    assert not others.is_error


def test_a_flood_of_any_requests_is_refused_at_the_door(served: Any, settings: Settings) -> None:
    url = served(replace(settings, rate_limit=1))
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    head = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {DEFAULT_KEY}"}
    answers = [httpx.post(f"{url}/mcp", json=ping, headers=head) for _ in range(11)]

    assert [answer.status_code for answer in answers[:10]] == [200] * 10
    assert answers[10].status_code == 429
    assert 1 <= int(answers[10].headers["Retry-After"]) <= 6
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_an_allowance_refills_steadily_and_never_overflows() -> None:
    now = 0.0
    limit = RateLimit(60, now=lambda: now)
    assert [limit.take("me") for _ in range(60)] == [0.0] * 60
    assert limit.take("me") == pytest.approx(1)
    now = 2.5
    assert [limit.take("me") for _ in range(3)] == [0.0, 0.0, pytest.approx(0.5)]
    now = 10_000
    assert sum(limit.take("me") == 0 for _ in range(100)) == 60


def test_limits_of_many_callers_take_bounded_memory() -> None:
    limit = RateLimit(1, most_callers=100, now=lambda: 0.0)
    for number in range(1_000):
        limit.take(f"caller {number}")
    assert len(limit) == 100
    assert limit.take("caller 999") > 0


# Counts, logs, spans


async def test_counts_tell_calls_looks_submits_and_bytes(served: Any, settings: Settings) -> None:
    url = served(settings)
    async with caller(url) as client:
        await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        await client.call_tool("get_task", {"task_id": "no-such-task"})
        await client.call_tool("no_such_tool", {})
        during = httpx.get(f"{url}/metrics")

    assert during.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    values = dict(line.rsplit(" ", 1) for line in during.text.splitlines() if not line.startswith("#"))
    assert values['novita_mcp_calls_total{outcome="ok",tool="generate_image"}'] == "1.0"
    assert values['novita_mcp_calls_total{outcome="error",tool="get_task"}'] == "1.0"
    assert "no_such_tool" not in during.text
    assert values["novita_mcp_calls_running"] == "0.0"
    assert values['novita_mcp_upstream_requests_total{kind="submit"}'] == "1.0"
    assert values['novita_mcp_upstream_responses_total{kind="submit",status="2xx"}'] == "1.0"
    assert float(values['novita_mcp_upstream_requests_total{kind="look"}']) >= 2
    assert float(values['novita_mcp_bytes_total{direction="in"}']) > 100
    assert float(values['novita_mcp_bytes_total{direction="out"}']) > 100
    assert DEFAULT_KEY not in during.text


def test_counts_can_be_switched_off(served: Any, settings: Settings) -> None:
    assert httpx.get(f"{served(replace(settings, metrics=False))}/metrics").status_code == 404


def test_every_metric_is_explained_and_labels_are_escaped() -> None:
    metrics = Metrics()
    metrics.add("novita_mcp_calls_total", tool='a "quoted"\n\\ name', outcome="ok")
    text = metrics.written()[0].decode()

    assert 'novita_mcp_calls_total{outcome="ok",tool="a \\"quoted\\"\\n\\\\ name"} 1.0' in text
    for name, (what, _) in NAMES.items():
        assert f"# HELP {name} {what}\n# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}\n" in text
    assert "_created" not in text


@pytest.mark.parametrize("already", [999_999, 1_234_567, 10**12 + 1, 2**53 - 4])
def test_a_count_grows_by_what_is_added_however_large_it_is(already: int) -> None:
    metrics = Metrics()

    def counted() -> float:
        lines = metrics.written()[0].decode().splitlines()
        (line,) = (line for line in lines if line.startswith("novita_mcp_bytes_total{"))
        return float(line.rsplit(" ", 1)[1])

    metrics.add("novita_mcp_bytes_total", already, direction="out")
    assert counted() == already
    metrics.add("novita_mcp_bytes_total", 3, direction="out")
    assert counted() == already + 3


def test_two_servers_of_one_process_are_counted_apart() -> None:
    one, other = Metrics(), Metrics()
    one.add("novita_mcp_calls_running")
    assert "novita_mcp_calls_running 1.0" in one.written()[0].decode()
    assert "novita_mcp_calls_running 0.0" in other.written()[0].decode()


async def test_counts_are_written_as_the_one_who_asks_reads_them(served: Any, settings: Settings) -> None:
    url = served(settings)
    for accept, kind, end in (
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", "\n"),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "application/openmetrics-text", "# EOF\n"),
    ):
        answer = httpx.get(f"{url}/metrics", headers={"Accept": accept})
        assert answer.headers["Content-Type"].startswith(kind)
        assert answer.text.endswith(end)
        assert ("# EOF" in answer.text) == (end != "\n")


async def test_a_call_is_logged_by_owner_without_key_or_prompt(
    served: Any, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "novita_mcp")
    async with caller(served(settings)) as client:
        await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "my secret fox"})

    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    (line,) = [line for line in lines if line["logger"] == "novita_mcp.server.call_metrics"]
    assert (line["tool"], line["outcome"], line["owner"]) == ("generate_image", "ok", owner_of(DEFAULT_KEY))
    assert line["seconds"] >= 0
    assert "secret fox" not in json.dumps(lines)
    assert DEFAULT_KEY not in json.dumps(lines)


def test_a_log_line_is_one_object_with_its_exception() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "it %s", ("broke",), (type(error), error, None))
    line = JsonLines().format(record)

    assert "\n" not in line
    assert json.loads(line)["message"] == "it broke"
    assert "two\nlines" in json.loads(line)["exception"]


async def test_calls_to_novita_leave_spans_without_secrets(
    served: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr("novita_mcp.novita.core.sent._tracer", provider.get_tracer("test"))
    async with caller(served(settings)) as client:
        await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "my secret fox"})
        await client.call_tool("get_task", {"task_id": "no-such-task"})

    seen = [dict(span.attributes or {}) for span in spans.get_finished_spans()]
    assert {"POST", "GET"} == {str(attributes["http.request.method"]) for attributes in seen}
    assert all(str(attributes["url.path"]).startswith("/v3/") for attributes in seen)
    assert [attributes["http.response.status_code"] for attributes in seen if "error.type" in attributes] == [404]
    told = " ".join(span.to_json() for span in spans.get_finished_spans())
    assert DEFAULT_KEY not in told
    assert "secret fox" not in told


# The end


@pytest.fixture
def draining(simulator: Running, tmp_path: Path) -> Generator[Any]:
    with copies(tmp_path, simulator.url, 1, NOVITA_MCP_DRAIN_SECONDS="10") as (copy,):
        yield copy


async def test_a_running_call_is_finished_before_the_end(draining: Any, world: World) -> None:
    """The call's task ends only after the process was told to go, and the balancer knows that it goes."""
    world.never_end_next_task()
    answers: list[Any] = []

    async def make() -> None:
        async with caller(draining.url, mode="auto") as client:
            await client.list_tools()  # else the client lists them after the call, when the server has gone
            answers.append(
                await client.call_tool(
                    "generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox", "wait_seconds": 9}
                )
            )

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(make)
            while not world.area(TaskStore).tasks:
                await anyio.sleep(0.02)
            draining.tell(signal.SIGTERM)
            async with httpx.AsyncClient() as http:
                while (await http.get(f"{draining.url}/readyz")).status_code != 503:
                    await anyio.sleep(0.02)
                assert (await http.get(f"{draining.url}/healthz")).status_code == 200
            assert not answers
            (task,) = world.area(TaskStore).tasks.values()
            task.endless = False
        assert draining.process is not None
        code = await anyio.to_thread.run_sync(draining.process.wait)

    assert facts(answers[0])["status"] == "succeeded"
    assert code == 128 + signal.SIGTERM


async def test_a_second_signal_ends_it_at_once(draining: Any) -> None:
    draining.tell(signal.SIGTERM)
    async with httpx.AsyncClient() as http:
        while draining.process.poll() is None:
            try:
                if (await http.get(f"{draining.url}/readyz")).status_code == 503:
                    draining.tell(signal.SIGTERM)
                    break
            except httpx.TransportError:
                break
            await anyio.sleep(0.02)
    with anyio.fail_after(60):
        assert await anyio.to_thread.run_sync(draining.process.wait) == 128 + signal.SIGTERM
