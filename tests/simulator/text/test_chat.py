"""Chat, completions, embeddings, rerank and models over real HTTP, held to the documented schemas."""

import base64
import io
import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from novita_mcp.simulator import serving
from novita_mcp.simulator.core import facts
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.text.language_models import models
from novita_mcp.simulator.text.state import LlmState
from PIL import Image

Json = dict[str, Any]

PLAIN = "meta-llama/llama-3.3-70b-instruct"
SWITCHED = "deepseek/deepseek-v3.1"
INLINE = "deepseek/deepseek-r1-turbo"
SMALL = "sao10k/l3-8b-lunaris"
SEEING = "zai-org/glm-4.6v"
WEATHER: Json = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}


class ChatApi:
    """The routes of one simulator, with the right key."""

    def __init__(self, running: serving.Running) -> None:
        self.world: World = running.world
        self.state = running.world.area(LlmState)
        self.http = httpx.Client(base_url=running.url, headers={"Authorization": "Bearer sk-simulated"})

    def post(self, operation: str, **body: Any) -> Json:
        """The answer, which must be 200 and as documented."""
        found = facts.operations()[operation]
        response = self.http.post(found.path, json=body)
        assert response.status_code == 200, response.text
        assert facts.answer_problems(found, response.json()) == []
        return response.json()

    def chat(self, prompt: str | list[Json] = "Tell me about red foxes in the snow", **body: Any) -> Json:
        messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
        return self.post("create_chat_completion", **{"model": PLAIN, "messages": messages, **body})

    def refused(self, operation: str, status: int, reason: str, **body: Any) -> str:
        """The message of an error, which must be of this status and reason."""
        response = self.http.post(facts.operations()[operation].path, json=body)
        assert (response.status_code, response.json().get("reason")) == (status, reason), response.text
        assert response.json()["code"] == status
        return response.json()["message"]

    def refused_chat(self, status: int, reason: str, prompt: str | list[Json] = "Hello", **body: Any) -> str:
        messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
        return self.refused("create_chat_completion", status, reason, **{"model": PLAIN, "messages": messages, **body})


@pytest.fixture
def api() -> Iterator[ChatApi]:
    with serving.serve() as running:
        found = ChatApi(running)
        yield found
        found.http.close()


def valid(schema: Json, text: str) -> bool:
    validator: Any = Draft202012Validator(schema)
    return validator.is_valid(json.loads(text))


def text_of(answer: Json) -> str:
    return answer["choices"][0]["message"]["content"]


