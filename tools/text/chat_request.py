"""Turns a text request into a purchase: checks it, streams the answer, reports progress, and keeps what arrived."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import PurePath
from typing import Any, cast

from anyio import current_time, get_cancelled_exc_class, to_thread

from ...novita.core.costs import Cost
from ...novita.core.errors import InputError, NovitaError
from ...novita.core.words import counted
from ...novita.journal.facts import CallFacts
from ...novita.journal.jobs import Tally
from ...novita.journal.journal import Job
from ...novita.text.chat import CHAT_PATH, Generation, generate, generate_at_once
from ...novita.text.chat_messages import media_kinds, with_media
from ...novita.text.costs import tokens_cost
from ...novita.text.kept_list import listed_models_if_there
from ...novita.text.language_models import (
    LlmModel,
    choose_model,
    count_prompt,
    count_tokens,
    explain,
    need_feature,
    refuse_overflow,
)
from ...novita.text.request_checks import (
    check_body,
    check_messages,
    check_schema,
    native_tools,
    response_format,
    with_options,
)
from ..kit.context import Caller
from ..kit.dry_run import shown_request
from ..kit.purchase import Awaited, Purchase
from ..kit.saved_files import SavedFiles
from ..kit.ways import Way, what_is_gone
from .results import TextResult, keep_long, text_result, with_object

Json = dict[str, Any]

TextWay = Way[Purchase[TextResult]]
"""What to do with a question whose model Novita no longer offers."""

USUAL_TOKENS = 16_384
"""max_tokens if the caller sets none. Novita's page requires the field, and only with a bound is the price certain."""


_LEFT = "Cancelled by the caller. Novita may go on and charge for it, so the estimate counts."

_TEXT_SUFFIXES = (".md", ".txt", ".json", ".csv")
"""The suffixes under which an answer may be saved, if the caller names one of them."""


@dataclass(frozen=True)
class ChatWish:
    """A checked text request, and the form in which its answer is wanted.

    Args:
        body: The request's body without the fields about streaming, which `outgoing` adds.
        prompt_tokens: The tokens of the prompt, counted by us for the estimate.
        schema: The JSON schema that the answer is parsed by.
    """

    path: str
    body: Json
    model: LlmModel | None
    models: Sequence[LlmModel]
    prompt_tokens: int
    title: str
    schema: Json | None = None
    save_to: str | None = None

    @property
    def streams(self) -> bool:
        """Whether the answer is streamed. All are, except the one kind for which Novita forbids it."""
        return self.body.get("best_of", 1) <= 1

    @property
    def outgoing(self) -> Json:
        """The body in the form in which it is sent."""
        return {**self.body, "stream": True, "stream_options": {"include_usage": True}} if self.streams else self.body

    @property
    def most_tokens(self) -> int | None:
        """The most tokens that the answer may have."""
        found: Any = self.body.get("max_tokens") or self.body.get("max_completion_tokens")
        return found if isinstance(found, int) else None

    @property
    def estimate(self) -> Cost:
        """The most that the request may cost."""
        answers = max(self.body.get("n") or 1, self.body.get("best_of") or 1)
        most = self.most_tokens if self.most_tokens is not None else USUAL_TOKENS
        note = f"at most, for an answer of {counted(most, 'token')}."
        return tokens_cost(self.models, self.model, self.prompt_tokens, most * answers, note=note)

    def cost(self, made: Generation) -> Decimal | None:
        """The cost of a finished answer in USD."""
        if self.model is None:
            return None
        return self.model.price(made.usage.prompt, made.usage.completion, made.usage.cached)


@dataclass(frozen=True)
class ChatRequest:
    """The arguments of chat. None means that an argument was not given.

    Args:
        messages: The messages as `conversation` reads them. Files in them are still references.
        sampling: Novita's own fields by name.
        needs: The most tokens that the answer will need, if that is known. A model that cannot make so many would
            have to be paid for half an answer, so it is refused.
    """

    messages: list[Json]
    model: str | None
    tools: Sequence[Json] | None
    schema: Json | None
    thinking: bool | None
    sampling: Json
    options: Json | None
    save_to: str | None
    needs: int = 0


async def ask(
    caller: Caller, question: ChatRequest, *, way: TextWay | None = None, tried: Collection[str] = ()
) -> Purchase[TextResult]:
    """Check a question against the model and the documented schema, and plan to have it answered.

    Args:
        way: What to do if Novita no longer offers the model. It is made here in the first round.
        tried: Models that turned out to be gone.

    Raises:
        NovitaError: The question cannot be asked so.
    """
    messages, schema = question.messages, question.schema
    check_messages(messages)
    tools = native_tools(question.tools) if question.tools else None
    if schema is not None:
        check_schema(schema, "response_schema")
    await caller.progress(f"{question.model or 'language model'}: preparing")
    models = await listed_models_if_there(caller.novita, caller.app.journal)
    way = way or TextWay(caller, await what_is_gone(caller))
    kinds, gone = media_kinds(messages), {*way.passed_over, *tried}
    name, row = choose_model(models, question.model, endpoint="chat/completions", kinds=kinds, without=gone)
    way.known = question.model is None or row is not None
    way.further = None if question.model else lambda tried: ask(caller, question, way=way, tried=tried)
    for wanted, feature, what in (
        (tools, "function-calling", "tools"),
        (schema, "structured-outputs", "response_schema"),
        (question.thinking, "reasoning", "thinking"),
    ):
        if wanted:
            need_feature(models, row, feature, what)
    fields: Json = {"model": name, "messages": [], **question.sampling, "tools": tools}
    if row is None or row.has("reasoning"):
        fields["enable_thinking"] = question.thinking
    if schema is not None:
        fields["response_format"] = response_format(schema)
    body = with_options("chat", {key: value for key, value in fields.items() if value is not None}, question.options)
    if row is not None and row.max_output is not None and question.needs > row.max_output:
        raise InputError(
            f"{row.id} writes at most {counted(row.max_output, 'token')} at once, and this may need {question.needs}",
            next_step="Give a shorter piece of it, or name a model that writes more (list_models).",
        )
    body = bounded(
        body, row, sum(len(message["content"]) for message in messages if isinstance(message["content"], str))
    )
    # Checked first without the files, since reading them takes time, and again as the body will be sent.
    check_body("chat", body)
    body["messages"] = await with_media(caller.inputs, messages)
    check_body("chat", body)
    tokens = count_prompt(body["messages"]) + (count_tokens(str([tools, schema])) if tools or schema else 0)
    wish = ChatWish(CHAT_PATH, body, row, models, tokens, _title(messages), schema=schema, save_to=question.save_to)
    return await speak(caller, wish, way)


