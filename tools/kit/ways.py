"""What a call does if Novita no longer offers its model: it takes the next model of a chain, or raises an error that
names models on offer.

Novita refuses such a request without billing it. A model counts as gone only if Novita itself says so, and only if
another route at the same address answers as Novita does: with a wrong address every model would look gone.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from ...novita.core.client import NovitaClient
from ...novita.core.costs import Cost
from ...novita.core.errors import Gone, InputError, JournalError, NotFoundError, NovitaError
from ...novita.core.json_paths import dig
from ...novita.core.money import say_usd
from ...novita.journal.gone import EVERYBODY, GoneModel, gone_models, note_gone, note_living
from .context import Caller

P = TypeVar("P")
logger = logging.getLogger(__name__)

MOST_TRIED = 4
"""The most models of a chain that one call tries. If so many seem to be gone at once, the address is wrong."""


def _nothing() -> Sequence[str]:
    return ()


@dataclass
class Way(Generic[P]):
    """One call's way down a chain of models for any purpose. `P` is a planned call.

    Args:
        gone: Models that were known to be gone before this call, by id.
        further: Plans the call with the next model that was not tried yet. None if the caller named the model: then it
            is never replaced.
        living: Ids of models of the same kind, those with the best evidence of being on offer first.
        known: Whether the model is known to have existed. A made-up name does not count as gone.
        expected: Whether no model of this kind was known to be on offer, so that it is no surprise if all are gone.
        otherwise: What the caller can do instead if no model of this kind is on offer.
        missed: The models found to be gone in this call, in the order in which they were tried.
    """

    caller: Caller
    gone: Mapping[str, GoneModel]
    further: Callable[[Collection[str]], Awaitable[P]] | None = None
    living: Callable[[], Sequence[str]] = _nothing
    known: bool = True
    expected: bool = False
    otherwise: str = ""
    missed: list[tuple[str, Gone]] = field(default_factory=list[tuple[str, Gone]])

    @property
    def passed_over(self) -> frozenset[str]:
        """Ids of models that are used only if the caller names them."""
        return frozenset(name for name, one in self.gone.items() if one.passed_over)

    def effect(self, model: str, act: str = "Run") -> str:
        """What the user's yes is for, in words."""
        return " ".join(
            [*([f"{self._names()} not served by Novita any more."] if self.missed else []), f"{act} {model}."]
        )

    def remark(self, model: str, cost: Cost) -> str:
        """The first sentence of an answer, which says that another model was used. Empty for the first choice."""
        if not self.missed:
            return ""
        counted = say_usd(self.caller.app.jobs.caps.counted(cost))
        about = "" if cost.basis == "documented" else "about "
        price = f"{about}{say_usd(cost.usd)}" if cost.usd is not None else f"a price not known ({counted} at most)"
        return f"{self._names()} not served by Novita any more; {model} took its place, for {price}."

    def _names(self) -> str:
        ids = [model for model, _ in self.missed]
        return f"{', '.join(ids)} {'is' if len(ids) == 1 else 'are'}"

    async def on(self, model: str, error: NovitaError) -> P | None:
        """The plan with the next model, if this one is gone. Otherwise None, and the error says what to do."""
        if not isinstance(error, NotFoundError):
            return None
        if not error.envelope:
            error.what = f"{self._base} does not answer as Novita does: {error.what}"
            error.next_step = _CHECK_ADDRESS
            return None
        if error.gone is None:
            return None
        self.missed.append((model, error.gone))
        if self.further is not None and len(self.missed) < MOST_TRIED:
            try:
                return await self.further([one for one, _ in self.missed])
            except InputError:
                pass  # no other model can do this; the caller gets the last model's error
        await self._give_up(error)
        return None

    async def arrived(self, model: str) -> None:
        """Note that this model accepted the request, so it is on offer, and that those tried before it are gone."""
        await self._note(self.missed)
        if model in self.gone:
            await self._kept(note_living(self.caller.app.journal, model, base=self._base, owner=self.caller.owner))

    async def _give_up(self, error: NotFoundError) -> None:
        (model, what), *more = self.missed
        there = await is_novita(self.caller.novita)
        if more:  # nothing is noted, since no answer proves which of them is really gone
            known = "No model for this is known to live: " if self.expected and there else ""
            error.what = f"{known}{self._names()} not there, says {self._base}: {error.what}"
            error.next_step = f"{_NAME_ONE} {self.otherwise}".strip() if there else _CHECK_ADDRESS
            return
        if not there:
            error.what = f"{model} is not served at {self._base}: {error.what}"
            error.next_step = _CHECK_ADDRESS
            return
        if self.known:
            await self._note(self.missed)
        why = "is not served by Novita any more" if what == "route" else "is not open to this key, or is gone"
        error.what = f"{model} {why}: {error.what}"
        living = ", ".join(id for id in self.living() if id not in self.passed_over and id != model)
        advice = error.next_step if what == "model" else ""
        nothing = f"No other model for this is known to live. {self.otherwise}".strip()
        error.next_step = f"Use another model of the same kind: {living}." if living else advice or nothing

    async def _note(self, missed: Collection[tuple[str, Gone]]) -> None:
        for model, what in missed:
            owner = EVERYBODY if what == "route" else self.caller.owner
            await self._kept(note_gone(self.caller.app.journal, model, base=self._base, owner=owner))

    async def _kept(self, note: Awaitable[None]) -> None:
        """Write a note to the journal. If that fails, the call goes on, since it matters more than the note."""
        try:
            await note
        except JournalError as error:
            logger.warning("models that are gone were not noted: %s", error)

    @property
    def _base(self) -> str:
        return self.caller.novita.base_url


async def what_is_gone(caller: Caller) -> Mapping[str, GoneModel]:
    """The models that the journal knows to be gone for this caller, by id."""
    return await gone_models(caller.app.journal, base=caller.novita.base_url, owner=caller.owner)


async def is_novita(client: NovitaClient) -> bool:
    """Whether Novita answers at the client's address, tested by its list of language models, which is free."""
    try:
        answer = await client.for_looking().read(
            "GET", "/openai/v1/models", doing="looking whether Novita is there", group="llm"
        )
    except NovitaError:
        return False
    rows: Any = dig(answer.data, "data")
    return isinstance(rows, list) and any(dig(row, "id") for row in cast("list[Any]", rows))


_CHECK_ADDRESS = (
    "The address is probably wrong, or a proxy answers in Novita's place: have the user check NOVITA_BASE_URL "
    "and the proxy. No model is marked as gone."
)
_NAME_ONE = "Name another model. None of these is marked as gone, since nothing proves that."
