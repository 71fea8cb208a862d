"""Which tokens let somebody in. What is refused and how: RFC 6750, 8414, 9068 and 9728, MCP's authorization."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Generator
from typing import Any

import anyio
import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from novita_mcp.server.settings import SettingError, Settings
from novita_mcp.server.sign_in import authority as asking
from novita_mcp.server.sign_in.authority import Authority, AuthorityError
from novita_mcp.server.sign_in.terms import terms_of
from novita_mcp.simulator.core.world import DEFAULT_KEY

from .authority import ANOTHER, CLIENT, CURVE, SECRET, SIGNING, Authorities, authorization_server, public
from .serving import VAULT_KEY, SignInServer, signing_in

LIST: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
ACCEPT = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


@pytest.fixture
def authority() -> Generator[Authorities]:
    with authorization_server() as held:
        yield held


@pytest.fixture
def signed(settings: Settings, authority: Authorities) -> Generator[SignInServer]:
    with signing_in(settings, authority, oauth_scopes="novita") as running:
        yield running


def ask(running: SignInServer, token: str | None) -> httpx.Response:
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.post(running.resource, json=LIST, headers={**ACCEPT, **bearer})


def challenge(running: SignInServer, error: str) -> str:
    said = f'error="{error}", ' if error else ""
    metadata = f"{running.url}/.well-known/oauth-protected-resource/mcp"
    return f'Bearer {said}resource_metadata="{metadata}", scope="novita"'


def test_without_a_token_the_way_to_one_is_told(signed: SignInServer) -> None:
    answer = ask(signed, None)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == challenge(signed, "")
    assert signed.authority.issuer in answer.json()["error_description"]
    for path in ("oauth-protected-resource/mcp", "oauth-protected-resource"):
        told = httpx.get(f"{signed.url}/.well-known/{path}").json()
        assert told == {
            "resource": signed.resource,
            "authorization_servers": [signed.authority.issuer],
            "scopes_supported": ["novita"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Novita AI",
        }
    elsewhere = httpx.post(f"{signed.url}/register", json={})
    assert elsewhere.status_code == 404
    assert signed.authority.issuer in elsewhere.json()["error_description"]


def test_a_token_and_a_key_are_let_in_side_by_side(signed: SignInServer) -> None:
    assert ask(signed, signed.token()).status_code == 200
    assert ask(signed, DEFAULT_KEY).status_code == 200


def unsigned(claims: dict[str, Any], header: dict[str, Any], key: bytes | None) -> str:
    """A token put together by hand: without a signature, or with one that no library would make."""
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in (header, claims)]
    signature = hmac.new(key, b".".join(parts), hashlib.sha256).digest() if key else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def bad_tokens(running: SignInServer) -> dict[str, str]:
    held, now = running.authority, int(time.time())
    claims = {"iss": held.issuer, "aud": running.resource, "sub": "alice", "exp": now + 300, "scope": "novita"}
    pem = SIGNING.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = running.token()
    return {
        "for another audience": held.token("https://elsewhere.example/mcp"),
        "for the host alone": held.token(running.url),
        "for nobody": held.token(None),
        "for an audience that is none": held.token({"aud": running.resource}),
        "of another issuer": running.token(iss="https://elsewhere.example"),
        "of no issuer": running.token(iss=None),
        "of an issuer that begins alike": running.token(iss=f"{held.issuer}0"),
        "expired": running.token(exp=now - 60),
        "that never expires": running.token(exp=None),
        "that expires in words": running.token(exp="tomorrow"),
        "that expires never, in numbers": running.token(exp=float("inf")),
        "that expires at no number": running.token(exp=float("nan")),
        "not yet good": running.token(nbf=now + 300),
        "of nobody": held.token(running.resource, None),
        "of a subject that is empty": held.token(running.resource, ""),
        "signed by another key": running.token(key=ANOTHER),
        "signed by another kind of key": running.token(key=CURVE, algorithm="ES256"),
        "for something else": running.token(headers={"typ": "logout+jwt"}),
        "that wants what nobody here knows": running.token(headers={"crit": ["exp2"], "exp2": 1}),
        "without a signature": unsigned(claims, {"alg": "none", "kid": "one"}, None),
        "of algorithm None": unsigned(claims, {"alg": "None", "kid": "one"}, None),
        "of no algorithm": unsigned(claims, {"kid": "one"}, None),
        "of an algorithm that is a list": unsigned(claims, {"alg": ["RS256"], "kid": "one"}, None),
        "of a key whose name is a number": unsigned(claims, {"alg": "RS256", "kid": 1}, None),
        "signed with the public key as a secret": unsigned(claims, {"alg": "HS256", "kid": "one"}, pem),
        "signed with the public key as it is shown": unsigned(
            claims, {"alg": "HS256", "kid": "one"}, json.dumps(held.keys[0]).encode()
        ),
        "changed": f"{good[:-20]}{'A' * 20}",
        "cut": good[:-20],
        "of two parts": good.rpartition(".")[0],
        "that is no token": "hello",
        "that is very long": running.token(more="x" * 20_000),
    }


def test_whatever_is_wrong_with_a_token_it_lets_nobody_in(signed: SignInServer) -> None:
    for what, token in bad_tokens(signed).items():
        answer = ask(signed, token)
        assert answer.status_code == 401, what
        assert answer.headers["WWW-Authenticate"] == challenge(signed, "invalid_token"), what
        assert token not in answer.text


def test_a_token_without_the_scope_is_told_which_one(signed: SignInServer) -> None:
    """RFC 6750, 3.1: not an invalid token but too small a one."""
    small: list[dict[str, Any]] = [{"scope": ""}, {"scope": "other novitas"}, {"scope": None}]
    for scope in (*small, {"scope": None, "scp": ["other"]}):
        answer = ask(signed, signed.token("alice", **scope))
        assert answer.status_code == 403
        assert answer.headers["WWW-Authenticate"] == challenge(signed, "insufficient_scope")
    enough: list[dict[str, Any]] = [{"scope": "other novita"}, {"scope": ["novita"]}]
    for scope in (*enough, {"scope": None, "scp": "novita"}):
        assert ask(signed, signed.token("alice", **scope)).status_code == 200


def test_what_several_servers_do_differently_is_all_taken(signed: SignInServer) -> None:
    """Audiences in a list, no name of the key, no type, other algorithms, an issuer written with a slash."""
    signed.authority.keys += [public(CURVE, "curve"), {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"}, {"kid": "bad"}]
    for token in (
        signed.authority.token(["https://elsewhere.example", signed.resource]),
        signed.authority.token(f"{signed.resource}/"),
        signed.token(kid=None),
        signed.token(headers={"typ": "JWT"}),
        signed.token(algorithm="PS384"),
        signed.token(key=CURVE, kid="curve", algorithm="ES256"),
        signed.token(iss=f"{signed.authority.issuer}/"),
    ):
        assert ask(signed, token).status_code == 200
    assert ask(signed, signed.token(exp=int(time.time()) - 1)).status_code == 200  # clocks differ
    assert ask(signed, signed.token(kid="secret")).status_code == 401


def test_a_key_that_is_named_for_one_algorithm_is_good_for_no_other(signed: SignInServer) -> None:
    signed.authority.keys = [public(SIGNING, "one", alg="RS512")]
    assert ask(signed, signed.token(algorithm="RS512")).status_code == 200
    assert ask(signed, signed.token()).status_code == 401


@pytest.mark.parametrize("path", ["", "/tenant"])
def test_the_authorization_server_is_found_by_either_standard(settings: Settings, path: str) -> None:
    """RFC 8414, and OpenID Connect Discovery where the issuer has a path."""
    with authorization_server(path) as held, signing_in(settings, held) as running:
        assert ask(running, running.token()).status_code == 200


async def test_metadata_of_another_issuer_are_not_believed(authority: Authorities) -> None:
    """RFC 8414, 3.3."""
    async with httpx.AsyncClient() as http:
        for odd in ({"issuer": "https://elsewhere.example"}, {"jwks_uri": "ftp://127.0.0.1/jwks"}, {"issuer": None}):
            authority.metadata = odd
            with pytest.raises(AuthorityError):
                await Authority(authority.issuer, http).keys_for("one", "RS256")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_keys_are_rotated_and_strangers_cannot_have_them_fetched_at_will(authority: Authorities) -> None:
    clock = Clock()
    async with httpx.AsyncClient() as http:
        asked = Authority(authority.issuer, http, now=clock)
        assert len(await asked.keys_for("one", "RS256")) == 1
        clock.now += 60
        for number in range(50):
            assert await asked.keys_for(f"of nobody {number}", "RS256") == []
        assert authority.asked.count("/jwks") == 2
        authority.keys = [public(ANOTHER, "two")]
        assert await asked.keys_for("two", "RS256") == []  # just fetched
        clock.now += 30
        assert len(await asked.keys_for("two", "RS256")) == 1
        assert await asked.keys_for("one", "RS256") == []
        assert authority.asked.count("/jwks") == 3


async def test_keys_once_fetched_hold_while_the_authorization_server_is_down(authority: Authorities) -> None:
    clock = Clock()
    async with httpx.AsyncClient() as http:
        asked = Authority(authority.issuer, http, now=clock)
        authority.down = True
        for _ in range(20):
            with pytest.raises(AuthorityError):
                await asked.keys_for("one", "RS256")
        assert len(authority.asked) == 2  # either standard, once
        authority.down = False
        clock.now += 5
        assert await asked.keys_for("one", "RS256")
        authority.down = True
        clock.now += 86_400
        assert await asked.keys_for("one", "RS256")
        assert await asked.keys_for("two", "RS256") == []


def test_while_it_is_down_it_is_said_so_and_nobody_is_called_invalid(signed: SignInServer) -> None:
    signed.authority.down = True
    answer = ask(signed, signed.token())
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "does not answer" in answer.json()["error_description"]
    assert "WWW-Authenticate" not in answer.headers
    assert ask(signed, DEFAULT_KEY).status_code == 200


def test_tokens_that_cannot_be_read_are_asked_about(settings: Settings, authority: Authorities) -> None:
    """RFC 7662. For whom a token is has to be said: one for another server is none for this one."""
    with signing_in(settings, authority, oauth_client_id=CLIENT, oauth_client_secret=SECRET) as running:
        good = f"opaque-alice@{running.resource}"
        for _ in range(5):
            assert ask(running, good).status_code == 200
        assert authority.asked.count("/introspect") == 1
        for bad in ("opaque-alice@https://elsewhere.example/mcp", "never given out", running.token()):
            assert ask(running, bad).status_code == 401
            assert ask(running, bad).status_code == 401
        assert authority.asked.count("/introspect") == 4
        for number, odd in enumerate(({"aud": None}, {"exp": 1}, {"iss": "https://elsewhere.example"}, {"active": 1})):
            authority.introspection = odd
            assert ask(running, f"opaque-{number}@{running.resource}").status_code == 401, odd
        authority.down = True
        assert ask(running, f"opaque-bob@{running.resource}").status_code == 503


async def test_where_many_tokens_wait_to_be_asked_about_none_waits_for_ever(
    authority: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can send tokens that have to be asked about: while the answers are slow, the others are told so."""
    monkeypatch.setattr(asking, "PATIENCE", 0.05)
    async with httpx.AsyncClient() as http:
        asked = Authority(authority.issuer, http)
        metadata = asked._metadata  # pyright: ignore[reportPrivateUsage]
        metadata.value = asking.Metadata(issuer=authority.issuer, introspection_endpoint=f"{authority.issuer}/x")
        metadata.at = float("inf")
        room = asked._room  # pyright: ignore[reportPrivateUsage]
        for number in range(int(room.total_tokens)):
            room.acquire_on_behalf_of_nowait(number)
        with anyio.fail_after(60), pytest.raises(AuthorityError, match="in time"):
            await asked.introspect("opaque", CLIENT, SECRET)
    assert authority.asked == []


