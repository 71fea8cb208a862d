"""Where tokens and keys go, at each door: the answer that places a sandbox, redirects, addresses of ports, ids, and
settings of other programs. What leaves for another host leaves without them, or not at all.
"""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from novita_mcp.novita.core.backoff import RetryPolicy
from novita_mcp.novita.core.client import NovitaClient, new_http
from novita_mcp.novita.core.errors import InputError, NovitaConnectionError, NovitaError
from novita_mcp.novita.sandbox import disk, processes
from novita_mcp.novita.sandbox.frames import BrokenStreamError
from novita_mcp.novita.sandbox.hosts import DOMAIN, Hosts
from novita_mcp.novita.sandbox.inside import Inside
from novita_mcp.novita.sandbox.interpreter import Cell, run_cell
from novita_mcp.novita.sandbox.processes import Run, run_command
from novita_mcp.novita.sandbox.sandboxes import Sandboxes, Wish

Json = dict[str, Any]
KEY, TOKEN, TRAFFIC = "sk-mine-123456", "token-of-a-sandbox", "traffic-token-of-it"
ROW: Json = {"sandboxID": "iabc", "state": "running", "envdAccessToken": TOKEN, "envdVersion": "0.5.7"}
ELSEWHERE = [
    "evil.example",
    "us-phx-1.sandbox.novita.ai.evil.example",
    "evilus-phx-1.sandbox.novita.ai",
    "x@evil.example",
    "us-phx-1.sandbox.novita.ai@evil.example",
    "127.0.0.1",
    "us-phx-1.sandbox.novita.ai:444",
    "us-phx-1.sandbox.novita.ai/../evil.example",
    "evil.example#.us-phx-1.sandbox.novita.ai",
    "evil.example\\.us-phx-1.sandbox.novita.ai",
    "us-phx-1.sandbox.novita.ai\N{CYRILLIC SMALL LETTER A}",
    "a b",
    "novita.ai",
    "sandbox.novita.ai",
]
Answer = Callable[[httpx.Request], httpx.Response | None]


class Seen:
    """A service that answers as told, and what it was asked."""

    def __init__(self, domain: str = "", answer: Answer = lambda _: None, **row: Any) -> None:
        self.requests: list[httpx.Request] = []
        self._row, self._answer = {**ROW, "domain": domain, **row}, answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if (told := self._answer(request)) is not None:
            return told
        if request.url.path.startswith("/sandboxes"):
            return httpx.Response(200, json=self._row)
        return httpx.Response(200, json={})

    @property
    def plane(self) -> Sandboxes:
        follows = new_http().follow_redirects  # as the server's own pool does
        http = httpx.AsyncClient(transport=httpx.MockTransport(self), follow_redirects=follows)
        return Sandboxes.of(NovitaClient(http, KEY, retries=RetryPolicy(attempts=1)), DOMAIN)

    @property
    def hosts(self) -> set[str]:
        return {request.url.host for request in self.requests}

    def told_to(self, host: str) -> str:
        """Addresses, headers and bodies of all that went there."""
        return " ".join(
            f"{each.url} {dict(each.headers)} {each.content!r}" for each in self.requests if each.url.host == host
        )


# What an answer says of where a sandbox is


@pytest.mark.parametrize("domain", ELSEWHERE)
async def test_a_token_is_not_sent_to_another_domain(domain: str) -> None:
    seen = Seen(domain)

    with pytest.raises(NovitaConnectionError, match="nothing was sent there"):
        await Inside.enter(seen.plane, "iabc")

    assert seen.hosts == {f"api.{DOMAIN}"}


@pytest.mark.parametrize("domain", [DOMAIN, f"zone-2.{DOMAIN}", f"{DOMAIN.upper()}.", ""])
async def test_a_token_goes_to_the_configured_domain_and_below_it(domain: str) -> None:
    seen = Seen(domain)

    inside = await Inside.enter(seen.plane, "iabc")
    await processes.list_processes(inside)

    last = seen.requests[-1]
    assert last.url.host == f"49983-iabc.{domain.lower().rstrip('.') or DOMAIN}"
    assert last.headers["x-access-token"] == TOKEN
    assert "x-api-key" not in last.headers
    assert KEY not in seen.told_to(last.url.host)


@pytest.mark.parametrize("act", ["create", "connect"])
async def test_an_answer_to_create_or_connect_moves_nothing_either(act: str) -> None:
    seen = Seen("evil.example")
    found = await (seen.plane.create(Wish("base", 60)) if act == "create" else seen.plane.connect("iabc", 60))

    with pytest.raises(NovitaConnectionError, match="nothing was sent there"):
        await Inside.enter(seen.plane, found.id, known=found)

    assert seen.hosts == {f"api.{DOMAIN}"}


