"""NovitaClient against faults on a real socket: reads get through, paid calls are never sent twice."""

import asyncio
import email.utils
import logging
import socket
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx
import pytest
from novita_mcp.novita.core.backoff import RetryPolicy
from novita_mcp.novita.core.client import API_HOST, Answer, NovitaClient, new_http, owner_of
from novita_mcp.novita.core.errors import (
    AuthenticationError,
    MissingKeyError,
    NovitaAPIError,
    NovitaConnectionError,
    NovitaError,
    NovitaServerError,
    RateLimitError,
)
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serving import Running

from ...raw_server import raw_host
from ..conftest import FakeClock

pytestmark = pytest.mark.old_models

BALANCE = "/openapi/v1/billing/balance/detail"
READ = "get_user_balance"
SUBMIT = "/v3/async/qwen-image-txt2img"
SPEND = "qwen_image_txt2img"
GZIP = {"Content-Encoding": "gzip"}


@pytest.fixture
async def client(simulator: Running, clock: FakeClock) -> AsyncGenerator[NovitaClient]:
    """A client whose pauses cost nothing and are as long as they can be."""
    async with new_http(timeouts=httpx.Timeout(5)) as http:
        yield NovitaClient(http, DEFAULT_KEY, simulator.url, clock=clock, jitter=lambda _, longest: longest)


async def read(client: NovitaClient) -> Answer:
    return await client.read("GET", BALANCE, doing="reading the balance", group="billing")


async def spend(client: NovitaClient, **more: Any) -> Answer:
    return await client.spend("POST", SUBMIT, doing="submitting a fox", body={"prompt": "a fox"}, **more)


PASSING: dict[str, tuple[dict[str, Any], int]] = {
    "one 500": ({"status": 500}, 1),
    "three 503": ({"status": 503, "body": "overloaded"}, 3),
    "a 429": ({"status": 429, "headers": {"Retry-After": "3"}}, 1),
    "three 429": ({"error": "RATE_LIMIT_EXCEEDED"}, 3),
    "a documented 500": ({"error": "UNKNOWN", "group": "billing"}, 1),
    "a reset": ({"reset": "before"}, 1),
    "a reset after the work": ({"reset": "after"}, 2),
    "half a JSON": ({"garbage": True}, 1),
    "a page": ({"html": True}, 1),
    "a cut body": ({"cut": 7}, 2),
    "an empty body": ({"empty": True}, 1),
    "a body packed wrong": ({"status": 200, "body": "no gzip", "headers": GZIP}, 1),
    "a bottomless body": ({"status": 200, "body": "[" * 100_000}, 1),
    "no UTF-8": ({"status": 200, "body": b'{"a": "\xff\xfe'}, 1),
}


@pytest.mark.parametrize("fault", PASSING)
async def test_a_read_gets_through(fault: str, client: NovitaClient, world: World) -> None:
    effect, times = PASSING[fault]
    world.trouble(effect, operation=READ, times=times)
    answer = await read(client)
    assert answer.data["availableBalance"] == "1000000"
    assert world.count(READ) == times + 1


async def test_half_an_emoji_in_an_answer_is_joined_or_replaced(client: NovitaClient, world: World) -> None:
    """In keys and values, escaped and as bytes; what was billed is read all the same."""
    body = b'\xef\xbb\xbf{"task_id": "t", "cut \\ud83d": ["\\ud83d\\ude00", "\xed\xa0\xbd", "\xff"]}'
    world.trouble({"status": 200, "body": body}, operation=SPEND)

    answer = await spend(client)

    assert answer.data == {"task_id": "t", "cut \ufffd": ["😀", "\ufffd", "\ufffd"]}
    assert world.count(SPEND) == 1


async def test_half_an_emoji_in_an_error_is_replaced(client: NovitaClient, world: World) -> None:
    world.trouble({"status": 400, "body": b'{"message": "no \\ud83d in \\ud83d\\ude00"}'}, operation=SPEND)

    with pytest.raises(NovitaAPIError, match="no \ufffd in 😀"):
        await spend(client)


async def test_pauses_grow_and_stay_below_the_longest(client: NovitaClient, world: World, clock: FakeClock) -> None:
    world.trouble({"status": 503}, operation=READ, times=-1)
    with pytest.raises(NovitaServerError, match="503"):
        await read(replace(client, retries=RetryPolicy(within=60)))
    assert clock.naps == [0.4, 0.8, 1.6, 3.2, 6.4, 8.0]
    assert world.count(READ) == 7


