"""The page where a subject enters, replaces and removes the Novita key that this server keeps.

Only the link says who opens the page. The subject's own MCP session gave it out, and it works once, for ten minutes.
Somebody might pass a link on, and another person's key would then belong to the sender. So the page first names the
person that the key will belong to, and that person must confirm it. A cookie binds the form to the browser that showed
it, so no other page can send it.
"""

import hashlib
import html
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ...novita.account.balance import get_balance
from ...novita.core.client import NovitaClient, sendable
from ...novita.core.errors import KEYS_PAGE, AuthenticationError, JournalError, MissingKeyError, NovitaError
from ...novita.core.placeholders import bare_key
from ...novita.core.redaction import learn
from ...novita.core.words import counted
from ...novita.journal.journal import Journal
from ...novita.journal.subjects.forgetting import StillRunningError
from ...novita.journal.subjects.kept_keys import forget_key, keep_key, kept_key, use_once
from ...tools.kit.context import App
from ..browsers import allowed
from .forgetting import forget
from .key_links import LINK_LIVES, KeyLinks, Link, Subject
from .terms import Terms
from .vault import Vault

_MOST = 16_384
"""The most bytes of a form."""
_TOO_OLD = "This link was used already or is more than ten minutes old. Ask your assistant for a new one."
_COOKIE = "novita-key-form"
_HERE = Path(__file__)


@dataclass(frozen=True)
class KeyPage:
    """Answers `GET /key` and `POST /key`."""

    terms: Terms
    vault: Vault
    links: KeyLinks

    async def show(self, app: App, request: Request) -> Response:
        """Show the form to somebody who has a valid link."""
        link = self.links.read(request.query_params.get("link", ""))
        if link is None:
            return _page("This link does not work", f"<p>{_TOO_OLD}</p>", status=410)
        return await self._form(app, link)

    async def take(self, app: App, request: Request) -> Response:
        """Do what a form asks for; a link's form works once."""
        if (origin := request.headers.get("origin")) is not None and origin != _origin(self.terms.public_url):
            return _page("This form was not sent from this page", "<p>Nothing was changed.</p>", status=403)
        fields = await _fields(request)
        cookie = request.cookies.get(_COOKIE, "")
        told = self.vault.read("form", fields.get("form", ""), LINK_LIVES) if cookie else None
        if told is None or not secrets.compare_digest(told[2], _digest(cookie)):
            return _page("This form has expired", f"<p>Nothing was changed. {_TOO_OLD}</p>", status=403)
        link = Link(Subject(**told[0]), told[1])
        if fields.get("mine") != "yes":
            return await self._form(app, link, "Nothing was changed. Tick the box to confirm that it is you.")
        try:
            return await self._do(app, link, fields)
        except JournalError:
            return _page("Nothing was changed", "<p>The database does not answer now. Try again soon.</p>", status=503)

    async def _do(self, app: App, link: Link, fields: Mapping[str, str]) -> Response:
        journal, owner = app.journal, link.to.owner
        match fields.get("do"):
            case "keep":
                key = bare_key(fields.get("key", ""))
                learn(key, "key")
                if trouble := await _trouble(app.client.for_subject(owner, key)):
                    return await self._form(app, link, trouble)
                if not await self._first(journal, link):
                    return _used()
                await keep_key(journal, owner, self.vault.seal(owner, key))
                told = f"Your key is stored: {masked(key)}. You can close this page and go back to your assistant."
            case "remove":
                if not await self._first(journal, link):
                    return _used()
                await forget_key(journal, owner)
                told = "Your key was removed. To enter a new one, ask your assistant for a link to this page."
            case "forget":
                try:
                    if not await self._first(journal, link):
                        return _used()
                    gone = await forget(app, owner)
                except StillRunningError as error:
                    return _page("Nothing was removed", f"<p>{html.escape(str(error))}</p>", status=409)
                told = f"Your key, {counted(gone.jobs, 'task')} and {counted(gone.files, 'file')} were removed."
            case _:
                return _page("Nothing was changed", "<p>The form does not say what it should do.</p>", status=400)
        return _page("Done", f"<p>{html.escape(told)}</p>")

    async def _first(self, journal: Journal, link: Link) -> bool:
        return await use_once(journal, link.nonce, journal.wall() + 2 * LINK_LIVES)

    async def _form(self, app: App, link: Link, trouble: str = "") -> Response:
        try:
            sealed = await kept_key(app.journal, link.to.owner)
        except JournalError:
            return _page("Not now", "<p>The database does not answer now. Try again soon.</p>", status=503)
        key = self.vault.open(link.to.owner, sealed) if sealed else None
        cookie = secrets.token_urlsafe(32)
        shown = {
            "trouble": trouble,
            "name": link.to.name,
            "subject": link.to.subject,
            "issuer": self.terms.issuer,
            "form": self.vault.note("form", [asdict(link.to), link.nonce, _digest(cookie)]),
            "kept": f"Stored now: {masked(key)}" if key else "No key is stored yet.",
            "keys_page": KEYS_PAGE,
        }
        form = Template(_source("key_form.html")).substitute({name: html.escape(text) for name, text in shown.items()})
        answer = _page("Your Novita key", form, status=400 if trouble else 200)
        answer.set_cookie(
            _COOKIE,
            cookie,
            max_age=LINK_LIVES,
            path=f"{urlsplit(self.terms.public_url).path}/key",
            secure=self.terms.public_url.startswith("https://"),
            httponly=True,
            samesite="strict",
        )
        return answer


def masked(key: str) -> str:
    """The end of a key, by which keys can be told apart."""
    return f"****{key[-4:]}" if len(key) >= 20 else "****"


async def _trouble(client: NovitaClient) -> str:
    """Why a text cannot be a Novita key; empty if Novita accepts it, or cannot be asked now."""
    try:
        sendable(client.api_key)
    except MissingKeyError as error:
        return f"{error.what}. Nothing was changed."
    try:
        await get_balance(client.for_looking())
    except AuthenticationError:
        return "Novita does not know this key. Nothing was changed."
    except NovitaError:
        return ""
    return ""


async def _fields(request: Request) -> Mapping[str, str]:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST:
            return {}
    try:
        given = parse_qs(body.decode(), max_num_fields=16)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in given.items()}


def _used() -> Response:
    return _page("This link was used already", f"<p>Nothing was changed. {_TOO_OLD}</p>", status=409)


def _page(title: str, body: str, *, status: int = 200) -> HTMLResponse:
    style = _source("key_page.css")
    text = Template(_source("key_page.html")).substitute(title=html.escape(title), style=style, body=body)
    headers = {
        "Content-Security-Policy": f"default-src 'none'; style-src {allowed(style)}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",  # with `no-referrer` browsers would send `Origin: null` with the form
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(text, status, headers=headers)


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()


def _origin(url: str) -> str:
    """The origin of an address, in the form in which browsers send it."""
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, usual) else "")


@cache
def _source(name: str) -> str:
    return _HERE.with_name(name).read_text(encoding="utf-8")