async def test_the_traffic_token_is_fetched_from_the_plane_and_sent_where_the_sandbox_is() -> None:
    """Only connecting tells it; a domain that this answer names is not listened to."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("/connect"):
            return httpx.Response(200, json={**ROW, "domain": "evil.example", "trafficAccessToken": TRAFFIC})
        return None

    seen = Seen("", answer, network={"allowPublicTraffic": False})
    inside = await Inside.enter(seen.plane, "iabc")
    await run_cell(inside, Cell("1"), limit=5)

    assert seen.hosts == {f"api.{DOMAIN}", f"49999-iabc.{DOMAIN}"}
    assert seen.requests[-1].headers["e2b-traffic-access-token"] == TRAFFIC


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_control_plane_sends_the_key_nowhere_else(status: int) -> None:
    seen = Seen(answer=lambda _: httpx.Response(status, headers={"Location": "https://evil.example/steal"}))

    for call in (
        seen.plane.get("iabc"),
        seen.plane.list_all(),
        seen.plane.create(Wish("base", 60)),
        seen.plane.connect("iabc", 60),
        seen.plane.delete("iabc"),
        seen.plane.create_snapshot("iabc"),
        seen.plane.quota(),
    ):
        with pytest.raises(NovitaError):
            await call

    assert seen.hosts == {f"api.{DOMAIN}"}


@pytest.mark.parametrize("status", [302, 307])
async def test_the_daemon_and_the_interpreter_send_the_token_nowhere_else(status: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.url.host.startswith("api."):
            return None
        return httpx.Response(status, headers={"Location": "https://evil.example/steal"})

    seen = Seen(answer=answer, trafficAccessToken=TRAFFIC)
    inside = await Inside.enter(seen.plane, "iabc")

    for call in (
        processes.list_processes(inside),
        disk.list_folder(inside, "."),
        disk.read_part(inside, "a", 0, 10),
        disk.download(inside, "a", io.BytesIO(), most=10),
        disk.upload(inside, "a", 1, lambda: disk.pieces_of(b"x")),
        run_command(inside, Run("echo"), limit=5),
        run_cell(inside, Cell("1"), limit=5),
    ):
        with pytest.raises((NovitaError, BrokenStreamError)):
            await call

    assert seen.hosts == {f"api.{DOMAIN}", f"49983-iabc.{DOMAIN}", f"49999-iabc.{DOMAIN}"}


# Addresses of ports, and ids


@pytest.mark.parametrize("domain", ELSEWHERE)
def test_no_address_of_a_port_leads_elsewhere(domain: str) -> None:
    with pytest.raises(NovitaConnectionError, match="outside"):
        Hosts().port("iabc", 8000, domain)


@pytest.mark.parametrize("id", ["../x", "a.b", "a b", "", "x" * 101, "evil.example#", "a/b", "a@b", "a:1", "\u0430bc"])
async def test_an_id_that_could_change_a_host_is_refused(id: str) -> None:
    seen = Seen()
    with pytest.raises(InputError, match="no sandbox id"):
        Hosts().port(id, 80)
    for call in (seen.plane.get(id), seen.plane.delete(id), seen.plane.pause(id), seen.plane.connect(id, 60)):
        with pytest.raises(InputError, match="no sandbox id"):
            await call

    assert seen.requests == []


async def test_a_token_that_is_no_header_is_not_sent() -> None:
    """What came from outside may hold a line break: it must not become another header."""
    seen = Seen(envdAccessToken="token\r\nX-Evil: 1")
    inside = await Inside.enter(seen.plane, "iabc")

    with pytest.raises(NovitaError):
        await processes.list_processes(inside)

    assert seen.hosts == {f"api.{DOMAIN}"}


# Settings


@pytest.mark.parametrize("domain", ["sandbox.novita.ai", "not a domain", "http://x.example", "", "x.example:1"])
def test_a_domain_that_cannot_be_used_is_refused_with_the_reason(domain: str) -> None:
    with pytest.raises(InputError, match=r"first generation|no domain"):
        Hosts(domain)


async def test_settings_of_novitas_own_client_move_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NOVITA_DEBUG its lifecycle calls report success and send nothing: what was deleted lives on."""
    for name, value in (
        ("NOVITA_DEBUG", "true"),
        ("NOVITA_DOMAIN", "evil.example"),
        ("NOVITA_API_URL", "https://evil.example"),
        ("NOVITA_SANDBOX_URL", "https://evil.example"),
        ("NOVITA_API_KEY", "another-key-123"),
    ):
        monkeypatch.setenv(name, value)
    seen = Seen()

    await seen.plane.delete("iabc")
    inside = await Inside.enter(seen.plane, "iabc")
    await processes.list_processes(inside)

    deleted = seen.requests[0]
    assert (deleted.method, str(deleted.url)) == ("DELETE", f"https://api.{DOMAIN}/sandboxes/iabc")
    assert deleted.headers["x-api-key"] == KEY
    assert seen.hosts == {f"api.{DOMAIN}", f"49983-iabc.{DOMAIN}"}


async def test_where_everything_is_moved_it_goes_there_and_nowhere_else() -> None:
    """A simulator: what its answers say of domains is for other clients."""
    seen = Seen("sbx@127.0.0.1:444")
    client = replace(seen.plane.client, base_url="http://127.0.0.1:1")
    inside = await Inside.enter(Sandboxes.of(client, DOMAIN), "iabc")
    await processes.list_processes(inside)

    assert {str(request.url.copy_with(path="/")) for request in seen.requests} == {"http://127.0.0.1:1/"}
    assert seen.requests[-1].headers["novita-sandbox-id"] == "iabc"