def _title(messages: Sequence[Json]) -> str:
    """The user's last words, as a title in the journal and in file names."""
    for message in reversed(messages):
        content: Any = message.get("content")
        if message.get("role") == "user" and isinstance(content, str):
            return content[:200]
        if message.get("role") == "user" and isinstance(content, list):
            texts = [str(part["text"]) for part in cast("list[Json]", content) if part.get("type") == "text"]
            return (" ".join(texts) or "media")[:200]
    return "chat"


def bounded(body: Json, model: LlmModel | None, letters: int) -> Json:
    """The body, with a bound on the answer's tokens added if it has none.

    Raises:
        InputError: The prompt of so many letters, or the wanted answer, does not fit the model.
    """
    refuse_overflow(model, letters, "The prompt")
    most = model.max_output if model is not None else None
    for name in ("max_tokens", "max_completion_tokens"):
        asked: Any = body.get(name)
        if isinstance(asked, int) and most is not None and asked > most and model is not None:
            raise InputError(
                f"{name} is {asked} and {model.id} makes at most {counted(most, 'token')}",
                next_step=f"Ask for {most} or fewer.",
            )
        if isinstance(asked, int) and asked < 1:
            raise InputError(f"{name} must be at least 1")
        if asked is not None:
            return body
    return {**body, "max_tokens": min(most or USUAL_TOKENS, USUAL_TOKENS)}


async def speak(caller: Caller, wish: ChatWish, way: TextWay) -> Purchase[TextResult]:
    """Plan to have a question answered. If the stream breaks off, the text that arrived before counts as the result.

    Raises:
        InputError: The answer cannot be saved in the wanted place.
    """
    if wish.save_to is not None:
        await to_thread.run_sync(caller.app.jobs.store.check_place, wish.save_to)
    model = str(wish.body["model"])
    remark = way.remark(model, wish.estimate)

    async def work(job: Job, tally: Tally) -> TextResult:
        made, left = Generation(wish.prompt_tokens, model=model), False
        try:
            await _send(caller, wish, made)
        except NovitaError as error:
            raise explain(error, wish.models, model) from error
        except get_cancelled_exc_class():
            left, tally.trouble = True, _LEFT
            raise
        finally:
            tally.text = made.text
            # Novita goes on generating, and charges for it, after a caller has left. Then the estimate stays counted.
            if (made.pieces or made.whole) and (made.usage.exact or not left):
                tally.usd = wish.cost(made)
            tally.facts = CallFacts(tokens=made.usage.completion, answer_id=made.id)
        await way.arrived(model)
        saved = SavedFiles(caller, job, title=wish.title, save_to=wish.save_to)
        tally.artifacts, tally.trouble = saved.artifacts, made.trouble
        wanted = PurePath(wish.save_to or "").suffix.casefold()
        suffix = wanted if wanted in _TEXT_SUFFIXES else ".json" if wish.schema else ".txt"
        await keep_long(saved, made, always=wish.save_to is not None, suffix=suffix)
        result = text_result(made, cost=wish.cost(made), files=saved.files, max_tokens=wish.most_tokens)
        return with_object(result.model_copy(update={"remark": remark or None}), made, wish.schema)

    async def request() -> Json:
        return {"request": shown_request("POST", wish.path, wish.outgoing)}

    return Purchase(
        answer=TextResult,
        effect=way.effect(model, "Ask"),
        model=model,
        title=wish.title,
        cost=wish.estimate,
        sending=Awaited(work=work),
        dry_run=request,
        instead=partial(way.on, model),
    )


async def _send(caller: Caller, wish: ChatWish, made: Generation) -> None:
    model = made.model
    doing = f"asking {model}"
    started = current_time()

    async def on_stream(now: Generation) -> None:
        await caller.progress(f"{model}: {now.state}, {counted(now.pieces, 'token')}, {current_time() - started:.0f} s")

    if not wish.streams:
        await generate_at_once(caller.novita, wish.path, wish.outgoing, made, doing=doing)
        return
    await generate(
        caller.novita,
        wish.path,
        wish.outgoing,
        made,
        doing=doing,
        on_stream=on_stream,
        silence=caller.app.settings.longest_silence,
    )
