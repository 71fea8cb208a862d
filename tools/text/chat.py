"""Text tools: asking a language model, embedding and ranking texts, and listing the models."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PrivateAttr

from ...novita.core.errors import InputError, NovitaError
from ...novita.core.money import show_price
from ...novita.core.words import counted
from ...novita.journal.jobs import Tally
from ...novita.journal.journal import Job
from ...novita.text.chat import COMPLETION_PATH
from ...novita.text.chat_messages import conversation
from ...novita.text.costs import tokens_cost
from ...novita.text.kept_list import listed_models, listed_models_if_there
from ...novita.text.language_models import (
    LlmModel,
    choose_model,
    count_tokens,
    explain,
    llm_model,
)
from ...novita.text.language_models import nearest as nearest_names
from ...novita.text.request_checks import check_body, with_options
from ...novita.text.vectors import RERANK_PATH, Ranking, rerank_body
from ...novita.text.vectors import rerank as rank_documents
from ..kit.arguments import SELDOM, Confirm, DryRun, Offset, SaveTo
from ..kit.context import Call
from ..kit.dry_run import shortened, shown_request
from ..kit.pages import page_of
from ..kit.purchase import Awaited, Purchase, carry_out
from ..kit.toolset import READS, SPENDS, SPENDS_ANEW, CountedUsd, ToolResult, Toolset
from ..kit.ways import Way, what_is_gone
from .chat_request import ChatRequest, ChatWish, TextWay, ask, bounded, speak
from .embeddings_request import EmbeddingResult, embed_texts
from .finding import find_nearest
from .given_texts import given_texts
from .results import TextResult

text = Toolset("text", "Language models, embeddings, ranking.")

Llm = Annotated[str | None, Field(description="See list_models.")]
MaxTokens = Annotated[int | None, Field(description="Default 16384.")]
Temperature = Annotated[float | None, Field(description="0 to 2.")]
TextsFile = Annotated[str | None, Field(description="Or a file of them: lines, CSV, JSON, an index.")]
NativeOptions = Annotated[dict[str, Any] | None, Field(description="Such as seed, stop, top_p, n.")]
Feature = Literal["reasoning", "function-calling", "structured-outputs", "image", "video", "audio"]


@text.tool("Chat with a language model", SPENDS_ANEW)
async def chat(
    call: Call,
    prompt: Annotated[str | None, Field(description="The question or task.")] = None,
    messages: Annotated[
        list[dict[str, Any]] | None,
        Field(description="Earlier turns, {role, content}."),
    ] = None,
    system: Annotated[str | None, Field(description="How to answer.")] = None,
    images: Annotated[list[str] | None, Field(description="Path, URL or task:<id>/<n>.")] = None,
    model: Llm = None,
    tools: Annotated[
        list[dict[str, Any]] | None, Field(description="Functions: {name, description, parameters}."), SELDOM
    ] = None,
    response_schema: Annotated[dict[str, Any] | None, Field(description="JSON schema the answer must fit.")] = None,
    thinking: Annotated[bool | None, Field(description="Think before answering.")] = None,
    max_tokens: Annotated[MaxTokens, SELDOM] = None,
    temperature: Annotated[Temperature, SELDOM] = None,
    options: Annotated[NativeOptions, SELDOM] = None,
    save_to: Annotated[SaveTo, SELDOM] = None,
    confirm: Annotated[Confirm, SELDOM] = False,
    dry_run: DryRun = False,
) -> TextResult:
    """Ask a language model (LLM) such as DeepSeek, Qwen or Llama: answer a question, summarise, translate, explain,
    write, code, extract data, or talk about a picture, sound or video. For many rows use create_batch. Costs tokens,
    mostly under $0.01, also when cancelled; returns the reply. Default deepseek-v4.1-flash, with media a Qwen3.
    """
    question = ChatRequest(
        conversation(prompt, messages, system, images),
        model,
        tools=tools,
        schema=response_schema,
        thinking=thinking,
        sampling={"max_tokens": max_tokens, "temperature": temperature},
        options=options,
        save_to=save_to,
    )
    return await carry_out(call, partial(ask, call, question), confirm=confirm, dry_run=dry_run)


@text.tool("Complete a text", SPENDS_ANEW)
async def complete_text(
    call: Call,
    prompt: Annotated[str, Field(description="Text to continue.")],
    model: Annotated[Llm, SELDOM] = None,
    max_tokens: Annotated[MaxTokens, SELDOM] = None,
    temperature: Annotated[Temperature, SELDOM] = None,
    options: Annotated[NativeOptions, SELDOM] = None,
    confirm: Annotated[Confirm, SELDOM] = False,
    dry_run: DryRun = False,
) -> TextResult:
    """Continue a text where it stops, without a conversation: autocomplete a story or code, raw completion for base
    models. For questions use chat. Costs tokens, mostly under $0.01; returns what follows.
    """
    if not prompt:
        raise InputError("prompt is empty")

    async def plan() -> Purchase[TextResult]:
        await call.progress(f"{model or 'language model'}: preparing")
        models, way = (
            await listed_models_if_there(call.novita, call.app.journal),
            TextWay(call, await what_is_gone(call)),
        )
        name, row = choose_model(models, model, endpoint="completions", without=way.passed_over)
        way.known = model is None or row is not None
        sampling = {"max_tokens": max_tokens, "temperature": temperature}
        body: dict[str, Any] = {"model": name, "prompt": prompt}
        body |= {key: value for key, value in sampling.items() if value is not None}
        body = bounded(with_options("completion", body, options), row, len(prompt))
        check_body("completion", body)
        if body.get("best_of", 1) > 1 and body["best_of"] <= (body.get("n") or 1):
            raise InputError("options.best_of must be greater than options.n")
        wish = ChatWish(COMPLETION_PATH, body, row, models, count_tokens(prompt), prompt[:200])
        return await speak(call, wish, way)

    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


@text.tool("Create embeddings", SPENDS)
async def create_embeddings(
    call: Call,
    texts: Annotated[list[str] | None, Field(description="The texts, any number.")] = None,
    file: TextsFile = None,
    query: Annotated[str | None, Field(description="Give the texts nearest to this.")] = None,
    top_n: Annotated[int | None, Field(description="How many of the nearest; default 5.")] = None,
    model: Llm = None,
    inline: Annotated[bool, Field(description="Also show up to 2200 numbers.")] = False,
    save_to: Annotated[str | None, Field(description="Folder, or file.npy, file.json."), SELDOM] = None,
    confirm: Annotated[Confirm, SELDOM] = False,
    dry_run: DryRun = False,
) -> EmbeddingResult:
    """Turn texts or sentences into embedding vectors for semantic search, similarity, clustering, RAG or an index
    (default bge-m3). To sort a few texts by relevance use rerank. Costs tokens, mostly under $0.01; saves a file of
    vectors in the order given.
    """
    given = await given_texts(call, texts, file)
    if query is not None:
        plan = partial(find_nearest, call, given, query, top_n, model, save_to=save_to)
        return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)
    if given.index is not None:
        raise InputError("The file is an index already", next_step="Give query to find the nearest of its texts.")
    if top_n is not None:
        raise InputError("top_n goes with query")
    plan = partial(embed_texts, call, given.texts, model, inline=inline, save_to=save_to)
    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


class RankedDocument(BaseModel):
    """A document and how well it answers the question."""

    index: int = Field(description="Its place in documents, from 0.")
    score: float = Field(description="Higher is better; comparable within one call.")
    text: str = Field(description="How it begins.")


class RankResult(ToolResult):
    """Documents, the best first."""

    status: Literal["succeeded", "incomplete", "needs_confirmation", "dry_run"] = Field(description="What was done.")
    model: str | None = Field(default=None, description="Model that ranked.")
    remark: str | None = Field(default=None, description="What differs from what was asked for.")
    results: tuple[RankedDocument, ...] = Field(default=(), description="The best first.")
    unscored: tuple[int, ...] | None = Field(
        default=None, description="Places of documents without a usable score; they are not among the results."
    )
    more: int | None = Field(default=None, description="Ranked but not shown; ask with a smaller top_n or fewer.")
    cost_usd: str | None = Field(default=None, description="By the live price list, in USD, or 'unknown'.")
    estimated_cost_usd: str | None = Field(default=None, description="What it would cost, before it was sent.")
    counted_usd: CountedUsd = None
    next_step: str | None = Field(default=None, description="What to do now.")
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: what would be sent.")

    def headline(self) -> str:
        remark = f"{self.remark} " if self.remark else ""
        if self.status == "incomplete":
            return f"{remark}{len(self.results)} ranked; {len(self.unscored or ())} have no usable score."
        return f"{remark}{len(self.results)} ranked." if self.status == "succeeded" else "Nothing was sent yet."


_MOST_RANKED = 100


@text.tool("Rank documents", SPENDS)
async def rerank(
    call: Call,
    query: Annotated[str, Field(description="The question.")],
    documents: Annotated[list[str] | None, Field(description="Texts to sort.")] = None,
    file: TextsFile = None,
    top_n: Annotated[int | None, Field(description="Only the best so many.")] = None,
    model: Annotated[Llm, SELDOM] = None,
    confirm: Annotated[Confirm, SELDOM] = False,
    dry_run: DryRun = False,
) -> RankResult:
    """Sort documents, passages or search hits by how relevant they are to a question, the best match first. Costs
    tokens, mostly under $0.01; returns scores and order.
    """
    if not query.strip() or not (documents or file):
        raise InputError("query and documents must not be empty")
    documents = list((await given_texts(call, documents, file, called="documents")).texts)
    if top_n is not None and top_n < 1:
        raise InputError("top_n must be at least 1")
    for index, document in enumerate(documents):
        if not document.strip():
            raise InputError(f"documents[{index}] is empty")

    way = Way[Purchase[RankResult]](call, await what_is_gone(call))

    async def plan(tried: Collection[str] = ()) -> Purchase[RankResult]:
        models, gone = await listed_models_if_there(call.novita, call.app.journal), {*way.passed_over, *tried}
        name, row = choose_model(models, model, endpoint="rerank", kinds=("rerank",), without=gone)
        way.known, way.further = model is None or row is not None, None if model else plan
        tokens = sum(count_tokens(document) for document in documents) + count_tokens(query) * len(documents)
        body = rerank_body(name, query, documents, top_n)
        cost = tokens_cost(models, row, tokens, 0, note="at list prices.")
        remark = way.remark(name, cost)

        async def work(_: Job, tally: Tally) -> RankResult:
            await call.progress(f"{name}: ranking {counted(len(documents), 'document')}")
            try:
                made = await rank_documents(call.novita, body)
            except NovitaError as error:
                raise explain(error, models, name) from error
            await way.arrived(name)
            tally.usd = row.price(made.tokens or tokens, 0) if row is not None else None
            ranked = _ranked(made, name, documents, cost=show_price(tally.usd))
            return ranked.model_copy(update={"remark": remark or None})

        async def request() -> dict[str, Any]:
            return {"request": shown_request("POST", RERANK_PATH, body)}

        return Purchase(
            answer=RankResult,
            effect=f"Rank {counted(len(documents), 'text')}.",
            model=name,
            title=query,
            cost=cost,
            sending=Awaited(work=work),
            dry_run=request,
            instead=partial(way.on, name),
        )

    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


def _ranked(made: Ranking, model: str, documents: Sequence[str], *, cost: str) -> RankResult:
    return RankResult(
        status="incomplete" if made.unscored else "succeeded",
        model=model,
        results=tuple(
            RankedDocument(
                index=ranked.index, score=round(ranked.score, 6), text=shortened(documents[ranked.index], 160)
            )
            for ranked in made.ranked[:_MOST_RANKED]
        ),
        unscored=made.unscored or None,
        more=len(made.ranked) - _MOST_RANKED if len(made.ranked) > _MOST_RANKED else None,
        cost_usd=cost,
    )


class LanguageModelLine(BaseModel):
    """One language model."""

    id: str = Field(description="Give it as model.")
    kind: str = Field(description="chat, embedding, rerank or other.")
    context: int | None = Field(default=None, description="Tokens it can hold.")
    max_output: int | None = Field(default=None, description="Tokens of its longest answer.")
    input_usd_per_million: str = Field(description="USD per million tokens read.")
    output_usd_per_million: str | None = Field(default=None, description="USD per million tokens made.")
    features: tuple[str, ...] = Field(default=(), description="What it can do.")
    takes: tuple[str, ...] = Field(default=(), description="Kinds of input.")


class LanguageModelList(ToolResult):
    """Language models, the cheapest first."""

    models: tuple[LanguageModelLine, ...] = Field(description="The cheapest first.")
    total: int = Field(description="How many fit.")
    next_offset: int | None = Field(default=None, description="Give it as offset for the next page.")

    _seen: str = PrivateAttr("")

    def headline(self) -> str:
        age = f" As of {self._seen}: Novita's list cannot be read now." if self._seen else ""
        return f"{len(self.models)} of {counted(self.total, 'model')}.{age}"

    def for_reading(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields for the model. One column says what each language model can do, in the words of the argument
        `needs`. Chatting and reading text are left out, since nearly all can do that.
        """
        rows: list[dict[str, Any]] = []
        for line in self.models:
            shown = line.model_dump(mode="json", exclude={"kind", "features", "takes"}, exclude_none=True)
            kinds = () if line.kind == "chat" else (line.kind,)
            rows.append({**shown, "can": [*kinds, *line.features, *(kind for kind in line.takes if kind != "text")]})
        return {**fields, "models": rows}


