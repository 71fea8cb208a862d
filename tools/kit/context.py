"""What a tool gets besides its arguments: the caller's client and the shared parts of the process.

The server makes the `App` once, at start, and a `Caller` for every call, with the caller's own key.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, TypeVar, cast

import anyio
import httpx
from mcp.server.mcpserver import Context
from pydantic import BaseModel

from ...novita.core.client import NovitaClient, owner_of
from ...novita.core.network.pools import Patience
from ...novita.core.redaction import without_secrets
from ...novita.core.waiting import Progress
from ...novita.core.wellformed import well_formed
from ...novita.files.in_work import InWork
from ...novita.files.inputs import Inputs
from ...novita.journal.jobs import Jobs
from ...novita.journal.joining import SameCall
from ...novita.journal.journal import Journal
from ...novita.journal.leases import ENDERS, Ender, Leases
from ...novita.journal.team.strangers import strangers
from .mcp_tasks.handoff import Handoff, current_handoff
from .quotes import Quotes, digest

P = TypeVar("P")


class Thing(Protocol):
    """Something at Novita that has an id."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Thing)

SHORTEST_LOOKS, LONGEST_LOOKS = 10.0, 120.0
"""Bounds, in seconds, on the time that the links of one call may take together; within them, it is the call's wait."""


@dataclass(frozen=True)
class ToolSettings:
    """The user's settings for tools.

    Args:
        wait_seconds: How long a slow tool waits if the call does not say.
        confirm_above_usd: The user is asked about anything that counts as more than this.
        inline_thumbnails: Whether small pictures are shown beside the text.
        longest_silence: Seconds without a byte after which a stream of text is given up.
        http: Whether callers are remote, so that no paths of this machine are accepted or shown.
        public_url: The address at which this server is reached from outside.
        shipped_models_only: Use only the media models that we ship, without asking Novita for newer ones.
        sandboxes: Whether the sandbox tools are on; running sandboxes are then looked for even if the journal knows
            of none.
        sandbox_domain: The domain of sandboxes; empty for the default one.
    """

    wait_seconds: float = 45
    confirm_above_usd: Decimal = Decimal("1.00")
    thumbnails: bool = True
    longest_silence: float = 30
    http: bool = False
    public_url: str | None = None
    shipped_models_only: bool = False
    sandboxes: bool = False
    sandbox_domain: str = ""


SIGNED_IN = "novita_mcp.signed_in"
"""The key of a request's ASGI scope that says who came with a sign-in token. Clients cannot write it."""


@dataclass(frozen=True)
class SignedIn:
    """A person who came with a sign-in token.

    Args:
        owner: Identifies the person in the journal, the caps and the logs.
        api_key: The Novita key that pays; None if none is kept yet.
        key_page: Makes a link to the page where the person enters a key; None if people do not enter keys.
    """

    owner: str
    api_key: str | None = field(repr=False)
    key_page: Callable[[], str] | None = field(default=None, repr=False)


@dataclass
class App:
    """The shared parts of one server process.

    Args:
        pools: Connections other than those to Novita's API: to its files, and to hosts that callers name.
        enders: What ends things that have a lease, by kind.
    """

    client: NovitaClient
    jobs: Jobs
    inputs: Callable[["Caller"], Inputs]
    settings: ToolSettings = field(default_factory=ToolSettings)
    pools: tuple[httpx.AsyncClient, ...] = ()
    enders: Callable[[], Mapping[str, Ender]] = lambda: ENDERS
    in_work: InWork = field(default_factory=InWork)
    leases: Leases = field(init=False)
    quotes: Quotes = field(init=False)
    _parts: dict[Any, Any] = field(init=False, default_factory=dict[Any, Any], repr=False)

    def __post_init__(self) -> None:
        self.leases = Leases(self.journal, clock=self.jobs.clock, enders=self.enders)
        self.quotes = Quotes(self.jobs.clock)

    @property
    def journal(self) -> Journal:
        return self.jobs.journal

    def part(self, make: Callable[["App"], P]) -> P:
        """An object that a family's tools share in this process. The first call makes it by `make`.

        In this way families add their own parts without this module knowing them.
        """
        if make not in self._parts:
            self._parts[make] = make(self)
        return cast(P, self._parts[make])

    async def close(self) -> None:
        """Close the connections and the journal."""
        for http in (self.client.http, *self.pools):
            await http.aclose()
        await self.journal.close()