def test_the_same_seed_gives_the_same_text_and_another_seed_another(api: ChatApi) -> None:
    first, again, other = (text_of(api.chat(seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_at_temperature_zero_the_seed_has_no_say(api: ChatApi) -> None:
    assert text_of(api.chat(seed=1, temperature=0)) == text_of(api.chat(seed=2, temperature=0))


def test_each_choice_has_its_own_text(api: ChatApi) -> None:
    answer = api.chat(n=3)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in answer["choices"]}) == 3


def test_reasoning_is_kept_apart_and_can_be_switched_off(api: ChatApi) -> None:
    thinking, silent = api.chat(model=SWITCHED), api.chat(model=SWITCHED, enable_thinking=False)
    assert thinking["choices"][0]["message"]["reasoning_content"]
    assert thinking["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0
    assert "reasoning_content" not in silent["choices"][0]["message"]
    assert silent["usage"]["completion_tokens"] < thinking["usage"]["completion_tokens"]


def test_r1_turbo_thinks_in_its_content_unless_asked_to_separate(api: ChatApi) -> None:
    mixed, parted = text_of(api.chat(model=INLINE)), api.chat(model=INLINE, separate_reasoning=True)
    assert mixed.startswith("<think>\n")
    assert mixed.endswith(text_of(parted))
    assert parted["choices"][0]["message"]["reasoning_content"] in mixed


def test_reasoning_split_adds_reasoning_details(api: ChatApi) -> None:
    message = api.chat(model="moonshotai/kimi-k2-thinking", reasoning_split=True)["choices"][0]["message"]
    assert message["reasoning_details"][0]["text"] == message["reasoning_content"]


def test_the_text_ends_with_the_stop_sequence(api: ChatApi) -> None:
    whole = text_of(api.chat(seed=3))
    answer = api.chat(seed=3, stop=["never said", whole[20:26]])
    assert text_of(answer) == whole[:26]
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_max_tokens_cuts_the_answer(api: ChatApi) -> None:
    answer = api.chat(max_tokens=5)
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["choices"][0]["finish_reason"] == "length"


def test_logprobs_cover_every_token(api: ChatApi) -> None:
    answer = api.chat(logprobs=True, top_logprobs=2)
    entries = answer["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in entries) == text_of(answer)
    assert all(entry["top_logprobs"][0]["token"] == entry["token"] for entry in entries)
    assert all(len(entry["top_logprobs"]) == 2 and entry["logprob"] <= 0 for entry in entries)


def test_a_tool_is_called_with_arguments_of_its_schema_when_the_prompt_is_about_it(api: ChatApi) -> None:
    answer = api.chat("What is the weather in Paris for 3 days?", tools=[WEATHER])
    choice = answer["choices"][0]
    call = choice["message"]["tool_calls"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "get_weather"
    assert valid(WEATHER["function"]["parameters"], call["function"]["arguments"])
    assert "Paris" in call["function"]["arguments"]


def test_tools_are_left_alone_when_they_do_not_fit_or_are_forbidden(api: ChatApi) -> None:
    assert text_of(api.chat("Write a haiku", tools=[WEATHER]))
    assert text_of(api.chat("What is the weather?", tools=[WEATHER], tool_choice="none"))


def test_a_required_tool_is_called_in_any_case(api: ChatApi) -> None:
    named = {"type": "function", "function": {"name": "get_weather"}}
    for choice in ("required", named):
        answer = api.chat("Write a haiku", tools=[WEATHER], tool_choice=choice)
        assert answer["choices"][0]["finish_reason"] == "tool_calls"


def test_the_answer_to_a_tool_result_repeats_it(api: ChatApi) -> None:
    asked = {"role": "user", "content": "What is the weather in Paris?"}
    called = api.chat([asked], tools=[WEATHER])["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": "17 degrees, rain"}
    assert "17 degrees, rain" in text_of(api.chat([asked, called, result], tools=[WEATHER]))


def test_a_scripted_answer_is_given_once(api: ChatApi) -> None:
    api.state.say("Just this.", reasoning="Hm.")
    scripted = api.chat()["choices"][0]["message"]
    assert (scripted["content"], scripted["reasoning_content"]) == ("Just this.", "Hm.")
    assert text_of(api.chat()) != "Just this."


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]},
        {"type": "array", "items": {"type": "integer", "minimum": 3, "maximum": 5}, "minItems": 4, "maxItems": 4},
        {"anyOf": [{"type": "boolean"}, {"properties": {"x": {"type": "number"}}, "required": ["x"]}]},
        {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"next": {
            "anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}, "required": ["next"]}}},
        {"properties": {"id": {"type": "string", "pattern": "^[A-Z]{3}-\\d{4}$"}}, "required": ["id"]},
        {"type": "string", "minLength": 200, "maxLength": 210},
        {"allOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"required": ["b"]}]},
    ],
)  # fmt: skip
def test_an_answer_held_to_a_schema_validates(api: ChatApi, schema: Json) -> None:
    for seed in range(5):
        wanted = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}}
        said = text_of(api.chat("How was the trip to Rome?", response_format=wanted, seed=seed))
        assert valid(schema, said)


def test_json_object_gives_an_object(api: ChatApi) -> None:
    assert isinstance(json.loads(text_of(api.chat(response_format={"type": "json_object"}))), dict)


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {"type": "text"},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"enum": []},
        {"$ref": "#"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/$defs/missing"},
        {"type": "string", "pattern": "("},
        {"type": "array", "items": {}, "minItems": 1_000_000_000},
        {"properties": {"again": {"$ref": "#"}}, "required": ["again"]},
    ],
)
def test_a_schema_nobody_can_keep_is_refused(api: ChatApi, schema: Json | None) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    assert "schema" in api.refused_chat(400, "INVALID_REQUEST_BODY", response_format=wanted)


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [
        (SMALL, {"tools": [WEATHER]}, "tools"),
        (SMALL, {"response_format": {"type": "json_object"}}, "response_format"),
        (PLAIN, {"modalities": ["text", "audio"]}, "audio output"),
        (PLAIN, {"max_tokens": 120_001}, "120001"),
        (PLAIN, {"n": 129}, "n"),
        (PLAIN, {"temperature": 2.5}, "temperature"),
        (PLAIN, {"top_logprobs": 2}, "logprobs"),
        (PLAIN, {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "nope"}}}, "nope"),
        ("baai/bge-m3", {}, "does not support endpoint: chat/completions"),
    ],
)
def test_what_the_model_cannot_do_is_refused(api: ChatApi, model: str, body: Json, said: str) -> None:
    assert said in api.refused_chat(400, "INVALID_REQUEST_BODY", model=model, **body)
    assert api.world.charges == []


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, "image"),
        ({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}, "video"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "audio"),
    ],
)
def test_a_part_is_refused_by_models_without_that_input_and_taken_by_others(
    api: ChatApi, part: Json, kind: str
) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}
    assert f"{kind} input" in api.refused_chat(400, "INVALID_REQUEST_BODY", [message])
    assert text_of(api.chat([message], model="qwen/qwen3-omni-30b-a3b-instruct"))