@text.tool("List language models", READS)
async def list_models(
    call: Call,
    query: Annotated[str | None, Field(description="Words in its name.")] = None,
    kind: Annotated[Literal["chat", "embedding", "rerank"] | None, Field(description="What for.")] = None,
    needs: Annotated[list[Feature] | None, Field(description="What it must handle.")] = None,
    min_context: Annotated[int | None, Field(description="Tokens that must fit.")] = None,
    max_usd: Annotated[float | None, Field(description="Per million tokens made."), SELDOM] = None,
    limit: Annotated[int, Field(le=60, description="At most 60."), SELDOM] = 20,
    offset: Offset = 0,
) -> LanguageModelList:
    """Which language models (LLMs), embedding and rerank models there are, to find or compare by price per token,
    the cheapest, context length and abilities such as vision, reasoning or function calling. Not for image, video
    or audio models: list_media_models. Free; one row a model, cheapest first.
    """
    found = [
        model
        for model in await listed_models(call.novita, call.app.journal)
        if (kind is None or model.kind == kind)
        and all(model.has(need) for need in needs or ())
        and (min_context is None or (model.context or 0) >= min_context)
        and (max_usd is None or _within(model, Decimal(str(max_usd))))
    ]
    if query:
        words = query.casefold().split()
        named = [model for model in found if all(word in f"{model.id} {model.title}".casefold() for word in words)]
        near = nearest_names(query, [model.id for model in found])
        found = named or [model for model in found if model.id in near]
    found.sort(key=lambda model: (model.usual_price is None, model.usual_price or 0, model.id))
    page = page_of(found, offset, limit)
    listed = LanguageModelList(
        models=tuple(line_of(model) for model in page.rows),
        total=page.total,
        next_offset=page.next_offset,
    )
    listed._seen = found[0].seen if found else ""  # pyright: ignore[reportPrivateUsage]
    return listed


