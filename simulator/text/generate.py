"""Generates the answers to a checked request: it checks model, context and credit, and charges the cost.

Chat, completions, messages, responses and batches all use it.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from ..core.facts import operations
from ..core.faults import Fault
from ..core.json_values import items, obj
from ..core.world import Account
from . import tokens
from .language_models import LanguageModel, find_model
from .state import RATE_TIERS, LlmState
from .writer import AnswerWish, WrittenAnswer, continue_text, write_answer

Json = dict[str, Any]

_PART_OF = {"image_url": "image", "video_url": "video", "input_audio": "audio"}
_EFFORT = {"none": 0.0, "minimal": 0.5, "low": 0.5, "medium": 1.0, "high": 2.0, "max": 4.0}
_LINK = re.compile(r"https?://|data:\w+/[\w.+-]+;base64,")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedAnswers:
    """The answers to one request, which are not sent or paid yet."""

    id: str
    created: int
    model: LanguageModel
    prompt_tokens: int
    cached_tokens: int
    answers: tuple[WrittenAnswer, ...]
    split_details: bool = False

    @property
    def tokens(self) -> int:
        """The number of generated tokens of all choices."""
        return sum(answer.size for answer in self.answers)

    @property
    def reasoning_tokens(self) -> int:
        """How many of them are tokens of reasoning."""
        return sum(len(answer.reasoning) for answer in self.answers)

    def usage(self) -> Json:
        """The documented Usage object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": self.cached_tokens},
            "completion_tokens_details": (
                {"audio_tokens": 0, "reasoning_tokens": self.reasoning_tokens} if self.model.thinking else None
            ),
        }

    def price(self, generated: int | None = None) -> int:
        """Micro dollars for the prompt and `generated` tokens, by default all."""
        return _price(
            self.model, self.prompt_tokens, self.cached_tokens, self.tokens if generated is None else generated
        )


def chat(
    state: LlmState, account: Account, body: Json, *, endpoint: str = "chat/completions", in_batch: bool = False
) -> GeneratedAnswers:
    """Answer a ChatCompletionRequest that fits the schema.

    Raises the documented Fault 400, 403, 404 or 429 if the model, the context or the credit does not allow it.
    """
    model = find_model(body["model"], endpoint)
    messages: list[Json] = body["messages"]
    _check_conversation(model, messages)
    _check_features(model, body)
    prompt_tokens = tokens.count_messages(messages) + _schema_tokens(body)
    room = _room(model, prompt_tokens, body.get("max_tokens"))
    cached = state.cached_tokens(account.key, model.id, messages) if model.cache_read is not None else 0
    admit(state, account, model, _price(model, prompt_tokens, cached, 0), in_batch=in_batch)
    answers = tuple(
        _placed(write_answer(messages, _wish(state, model, body, number)), model, body).cut(room)
        for number in range(body.get("n") or 1)
    )
    return GeneratedAnswers(
        id=state.world.new_id(),
        created=int(state.world.clock.now()),
        model=model,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached,
        answers=answers,
        split_details=bool(body.get("reasoning_split")),
    )


def completion(state: LlmState, account: Account, body: Json, *, in_batch: bool = False) -> GeneratedAnswers:
    """Answer a CompletionRequest that fits the schema, with n choices for each of its prompts, in their order."""
    model = find_model(body["model"], "completions")
    number = body.get("n") or 1
    best_of = body.get("best_of", 1)
    if body.get("stream") and best_of > 1:
        raise Fault(400, "INVALID_REQUEST_BODY", "best_of cannot be used with stream")
    if best_of > 1 and best_of <= number:
        raise Fault(400, "INVALID_REQUEST_BODY", "best_of must be greater than n")
    prompts = prompts_of(body["prompt"])
    if not prompts:
        raise Fault(400, "INVALID_REQUEST_BODY", "prompt must not be empty")
    sizes = [size for _, size in prompts]
    room = min(_room(model, size, body.get("max_tokens")) for size in sizes)
    admit(state, account, model, _price(model, sum(sizes), 0, 0), in_batch=in_batch)
    stop = _stop(body)
    answers = tuple(
        continue_text(text, _salt(model, body, each), length=state.knobs.answer_tokens, stop=stop).cut(room)
        for text, _ in prompts
        for each in range(number)
    )
    return GeneratedAnswers(
        id=state.world.new_id("cmpl-"),
        created=int(state.world.clock.now()),
        model=model,
        prompt_tokens=sum(sizes),
        cached_tokens=0,
        answers=answers,
    )