def test_a_picture_is_really_looked_at(api: ChatApi) -> None:
    file = io.BytesIO()
    Image.new("RGB", (320, 200), (210, 30, 30)).save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    part = {"type": "image_url", "image_url": {"url": url}}
    said = text_of(api.chat([{"role": "user", "content": [part]}], model=SEEING))
    assert "320x200 pixels, mostly red" in said


def test_media_that_cannot_be_read_are_refused(api: ChatApi) -> None:
    broken: list[Json] = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="}},
        {"type": "image_url", "image_url": {"url": "/home/me/fox.png"}},
        {"type": "video_url", "video_url": {"url": "fox.mp4"}},
        {"type": "input_audio", "input_audio": {"data": "not base64!", "format": "wav"}},
    ]
    for part in broken:
        messages: list[Json] = [{"role": "user", "content": [part]}]
        api.refused_chat(400, "INVALID_REQUEST_BODY", messages, model="qwen/qwen3-omni-30b-a3b-instruct")


def test_a_prompt_longer_than_the_context_is_refused_and_a_long_limit_lowered(api: ChatApi) -> None:
    assert "8192" in api.refused_chat(400, "INVALID_REQUEST_BODY", "word " * 9000, model=SMALL)
    api.state.knobs.answer_tokens = 9000
    answer = api.chat("word " * 8000, model=SMALL, max_tokens=8192)
    assert answer["usage"]["total_tokens"] == 8192
    assert answer["choices"][0]["finish_reason"] == "length"


def test_an_unknown_model_is_not_found_by_any_route(api: ChatApi) -> None:
    api.refused_chat(404, "MODEL_NOT_FOUND", model="deepseek/DeepSeek-V3.1")
    api.refused("create_embeddings", 404, "MODEL_NOT_FOUND", model="baai/bge-m4", input="x")
    assert api.http.get("/openai/v1/models/no/such").json()["reason"] == "MODEL_NOT_FOUND"


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [({}, 403, "INVALID_API_KEY"), ({"Authorization": "Bearer wrong"}, 401, "FAILED_TO_AUTH")],
)
def test_keys_are_checked_as_documented(api: ChatApi, headers: dict[str, str], status: int, reason: str) -> None:
    response = httpx.get(str(api.http.base_url.join("/openai/v1/models")), headers=headers)
    assert (response.status_code, response.json()["reason"]) == (status, reason)


