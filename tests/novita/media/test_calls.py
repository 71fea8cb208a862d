"""Answers of media routes, in every shape they come in: a task, files at once, or an error in disguise."""

import base64
import json
import logging
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.novita.core.client import Answer, NovitaClient, new_http
from novita_mcp.novita.core.errors import (
    NotFoundError,
    NovitaAPIError,
    NovitaConnectionError,
    NovitaError,
    NovitaServerError,
)
from novita_mcp.novita.core.waiting import Look, Phase
from novita_mcp.novita.journal.jobs import Accepted
from novita_mcp.novita.media.calls import look
from novita_mcp.novita.media.lookup import media_model
from novita_mcp.novita.media.outcomes import MediaOutcome, MediaOutput, read_answer, read_task
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serving import Running

from ..conftest import FakeClock

ASYNC = media_model("qwen-image-txt2img")
AT_ONCE = media_model("seedream-4.0")
CUTOUT = media_model("remove-background")
LOOK = "get_task_result"
PNG = b"\x89PNG\r\n\x1a\n and so on"


def answer(body: Any, kind: str = "application/json") -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(200, httpx.Headers({"content-type": kind}), raw, None)


def outcome(model: Any, body: Any) -> MediaOutcome:
    read = read_answer(model, answer(body), {})
    assert isinstance(read, MediaOutcome)
    return read


# Submits


@pytest.mark.parametrize(
    "body",
    [
        {"task_id": "t1"},
        {"code": 0, "msg": "", "data": {"task_id": "t1"}},
        {"task": {"task_id": "t1"}},
        {"task_id": "t1", "code": 200, "message": "success"},
        b'\r\n\t {"task_id": "t1"}',
    ],
)
def test_a_task_id_is_found_wherever_it_stands(body: Any) -> None:
    assert read_answer(ASYNC, answer(body), {}) == Accepted("t1")


def test_a_task_id_may_be_a_number() -> None:
    assert read_answer(ASYNC, answer({"task_id": 17}), {}) == Accepted("17")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b'{"task_id": "3f',
        b"<html></html>",
        b"ok",
        b"[]",
        b"null",
        b'{"a":' * 100_000,
        {},
        {"task_id": ""},
        {"task_id": None},
    ],
    ids=lambda body: repr(body)[:20],
)
def test_an_answer_without_a_task_may_have_been_billed(body: Any) -> None:
    with pytest.raises(NovitaConnectionError) as caught:
        read_answer(ASYNC, answer(body), {})
    assert caught.value.billed == "maybe"
    assert "list_tasks" in caught.value.next_step


@pytest.mark.parametrize(
    "body",
    [
        {"base_resp": {"status_code": 1004, "status_msg": "no such voice"}},
        {"code": 1004, "msg": "no such voice"},
        {"code": "1004", "message": "no such voice", "data": None},
    ],
)
def test_an_error_under_200_is_an_error(body: Any) -> None:
    with pytest.raises(NovitaAPIError, match="no such voice") as caught:
        read_answer(ASYNC, answer(body), {})
    assert caught.value.billed == "maybe"


@pytest.mark.parametrize("value", ["https://x/a.png", base64.b64encode(PNG).decode()])
@pytest.mark.parametrize("key", ["images", "image_urls"])
def test_files_that_come_at_once_are_links_or_bytes(key: str, value: str) -> None:
    (output,) = outcome(AT_ONCE, {key: [value]}).outputs
    assert (output.url, output.data) == ((value, None) if value.startswith("http") else (None, PNG))
    assert output.kind == "image"


def test_bytes_in_a_field_come_with_their_type() -> None:
    made = outcome(CUTOUT, {"image_file": base64.b64encode(PNG).decode(), "image_type": "png"})
    assert made.outputs == (MediaOutput("image", data=PNG, suffix="png"),)


def test_a_data_uri_is_bytes() -> None:
    uri = f"data:image/webp;base64,{base64.b64encode(PNG).decode()}"
    assert outcome(AT_ONCE, {"images": [uri]}).outputs == (MediaOutput("image", data=PNG, suffix="webp"),)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_sound_that_comes_in_pieces_is_joined_whatever_its_lines_are(end: str) -> None:
    """The lines of an event's data belong together, and a comment may stand between them."""
    whole = PNG.hex()
    lines = [": hello", 'data: {"data": {"audio":', ": on the way", f'data: "{whole[:8]}", "status": 1}}}}', ""]
    lines += [f'data: {{"data": {{"audio": "{whole[8:]}", "status": 1}}, "note": "\u2028"}}', "", "data: spoilt", ""]
    lines += [f'data: {{"data": {{"audio": "{whole}", "status": 2}}}}', "", "data: [DONE]", "", ""]
    read = read_answer(CUTOUT, answer(end.join(lines).encode(), "text/event-stream"), {})
    assert isinstance(read, MediaOutcome)
    assert read.outputs[0].data == PNG