FAILING: dict[str, dict[str, Any]] = {
    "errors": {"status": 503},
    "resets": {"reset": "before"},
    "pages": {"html": True},
}


@pytest.mark.parametrize("fault", FAILING)
async def test_a_read_that_keeps_failing_gives_up_within_eight_seconds(
    fault: str, client: NovitaClient, world: World, clock: FakeClock
) -> None:
    world.trouble(FAILING[fault], operation=READ, times=-1)
    with pytest.raises(NovitaError):
        await read(client)
    assert clock.naps == pytest.approx([0.4, 0.8, 1.6, 3.2, 1.0], abs=0.1)
    assert sum(clock.naps) < 8


async def test_what_novita_asks_for_is_waited_longer(client: NovitaClient, world: World, clock: FakeClock) -> None:
    world.trouble({"status": 503, "headers": {"Retry-After": "5"}}, operation=READ, times=3)
    await read(client)
    assert len(clock.naps) == 3
    assert sum(clock.naps) > 15


async def test_jitter_is_full(client: NovitaClient, world: World, clock: FakeClock) -> None:
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return 0.0

    world.trouble({"status": 503}, operation=READ, times=2)
    await read(replace(client, jitter=draw))
    assert drawn == [(0, 0.4), (0, 0.8)]
    assert clock.naps == [0, 0]


@pytest.mark.parametrize("seconds", ["3", "3.0"])
async def test_a_wait_novita_asks_for_is_kept(
    seconds: str, client: NovitaClient, world: World, clock: FakeClock
) -> None:
    world.trouble({"status": 429, "headers": {"Retry-After": seconds}}, operation=READ)
    await read(client)
    (nap,) = clock.naps
    assert 3 <= nap < 3.1


async def test_a_wait_may_be_named_as_a_date(client: NovitaClient, world: World, clock: FakeClock) -> None:
    moment = email.utils.format_datetime(datetime.fromtimestamp(clock.wall() + 5, UTC), usegmt=True)
    world.trouble({"status": 503, "headers": {"Retry-After": moment}}, operation=READ)
    await read(client)
    assert 5 <= clock.naps[0] < 5.1


@pytest.mark.parametrize("nonsense", ["soon", "²", "-5", "1e3", "."])
async def test_a_wait_that_makes_no_sense_is_our_own(
    nonsense: str, client: NovitaClient, world: World, clock: FakeClock
) -> None:
    world.trouble({"status": 429, "headers": {"Retry-After": nonsense}}, operation=READ)
    await read(client)
    assert clock.naps == [0.4]


@pytest.mark.parametrize("paid", [False, True])
async def test_a_wait_beyond_twenty_seconds_is_named_not_slept(
    paid: bool, client: NovitaClient, world: World, clock: FakeClock
) -> None:
    world.trouble({"error": "RATE_LIMIT_EXCEEDED", "retry_after": 21}, operation=SPEND if paid else READ)
    with pytest.raises(RateLimitError, match="Novita asks to wait 21 s") as caught:
        await (spend(client) if paid else read(client))
    assert clock.naps == []
    assert caught.value.billed == ("no" if paid else None)


async def test_what_will_not_pass_is_not_tried_again(client: NovitaClient, world: World, clock: FakeClock) -> None:
    with pytest.raises(AuthenticationError):
        await read(client.with_key("sk-nobody-knows-me"))
    assert world.count(READ) == 1
    assert clock.naps == []


async def test_an_unreachable_novita_is_named_after_all_tries(client: NovitaClient, clock: FakeClock) -> None:
    with pytest.raises(NovitaConnectionError, match="reading the balance") as caught:
        await read(replace(client, base_url=closed_port(), retries=RetryPolicy(attempts=3)))
    assert caught.value.next_step
    assert len(clock.naps) == 2


async def test_looking_tries_twice_and_leaves_the_rest_to_the_waiting_helper(
    client: NovitaClient, world: World
) -> None:
    world.trouble({"status": 500}, operation=READ, times=-1)
    with pytest.raises(NovitaServerError):
        await read(client.for_looking())
    assert world.count(READ) == 2


async def test_an_answer_without_end_is_given_up(client: NovitaClient, world: World) -> None:
    with pytest.raises(NovitaConnectionError, match="larger than 20 bytes"):
        await read(replace(client, largest_answer=20, retries=RetryPolicy(attempts=1)))