@dataclass
class Caller:
    """One call: who makes it, and how to report its progress.

    Args:
        arguments: The arguments as they were read.
        meant: The arguments as the tool gets them, without those that equal the default, as JSON.
        again: The caller wants a new result, although the same was asked for a moment ago.
        joins: Whether a call that asks for the same joins this tool's work.
        same: Identifies the call for joining; set once it is going to pay.
        asks_after: The journal's row whose result the call is to deliver, for tools that fetch a begun job.
        told_of: Rows whose results the answer delivers, for a call that is about several jobs.
        answers: The tool's result class.
        outlived: True once the request is over while a job that it began runs on; progress is no longer reported.
        signed_in: The person, if the caller came with a sign-in token rather than a key.
        given: The arguments as the tool gets them, including defaults, so that a tool can pass them on as a whole.
    """

    app: App
    novita: NovitaClient
    context: Context[Any, Any]
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    meant: Callable[[], Mapping[str, Any]] = dict
    again: bool = False
    joins: bool = False
    same: SameCall | None = None
    asks_after: str = ""
    told_of: list[str] = field(default_factory=list[str])
    answers: type[BaseModel] | None = None
    outlived: bool = False
    signed_in: SignedIn | None = None
    given: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    _steps: float = 0.0

    def __post_init__(self) -> None:
        self.patience = Patience(min(LONGEST_LOOKS, max(SHORTEST_LOOKS, self.app.settings.wait_seconds)))
        """The time that the links of this call may take."""
        self.hold = self.app.in_work.hold(self.owner, self.patience.left)
        """The share of this call in the files that are being processed."""

    @property
    def owner(self) -> str:
        return self.novita.owner

    @property
    def inputs(self) -> Inputs:
        return self.app.inputs(self)

    @property
    def handoff(self) -> Handoff | None:
        """Set if the caller accepts an MCP task: the tool then submits, notes the job and returns at once."""
        return current_handoff()

    def hand_over(self, kind: str, id: str) -> bool:
        """Leave the job with this id to an MCP task; False if the caller accepts none.

        Args:
            kind: The kind of follower that looks at it for the task.
        """
        if self.handoff is None:
            return False
        self.handoff.job = (kind, id)
        return True

    def quoted(self, about: str) -> Decimal | None:
        """The price last shown for this call, or for the same thing by this tool; None if none was."""
        return self.app.quotes.latest(self.owner, self._quote_keys(about))

    def quote(self, about: str, usd: Decimal) -> None:
        """Note that a price is shown now."""
        self.app.quotes.show(self.owner, self._quote_keys(about), usd)

    def _quote_keys(self, about: str) -> list[str]:
        keys = [f"{self.tool} {digest(self.arguments)}"]
        return [*keys, f"{self.tool} about {about}"] if about else keys

    async def strangers(self, ids: Iterable[str]) -> frozenset[str]:
        """Those of these ids that only other callers of this server have, although Novita shows them to this key."""
        if not self.app.settings.http:
            return frozenset()  # one user, who may have made them with an earlier key
        return await strangers(self.app.journal, self.owner, ids)

    async def without_strangers(self, things: Sequence[T]) -> list[T]:
        """Machines, endpoints and the like without those that other people made who signed in at this server.

        Callers with a key of their own see all of their account: who changes his key must still see what costs.
        """
        if self.signed_in is None:
            return list(things)
        others = await self.strangers(each.id for each in things)
        return [each for each in things if each.id not in others]

    async def progress(self, message: str, percent: float | None = None) -> None:
        """Report progress to the host. MCP wants a number that only grows, so the percentage never falls."""
        if percent is not None and percent > self._steps:
            self._steps = percent
        else:
            self._steps += min(0.5, max(0.0, (99 - self._steps) / 50))
        line = " ".join(without_secrets(message)[:200].split())
        try:
            await self.context.report_progress(round(self._steps, 2), 100, well_formed(line))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            if not self.outlived:
                raise

    def progress_of(self, what: str) -> Callable[[Progress], Any]:
        """A reporter for the waiting helper: `what` names the job and its id."""

        async def report(seen: Progress) -> None:
            parts = [what, seen.note, f"{seen.waited:.0f} s"]
            if seen.eta:
                parts.append(f"about {seen.eta:.0f} s left")
            await self.progress(", ".join(part for part in parts if part), seen.percent)

        return report


def open_call(context: Context[Any, Any], tool: str = "", arguments: Mapping[str, Any] | None = None) -> Caller:
    """The caller of this request. Over HTTP the key is the request's own or its subject's, never the process's.

    Args:
        tool: The tool that is called, with its arguments; none for resources.
    """
    app: App = context.request_context.lifespan_context.app
    if not app.settings.http:
        return Caller(app, app.client, context, tool, arguments or {})
    if (who := signed_in(context)) is not None:
        novita = app.client.for_subject(who.owner, who.api_key)
        return Caller(app, novita, context, tool, arguments or {}, signed_in=who)
    key = token_of((context.headers or {}).get("authorization", ""))
    return Caller(app, app.client.with_key(key or None), context, tool, arguments or {})


def signed_in(context: Context[Any, Any]) -> SignedIn | None:
    """The person who came with a sign-in token; None for callers with a key of their own."""
    scope: Mapping[str, Any] = getattr(context.request_context.request, "scope", {})
    return scope.get(SIGNED_IN)


def token_of(authorization: str) -> str:
    """The bearer token of a header, or an empty string."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def owner_in(context: Context[Any, Any]) -> str:
    """The owner of a request, without making a client."""
    if (who := signed_in(context)) is not None:
        return who.owner
    return owner_of(token_of((context.headers or {}).get("authorization", "")))


Call = Caller
"""The type of a tool's first parameter, `call`. The server fills it, and it is absent from the tool's schema."""
