"""Event streams: the documented chunks, trouble in their middle, and clients that leave."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from novita_mcp.simulator import serving
from novita_mcp.simulator.core import facts
from novita_mcp.simulator.text.language_models import models
from novita_mcp.simulator.text.state import LlmState, StreamRecord

Json = dict[str, Any]

MODEL = "deepseek/deepseek-v3.1"
HOUR = 3600
TOOL: Json = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def running() -> Iterator[serving.Running]:
    with serving.serve() as running:
        yield running


@pytest.fixture
def state(running: serving.Running) -> LlmState:
    return running.world.area(LlmState)


@pytest.fixture
def http(running: serving.Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, headers={"Authorization": "Bearer sk-simulated"}) as client:
        yield client


def request(prompt: str = "Tell me about red foxes", **body: Any) -> Json:
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "stream": True, **body}


def events_of(text: str) -> list[str]:
    assert text.endswith("\n\n")
    return [event.removeprefix("data: ") for event in text.removesuffix("\n\n").split("\n\n")]


def chat(http: httpx.Client, **body: Any) -> list[str]:
    response = http.post("/openai/v1/chat/completions", json=request(**body))
    assert response.headers["content-type"].startswith("text/event-stream")
    return events_of(response.text)


def joined(events: list[str], part: str) -> str:
    """One field of the first choice's deltas, put together."""
    choices = [json.loads(event)["choices"] for event in events if event != "[DONE]"]
    return "".join(choice[0]["delta"].get(part) or "" for choice in choices if choice)


def test_the_pieces_of_a_stream_are_the_unstreamed_answer(http: httpx.Client) -> None:
    events = chat(http, logprobs=True)
    operation = facts.operations()["create_chat_completion"]
    for event in events[:-1]:
        assert facts.answer_problems(operation, json.loads(event), content_type="text/event-stream") == []
    whole = http.post("/openai/v1/chat/completions", json=request(stream=False)).json()["choices"][0]["message"]
    assert joined(events, "content") == whole["content"]
    assert joined(events, "reasoning_content") == whole["reasoning_content"]
    assert events[-1] == "[DONE]"
    assert json.loads(events[0])["choices"][0]["delta"]["role"] == "assistant"
    assert json.loads(events[-2])["choices"][0]["finish_reason"] == "stop"


def test_usage_comes_in_a_last_chunk_without_choices_when_asked_for(http: httpx.Client) -> None:
    *others, usage, done = chat(http, stream_options={"include_usage": True})
    assert done == "[DONE]"
    assert json.loads(usage)["choices"] == []
    assert json.loads(usage)["usage"]["completion_tokens"] == len(others) - 2  # all but the role and the finish
    assert all(json.loads(event)["usage"] is None for event in others)
    assert "usage" not in json.loads(chat(http)[0])


def test_a_streamed_tool_call_names_itself_once_and_its_arguments_join_to_json(http: httpx.Client) -> None:
    events = chat(http, prompt="What is the weather in Paris?", tools=[TOOL], enable_thinking=False)
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events[:-1]]
    parts = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert [part["function"]["name"] for part in parts if "name" in part["function"]] == ["get_weather"]
    assert json.loads("".join(part["function"]["arguments"] for part in parts)) == {"city": "Paris"}
    assert json.loads(events[-2])["choices"][0]["finish_reason"] == "tool_calls"


def test_choices_of_one_stream_are_interleaved(http: httpx.Client) -> None:
    indices = [json.loads(event)["choices"][0]["index"] for event in chat(http, n=2)[:-1]]
    assert indices[:6] == [0, 1, 0, 1, 0, 1]


def test_a_completion_streams_too(http: httpx.Client) -> None:
    body: Json = {"model": MODEL, "prompt": "Once upon a time", "logprobs": 1}
    whole = http.post("/openai/v1/completions", json=body).json()["choices"][0]
    *events, done = events_of(http.post("/openai/v1/completions", json={**body, "stream": True}).text)
    choices = [json.loads(event)["choices"][0] for event in events]
    assert done == "[DONE]"
    assert "".join(choice["text"] for choice in choices) == whole["text"]
    offsets = [each for choice in choices if choice["logprobs"] for each in choice["logprobs"]["text_offset"]]
    assert offsets == whole["logprobs"]["text_offset"]