# Paid calls

LOST: dict[str, tuple[dict[str, Any], int]] = {
    "500 at the door": ({"status": 500}, 0),
    "500 after the work": ({"status": 500, "handled": True}, 1),
    "a documented 500 after the work": ({"error": "CREATE_TASK_FAILED", "handled": True}, 1),
    "503 after the work": ({"status": 503, "handled": True}, 1),
    "504 after the work": ({"status": 504, "handled": True}, 1),
    "503 with a wait": ({"status": 503, "headers": {"Retry-After": "1"}, "handled": True}, 1),
    "a reset before the work": ({"reset": "before"}, 0),
    "a reset after the work": ({"reset": "after"}, 1),
    "a cut body": ({"cut": 5}, 1),
    "half a JSON": ({"garbage": True, "handled": True}, 1),
    "a page": ({"html": True, "handled": True}, 1),
    "a body packed wrong": ({"status": 200, "body": "no gzip", "headers": GZIP, "handled": True}, 1),
    "a bottomless body": ({"status": 200, "body": "[" * 100_000, "handled": True}, 1),
    "silence": ({"hang": True}, 0),
}


@pytest.mark.parametrize("fault", LOST)
async def test_a_paid_call_that_may_have_arrived_is_sent_once_and_said_to_be_perhaps_billed(
    fault: str, client: NovitaClient, world: World
) -> None:
    effect, charged = LOST[fault]
    world.trouble(effect, operation=SPEND)
    with pytest.raises(NovitaError, match="may have been billed") as caught:
        await spend(client, read_timeout=0.3)
    assert caught.value.billed == "maybe"
    assert "list_tasks" in caught.value.next_step
    assert world.count(SPEND) == 1
    assert len(world.charges) == charged


@pytest.mark.parametrize("name", ["INVALID_REQUEST_BODY", "ILLEGAL_PROMPT", "BILLING_BALANCE_NOT_ENOUGH"])
async def test_a_paid_call_that_was_refused_cost_nothing(name: str, client: NovitaClient, world: World) -> None:
    world.trouble({"error": name}, operation=SPEND)
    with pytest.raises(NovitaAPIError, match="Nothing was billed") as caught:
        await spend(client)
    assert caught.value.billed == "no"
    assert world.count(SPEND) == 1


async def test_the_rate_limiter_turned_it_away_so_it_may_go_again(client: NovitaClient, world: World) -> None:
    world.trouble({"error": "RATE_LIMIT_EXCEEDED", "retry_after": 2}, operation=SPEND, times=3)
    await spend(client)
    assert world.count(SPEND) == 4
    assert len(world.charges) == 1


async def test_nothing_listens_so_nothing_was_billed(client: NovitaClient, clock: FakeClock) -> None:
    with pytest.raises(NovitaConnectionError, match="Nothing was billed") as caught:
        await spend(replace(client, base_url=closed_port()))
    assert caught.value.billed == "no"
    assert caught.value.next_step
    assert len(clock.naps) == 3


STREAMED: dict[str, tuple[dict[str, Any], str]] = {
    "refused": ({"error": "INVALID_REQUEST_BODY", "group": "llm"}, "no"),
    "500": ({"status": 500}, "no"),  # Novita says that such faults of language models cost nothing
    "502": ({"status": 502}, "maybe"),
    "reset": ({"reset": "before"}, "maybe"),
    "cut": ({"cut": 5}, "maybe"),
    "an error that is cut": ({"status": 502, "body": "x", "headers": {"Content-Length": "50"}}, "maybe"),
}


@pytest.mark.parametrize("fault", STREAMED)
async def test_a_streamed_call_is_sent_once_and_says_what_it_may_have_cost(
    fault: str, client: NovitaClient, world: World
) -> None:
    effect, billed = STREAMED[fault]
    world.trouble(effect, operation=SPEND)
    with pytest.raises(NovitaError) as caught:
        async with client.stream("POST", SUBMIT, doing="chatting", body={"prompt": "a fox"}) as response:
            await response.aread()
    assert caught.value.billed == billed
    assert world.count(SPEND) == 1


async def test_a_stream_to_nobody_costs_nothing(client: NovitaClient) -> None:
    with pytest.raises(NovitaConnectionError, match="Nothing was billed"):
        async with replace(client, base_url=closed_port()).stream("POST", SUBMIT, doing="chatting"):
            pass


# Keys and addresses


