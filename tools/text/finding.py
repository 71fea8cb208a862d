"""Finds which of many texts come nearest to a question. Their vectors are made once, kept as an index, and compared
on this machine.
"""

from collections.abc import Collection
from functools import partial
from typing import Any

from anyio import to_thread

from ...novita.core.errors import ArtifactError, InputError
from ...novita.core.money import show_price
from ...novita.core.words import counted
from ...novita.journal.facts import CallFacts
from ...novita.journal.jobs import Tally
from ...novita.journal.journal import Job, JobState
from ...novita.text.costs import tokens_cost
from ...novita.text.kept_list import listed_models_if_there
from ...novita.text.language_models import choose_model, count_tokens
from ...novita.text.nearest import TextIndex, index_key, nearest_texts, read_index, write_index
from ...novita.text.vectors import EMBEDDINGS_PATH, check_texts, embedding_body, parts_of
from ..kit.context import Caller
from ..kit.dry_run import shortened, shown_request
from ..kit.purchase import Awaited, Purchase
from ..kit.saved_files import SavedFiles
from ..kit.ways import Way, what_is_gone
from .embeddings_request import EmbeddingResult, NearText, embed_and_tally
from .given_texts import GivenTexts

MOST_NEAREST = 50
USUAL_NEAREST = 5
_LOOKED_THROUGH = 200
"""How many rows of the journal are searched for an index of the same texts."""


async def find_nearest(
    caller: Caller,
    given: GivenTexts,
    query: str,
    top_n: int | None,
    model: str | None,
    *,
    save_to: str | None,
    way: Way[Purchase[EmbeddingResult]] | None = None,
    tried: Collection[str] = (),
) -> Purchase[EmbeddingResult]:
    """Plan to embed the question, and also the texts if there is no index of them yet.

    Raises:
        NovitaError: These texts cannot be embedded so.
    """
    if not query.strip():
        raise InputError("query is empty")
    most = USUAL_NEAREST if top_n is None else top_n
    if not 1 <= most <= MOST_NEAREST:
        raise InputError(f"top_n must be 1 to {MOST_NEAREST}")
    if given.index is not None and model is not None and model != given.index.model:
        raise InputError(f"The index was made with {given.index.model}", next_step="Leave model out.")
    await caller.progress(f"{model or 'embedding model'}: looking through {counted(len(given.texts), 'text')}")
    models = await listed_models_if_there(caller.novita, caller.app.journal)
    way = way or Way(caller, await what_is_gone(caller))
    wanted = model or (given.index.model if given.index is not None else None)
    gone = {*way.passed_over, *tried}
    name, row = choose_model(models, wanted, endpoint="embeddings", kinds=("embedding",), without=gone)
    way.known = wanted is None or row is not None
    again = partial(find_nearest, caller, given, query, top_n, model, save_to=save_to, way=way)
    way.further = None if wanted else lambda tried: again(tried=tried)
    index = given.index or await _kept_index(caller, name, given)
    texts = [query] if index is not None else [*given.texts, query]
    check_texts(texts, row)
    if save_to is not None:
        await to_thread.run_sync(caller.app.jobs.store.check_place, save_to)
    cost = tokens_cost(models, row, sum(count_tokens(text) for text in texts), 0, note="at list prices.")
    remark = way.remark(name, cost)

    async def work(job: Job, tally: Tally) -> EmbeddingResult:
        made = await embed_and_tally(caller, way, models, name, row, texts, tally)
        saved = SavedFiles(caller, job, title=f"index {name.rpartition('/')[2]}", save_to=save_to)
        tally.artifacts = saved.artifacts
        whole = index or TextIndex(name, list(given.texts), made.vectors[:-1])
        if index is None:
            # Saved before anything else can fail, since the vectors are paid for.
            await saved.put("the index", await to_thread.run_sync(write_index, whole), ".json", kind="file")
            tally.facts = CallFacts(index=index_key(name, given.texts))
        sought = made.vectors[-1]
        if sought is None:
            tally.trouble = "The question has no vector."
            step = f"{tally.trouble} Ask again: the index stays."
            return EmbeddingResult(status="incomplete", model=name, files=tuple(saved.files) or None, next_step=step)
        near = await to_thread.run_sync(nearest_texts, whole, sought, most)
        without = sum(vector is None for vector in whole.vectors)
        return EmbeddingResult(
            status="incomplete" if without else "succeeded",
            model=name,
            remark=remark or None,
            nearest=tuple(
                NearText(index=hit.index, score=round(hit.score, 4), text=shortened(whole.texts[hit.index], 300))
                for hit in near
            ),
            shape=(len(whole.texts), whole.dimension),
            files=tuple(saved.files) or None,
            tokens=made.tokens,
            requests=made.requests,
            cost_usd=show_price(tally.usd),
            next_step=f"Left out, as they have no vector: {counted(without, 'text')}."
            if without
            else _used_again(saved),
        )

    async def requests() -> dict[str, Any]:
        parts = await to_thread.run_sync(parts_of, texts)
        first = shown_request("POST", EMBEDDINGS_PATH, embedding_body(name, parts[0]))
        return {"requests": len(parts), "request": first}

    what = (
        "the question; the texts have an index"
        if index is not None
        else f"{counted(len(given.texts), 'text')} and the question"
    )
    return Purchase(
        answer=EmbeddingResult,
        effect=f"Embed {what}.",
        model=name,
        title=f"nearest of {counted(len(given.texts), 'text')}: {query[:100]}",
        cost=cost,
        sending=Awaited(work=work),
        dry_run=requests,
        instead=partial(way.on, name),
    )


def _used_again(saved: SavedFiles) -> str | None:
    """A sentence that says how the next question costs less: by the saved index."""
    if not saved.artifacts:
        return None
    made = saved.artifacts[0]
    return f'For the next question give file="task:{made.task_id}/{made.index}": its texts are not embedded again.'


async def _kept_index(caller: Caller, model: str, given: GivenTexts) -> TextIndex | None:
    """The index that an earlier call made of exactly these texts, if its file is still here."""
    key = await to_thread.run_sync(index_key, model, given.texts)
    rows = await caller.app.journal.recent(
        caller.owner, limit=_LOOKED_THROUGH, kind="call", states=(JobState.SUCCEEDED, JobState.FAILED)
    )
    store = caller.app.jobs.store
    for row in rows:
        if row.facts_as(CallFacts).index == key and row.artifacts:
            try:
                data = await store.read(row.artifacts[0])
                return await to_thread.run_sync(read_index, data, "The index")
            except (ArtifactError, InputError):  # the file is gone or was changed, so the index is made again
                continue
    return None
