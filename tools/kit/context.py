"""What a tool is handed besides its arguments: the caller's client and the shared parts of the process.

The server fills `App` once, at start; `Caller` is made for every call, with the caller's own key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar, cast

import anyio
import httpx
from mcp.server.mcpserver import Context
from pydantic import BaseModel

from ...novita.core.client import NovitaClient, owner_of
from ...novita.core.pools import Patience
from ...novita.core.redaction import without_secrets
from ...novita.core.waiting import Progress
from ...novita.core.wellformed import well_formed
from ...novita.files.in_work import InWork
from ...novita.files.inputs import Inputs
from ...novita.journal.jobs import Jobs
from ...novita.journal.joining import SameCall
from ...novita.journal.journal import Journal
from ...novita.journal.leases import Leases
from .mcp_tasks.handoff import Handoff, current_handoff
from .quotes import Quotes, digest

P = TypeVar("P")

SHORTEST_LOOKS, LONGEST_LOOKS = 10.0, 120.0
"""Seconds that the links of one call may take together, at least and at most; between, what the call may wait."""


@dataclass(frozen=True)
class ToolSettings:
    """What the user settled for tools.

    Args:
        wait_seconds: How long a slow tool waits when the call does not say.
        confirm_above_usd: What counts as more than this needs a yes.
        inline_thumbnails: Whether pictures are shown small beside the text.
        longest_silence: Seconds without a byte after which a stream of text is given up.
        http: Whether callers are remote: no paths in or out.
        public_url: Where the world reaches this server.
        shipped_models_only: Novita's list is not asked for media models that came since.
        sandboxes: The sandbox tools are on: what runs is looked for even where the journal knows of nothing.
        sandbox_domain: Where sandboxes are; empty: where they are by default.
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
"""Where a request's ASGI scope says who was let in by a token of a sign-in. Clients cannot write there."""


@dataclass(frozen=True)
class SignedIn:
    """Somebody who came with a token of a sign-in.

    Args:
        owner: Stands for the subject wherever things are kept apart.
        api_key: The Novita key that pays; None: none is kept yet.
        key_page: Makes a link to the page where the subject's key is entered; None where nobody enters one.
    """

    owner: str
    api_key: str | None = field(repr=False)
    key_page: Callable[[], str] | None = field(default=None, repr=False)


@dataclass
class App:
    """The shared parts of one server process.

    Args:
        pools: Connections besides those to Novita: to its files, and to hosts that callers name.
    """

    client: NovitaClient
    jobs: Jobs
    inputs: Callable[["Caller"], Inputs]
    settings: ToolSettings = field(default_factory=ToolSettings)
    pools: tuple[httpx.AsyncClient, ...] = ()
    in_work: InWork = field(default_factory=InWork)
    leases: Leases = field(init=False)
    quotes: Quotes = field(init=False)
    _parts: dict[Any, Any] = field(init=False, default_factory=dict[Any, Any], repr=False)

    def __post_init__(self) -> None:
        self.leases = Leases(self.journal, clock=self.jobs.clock)
        self.quotes = Quotes(self.jobs.clock)

    @property
    def journal(self) -> Journal:
        return self.jobs.journal

    def part(self, make: Callable[["App"], P]) -> P:
        """What a family's own tools share in this process: `make` is called once, by the first who asks.

        So a family brings its parts along, and this module knows none of them.
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
    """One call: who makes it, and how to tell them how it goes.

    Args:
        arguments: As they were read.
        meant: What they mean: as the tool gets them, without those that say what holds anyway.
        again: Another one is wanted, though the same was asked for a moment ago.
        joins: Whether the tool's work is joined by a call that asks for the same.
        same: What tells that; set once something is to be paid.
        asks_after: The journal's row that the call is to tell the end of, for tools that bring home what was begun.
        told_of: Rows whose end the answer tells, whatever it says of others: of a call that is about several.
        answers: What the tool answers.
        outlived: What it has begun goes on when the request is over; nobody is told how it goes then.
        signed_in: Who it is, where the caller came with a token of a sign-in and not with a key.
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
    _steps: float = 0.0

    def __post_init__(self) -> None:
        self.patience = Patience(min(LONGEST_LOOKS, max(SHORTEST_LOOKS, self.app.settings.wait_seconds)))
        """With the links of this call."""
        self.hold = self.app.in_work.hold(self.owner, self.patience.left)
        """What this call holds of the files that are in work."""

    @property
    def owner(self) -> str:
        return self.novita.owner

    @property
    def inputs(self) -> Inputs:
        return self.app.inputs(self)

    @property
    def handoff(self) -> Handoff | None:
        """Set where the caller takes an MCP task for an answer: submit, note the job, return at once."""
        return current_handoff()

    def hand_over(self, kind: str, id: str) -> bool:
        """Leave what goes on at Novita under this id to an MCP task; False where the caller takes none.

        Args:
            kind: Whose follower looks at it for the task.
        """
        if self.handoff is None:
            return False
        self.handoff.job = (kind, id)
        return True

    def quoted(self, about: str) -> Decimal | None:
        """The price last shown for this call, or for the same thing by this tool; None where none was."""
        return self.app.quotes.latest(self.owner, self._quote_keys(about))

    def quote(self, about: str, usd: Decimal) -> None:
        """Remember that a price is shown now."""
        self.app.quotes.show(self.owner, self._quote_keys(about), usd)

    def _quote_keys(self, about: str) -> list[str]:
        keys = [f"{self.tool} {digest(self.arguments)}"]
        return [*keys, f"{self.tool} about {about}"] if about else keys

    async def progress(self, message: str, percent: float | None = None) -> None:
        """Tell the host how it goes. MCP wants a number that only grows, so percent is kept monotonic."""
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
    """Who the door let in by a token of a sign-in; None for callers with a key of their own."""
    scope: Mapping[str, Any] = getattr(context.request_context.request, "scope", {})
    return scope.get(SIGNED_IN)


def token_of(authorization: str) -> str:
    """The bearer token of a header, or an empty string."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def owner_in(context: Context[Any, Any]) -> str:
    """Whose request it is, without building anything."""
    if (who := signed_in(context)) is not None:
        return who.owner
    return owner_of(token_of((context.headers or {}).get("authorization", "")))


Call = Caller
"""How a tool names its first parameter `call`: filled for it, absent from its schema."""