def test_whoever_runs_the_server_hears_that_its_own_secret_is_wrong(
    settings: Settings, authority: Authorities, caplog: pytest.LogCaptureFixture
) -> None:
    with signing_in(settings, authority, oauth_client_id=CLIENT, oauth_client_secret="another") as running:
        assert ask(running, f"opaque-alice@{running.resource}").status_code == 503
    assert "the authorization server answers 401 at" in caplog.text
    assert "opaque-alice" not in "".join(each.getMessage() for each in caplog.records if each.name.startswith("novita"))


def test_settings_that_cannot_hold_are_refused_at_the_start(settings: Settings) -> None:
    from dataclasses import replace

    good = {
        "oauth_issuer": "https://login.example.com",
        "public_url": "https://mcp.example.com",
        "vault_keys": VAULT_KEY,
    }
    terms = terms_of(replace(settings, **good))
    assert terms.audiences == ("https://mcp.example.com/mcp", "https://mcp.example.com/mcp/")
    for bad, named in (
        ({"public_url": ""}, "PUBLIC_URL"),
        ({"vault_keys": ""}, "VAULT_KEYS"),
        ({"vault_keys": "short"}, "VAULT_KEYS"),
        ({"public_url": "http://mcp.example.com"}, "https"),
        ({"oauth_issuer": "http://login.example.com"}, "https"),
        ({"oauth_issuer": "https://login.example.com?tenant=1"}, "query"),
        ({"oauth_client_secret": "alone"}, "CLIENT_ID"),
        ({"team_key": "with blanks in it"}, "TEAM_KEY"),
    ):
        with pytest.raises(SettingError, match=named):
            terms_of(replace(settings, **{**good, **bad}))


def test_without_an_issuer_nothing_of_it_is_imported() -> None:
    code = (
        "import sys\n"
        "from novita_mcp.server.http import http_app, web_server\n"
        "from novita_mcp.server.settings import Settings\n"
        "http_app(web_server(Settings()), Settings())\n"
        "assert not [name for name in sys.modules if 'sign_in' in name or name == 'jwt']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