def prompts_of(given: Any) -> list[tuple[str, int]]:
    """Each prompt or input as (text, number of tokens). They come as a text, texts, tokens or lists of tokens."""
    if isinstance(given, str):
        return [(given, tokens.count(given))]
    if given and isinstance(given[0], int):
        return [_spelled(given)]
    return [(each, tokens.count(each)) if isinstance(each, str) else _spelled(each) for each in given]


def admit(state: LlmState, account: Account, model: LanguageModel, micro_usd: int, *, in_batch: bool = False) -> None:
    """Let a request begin. Raises Fault 429 above the rate limit, and 403 if the account cannot even pay the prompt."""
    if state.knobs.rate_tier is not None and not in_batch:
        table = operations()["create_chat_completion"].facts["limits"]["rpm_by_model"]
        if model.id in table:
            state.count_request(account.key, model.id, table[model.id][RATE_TIERS.index(state.knobs.rate_tier)])
    if account.micro_usd <= micro_usd:
        raise Fault(403, "NOT_ENOUGH_BALANCE", "not enough balance")


def charge(state: LlmState, account: Account, operation: str, micro_usd: int, model: LanguageModel, ref: str) -> int:
    """Take `micro_usd`, or what the account has left if that is less. Returns what was taken."""
    taken = min(micro_usd, account.micro_usd)
    state.world.charge(account, taken, operation, model.id, ref)
    return taken


def _price(model: LanguageModel, prompt: int, cached: int, generated: int) -> int:
    paid_in, paid_out = model.prices(prompt)
    cache_read = paid_in if model.cache_read is None else model.cache_read
    return tokens.cost((prompt - cached, paid_in), (cached, cache_read), (generated, paid_out))


def _room(model: LanguageModel, prompt_tokens: int, max_tokens: int | None) -> int:
    """How many tokens an answer may have. One above the context is lowered, and one above the model's cap refused."""
    if max_tokens is not None and max_tokens > model.max_output:
        message = f"max_tokens {max_tokens} exceeds the model's max output tokens {model.max_output}"
        raise Fault(400, "INVALID_REQUEST_BODY", message)
    left = model.context - prompt_tokens
    if left <= 0:
        message = f"This model's maximum context length is {model.context} tokens, but the prompt has {prompt_tokens}"
        raise Fault(400, "INVALID_REQUEST_BODY", message)
    return min(left, model.max_output if max_tokens is None else max_tokens)


def _check_conversation(model: LanguageModel, messages: Sequence[Json]) -> None:
    if not messages:
        raise Fault(400, "INVALID_REQUEST_BODY", "messages must not be empty")
    for index, message in enumerate(messages):
        content = message["content"]
        if content is None and not (message["role"] == "assistant" and message.get("tool_calls")):
            raise Fault(400, "INVALID_REQUEST_BODY", f"messages[{index}].content must not be null")
        for part in items(content):
            kind = _PART_OF.get(part["type"])
            if kind is not None and kind not in model.inputs:
                raise Fault(400, "INVALID_REQUEST_BODY", f"model: {model.id} does not support {kind} input")
            _check_media(part, f"messages[{index}]")


def _check_media(part: Json, place: str) -> None:
    """Check a video, which comes as a link, or a sound, which comes as a link or in base64.

    Pictures are checked when they are opened.
    """
    match part:
        case {"type": "video_url", "video_url": {"url": str(url)}} if not _LINK.match(url):
            raise Fault(400, "INVALID_REQUEST_BODY", f"{place}: video_url.url must be an http(s) URL or a data URI")
        case {"type": "input_audio", "input_audio": {"data": str(data)}} if not _LINK.match(data):
            try:
                base64.b64decode(data, validate=True)
            except ValueError as error:
                message = f"{place}: input_audio.data is neither a URL nor base64"
                raise Fault(400, "INVALID_REQUEST_BODY", message) from error
        case _:
            return


