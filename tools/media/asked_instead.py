"""Asks a chat model what a media model would do, if none that could is known to be alive: to describe a picture, write
down a recording, or write lyrics.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...novita.core.costs import Cost
from ...novita.core.errors import InputError, NovitaError
from ...novita.core.money import say_usd, show_price
from ...novita.files.media_limits import MediaLimits
from ...novita.files.sound import LONGEST
from ...novita.journal.jobs import Paid
from ..kit.context import Caller
from ..kit.purchase import Purchase, Sending
from ..text.chat_request import ChatRequest, ask
from ..text.results import TextResult
from .results import MediaResult
from .stand_ins import Asked


async def ask_instead(
    caller: Caller,
    asked: Asked,
    given: Mapping[str, object],
    *,
    title: str,
    model: str | None = None,
    options: Mapping[str, Any] | None = None,
    save_to: str | None = None,
) -> Purchase[MediaResult]:
    """The purchase of an answer by a chat model.

    Args:
        model: The language model that the call names; None for the usual ones.
        options: Options of the call. They are meant for media models, and a chat model takes none of them.

    Raises:
        NovitaError: The chat model cannot be asked.
    """
    if any(value is not None for value in (options or {}).values()):
        raise InputError(
            f"{asked.differs.partition(':')[0]}: a chat model stands in, which takes no `options`",
            next_step="Leave options out, or name a media model that takes them; list_media_models shows them.",
        )
    words = {
        "prompt": given.get("prompt", ""),
        "name": f"Its title: {given['name']}\n" if given.get("name") else "",
        "lyrics": f"Go on from these:\n{given['lyrics']}" if given.get("lyrics") else "",
    }
    parts: list[dict[str, Any]] = [{"type": "text", "text": asked.prompt.format(**words).strip()}]
    needs = 0
    if asked.kind:
        parts.append({"type": asked.kind, "url": str(given[asked.kind])})
    if asked.kind == "audio":
        needs = await _tokens_to_write_down(caller, str(given["audio"]))
    question = ChatRequest(
        [{"role": "user", "content": parts}],
        model,
        tools=None,
        schema=None,
        thinking=None,
        sampling={"max_tokens": max(_USUAL_TOKENS, needs)},
        options=None,
        save_to=save_to,
        needs=needs,
    )
    return _as_media(await ask(caller, question), asked.differs, title)


_USUAL_TOKENS = 4_000
_TOKENS_A_SECOND = 8
"""Tokens that a second of speech may need: twice what a fast speaker says in a language that needs many tokens."""


async def _tokens_to_write_down(caller: Caller, recording: str) -> int:
    """How many tokens the transcript of a recording may need.

    Raises:
        InputError: The recording cannot be used, or is longer than half an hour.
    """
    source = await caller.inputs.load(recording, "audio", limits=MediaLimits(max_seconds=LONGEST))
    loaded, _ = await source.loaded()
    return math.ceil((loaded.duration or 0) * _TOKENS_A_SECOND)


@dataclass(frozen=True)
class _AsMedia:
    """Sends a question to a chat model and returns the answer as a media result."""

    inner: Sending[TextResult]
    cost: Cost
    remark: str

    async def carry(self, caller: Caller, paid_for: Paid) -> MediaResult:
        told = await self.inner.carry(caller, paid_for)
        return MediaResult(
            status="succeeded" if told.status == "succeeded" else "incomplete",
            model=told.model,
            remark=" ".join(part for part in (told.remark, self.remark) if part),
            text=told.text,
            estimated_cost_usd=self.cost.shown or show_price(self.cost.usd),
            next_step=told.trouble or _done(told.cost_usd),
        )


def _done(cost_usd: str | None) -> str:
    if cost_usd is None or cost_usd == "unknown":
        return "Done."
    return f"Done. It cost {say_usd(cost_usd)}, by the live price list."


def _as_media(bought: Purchase[TextResult], remark: str, title: str) -> Purchase[MediaResult]:
    shows = bought.dry_run

    async def dry_run() -> Mapping[str, Any]:
        shown: Mapping[str, Any] = await shows() if shows is not None else {}
        return {**shown, "remark": remark}

    async def instead(error: NovitaError) -> Purchase[MediaResult] | None:
        other = await bought.instead(error) if bought.instead is not None else None
        return None if other is None else _as_media(other, remark, title)

    return Purchase(
        answer=MediaResult,
        effect=f"{bought.effect} {remark}",
        model=bought.model,
        title=title,
        cost=bought.cost,
        sending=_AsMedia(bought.sending, bought.cost, remark),
        dry_run=dry_run,
        instead=instead,
    )