def test_empty_messages_and_null_content_are_refused(api: ChatApi) -> None:
    assert "messages" in api.refused_chat(400, "INVALID_REQUEST_BODY", [])
    assert "content" in api.refused_chat(400, "INVALID_REQUEST_BODY", [{"role": "user", "content": None}])


def test_a_call_costs_its_tokens_at_the_listed_price(api: ChatApi) -> None:
    usage = api.chat()["usage"]
    listed = api.http.get(f"/openai/v1/models/{PLAIN}").json()
    exact = usage["prompt_tokens"] * listed["input_token_price_per_m"]
    exact += usage["completion_tokens"] * listed["output_token_price_per_m"]
    assert api.world.charges[0].micro_usd == -(-exact // 10_000)
    assert api.world.balance_usd() == 100 - api.world.charges[0].usd


def test_tiers_price_by_prompt_length_and_a_repeated_long_prompt_is_cached(api: ChatApi) -> None:
    short, long = (models()["qwen/qwen3-max"].prices(tokens) for tokens in (100, 40_000))
    assert short == (8450, 33800)
    assert long == (14000, 56400)
    prompt = "word " * 2000
    first, second = (api.chat(prompt, model="deepseek/deepseek-v3.2")["usage"] for _ in range(2))
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["prompt_tokens_details"]["cached_tokens"] == second["prompt_tokens"]
    assert api.world.charges[1].micro_usd < api.world.charges[0].micro_usd


def test_without_credit_nothing_is_answered(api: ChatApi) -> None:
    api.world.add_account("sk-simulated", 0)
    api.refused_chat(403, "NOT_ENOUGH_BALANCE")
    api.refused("create_embeddings", 403, "NOT_ENOUGH_BALANCE", model="baai/bge-m3", input="x")


def test_requests_above_the_documented_rate_answer_429_until_the_next_minute(api: ChatApi) -> None:
    api.state.knobs.rate_tier = "T1"
    for _ in range(30):
        api.chat(max_tokens=1)
    api.refused_chat(429, "RATE_LIMIT_EXCEEDED")
    api.world.advance(60)
    api.chat(max_tokens=1)


def test_a_completion_continues_each_prompt_n_times(api: ChatApi) -> None:
    answer = api.post("create_completion", model=PLAIN, prompt=["Once upon a", "The end"], n=2, logprobs=2)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert all("".join(choice["logprobs"]["tokens"]) == choice["text"] for choice in answer["choices"])
    api.refused("create_completion", 400, "INVALID_REQUEST_BODY", model=PLAIN, prompt="x", n=2, best_of=2)
    assert api.post("create_completion", model=PLAIN, prompt=[1, 2, 3])["usage"]["prompt_tokens"] == 3


def test_embeddings_have_the_models_dimension_and_like_texts_lie_closer(api: ChatApi) -> None:
    texts = ["a red fox in the snow", "red foxes in snow", "the tax law of Portugal"]
    for model, dimension in (("baai/bge-m3", 1024), ("qwen/qwen3-embedding-8b", 4096)):
        answer = api.post("create_embeddings", model=model, input=texts)
        one, near, far = ([*entry["embedding"]] for entry in answer["data"])
        assert len(one) == dimension
        assert sum(value * value for value in one) == pytest.approx(1)
        assert _dot(one, near) > 0.5 > 0.2 > _dot(one, far)
        assert answer == api.post("create_embeddings", model=model, input=texts)


def _dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_base64_embeddings_are_the_same_numbers(api: ChatApi) -> None:
    plain = api.post("create_embeddings", model="baai/bge-m3", input="fox")["data"][0]["embedding"]
    packed = api.post("create_embeddings", model="baai/bge-m3", input="fox", encoding_format="base64")
    assert struct.unpack("<1024f", base64.b64decode(packed["data"][0]["embedding"])) == pytest.approx(plain, abs=1e-6)


def test_embedding_inputs_beyond_the_limits_are_refused(api: ChatApi) -> None:
    for given in ([], [""], ["fine", " "], "word " * 8193, ["x"] * 2049):
        api.refused("create_embeddings", 400, "INVALID_REQUEST_BODY", model="baai/bge-m3", input=given)


def test_rerank_puts_the_fitting_document_first_and_keeps_its_index(api: ChatApi) -> None:
    documents = ["Cats sleep a lot.", "The capital of France is Paris.", "France is a country."]
    question = {"model": "baai/bge-reranker-v2-m3", "query": "What is the capital of France?", "documents": documents}
    answer = api.post("create_rerank", **question)
    assert [result["index"] for result in answer["results"]] == [1, 2, 0]
    assert answer["results"][0]["document"]["text"] == documents[1]
    assert len(api.post("create_rerank", **question, top_n=1)["results"]) == 1


def test_models_are_listed_with_prices_and_each_can_be_read_by_either_spelling_of_its_id(api: ChatApi) -> None:
    listed = api.http.get("/openai/v1/models").json()
    assert facts.answer_problems(facts.operations()["list_models"], listed) == []
    documented = facts.operations()["create_chat_completion"].facts["limits"]["rpm_by_model"]
    assert set(documented) <= {model["id"] for model in listed["data"] if model["model_type"] == "chat"}
    assert {model["status"] for model in listed["data"]} == {1, 4}  # archived ones stay listed
    for path in (PLAIN, PLAIN.replace("/", "%2F")):
        for base in ("/openai/v1", "/v3/openai", "/openai"):
            assert api.http.get(f"{base}/models/{path}").json()["title"] == "Llama 3.3 70B Instruct"


def test_messages_in_anthropic_form_are_answered_by_models_that_serve_it(api: ChatApi) -> None:
    body: Json = {"max_tokens": 300, "messages": [{"role": "user", "content": "Tell me about foxes"}]}
    answer = api.post("create_anthropic_message", model="moonshotai/kimi-k2-instruct", system="Be brief", **body)
    assert answer["content"][0]["type"] == "text"
    assert answer["stop_reason"] == "end_turn"
    said = api.refused("create_anthropic_message", 400, "INVALID_REQUEST_BODY", model=PLAIN, **body)
    assert "does not support endpoint: anthropic" in said
    events = api.http.post(
        "/anthropic/v1/messages", json={**body, "model": "moonshotai/kimi-k2-instruct", "stream": True}
    ).text.split("\n\n")
    kinds = [json.loads(event.split("data: ")[1])["type"] for event in events if event]
    assert (kinds[0], kinds[1], kinds[-1]) == ("message_start", "content_block_start", "message_stop")


def test_a_tool_used_in_anthropic_form_comes_back_as_a_block(api: ChatApi) -> None:
    function = WEATHER["function"]
    tool = {"name": "get_weather", "description": function["description"], "input_schema": function["parameters"]}
    body: Json = {"model": "moonshotai/kimi-k2-instruct", "max_tokens": 300, "tools": [tool]}
    asked = {"role": "user", "content": "What is the weather in Oslo?"}
    used = api.post("create_anthropic_message", **body, messages=[asked])
    block = used["content"][-1]
    assert (used["stop_reason"], block["name"]) == ("tool_use", "get_weather")
    result = {"type": "tool_result", "tool_use_id": block["id"], "content": "2 degrees"}
    turns = [asked, {"role": "assistant", "content": used["content"]}, {"role": "user", "content": [result]}]
    assert "2 degrees" in api.post("create_anthropic_message", **body, messages=turns)["content"][0]["text"]
