"""The official openai client, unchanged but for its base URL, against the simulator."""

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from novita_mcp.simulator import serving
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.text.state import LlmState
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

MODEL = "deepseek/deepseek-v3.2"
ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the weather in Paris?"}]
TOOLS: list[ChatCompletionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Iterator[openai.OpenAI]:
    with (
        serving.serve(world) as running,
        openai.OpenAI(api_key="sk-simulated", base_url=f"{running.url}/openai/v1", max_retries=0) as client,
    ):
        yield client


def test_chat_is_answered_whole_and_streamed_alike(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=ASKED)
    chunks = list(client.chat.completions.create(model=MODEL, messages=ASKED, stream=True))
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_stream_helper_counts_usage_and_gathers_the_message(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=ASKED, stream_options={"include_usage": True}) as stream:
        stream.until_done()
        final = stream.get_final_completion()
    assert final.usage is not None
    assert final.choices[0].message.content
    assert (final.choices[0].message.model_extra or {})["reasoning_content"]


def test_a_tool_is_called_answered_and_streamed(client: openai.OpenAI) -> None:
    called = client.chat.completions.create(model=MODEL, messages=ASKED, tools=TOOLS).choices[0].message
    assert called.tool_calls is not None
    call = called.tool_calls[0]
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    turns: list[ChatCompletionMessageParam] = [
        *ASKED,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "17 degrees"},
    ]
    said = client.chat.completions.create(model=MODEL, messages=turns, tools=TOOLS).choices[0].message.content
    assert said is not None
    assert "17 degrees" in said
    with client.chat.completions.stream(model=MODEL, messages=ASKED, tools=TOOLS) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls
    assert streamed is not None
    assert streamed[0].function.arguments == call.function.arguments


class Trip(BaseModel):
    """What the answer is to be parsed into."""

    city: str
    days: int
    tags: list[str]


def test_an_answer_is_parsed_into_a_type(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model=MODEL, messages=ASKED, response_format=Trip)
    assert isinstance(parsed.choices[0].message.parsed, Trip)


def test_texts_complete_and_embed(client: openai.OpenAI) -> None:
    completion = client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=12)
    assert (completion.usage is not None, completion.choices[0].finish_reason) == (True, "length")
    # This client asks for base64 and decodes it by itself.
    vectors = client.embeddings.create(model="baai/bge-m3", input=["a fox", "a cat"]).data
    assert [len(vector.embedding) for vector in vectors] == [1024, 1024]
    assert sum(value * value for value in vectors[0].embedding) == pytest.approx(1, abs=1e-4)


def test_models_are_listed_and_read(client: openai.OpenAI) -> None:
    listed = {model.id for model in client.models.list()}
    assert {MODEL, "baai/bge-m3", "baai/bge-reranker-v2-m3"} <= listed
    assert (client.models.retrieve(MODEL).model_extra or {})["context_size"] == 163840


def test_a_response_is_created(client: openai.OpenAI) -> None:
    assert client.responses.create(model=MODEL, input="Tell me about foxes").output_text
    with pytest.raises(openai.BadRequestError, match="does not support endpoint: responses"):
        client.responses.create(model="deepseek/deepseek-v3-0324", input="Hello")


def test_files_and_batches_go_from_rows_to_results(client: openai.OpenAI, world: World, tmp_path: Path) -> None:
    rows = [
        {"custom_id": f"row-{number}", "body": {"model": MODEL, "messages": ASKED, "seed": number}}
        for number in range(3)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = client.files.create(file=path, purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"job": "weather"}
    )
    assert (batch.status, batch.completion_window) == ("validating", "48h")
    world.advance(1000)
    done = client.batches.retrieve(batch.id)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed) == (3, 3)
    assert done.output_file_id
    lines = client.files.content(done.output_file_id).text.splitlines()
    assert [json.loads(line)["custom_id"] for line in lines] == ["row-0", "row-1", "row-2"]
    assert [each.id for each in client.batches.list()] == [batch.id]
    # Novita's list of files has no has_more, so this client would ask for ever more pages: the list is under `data`.
    assert {each.id for each in client.files.list().data} == {file.id, done.output_file_id}
    assert client.files.retrieve(file.id).filename == "rows.jsonl"
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    with pytest.raises(openai.BadRequestError):
        client.batches.cancel(batch.id)


def test_errors_arrive_as_the_clients_own(client: openai.OpenAI, world: World) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="no/such", messages=ASKED)
    assert unknown.value.body == {
        "code": 404,
        "reason": "MODEL_NOT_FOUND",
        "message": "model: no/such not found",
        "metadata": {},
    }
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()
    world.add_account("sk-simulated", 0)
    with pytest.raises(openai.PermissionDeniedError, match="not enough balance"):
        client.chat.completions.create(model=MODEL, messages=ASKED)


def test_an_error_event_in_the_openai_shape_is_raised_by_the_client(client: openai.OpenAI, world: World) -> None:
    world.area(LlmState).disturb("error", after=3, openai_shape=True)
    received = 0
    with pytest.raises(openai.APIError):
        for _ in client.chat.completions.create(model=MODEL, messages=ASKED, stream=True):
            received += 1
    assert received == 3
