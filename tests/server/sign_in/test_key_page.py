"""A subject's Novita key: entered once on a page of this server, kept encrypted, shown masked, removed."""

import json
import logging
import re
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from cryptography.fernet import Fernet
from mcp.client.context import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitRequestURLParams, ElicitResult
from novita_mcp.novita.core.errors import JournalError
from novita_mcp.novita.core.redaction import owner_of_subject
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.server.settings import Settings
from novita_mcp.server.sign_in import gate
from novita_mcp.server.sign_in.vault import Vault, derived
from novita_mcp.simulator.core.world import DEFAULT_KEY, World

from ...conftest import text_of
from ..callers import caller, facts
from .authority import authorization_server
from .serving import VAULT_KEY, SignInServer, signing_in

BOBS_KEY = "sk_bobs-own-novita-key-0123456789"
LINK = re.compile(r"http://[^\s\"]+/key\?link=[\w=-]+")


@pytest.fixture
def signed(settings: Settings, world: World) -> Generator[SignInServer]:
    world.add_account(BOBS_KEY)
    with authorization_server() as held, signing_in(settings, held) as running:
        yield running


async def a_link(running: SignInServer, subject: str = "alice", era: str = "auto") -> str:
    """As a host without a way to open pages gets it."""
    async with caller(running.url, running.token(subject), mode=era) as client:
        return facts(await client.call_tool("show_key_page", {}))["link"]


def form_in(page: httpx.Response) -> str:
    found = re.search(r'name="form" value="([^"]+)"', page.text)
    assert found is not None
    return found[1]


def enter(link: str, key: str = "", do: str = "keep", mine: str = "yes", **headers: str) -> httpx.Response:
    """As a person does it in a browser."""
    base = link.partition("?")[0]
    with httpx.Client() as browser:
        page = browser.get(link)
        assert page.status_code == 200
        sent = {"form": form_in(page), "key": key, "do": do, "mine": mine}
        return browser.post(base, data=sent, headers=headers)


