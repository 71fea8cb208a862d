"""Embedding texts for a tool: the vectors go into a file, a summary into the answer."""

import json
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from anyio import to_thread
from pydantic import BaseModel, Field

from ...novita.core.errors import NovitaError
from ...novita.core.money import show_price
from ...novita.core.wellformed import well_formed
from ...novita.core.words import counted
from ...novita.journal.jobs import Tally
from ...novita.journal.journal import Job
from ...novita.text.costs import tokens_cost
from ...novita.text.kept_list import listed_models_if_there
from ...novita.text.language_models import LlmModel, choose_model, count_tokens, explain
from ...novita.text.vectors import (
    EMBEDDINGS_PATH,
    Embedded,
    OnPart,
    as_json,
    as_npy,
    check_texts,
    embed,
    embedding_body,
    norms,
    parts_of,
)
from ..kit.context import Caller
from ..kit.dry_run import shown_request
from ..kit.purchase import Awaited, Purchase
from ..kit.saved_files import SavedFile, SavedFiles
from ..kit.toolset import CountedUsd, ToolResult
from ..kit.ways import Way, what_is_gone
from .results import TextStatus

MOST_INLINE = 2_200
"""The most numbers shown in an answer: enough for two vectors of bge-m3."""


class MissingTexts(BaseModel):
    """Texts that have no vectors: NaN stands for them in .npy files, null in JSON."""

    first: int = Field(description="Index of the first, from 0.")
    last: int = Field(description="Index of the last.")
    reason: str = Field(description="Why.")


class NearText(BaseModel):
    """A text and how near it is to the question."""

    index: int = Field(description="Its place, from 0.")
    score: float = Field(description="Cosine; 1 is the same.")
    text: str = Field(description="How it begins.")


class EmbeddingResult(ToolResult):
    """Vectors in the order of the texts, one for each."""

    status: TextStatus = Field(description="incomplete: some texts have no vector, see missing.")
    model: str | None = Field(default=None, description="Model that embedded.")
    remark: str | None = Field(default=None, description="What differs from what was asked for.")
    nearest: tuple[NearText, ...] | None = Field(default=None, description="With query: the nearest first.")
    shape: tuple[int, ...] | None = Field(default=None, description="Texts, numbers per text.")
    norm: tuple[float, ...] | None = Field(default=None, description="Least, mean and greatest length of a vector.")
    sample: tuple[float, ...] | None = Field(default=None, description="The first numbers of the first vector.")
    vectors: tuple[tuple[float, ...], ...] | None = Field(
        default=None, description="With inline, where they are few; empty for a text without one."
    )
    files: tuple[SavedFile, ...] | None = Field(default=None, description="The vectors, float32.")
    missing: tuple[MissingTexts, ...] | None = Field(default=None, description="Texts that failed.")
    tokens: int | None = Field(default=None, description="Tokens read.")
    requests: int | None = Field(default=None, description="Requests it took; with dry_run those it would take.")
    cost_usd: str | None = Field(default=None, description="By the live price list, in USD, or 'unknown'.")
    estimated_cost_usd: str | None = Field(default=None, description="Of all requests, before they were sent.")
    counted_usd: CountedUsd = None
    next_step: str | None = Field(default=None, description="What to do now.")
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: the first that would be sent.")

    def headline(self) -> str:
        if self.shape is None:
            return "Nothing was sent yet."
        remark = f"{self.remark} " if self.remark else ""
        if self.nearest is not None:
            return f"{remark}The {len(self.nearest)} nearest of {counted(self.shape[0], 'text')}."
        if self.missing:
            return f"{remark}Not every one of {counted(self.shape[0], 'text')} has a vector: see missing."
        return f"{remark}{counted(self.shape[0], 'vector')} of {counted(self.shape[1], 'number')}."


async def embed_and_tally(
    caller: Caller,
    way: Way[Purchase[EmbeddingResult]],
    models: Sequence[LlmModel],
    name: str,
    row: LlmModel | None,
    texts: Sequence[str],
    tally: Tally,
    on_part: OnPart | None = None,
) -> Embedded:
    """The vectors of texts. The tally counts their cost, also if the work fails half way.

    Raises:
        NovitaError: None of the requests worked.
    """
    made = Embedded([])
    try:
        await embed(caller.novita, name, texts, made, clock=caller.app.jobs.clock, on_part=on_part)
    except NovitaError as error:
        raise explain(error, models, name) from error
    finally:
        if made.tokens:
            tally.usd = row.price(made.tokens, 0) if row is not None else None
    await way.arrived(name)
    return made