@pytest.mark.parametrize("openai_shape", [False, True])
def test_an_error_event_ends_a_stream_without_done(http: httpx.Client, state: LlmState, openai_shape: bool) -> None:
    state.disturb("error", after=4, error="TOKEN_LIMIT_EXCEEDED", openai_shape=openai_shape)
    *good, last = chat(http)
    error = json.loads(last)
    assert len(good) == 4
    named = error["error"]["code"] if openai_shape else error["reason"]
    assert named == "TOKEN_LIMIT_EXCEEDED"
    assert chat(http)[-1] == "[DONE]"  # Trouble was ordered for one stream only.


def test_garbage_comes_in_between_and_the_stream_goes_on(http: httpx.Client, state: LlmState) -> None:
    clean = chat(http)
    state.disturb("garbage", after=2)
    events = chat(http)
    with pytest.raises(ValueError, match="Unterminated string"):
        json.loads(events.pop(2))
    assert joined(events, "content") == joined(clean, "content")


def test_a_cut_stream_ends_in_the_middle_of_the_body(http: httpx.Client, state: LlmState) -> None:
    state.disturb("cut", after=3)
    received: list[str] = []
    with (
        pytest.raises(httpx.RemoteProtocolError),
        http.stream("POST", "/openai/v1/chat/completions", json=request()) as response,
    ):
        received.extend(response.iter_text())
    assert len(events_of("".join(received))) == 3
    assert state.streams[0].state == "broken"


def test_a_stream_may_just_stop_without_done(http: httpx.Client, state: LlmState) -> None:
    state.disturb("end", after=5, times=-1)
    for _ in range(2):
        events = chat(http)
        assert (len(events), "[DONE]" in events) == (5, False)


def test_silence_is_silence_until_the_reader_gives_up(http: httpx.Client, state: LlmState) -> None:
    state.disturb("silence", after=2, seconds=HOUR)
    with (
        pytest.raises(httpx.ReadTimeout),
        http.stream("POST", "/openai/v1/chat/completions", json=request(), timeout=0.2) as response,
    ):
        response.read()
    assert settled(http, state).events == 2


def settled(http: httpx.Client, state: LlmState) -> StreamRecord:
    """The first stream, once it has ended. Each request lets the simulator's loop run once."""
    for _ in range(500):
        if state.streams[0].ended is not None:
            return state.streams[0]
        http.get("/_simulator/llm")
    raise AssertionError("the stream never ended")


def test_a_client_that_leaves_is_noticed_between_tokens_and_pays_for_what_it_got(
    http: httpx.Client, state: LlmState
) -> None:
    """The next token is an hour away, so only a watch on the connection itself can notice."""
    state.disturb("silence", after=4, seconds=HOUR)
    with http.stream("POST", "/openai/v1/chat/completions", json=request()) as response:
        for event, _ in zip(response.iter_lines(), range(7), strict=False):  # 4 events and the blank lines between
            assert event == "" or event.startswith("data: ")
    record = settled(http, state)
    assert record.state == "cancelled"
    assert (record.events, record.tokens) == (4, 3)  # the role carries no token
    model = models()[MODEL]
    usage = http.post("/openai/v1/chat/completions", json=request(stream=False)).json()["usage"]
    owed = usage["prompt_tokens"] * model.input + 3 * model.output
    assert record.charged_micro_usd == -(-owed // 10_000) == state.world.charges[0].micro_usd
    assert state.streams_cancelled == [record]


def test_pace_is_kept_even_by_unstreamed_answers_and_a_paced_stream_can_be_left(
    http: httpx.Client, state: LlmState
) -> None:
    state.knobs.token_seconds = HOUR
    with pytest.raises(httpx.ReadTimeout):
        http.post("/openai/v1/chat/completions", json=request(stream=False), timeout=0.2)
    with http.stream("POST", "/openai/v1/chat/completions", json=request()) as response:
        assert next(response.iter_lines()).startswith("data: ")
    assert settled(http, state).tokens <= 1


def test_the_control_route_sets_what_the_world_holds(http: httpx.Client, state: LlmState) -> None:
    sent = {
        "settings": {"answer_tokens": 12},
        "trouble": [{"kind": "end", "after": 1, "skip": 1}],
        "script": [{"content": "Hello."}],
    }
    assert http.post("/_simulator/llm", json=sent).json()["settings"]["answer_tokens"] == 12
    assert joined(chat(http), "content") == "Hello."
    assert len(chat(http)) == 1
    assert http.post("/_simulator/llm", json={"clear": True}).json()["trouble"] == []
    assert len(http.get("/_simulator/llm").json()["streams"]) == 2
    wrongs: list[Json] = [{"setting": {}}, {"settings": {"speed": 1}}, {"trouble": [{"kind": "flood"}]}]
    for wrong in wrongs:
        assert http.post("/_simulator/llm", json=wrong).status_code == 400