async def test_whoever_has_no_key_yet_is_led_to_the_page_and_then_pays_with_it(
    signed: SignInServer, world: World, era: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with caller(signed.url, signed.token("bob"), mode=era) as client:
        told = await client.call_tool("get_balance", {})
        assert told.is_error
        link = LINK.search(text_of(told))
        assert link is not None
        assert "Nothing was billed" in text_of(told)
        page = httpx.get(link[0])
        assert "bob@example.com" in page.text
        assert "No key is stored yet" in page.text
        done = enter(link[0], BOBS_KEY)
        assert done.status_code == 200
        assert "****6789" in done.text
        assert BOBS_KEY not in done.text

        assert not (await client.call_tool("get_balance", {})).is_error
        made = facts(await client.call_tool("generate_image", {"prompt": "a fox"}))
        assert made["status"] == "succeeded"
        shown = facts(await client.call_tool("show_key_page", {}))
        assert shown["key"] == "****6789"
        assert "****6789" in httpx.get(shown["link"]).text
    assert {charge.account.key for charge in world.charges} == {BOBS_KEY}
    # Nobody else pays with it, and it stands nowhere as it is.
    async with caller(signed.url, signed.token("alice"), mode=era) as client:
        assert (await client.call_tool("get_balance", {})).is_error
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert owner_of_subject(signed.authority.issuer, "bob").encode() in kept
    assert BOBS_KEY.encode() not in kept
    assert BOBS_KEY not in "".join(record.getMessage() for record in caplog.records if "httpcore" not in record.name)


async def test_a_host_that_can_opens_the_page_itself(signed: SignInServer) -> None:
    """URL-mode elicitation, in the modern era: the host asks its user, opens the page, and calls again."""
    opened: list[str] = []

    async def open_it(_: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        opened.append(params.url)
        enter(params.url, BOBS_KEY)
        return ElicitResult(action="accept")

    async def decline(_: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="decline")

    async with caller(signed.url, signed.token("bob"), mode="auto", elicitation_callback=decline) as client:
        told = text_of(await client.call_tool("get_balance", {}))
        assert "declined" in told
    async with caller(signed.url, signed.token("bob"), mode="auto", elicitation_callback=open_it) as client:
        assert not (await client.call_tool("get_balance", {})).is_error
    assert len(opened) == 1


async def test_a_link_is_good_once_for_ten_minutes_and_for_its_subject(signed: SignInServer) -> None:
    link = await a_link(signed)
    assert enter(link, DEFAULT_KEY).status_code == 200
    assert enter(link, BOBS_KEY).status_code == 409
    gate = signed.server.gate
    assert gate is not None
    assert gate.links is not None
    said, fernet = json.dumps(["link", [{}, "1"]]).encode(), Fernet(derived(VAULT_KEY.encode()))
    old = fernet.encrypt_at_time(said, int(time.time()) - 601)
    for bad in (link[:-6], f"{link}x", f"{signed.url}/key", f"{signed.url}/key?link={old.decode()}"):
        assert httpx.get(bad).status_code == 410
    async with caller(signed.url, signed.token("alice")) as client:
        assert facts(await client.call_tool("show_key_page", {}))["key"] == "****"


async def test_no_other_page_can_send_the_form(signed: SignInServer) -> None:
    """CSRF: without the cookie of the browser that was shown the form, or from another origin, nothing happens."""
    link = await a_link(signed)
    base = f"{signed.url}/key"
    page = httpx.get(link)
    cookie = page.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    sent = {"form": form_in(page), "key": BOBS_KEY, "do": "keep", "mine": "yes"}
    named = cookie.partition(";")[0]
    for headers in (
        {},
        {"Cookie": "novita-key-form=another"},
        {"Cookie": named, "Origin": "https://evil.example"},
        {"Cookie": named, "Origin": "null"},
    ):
        assert httpx.post(base, data=sent, headers=headers).status_code == 403, headers
    for odd in ({**sent, "form": "x"}, {**sent, "form": link.partition("=")[2]}, {"key": BOBS_KEY}, {}):
        assert httpx.post(base, data=odd, headers={"Cookie": named}).status_code == 403
    assert httpx.post(base, content=b"x=" + b"y" * 20_000, headers={"Cookie": named}).status_code == 403
    without = {**sent, "mine": ""}
    assert httpx.post(base, data=without, headers={"Cookie": named}).status_code == 400
    assert httpx.post(base, data=sent, headers={"Cookie": named, "Origin": signed.url}).status_code == 200


async def test_no_page_can_frame_it_and_nothing_of_it_is_kept(signed: SignInServer) -> None:
    headers = httpx.get(await a_link(signed)).headers
    policy = headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"


async def test_whose_page_it_is_stands_there_whatever_his_name_is(settings: Settings) -> None:
    """A link that was handed on names him who pays nothing: names are text, and no markup."""
    odd = "<script>alert(1)</script>&\"'"
    with authorization_server() as held, signing_in(settings, held) as running:
        async with caller(running.url, running.token("mallory", email=odd)) as client:
            link = facts(await client.call_tool("show_key_page", {}))["link"]
        page = httpx.get(link).text
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert f"mallory at {held.issuer}" in page


async def test_a_key_that_cannot_be_one_is_not_kept(signed: SignInServer) -> None:
    link = await a_link(signed)
    for bad in ("", "with blanks in it", "sk_unknown-to-novita-0123456789", "${NOVITA_API_KEY}"):
        answer = enter(link, bad)
        assert answer.status_code == 400, bad
        assert "Nothing was changed" in answer.text
    assert enter(link, f"  Bearer {BOBS_KEY} ").status_code == 200  # the link is still good, and pasted keys are bared


async def test_removing_takes_the_key_or_all_that_is_kept(signed: SignInServer, settings: Settings, era: str) -> None:
    for subject in ("alice", "bob"):
        assert enter(await a_link(signed, subject), BOBS_KEY).status_code == 200
        async with caller(signed.url, signed.token(subject), mode=era) as client:
            for prompt in ("a fox", "an owl"):
                await client.call_tool("generate_image", {"prompt": prompt})
            await client.call_tool("generate_speech", {"text": "hello"})
    assert enter(await a_link(signed), do="remove").status_code == 200
    async with caller(signed.url, signed.token("alice"), mode=era) as client:
        assert (await client.call_tool("get_balance", {})).is_error
        assert len(facts(await client.call_tool("list_tasks", {}))["tasks"]) == 3
    done = enter(await a_link(signed), do="forget")
    assert "3 tasks and" in done.text
    async with caller(signed.url, signed.token("alice"), mode=era) as client:
        assert facts(await client.call_tool("list_tasks", {}))["tasks"] == []
    async with caller(signed.url, signed.token("bob"), mode=era) as client:  # both on one key: nobody else lost any
        assert len(facts(await client.call_tool("list_tasks", {}))["tasks"]) == 3
        assert not (await client.call_tool("get_balance", {})).is_error
    owner = owner_of_subject(signed.authority.issuer, "alice")
    journal = Journal(Path(settings.journal))
    counts = {
        table: await journal.transact(
            lambda db, table=table: db.execute(f"SELECT COUNT(*) FROM {table} WHERE owner = ?", (owner,)).fetchone()[0]
        )
        for table in ("jobs", "artifacts", "segments", "kept_keys", "gone", "totals")
    }
    await journal.close()
    assert counts == {"jobs": 0, "artifacts": 0, "segments": 0, "kept_keys": 0, "gone": 0, "totals": 1}


@pytest.mark.old_models
async def test_what_is_running_is_not_forgotten(signed: SignInServer, world: World) -> None:
    assert enter(await a_link(signed), BOBS_KEY).status_code == 200
    world.set(task_seconds=3600)
    async with caller(signed.url, signed.token("alice")) as client:
        wish = {"prompt": "a fox", "model": "qwen-image-txt2img", "wait_seconds": 0}
        assert facts(await client.call_tool("generate_image", wish))["status"] == "working"
    answer = enter(await a_link(signed), do="forget")
    assert answer.status_code == 409
    assert "still run" in answer.text


async def test_keys_of_the_vault_are_rotated(settings: Settings, signed: SignInServer) -> None:
    """The new secret first and the old behind it; after a start with both, the old one can go."""
    assert enter(await a_link(signed), DEFAULT_KEY).status_code == 200
    new = "another vault key of thirty-two characters and more"
    for keys, works in ((f"{new},{VAULT_KEY}", True), (new, True), (VAULT_KEY, False)):
        with signing_in(settings, signed.authority, vault_keys=keys) as running:
            async with caller(running.url, running.token("alice")) as client:
                assert (await client.call_tool("get_balance", {})).is_error is not works, keys


async def test_keys_are_rotated_also_where_the_database_did_not_answer_at_first(
    settings: Settings, signed: SignInServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert enter(await a_link(signed), DEFAULT_KEY).status_code == 200
    new = "another vault key of thirty-two characters and more"

    async def no_database(*_: object) -> None:
        raise JournalError("away")

    with signing_in(settings, signed.authority, vault_keys=f"{new},{VAULT_KEY}") as running:
        with monkeypatch.context() as patch:
            patch.setattr(gate, "reseal", no_database)
            answer = httpx.post(running.resource, json={}, headers={"Authorization": f"Bearer {running.token()}"})
            assert answer.status_code == 503
        async with caller(running.url, running.token()) as client:
            assert not (await client.call_tool("get_balance", {})).is_error
    with signing_in(settings, signed.authority, vault_keys=new) as running:
        async with caller(running.url, running.token()) as client:
            assert not (await client.call_tool("get_balance", {})).is_error


def test_what_is_sealed_for_one_opens_for_no_other() -> None:
    vault = Vault([b"x" * 32])
    sealed = vault.seal("alice", "sk_key")
    assert vault.open("alice", sealed) == "sk_key"
    assert vault.open("bob", sealed) is None
    assert vault.open("alice", vault.note("link", "x")) is None
    assert vault.read("link", vault.note("form", "x"), 60) is None
    assert Vault([b"y" * 32]).open("alice", sealed) is None


async def test_a_link_of_one_copy_is_good_on_another_and_once_on_both(settings: Settings, signed: SignInServer) -> None:
    """Copies share the database and the secrets, and nothing else."""
    with signing_in(settings, signed.authority) as another:
        link = await a_link(signed)
        there = link.replace(signed.url, another.url)
        assert enter(there, BOBS_KEY).status_code == 200
        assert enter(link, BOBS_KEY).status_code == 409
        for copy in (signed, another):
            async with caller(copy.url, copy.token("alice")) as client:
                assert not (await client.call_tool("get_balance", {})).is_error