async def embed_texts(
    caller: Caller,
    texts: Sequence[str],
    model: str | None,
    *,
    inline: bool = False,
    save_to: str | None = None,
    way: Way[Purchase["EmbeddingResult"]] | None = None,
    tried: Collection[str] = (),
) -> Purchase[EmbeddingResult]:
    """Plan to embed texts, save the vectors and sum them up.

    Args:
        way: What to do if Novita no longer offers the model. It is made here in the first round.
        tried: Models that turned out to be gone.

    Raises:
        NovitaError: These texts cannot be embedded so.
    """
    await caller.progress(f"{model or 'embedding model'}: preparing {counted(len(texts), 'text')}")
    models = await listed_models_if_there(caller.novita, caller.app.journal)
    way = way or Way(caller, await what_is_gone(caller))
    gone = {*way.passed_over, *tried}
    name, row = choose_model(models, model, endpoint="embeddings", kinds=("embedding",), without=gone)
    way.known = model is None or row is not None
    again = partial(embed_texts, caller, texts, model, inline=inline, save_to=save_to, way=way)
    way.further = None if model else lambda tried: again(tried=tried)
    check_texts(texts, row)
    if save_to is not None:
        await to_thread.run_sync(caller.app.jobs.store.check_place, save_to)
    tokens = sum(count_tokens(text) for text in texts)
    parts = await to_thread.run_sync(parts_of, texts)
    cost = tokens_cost(models, row, tokens, 0, note="at list prices.")
    remark = way.remark(name, cost)

    async def on_part(done: int, parts: int) -> None:
        await caller.progress(f"{name}: {done} of {counted(parts, 'part')} embedded", 99 * done / parts)

    async def work(job: Job, tally: Tally) -> EmbeddingResult:
        made = await embed_and_tally(caller, way, models, name, row, texts, tally, on_part)
        saved = SavedFiles(caller, job, title=f"embeddings {name.rpartition('/')[2]}", save_to=save_to)
        tally.artifacts = saved.artifacts
        fits = inline and len(texts) * made.dimension <= MOST_INLINE
        if save_to is not None or not fits:
            form = "json" if save_to is not None and save_to.casefold().endswith(".json") else "npy"
            content = (
                await to_thread.run_sync(as_npy, made)
                if form == "npy"
                else await to_thread.run_sync(as_json, made, name)
            )
            await saved.put("the vectors", content, f".{form}", kind="file")
        for answer in made.unread:  # unreadable answers are paid for, so they are saved as they came
            text = await to_thread.run_sync(partial(json.dumps, answer, ensure_ascii=False))
            await saved.put("an answer that cannot be read", well_formed(text), ".json", kind="file")
        if made.missing:
            missing = sum(part.last - part.first + 1 for part in made.missing)
            tally.trouble = f"{missing} of {counted(len(texts), 'text')} got no vector."
        result = _result(made, name, saved, fits=fits, cost=show_price(tally.usd), trouble=tally.trouble)
        return result.model_copy(update={"remark": remark or None})

    async def requests() -> dict[str, Any]:
        first = shown_request("POST", EMBEDDINGS_PATH, embedding_body(name, parts[0]))
        return {"requests": len(parts), "request": first}

    whole = f"One request for all {counted(len(texts), 'text')}."
    first = counted(len(parts[0].texts), "text")
    several = f"{counted(len(parts), 'request')} like this one; this is the first, for the first {first}."
    return Purchase(
        answer=EmbeddingResult,
        effect=f"Embed {counted(len(texts), 'text')}.",
        model=name,
        title=f"{counted(len(texts), 'text')}: {texts[0][:100]}",
        cost=cost,
        sending=Awaited(work=work),
        dry_run=requests,
        dry_run_note=whole if len(parts) == 1 else several,
        instead=partial(way.on, name),
    )


def _result(made: Embedded, model: str, saved: SavedFiles, *, fits: bool, cost: str, trouble: str) -> EmbeddingResult:
    first = next((vector for vector in made.vectors if vector is not None), None)
    return EmbeddingResult(
        status="incomplete" if made.missing else "succeeded",
        model=model,
        shape=(len(made.vectors), made.dimension),
        norm=tuple(round(length, 6) for length in norms(made.vectors)),
        sample=tuple(round(number, 6) for number in first[:6]) if first is not None and not fits else None,
        vectors=tuple(tuple(round(n, 6) for n in vector or ()) for vector in made.vectors) if fits else None,
        files=tuple(saved.files) or None,
        missing=tuple(MissingTexts(first=part.first, last=part.last, reason=part.reason) for part in made.missing[:20])
        or None,
        tokens=made.tokens,
        requests=made.requests,
        cost_usd=cost,
        next_step=f"{trouble} Embed only those again." if trouble else None,
    )
