"""The control plane of sandboxes: create, find, pause, resume and end them; templates, snapshots, quota, events.

A create is sent once. Everything else may be sent again: a sandbox that is paused, extended or deleted twice is what
it would be after once.
"""

import contextlib
import re
import urllib.parse
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from ..core.answers import Shape as Answer
from ..core.answers import read_rows, read_shape
from ..core.backoff import RetryPolicy
from ..core.client import API_HOST, NovitaClient, sendable
from ..core.errors import InputError, NotFoundError, NovitaAPIError, NovitaConnectionError, NovitaError
from .hosts import Hosts, check_id
from .shapes import Events, Metric, Sandbox, SandboxEvent, SandboxQuota, SandboxTemplate, Snapshot, TemplatePage

T = TypeVar("T", bound=Answer)
State = Literal["running", "paused"]
CREATE_PATH = "/sandboxes"
BOTH: tuple[State, ...] = ("running", "paused")
LEAST_IDLE = 60
PAGE = 100
MOST_PAGES = 50
_HISTORY = 20


def key_header(api_key: str | None) -> Mapping[str, str]:
    """The header with the key. The control plane takes no `Authorization: Bearer`."""
    return {"X-API-KEY": sendable(api_key)}


class SandboxGoneError(NovitaError):
    """The sandbox does not run: it was deleted, its time was over, it is paused, or it never existed."""


@dataclass(frozen=True)
class Wish:
    """A sandbox as it is to be made. Times in seconds.

    Args:
        timeout: How long it lives; Novita's own limit, whatever becomes of us.
        idle: After so long without a connection it ends before that; None never.
        pause: At its end it is paused, not deleted.
        env: Variables, secrets among them: what is sent is not to be shown.
        stored_secrets: Variable to the name of a secret stored at Novita.
        metadata: Free marks; `idle_timeout` is Novita's.
    """

    template: str
    timeout: int
    idle: int | None = None
    pause: bool = False
    internet: bool = True
    public_ports: bool = False
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    stored_secrets: Mapping[str, str] = field(default_factory=dict[str, str])
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])

    def body(self) -> dict[str, Any]:
        metadata = dict(self.metadata)
        if self.idle is not None:
            metadata["idle_timeout"] = str(max(LEAST_IDLE, self.idle))
        sent: dict[str, Any] = {
            "templateID": self.template,
            "timeout": self.timeout,
            "autoPause": self.pause,
            "metadata": metadata,
            "envVars": dict(self.env),
            "secure": True,
            "allow_internet_access": self.internet,
            "network": {"allowPublicTraffic": self.public_ports},
        }
        if self.stored_secrets:
            sent["secrets"] = dict(self.stored_secrets)
        return sent


