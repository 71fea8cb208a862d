"""The OAuth clients of the official SDKs, from a 401 to a paid call: discovery, registration, PKCE, token, key page."""

import json
import shutil
import subprocess
from collections.abc import Generator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World

from ...node_packages import needs_node, node_packages
from ..callers import facts
from .authority import authorization_server
from .serving import SignInServer, signing_in
from .test_key_page import BOBS_KEY, enter


@pytest.fixture
def signed(settings: Settings, world: World) -> Generator[SignInServer]:
    world.add_account(BOBS_KEY)
    with authorization_server() as held, signing_in(settings, held, oauth_scopes="novita") as running:
        held.user = "bob"
        yield running


class Memory:
    """What the SDK keeps of a sign-in."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


async def test_the_python_sdk_signs_in_and_calls(signed: SignInServer, world: World, era: str) -> None:
    memory, seen = Memory(), list[str]()

    async def open_browser(url: str) -> None:
        seen.append(url)

    async def come_back() -> AuthorizationCodeResult:
        async with httpx.AsyncClient() as browser:
            back = (await browser.get(seen[-1])).headers["Location"]
        told = parse_qs(urlsplit(back).query)
        return AuthorizationCodeResult(code=told["code"][0], state=told["state"][0])

    metadata = OAuthClientMetadata.model_validate(
        {"client_name": "test", "redirect_uris": ["http://localhost:1/callback"], "token_endpoint_auth_method": "none"}
    )
    auth = OAuthClientProvider(signed.resource, metadata, memory, open_browser, come_back)
    async with (
        httpx2.AsyncClient(auth=auth, timeout=30) as http,
        Client(streamable_http_client(signed.resource, http_client=http), mode=era) as client,
    ):
        asked = parse_qs(urlsplit(seen[0]).query)
        assert asked["resource"] == [signed.resource]
        assert asked["scope"] == ["novita"]
        assert asked["code_challenge_method"] == ["S256"]
        assert memory.client is not None  # it registered itself
        enter(facts(await client.call_tool("show_key_page", {}))["link"], BOBS_KEY)
        made = facts(await client.call_tool("generate_image", {"prompt": "a fox"}))
        assert made["status"] == "succeeded"
    assert {charge.account.key for charge in world.charges} == {BOBS_KEY}


@pytest.mark.node
@pytest.mark.slow
@needs_node
def test_the_typescript_sdks_sign_in_and_call(signed: SignInServer, world: World) -> None:
    ran = subprocess.run(
        ["node", "signing_in.mjs", signed.resource],
        cwd=node_packages().parent,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    assert told == {
        "first": {"tools": True, "balance": True},
        "second": {"tools": True, "balance": True},
    }


@pytest.mark.browser
@pytest.mark.node
@pytest.mark.slow
@needs_node
def test_the_page_in_a_browser(signed: SignInServer) -> None:
    """A person fills it in by keyboard; another page can neither frame it nor send its form."""
    link = signed.server.gate
    assert link is not None
    links = link.links
    assert links is not None
    from novita_mcp.novita.core.redaction import owner_of_subject
    from novita_mcp.server.sign_in.key_links import Subject

    def to(subject: str) -> str:
        owner = owner_of_subject(signed.authority.issuer, subject)
        return links.link(Subject(owner, subject, f"{subject}@example.com"))

    chromium = shutil.which("chromium")
    assert chromium, "there is no chromium here: apt-get install chromium"
    given = {"link": to("bob"), "other": to("alice"), "key": BOBS_KEY, "chromium": chromium}
    ran = subprocess.run(
        ["node", "key_page.mjs", json.dumps(given)],
        cwd=node_packages().parent,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    assert "bob@example.com" in told["shown"]
    assert told["scripts"] == 0
    assert told["violations"] == []
    assert told["withoutTheTick"] == told["shownAt"]  # the browser itself keeps the form back
    assert "****6789" in told["done"]
    assert told["keyInAddress"] is False
    assert told["framed"] is False
    assert "Nothing was changed" in told["forged"]
    assert told["accessibility"] == []