def _check_features(model: LanguageModel, body: Json) -> None:
    def need(feature: str, what: str) -> None:
        if feature not in model.features:
            raise Fault(400, "INVALID_REQUEST_BODY", f"model: {model.id} does not support {what}")

    if body.get("tools"):
        need("function-calling", "tools")
        for tool in body["tools"]:
            _check_schema(tool["function"].get("parameters"), f"tools: {tool['function']['name']}")
    wanted = obj(body.get("response_format"))
    if wanted.get("type", "text") != "text":
        need("structured-outputs", "response_format")
        if wanted["type"] == "json_schema":
            _check_schema(obj(wanted.get("json_schema")).get("schema"), "response_format.json_schema", needed=True)
    if "audio" in body.get("modalities", ()) and "audio" not in model.outputs:
        raise Fault(400, "INVALID_REQUEST_BODY", f"model: {model.id} does not support audio output")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise Fault(400, "INVALID_REQUEST_BODY", "top_logprobs needs logprobs to be true")
    if body.get("stream_options") and not body.get("stream"):
        raise Fault(400, "INVALID_REQUEST_BODY", "stream_options needs stream to be true")
    choice = _tool_choice(body)
    if choice not in ("auto", "none", "required") and choice not in _tool_names(body):
        raise Fault(400, "INVALID_REQUEST_BODY", f"tool_choice: no tool named {choice!r}")


def _check_schema(schema: Json | None, where: str, *, needed: bool = False) -> None:
    if schema is None:
        if needed:
            raise Fault(400, "INVALID_REQUEST_BODY", f"{where}: schema is missing")
        return
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise Fault(400, "INVALID_REQUEST_BODY", f"{where}: invalid JSON schema: {error.message}") from error


def _schema_tokens(body: Json) -> int:
    return sum(tokens.count(repr(body[name])) for name in ("tools", "response_format") if body.get(name))


def _tool_names(body: Json) -> list[str]:
    return [tool["function"]["name"] for tool in items(body.get("tools"))]


def _tool_choice(body: Json) -> str:
    choice = body.get("tool_choice") or "auto"
    return choice if isinstance(choice, str) else str(obj(choice.get("function")).get("name"))


def _stop(body: Json) -> tuple[str, ...]:
    stop = body.get("stop") or ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _salt(model: LanguageModel, body: Json, number: int) -> str:
    """What decides the text besides the prompt. At temperature 0 the seed has no effect."""
    names = ("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty")
    sampling = [body.get(name) for name in names]
    seed = None if body.get("temperature") == 0 else (body.get("seed"), number)
    return repr((model.id, sampling, seed))


def _wish(state: LlmState, model: LanguageModel, body: Json, number: int) -> AnswerWish:
    wanted = obj(body.get("response_format"))
    schema: Json | None = None
    if wanted.get("type") == "json_object":
        schema = {}
    elif wanted.get("type") == "json_schema":
        schema = wanted["json_schema"]["schema"]
    effort = _EFFORT.get(body.get("reasoning_effort", "medium"), 1.0)
    off = model.thinking is None or (model.thinking == "switch" and body.get("enable_thinking") is False)
    return AnswerWish(
        salt=_salt(model, body, number),
        think=0 if off else effort,
        tools=items(body.get("tools")),
        tool_choice=_tool_choice(body),
        parallel_calls=body.get("parallel_tool_calls") is not False,
        schema=schema,
        stop=_stop(body),
        length=state.knobs.answer_tokens,
        scripted=state.next_script(),
    )


def _placed(answer: WrittenAnswer, model: LanguageModel, body: Json) -> WrittenAnswer:
    """The answer with its reasoning in the content, if the model separates the two only when asked."""
    if model.thinking != "inline" or body.get("separate_reasoning") or not answer.reasoning:
        return answer
    thoughts = tokens.split("<think>\n" + "".join(answer.reasoning) + "\n</think>\n\n")
    return WrittenAnswer(content=(*thoughts, *answer.content), calls=answer.calls, finish_reason=answer.finish_reason)


def _spelled(numbers: Sequence[int]) -> tuple[str, int]:
    return " ".join(f"token{number}" for number in numbers), len(numbers)