def test_raw_bytes_are_the_file() -> None:
    read = read_answer(CUTOUT, answer(PNG, "image/png"), {})
    assert isinstance(read, MediaOutcome)
    assert read.outputs[0].data == PNG


def test_an_answer_with_nothing_in_it_was_paid_for() -> None:
    with pytest.raises(NovitaConnectionError, match="It was billed"):
        read_answer(AT_ONCE, answer({"images": [], "surprise": 1}), {})


def test_a_page_is_no_file() -> None:
    with pytest.raises(NovitaConnectionError, match="may have been billed"):
        read_answer(CUTOUT, answer(b"<!DOCTYPE html><p>502", "text/html"), {})


@given(st.binary(max_size=200), st.sampled_from([ASYNC, AT_ONCE, CUTOUT]))
def test_whatever_comes_is_read_or_refused_in_words(body: bytes, model: Any) -> None:
    try:
        read = read_answer(model, answer(body), {})
    except NovitaError as error:
        assert error.billed in ("yes", "maybe")
    else:
        assert isinstance(read, Accepted | MediaOutcome)


NAMES = [
    "task_id",
    "data",
    "code",
    "msg",
    "images",
    "image_url",
    "image_url_ttl",
    "task",
    "status",
    "extra",
    "seed",
    "base_resp",
    "status_code",
    "eta",
    "progress_percent",
    "nsfw_detection_result",
    "videos",
    "audios",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.sampled_from([ASYNC, AT_ONCE, CUTOUT]))
def test_whatever_json_comes_is_read_or_refused_in_words(body: Any, model: Any) -> None:
    try:
        read_answer(model, answer(body), {})
    except NovitaError as error:
        assert error.billed in ("yes", "maybe")


# Looks


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("TASK_STATUS_QUEUED", Phase.WORKING),
        ("TASK_STATUS_PROCESSING", Phase.WORKING),
        ("TASK_STATUS_SUCCEED", Phase.SUCCEEDED),
        ("TASK_STATUS_FAILED", Phase.FAILED),
    ],
)
def test_every_documented_state_is_known(status: str, phase: Phase) -> None:
    assert read_task({"task": {"status": status, "reason": "because"}}).phase is phase


@pytest.mark.parametrize("status", ["TASK_STATUS_PAUSED", "", None, 3])
def test_a_state_nobody_documented_counts_as_working_and_is_logged(
    status: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert read_task({"task": {"status": status}}).phase is Phase.WORKING
    assert "not documented" in caplog.text


def test_zero_means_not_told() -> None:
    """Most models answer progress_percent 0 and eta 0 until the end."""
    task = {"status": "TASK_STATUS_PROCESSING", "progress_percent": 0, "eta": 0}
    assert (read_task({"task": task}).progress, read_task({"task": task}).eta) == (None, None)


def test_numbers_may_come_as_text() -> None:
    made = read_task(
        {
            "task": {"status": "TASK_STATUS_SUCCEED", "progress_percent": "100"},
            "extra": {"seed": "42"},
            "images": [{"image_url": "https://x/a.png", "image_url_ttl": "3600", "image_type": "png"}],
            "videos": None,
            "audios": [],
        }
    )
    assert made.value.seed == 42
    assert made.value.outputs == (MediaOutput("image", url="https://x/a.png", ttl=3600, suffix="png"),)


@given(JSON)
def test_whatever_a_look_sees_is_understood_somehow(body: Any) -> None:
    if isinstance(body, dict):
        try:
            assert isinstance(read_task(body), Look)  # type: ignore[arg-type]
        except NovitaError as error:
            assert error.billed == "yes"


@pytest.fixture
async def client(simulator: Running, clock: FakeClock) -> AsyncGenerator[NovitaClient]:
    async with new_http() as http:
        yield NovitaClient(http, DEFAULT_KEY, simulator.url, clock=clock).for_looking()


async def test_a_task_that_is_answered_as_an_error_of_its_own_has_failed(client: NovitaClient, world: World) -> None:
    """errors.yaml: TASK_FAILED, 500, not to be tried again."""
    world.trouble({"error": "TASK_FAILED", "message": "no face"}, operation=LOOK, times=-1)
    seen = await look(client, "t1")
    assert seen.phase is Phase.FAILED
    assert "no face" in seen.reason
    assert world.count(LOOK) == 1


async def test_other_faults_are_raised_for_the_waiting_helper(client: NovitaClient, world: World) -> None:
    world.trouble({"error": "GET_RESULT_FAILED"}, operation=LOOK, times=2)
    with pytest.raises(NovitaServerError) as caught:
        await look(client, "t1")
    assert caught.value.transient
    with pytest.raises(NotFoundError):
        await look(client, "t1")


@pytest.mark.parametrize("body", ["[]", '"done"', "3"])
async def test_a_look_that_sees_no_task_is_a_fault_that_passes(body: str, client: NovitaClient, world: World) -> None:
    world.trouble({"status": 200, "body": body}, operation=LOOK, times=-1)
    with pytest.raises(NovitaConnectionError):
        await look(client, "t1")