@dataclass(frozen=True)
class Sandboxes:
    """The sandboxes that one key sees."""

    client: NovitaClient
    hosts: Hosts

    @classmethod
    def of(cls, client: NovitaClient, domain: str) -> "Sandboxes":
        """The sandboxes of a client's key. If the base URL was moved, their addresses move too.

        Raises:
            InputError: The domain cannot be used.
        """
        base = client.base_url.rstrip("/")
        moved = "" if base == API_HOST else base
        return cls(replace(client, auth=key_header), Hosts(domain, moved))

    def for_looking(self) -> "Sandboxes":
        """The same with fewer retries, for callers that try again themselves."""
        return replace(self, client=replace(self.client, retries=RetryPolicy(attempts=2), read_timeout=9))

    async def _read(self, method: str, path: str, doing: str, **more: Any) -> Any:
        answer = await self.client.read(method, path, doing=doing, group="sandbox", host=self.hosts.plane, **more)
        return answer.data

    # one sandbox

    async def create(self, wish: Wish) -> Sandbox:
        """Make one. Sent once.

        Raises:
            NovitaError: It was refused; or the answer was lost, and `billed` says "maybe".
        """
        doing = "creating a sandbox"
        answer = await self.client.spend(
            "POST", CREATE_PATH, doing=doing, group="sandbox", body=wish.body(), host=self.hosts.plane
        )
        made = read_shape(Sandbox, answer.data, doing)
        if not made.id:
            raise NovitaConnectionError(
                "Novita took the order for a sandbox, but its answer names none",
                billed="maybe",
                next_step="Look at list_sandboxes.",
            )
        return made

    async def get(self, sandbox_id: str) -> Sandbox:
        """Its state and its token. Has no side effect.

        Raises:
            SandboxGoneError: The account has none of this id.
        """
        doing = "looking at the sandbox"
        try:
            data = await self._read("GET", f"/sandboxes/{check_id(sandbox_id)}", doing)
        except NotFoundError as error:
            raise await self.gone(sandbox_id) from error
        return read_shape(Sandbox, data, doing)

    async def gone(self, sandbox_id: str) -> SandboxGoneError:
        """The error to raise if there is no such sandbox; it says why."""
        last: SandboxEvent | None = None
        with contextlib.suppress(NovitaError):  # the history only explains more
            last = next(iter(await self.events(sandbox_id)), None)
        if last is None:
            return SandboxGoneError(
                f"There is no sandbox {sandbox_id[:60]}",
                next_step="list_sandboxes has those that there are; create_sandbox makes one.",
            )
        how = {"timeout": "its time was over", "delete": "it was deleted", "overdue": "the account could not pay"}
        at = f" at {last.at:%Y-%m-%d %H:%M:%S} UTC" if last.at else ""
        return SandboxGoneError(
            f"The sandbox {sandbox_id[:60]} has ended ({how.get(last.name, f'last event: {last.name[:30]}')}{at}); "
            "its files and variables are lost",
            next_step="Make another with create_sandbox.",
        )

    async def connect(self, sandbox_id: str, seconds: int) -> Sandbox:
        """Resume a paused one, or see that a running one lives for `seconds` more at least.

        Waits for a pause that is still under way.

        Raises:
            SandboxGoneError: There is none of this id.
        """
        doing, path = "resuming the sandbox", f"/sandboxes/{check_id(sandbox_id)}/connect"
        try:
            data = await self._read("POST", path, doing, body={"timeout": seconds})
        except NotFoundError as error:
            raise await self.gone(sandbox_id) from error
        return read_shape(Sandbox, data, doing)

    async def pause(self, sandbox_id: str) -> None:
        """Pause it. It keeps its files and its memory, and costs only its storage. It may be paused already."""
        try:
            await self._read("POST", f"/sandboxes/{check_id(sandbox_id)}/pause", "pausing the sandbox")
        except NotFoundError as error:
            raise await self.gone(sandbox_id) from error
        except NovitaAPIError as error:
            if error.status != 409:
                raise

    async def set_timeout(self, sandbox_id: str, seconds: int) -> None:
        """Set how long it lives from now on, whether that is more than before or less."""
        doing = "changing the sandbox's time"
        try:
            await self._read("POST", f"/sandboxes/{check_id(sandbox_id)}/timeout", doing, body={"timeout": seconds})
        except NotFoundError as error:
            raise await self.gone(sandbox_id) from error

    async def delete(self, sandbox_id: str) -> bool:
        """End it, running or paused, with everything in it. Returns False if there was none."""
        try:
            await self._read("DELETE", f"/sandboxes/{check_id(sandbox_id)}", "deleting the sandbox")
        except NotFoundError:
            return False
        return True

    # many

    async def list_all(
        self, *, states: Collection[State] = BOTH, metadata: Mapping[str, str] | None = None
    ) -> list[Sandbox]:
        """All of them, newest first as Novita lists them; those that carry all of `metadata`."""
        query: dict[str, str] = {"state": ",".join(states), "limit": str(PAGE)}
        if metadata:
            # Encoded twice, as Novita's own client does.
            quoted = {urllib.parse.quote(key): urllib.parse.quote(value) for key, value in metadata.items()}
            query["metadata"] = urllib.parse.urlencode(quoted)
        found: list[Sandbox] = []
        for _ in range(MOST_PAGES):
            answer = await self.client.read(
                "GET", "/v2/sandboxes", doing="listing sandboxes", group="sandbox", params=query, host=self.hosts.plane
            )
            found += _rows(Sandbox, answer.data, "listing sandboxes")
            token = answer.headers.get("x-next-token", "")
            if not token or token == query.get("nextToken"):
                break
            query["nextToken"] = token
        # A server that does not know the filter would return the sandboxes of all users of the key.
        wanted = (metadata or {}).items()
        return [each for each in found if each.id and wanted <= each.metadata.items()]

    async def quota(self) -> SandboxQuota:
        """The account's limits, and what of them is in use."""
        return read_shape(
            SandboxQuota, await self._read("GET", "/sandboxes/quota", "reading the quota"), "reading the quota"
        )

    async def metrics(self, sandbox_id: str) -> list[Metric]:
        """One measurement every five seconds; at first there are none."""
        doing = "reading the sandbox's metrics"
        try:
            data = await self._read("GET", f"/sandboxes/{check_id(sandbox_id)}/metrics", doing)
        except NotFoundError as error:
            raise await self.gone(sandbox_id) from error
        return _rows(Metric, data, doing)

    async def events(self, sandbox_id: str) -> list[SandboxEvent]:
        """What happened to a sandbox, newest first."""
        query = {"sandboxID": check_id(sandbox_id), "limit": str(_HISTORY)}
        doing = "reading the sandbox's history"
        found = read_shape(Events, await self._read("GET", "/sandboxes/events", doing, params=query), doing)
        return [event for event in found.items if event.sandbox_id == sandbox_id]

    # templates and snapshots, from which sandboxes start

    async def templates(self) -> list[SandboxTemplate]:
        """The official templates and those of the account."""
        found: list[SandboxTemplate] = []
        for page in range(1, MOST_PAGES):
            query = {"template_type": "template_build", "page": str(page), "limit": str(PAGE)}
            doing = "listing templates"
            answer = read_shape(TemplatePage, await self._read("GET", "/v2/templates", doing, params=query), doing)
            found += answer.templates
            if page >= (answer.total_pages or 0):
                break
        return [each for each in found if each.id]

    async def template(self, name: str) -> SandboxTemplate | None:
        """The template of this id, name, `name:tag`, or the snapshot of this id; None where there is none."""
        wanted = name.partition(":")[0]
        for each in await self.templates():
            if wanted == each.id or wanted in (*each.names, *each.aliases):
                return each
        doing = "looking for the template"
        try:
            data = await self._read("GET", f"/templates/{urllib.parse.quote(name, safe='')}", doing)
        except NotFoundError:
            return None
        found = read_shape(SandboxTemplate, data, doing)
        return found if found.id else None

    async def snapshots(self, sandbox_id: str | None = None) -> list[Snapshot]:
        """The snapshots of one sandbox, or of all."""
        query = {"limit": str(PAGE), **({"sandboxID": check_id(sandbox_id)} if sandbox_id else {})}
        data = await self._read("GET", "/snapshots", "listing snapshots", params=query)
        return [each for each in _rows(Snapshot, data, "listing snapshots") if each.id]

    async def create_snapshot(self, sandbox_id: str, name: str = "") -> Snapshot:
        """Save the state of a sandbox, which is paused meanwhile. Sent once."""
        doing = "saving the sandbox's state"
        try:
            answer = await self.client.spend(
                "POST",
                f"/sandboxes/{check_id(sandbox_id)}/snapshots",
                doing=doing,
                group="sandbox",
                body={"name": name} if name else {},
                host=self.hosts.plane,
            )
        except NotFoundError as error:
            raise await self.gone(sandbox_id) from error
        return read_shape(Snapshot, answer.data, doing)

    async def delete_snapshot(self, snapshot_id: str) -> bool:
        """Delete a snapshot. Returns False if there was none."""
        try:
            await self._read("DELETE", f"/templates/{check_id(snapshot_id)}", "deleting the snapshot")
        except NotFoundError:
            return False
        return True


def _rows(kind: type[T], data: Any, doing: str) -> list[T]:
    """The objects of a plain list; null is an empty list."""
    return read_rows(kind, {"rows": data}, doing, "rows")


def check_template(name: str) -> str:
    """A name that a template can have.

    Raises:
        InputError: It cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,127}", name):
        raise InputError("That is no template name or snapshot id", next_step="list_sandboxes names those there are.")
    return name
