"""One request and its answer over HTTP in the earlier revisions: plain JSON, or events where something comes first."""

from collections.abc import AsyncGenerator

import httpx
import pytest
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.server.wire import exchange
from novita_mcp.simulator.core.world import DEFAULT_KEY, World

from ..serving import serve_asgi
from .test_cut_and_retry import PATIENCE, Json, head, let_it_end
from .test_http_messages import messages

LEGACY = "legacy"
FOX: Json = {"prompt": "a red fox in the snow"}


@pytest.fixture
async def http(settings: Settings) -> AsyncGenerator[httpx.AsyncClient]:
    with serve_asgi(http_app(web_server(settings), settings)) as url:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:
            yield http


def message(arguments: Json = FOX, tool: str = "generate_image", **more: Json) -> Json:
    params = {"name": tool, "arguments": arguments, **more}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


async def post(http: httpx.AsyncClient, sent: Json, **headers: str) -> httpx.Response:
    return await http.post("/mcp", json=sent, headers={**head(LEGACY, DEFAULT_KEY), **headers})


async def test_an_answer_before_which_nothing_is_told_is_plain_json(http: httpx.AsyncClient) -> None:
    answer = await post(http, message({}, "get_balance"))

    assert answer.headers["content-type"] == "application/json"
    (only,) = messages(answer)
    assert only["id"] == 1
    assert only["result"]["structuredContent"]["available_usd"]


async def test_who_asks_for_progress_has_it_as_events_before_the_answer(http: httpx.AsyncClient) -> None:
    answer = await post(http, message(_meta={"progressToken": "mine"}))

    assert answer.headers["content-type"].startswith("text/event-stream")
    *told, last = messages(answer)
    assert told
    assert {each["params"]["progressToken"] for each in told if each["method"] == "notifications/progress"} == {"mine"}
    assert last["result"]["structuredContent"]["status"] == "succeeded"


async def test_a_long_silence_is_broken_by_comments(
    http: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "PING_EVERY", 0.05)
    world.never_end_next_task()

    async with http.stream("POST", "/mcp", json=message(), headers=head(LEGACY, DEFAULT_KEY)) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == ": ping"
        let_it_end(world)
        data = [line async for line in lines if line.startswith("data:")]

    assert len(data) == 1
    assert '"succeeded"' in data[0]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"method": "tools/call", "params": {"arguments": {}}}, -32602),
        ({"method": "no/such"}, -32601),
    ],
)
async def test_what_cannot_be_answered_is_an_error_with_the_id_of_its_request(
    http: httpx.AsyncClient, sent: Json, code: int
) -> None:
    answer = await post(http, {"jsonrpc": "2.0", "id": "seven", **sent})

    (only,) = messages(answer)
    assert (only["id"], only["error"]["code"]) == ("seven", code)


@pytest.mark.parametrize(
    ("header", "status"),
    [({"Accept": "text/html"}, 406), ({"Content-Type": "text/plain"}, 400), ({"Host": "elsewhere.example"}, 421)],
)
async def test_a_head_that_is_wrong_is_refused_as_ever(
    http: httpx.AsyncClient, world: World, header: dict[str, str], status: int
) -> None:
    assert (await post(http, message(), **header)).status_code == status
    assert not world.charges