def _within(model: LlmModel, most: Decimal) -> bool:
    band = model.bands[0]
    price = band.output if model.kind == "chat" else band.input
    return price is not None and price <= most


def line_of(model: LlmModel) -> LanguageModelLine:
    """A model as a line of a list."""
    band = model.bands[0]
    return LanguageModelLine(
        id=model.id,
        kind=model.kind,
        context=model.context,
        max_output=model.max_output,
        input_usd_per_million=show_price(band.input),
        output_usd_per_million=show_price(band.output) if model.kind == "chat" else None,
        features=model.features,
        takes=model.inputs,
    )


class PriceBand(BaseModel):
    """The prices for prompts of a certain length or more, in USD per million tokens."""

    from_prompt_tokens: int = Field(description="Prompts of so many tokens or more.")
    input_usd: str = Field(description="Read.")
    output_usd: str = Field(description="Made.")
    cached_usd: str | None = Field(default=None, description="Read from the cache.")


class ModelCard(LanguageModelLine, ToolResult):
    """One language model in full."""

    title: str = Field(description="Its name.")
    about: str | None = Field(default=None, description="What Novita says about it.")
    endpoints: tuple[str, ...] = Field(default=(), description="Routes that serve it.")
    makes: tuple[str, ...] = Field(default=(), description="Kinds of output.")
    prices: tuple[PriceBand, ...] = Field(description="By length of the prompt.")

    def headline(self) -> str:
        return self.title


@text.tool("Get a language model", READS)
async def get_model(call: Call, model: Annotated[str, Field(description="Name or id.")]) -> ModelCard:
    """Facts about one language model (LLM) by name: how long its context window is, how many tokens fit and come
    out at most, does it support vision or function calling, price per million tokens. To find or compare:
    list_models. Free.
    """
    found = await llm_model(call.novita, model)
    return ModelCard(
        **line_of(found).model_dump(),
        title=found.title,
        about=shortened(found.description, 1_000) or None,
        endpoints=found.endpoints,
        makes=found.outputs,
        prices=tuple(
            PriceBand(
                from_prompt_tokens=band.start,
                input_usd=show_price(band.input),
                output_usd=show_price(band.output),
                cached_usd=None if band.cached is None else show_price(band.cached),
            )
            for band in found.bands
        ),
    )