@pytest.mark.parametrize("key", [None, ""])
async def test_without_a_key_nothing_is_sent(key: str | None, client: NovitaClient, world: World) -> None:
    with pytest.raises(MissingKeyError, match="key-management"):
        await spend(client.with_key(key))
    assert not world.requests


@pytest.mark.parametrize("key", ["sk-abc…xyz", "sk-0123456789\n", "sk-01234 56789", "sk-0123\t456789"])
async def test_a_key_that_cannot_be_one_is_refused_unseen(key: str, client: NovitaClient, world: World) -> None:
    with pytest.raises(MissingKeyError) as caught:
        await spend(client.with_key(key))
    assert key.strip() not in f"{caught.value} {caught.value!r}"
    assert not world.requests


async def test_an_address_that_is_none_says_so(client: NovitaClient) -> None:
    with pytest.raises(NovitaConnectionError, match="NOVITA_BASE_URL"):
        await read(replace(client, base_url="http://novita:port"))


async def test_the_key_is_in_no_text_of_ours(
    client: NovitaClient, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    key = "fixed-0123456789abcdef"
    caplog.set_level(logging.DEBUG)
    client = client.with_key(key)
    world.add_account(key)
    echo = {"status": 400, "body": f'{{"code": 400, "reason": "{key}", "message": "your key {key} is odd"}}'}
    world.trouble(echo, operation=SPEND)
    world.trouble({"reset": "after"}, operation=SPEND)
    for _ in range(2):
        with pytest.raises(NovitaError) as caught:
            await spend(client)
        assert key not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    await spend(client)
    assert key not in f"{client} {client!r} {client.owner}"
    assert key not in caplog.text


def test_an_owner_is_a_key_that_cannot_be_told() -> None:
    assert owner_of("sk-one") == owner_of("sk-one") != owner_of("sk-two")
    assert "sk-one" not in owner_of("sk-one")
    assert owner_of(None) == owner_of("") == "anonymous"


async def test_a_moved_base_url_moves_every_host() -> None:
    async with new_http() as http:
        usual = NovitaClient(http, "k")
        moved = NovitaClient(http, "k", "http://127.0.0.1:9/")
    assert usual.url("/v3/a") == f"{API_HOST}/v3/a"
    assert usual.url("/v3/a", host="https://upload.novita.ai") == "https://upload.novita.ai/v3/a"
    assert moved.url("/v3/a", host="https://upload.novita.ai") == "http://127.0.0.1:9/v3/a"


def closed_port() -> str:
    """An address nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


DRIPS: dict[str, tuple[bytes, bytes]] = {
    "the head": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
    "hints before it": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"),
    "the body": (b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"a": "', b"a"),
    "the body of an error": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 100000\r\n\r\n", b" "),
    "the body in chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("what", DRIPS)
async def test_an_answer_that_drips_is_no_answer(what: str, clock: FakeClock) -> None:
    first, drop = DRIPS[what]

    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while not writer.is_closing():  # for ever, and never silent for as long as a read may be
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.02)

    async with raw_host(serve) as host, new_http() as http:
        client = NovitaClient(
            http, DEFAULT_KEY, host.url, clock=clock, read_timeout=0.3, retries=RetryPolicy(attempts=2)
        )
        with anyio.fail_after(30):
            with pytest.raises(NovitaConnectionError, match="too slowly"):
                await read(client)
            assert len(host.requests) == 2
            with pytest.raises(NovitaConnectionError, match="too slowly") as caught:
                await spend(client, read_timeout=0.3)
        assert caught.value.billed == "maybe"
        assert len(host.requests) == 3, "what may have been taken is not sent again"


async def test_a_request_that_is_not_taken_in_time_is_ended_and_nothing_was_submitted(clock: FakeClock) -> None:
    over = asyncio.Event()

    async def serve(_: asyncio.StreamWriter) -> None:
        await over.wait()  # having read the head, and nothing more

    async with raw_host(serve) as host, new_http() as http:
        client = NovitaClient(http, DEFAULT_KEY, host.url, clock=clock)
        with anyio.fail_after(30), pytest.raises(NovitaConnectionError, match="nothing was submitted") as caught:
            await client.spend("POST", SUBMIT, doing="sending", body={"image": "a" * 40_000_000}, sent_within=0.5)
        over.set()
    assert caught.value.billed == "no"
    assert "wait_seconds=120" in caught.value.next_step
    assert len(host.requests) == 1
