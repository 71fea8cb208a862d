"""What can go wrong between us and Novita. Messages are written for the model to read.

NovitaError
├── InputError                 refused here, before anything was sent or paid
│   └── UnknownModelError      not in the catalogue; names the nearest ids
├── MissingKeyError            no API key; says where to get one
├── SpendRefusedError          a cap or a missing confirmation stopped it
├── NovitaConnectionError      no usable answer: DNS, TLS, reset, timeout, garbage
├── NovitaAPIError             an answer that is an error
│   ├── AuthenticationError    401, or 403 about the key or the account
│   ├── BalanceError           not enough credit
│   ├── NotFoundError          404, and 400 rows that mean the same
│   ├── ContentRefusedError    the content check said no
│   ├── RateLimitError         429, carries retry_after
│   └── NovitaServerError      5xx
├── TaskFailedError            the job ended without what was asked for
├── JournalError               the journal on disk cannot be used
└── ArtifactError              the finished file could not be fetched, or is not what it should be

`billed` answers the question every caller has: "no", "yes", or "maybe" (a paid request may have arrived).
Rows of Novita's error tables are data: errors.json, made from errors.yaml of the API facts.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from .json_text import is_object, read_json
from .redaction import redact as redact  # also found here, beside the errors it is for
from .redaction import without_secrets

Billed = Literal["no", "yes", "maybe"]
Group = Literal["media", "llm", "gpu", "billing", "llm_batch", "llm_file", "sandbox", "web"]

BILLED_TEXT: Mapping[Billed, str] = {
    "no": "Nothing was billed.",
    "yes": "It was billed.",
    "maybe": "It may have been billed: Novita may have accepted the request.",
}


KEYS_PAGE = "https://novita.ai/settings/key-management"
BILLING_PAGE = "https://novita.ai/billing"
TOP_UP = f"Have the user top up at {BILLING_PAGE}; get_balance shows what is left."
MEND_KEY = (
    "Have the user check the key in NOVITA_API_KEY of this server's configuration (over HTTP: the bearer token), or "
    f"make a new one at {KEYS_PAGE}, and start the server again."
)


class NovitaError(Exception):
    """Base of all errors a tool may answer with.

    Args:
        what: What happened, one sentence.
        next_step: What the reader should do now.
        billed: Whether money moved; None where the question does not arise (a read).
    """

    def __init__(self, what: str, *, next_step: str = "", billed: Billed | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step
        self.billed: Billed | None = billed

    def __str__(self) -> str:
        parts = [self.what.rstrip(".") + ".", BILLED_TEXT[self.billed] if self.billed else "", self.next_step]
        return " ".join(part for part in parts if part)


class InputError(NovitaError):
    """The request was wrong and nothing was sent."""

    def __init__(self, what: str, *, next_step: str = "") -> None:
        super().__init__(what, next_step=next_step, billed="no")


class UnknownModelError(InputError):
    """The model id is not in the catalogue."""


class MissingKeyError(NovitaError):
    """No API key was given, or none that could be one."""

    def __init__(self, what: str = "No Novita API key is set") -> None:
        super().__init__(
            what,
            next_step=f"Ask the user to create one at {KEYS_PAGE} and to set "
            "NOVITA_API_KEY in this server's configuration (over HTTP: send it as a bearer token).",
            billed="no",
        )


class SpendRefusedError(NovitaError):
    """A spending cap, or a yes that was not given, stopped the call before it was sent."""

    def __init__(self, what: str, *, next_step: str = "") -> None:
        super().__init__(what, next_step=next_step, billed="no")


class NovitaConnectionError(NovitaError):
    """No usable answer arrived.

    Args:
        lasting: Whether retries are useless until somebody fixes something.
        unread: The body that came, as JSON or text. It may be paid for, so the job's owner gets it as a file.
    """

    def __init__(
        self, what: str, *, next_step: str = "", billed: Billed | None = None, lasting: bool = False, unread: Any = None
    ) -> None:
        super().__init__(what, next_step=next_step, billed=billed)
        self.lasting = lasting
        self.unread = unread


class TaskFailedError(NovitaError):
    """The job reached a final state without producing what was asked for."""


class JournalError(NovitaError):
    """The journal on disk cannot be read or written."""


class ArtifactError(NovitaError):
    """A finished file could not be fetched or is not what it claims to be."""


class NovitaAPIError(NovitaError):
    """Novita answered with an error.

    Args:
        status: HTTP status.
        reason: Novita's error name (`BALANCE_NOT_ENOUGH`), or None.
        retry_after: Seconds Novita asked to wait, where it did.
        transient: Whether the same call may work a little later.

    `answer` is what the body says, where it is JSON: an error may name what it made all the same.
    """

    answer: Any = None

    def __init__(
        self,
        what: str,
        *,
        status: int,
        reason: str | None = None,
        retry_after: float | None = None,
        transient: bool = False,
        next_step: str = "",
        billed: Billed | None = None,
    ) -> None:
        super().__init__(what, next_step=next_step, billed=billed)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.transient = transient


class AuthenticationError(NovitaAPIError):
    """The key was not accepted, or the account may not do this."""


class BalanceError(NovitaAPIError):
    """Not enough credit."""


Gone = Literal["route", "model"]
"""What does not exist: a route, for everybody; or a model, for this key."""


class NotFoundError(NovitaAPIError):
    """No such route, model, task or resource."""

    gone: Gone | None = None
    """What Novita itself, in its own envelope, says does not exist; None: something else, such as a task."""
    envelope: bool = True
    """Whether the answer had Novita's envelope; without it, a proxy or another host may have sent it."""


class ContentRefusedError(NovitaAPIError):
    """The prompt or a picture was refused by the content check."""


class RateLimitError(NovitaAPIError):
    """Too many requests."""


class NovitaServerError(NovitaAPIError):
    """A fault on Novita's side."""


_NAMED = "Correct what Novita's message names"
_UNNAMED = "Novita does not say what is wrong: check each argument"


@dataclass(frozen=True)
class ErrorRow:
    """One row of Novita's error tables. `user_action` says what to do, in our words."""

    group: str
    name: str | None
    http_status: int
    meaning: str
    retryable: bool
    user_action: str


@cache
def error_rows() -> tuple[ErrorRow, ...]:
    """Every documented error (source: errors.yaml of the API facts)."""
    return tuple(_row(row) for row in _data()["errors"])


def _row(row: Mapping[str, Any]) -> ErrorRow:
    """A row of the data, with the texts that many rows share filled in."""
    words = row["user_action"].format(key=MEND_KEY, top_up=TOP_UP, billing_page=BILLING_PAGE, named=_NAMED)
    filled: dict[str, Any] = {"group": "http", "name": None, **row, "user_action": words}
    return ErrorRow(**filled)


@cache
def _data() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("errors.json").read_text(encoding="utf-8"))


@cache
def _nameless() -> dict[tuple[str, int], ErrorRow]:
    """(Group, status) -> the row of an error without a name; the group `http` applies to all groups."""
    data = _data()
    rows = [_row(row) for row in (*data["http_defaults"], *data["by_group"])]
    named = [row for row in error_rows() if row.name is None]
    return {(row.group, row.http_status): row for row in (*rows, *named)}


def find_row(group: str, name: str | None, status: int) -> ErrorRow | None:
    """The row for an error: by group, name and status; then by name alone; then by status."""
    rows = error_rows()
    group = "llm" if group == "web" else group  # documented among the language routes, but for what it costs
    if name:
        named = [row for row in rows if row.name == name]
        named.sort(key=lambda row: (row.group != group, row.http_status != status))
        if named:
            return named[0]
    of_all = _nameless()
    return of_all.get((group, status)) or of_all.get(("http", status))


_HTML = re.compile(r"<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
_NAME = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_LONGEST_BODY = 1_000_000
_LONGEST_MESSAGE = 400
_LONGEST_NAME = 80


def read_envelope(body: bytes) -> tuple[str | None, str]:
    """Name and message of an error body in any documented shape. Neither is shortened or redacted yet.

    Shapes (errors.yaml, `envelopes`): `{code, reason, message, metadata}`, `{message}`, `{error: {message, code}}`,
    `{error: "text"}`, `{detail}`, plain text, HTML, nothing. A name that only stands in the text counts too.
    """
    text = body[:_LONGEST_BODY].decode("utf-8-sig", "replace").strip()
    try:
        parsed: object = read_json(text) if text.startswith("{") else None
    except ValueError:
        parsed = None
    if not is_object(parsed):
        # Broken JSON, or bytes that are not text, would tell the reader nothing.
        message = "" if text[:1] in ("{", "[") or "\ufffd" in text[:_LONGEST_MESSAGE] else _readable(text)
        return _known_name(message), message
    data, inner = parsed, parsed.get("error")
    if is_object(inner):
        data = {**data, **inner}
    elif isinstance(inner, str):
        data = {**data, "message": data.get("message") or inner}
    message = _readable(next((str(data[key]) for key in ("message", "msg", "detail") if data.get(key)), ""))
    for key in ("reason", "name", "code", "type"):
        value = data.get(key)
        if isinstance(value, str) and value and not value.isdigit():
            return value, message
    return _known_name(message), message


def _readable(text: str) -> str:
    """The text on one line; empty if it is an HTML page or not text."""
    if _HTML.search(text[:200]) or "\0" in text[:_LONGEST_MESSAGE]:
        return ""
    return " ".join(text.split())


def _known_name(text: str) -> str | None:
    """A documented error name that occurs in a text."""
    known = {row.name for row in error_rows()}
    return next((name for name in _NAME.findall(text[:_LONGEST_MESSAGE]) if name in known), None)


_KEY_NAMES = frozenset({"INVALID_API_KEY", "MISSING_API_KEY", "FAILED_TO_AUTH", "UNAUTHORIZED", "GET_TOKEN_FAILED"})
_BALANCE_NAMES = frozenset(
    {"BILLING_BALANCE_NOT_ENOUGH", "NOT_ENOUGH_BALANCE", "BALANCE_NOT_ENOUGH", "EXPIRED_OR_BALANCE_NOT_ENOUGH"}
)
_CONTENT_NAMES = frozenset({"ILLEGAL_PROMPT", "ILLEGAL_IMAGE_CONTENT"})
_NO_ROUTE = frozenset({"API_NOT_FOUND", "ROUTE_NOT_FOUND"})
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


_REDIRECTED = (
    "Check NOVITA_BASE_URL, and whether a proxy or a network that wants a login stands between here and Novita."
)


def api_error(
    status: int,
    body: bytes,
    *,
    group: Group,
    doing: str,
    spends: bool,
    retry_after: float | None = None,
    secrets: tuple[str, ...] = (),
    within_success: bool = False,
) -> NovitaAPIError:
    """The right error for an answer that is not a success, or for an error within one of status 200.

    `doing` is the call in a few words ("submitting to qwen-image-txt2img"). A refused request (4xx) is not
    billed; a 5xx on a spending call may be, but for those of language models of which Novita says otherwise.
    """
    reason, message = read_envelope(body)
    # Redact before cutting, because a cut key would no longer be recognised as a secret.
    message = redact(message, *secrets)[:_LONGEST_MESSAGE]
    reason = redact(reason, *secrets)[:_LONGEST_NAME] if reason else None
    row = find_row(group, reason, status)
    name = reason or (row.name if row else None)
    parts = [f"Novita refused {doing}" if status < 500 else f"Novita failed while {doing}"]
    parts.append(f"({status}{f' {name}' if name else ''})")
    redirected = row is None and 300 <= status < 400
    unknown = "a redirect, which Novita's calls never answer with" if redirected else "unexpected status"
    cause = row.meaning.rstrip(".") if row else unknown
    what = f"{' '.join(parts)}: {cause}"
    otherwise = _REDIRECTED if redirected else "Read what Novita says; if it says nothing, try again in a minute."
    next_step = row.user_action if row else otherwise
    if message and message.casefold().rstrip(".") not in (f"{cause} {name}").casefold():
        what += f'. Novita says: "{message}"'
    else:
        next_step = next_step.replace(_NAMED, _UNNAMED)
    kind = _kind(status, name)
    # A row applies only to its own status: a 503 with another error's name is still temporary.
    transient = row.retryable if row is not None and row.http_status == status else status in _TRANSIENT_STATUS
    billed: Billed | None = None
    if spends:
        # Novita documents charges by HTTP status, not for an error code within a success.
        billed = _billed("media" if within_success else group, status)
        if billed != "no":
            next_step = "Check list_tasks and the balance before trying again; this server does not repeat paid calls."
    if retry_after is not None:
        next_step = f"Novita asks to wait {retry_after:g} s before the next try. {next_step}".strip()
    error = kind(
        what,
        status=status,
        reason=name,
        retry_after=retry_after,
        transient=transient,
        next_step=next_step,
        billed=billed,
    )
    with suppress(ValueError):
        error.answer = without_secrets(read_json(body), *secrets)
    if isinstance(error, NotFoundError):
        error.envelope = body.lstrip().startswith(b"{") and bool(reason or message)
        error.gone = _what_is_gone(status, reason, message) if error.envelope else None
    return error


_FAULTS_NOT_CHARGED = frozenset({500, 503, 504})
"""Server faults for which the language API does not charge (guides/llm-billing of Novita's docs)."""


def _billed(group: Group, status: int) -> Billed:
    """What is known about the money of a spending call that was answered with an error."""
    if status == 499:  # the client closed the connection; Novita charges for what was made until then
        return "yes" if group == "llm" else "maybe"
    if group == "llm":
        return "no" if status < 500 or status in _FAULTS_NOT_CHARGED else "maybe"
    return "maybe" if status >= 500 else "no"


def _what_is_gone(status: int, reason: str | None, message: str) -> Gone | None:
    """Whether Novita says that a route, or a model, does not exist."""
    said = message.casefold().strip().rstrip(".")
    name = (reason or "").upper()
    if status == 404 and (name in _NO_ROUTE or said in ("route not found", "api not found")):
        return "route"
    if name == "MODEL_NOT_FOUND" or (status == 404 and said.startswith("model") and said.endswith("not found")):
        return "model"
    return None


def _kind(status: int, name: str | None) -> type[NovitaAPIError]:
    if name in _BALANCE_NAMES:
        return BalanceError
    if name in _CONTENT_NAMES:
        return ContentRefusedError
    if status == 429:
        return RateLimitError
    if status >= 500:
        return NovitaServerError
    if status == 404 or (name is not None and name.endswith("NOT_FOUND")):
        return NotFoundError
    if status in (401, 403) or name in _KEY_NAMES:
        return AuthenticationError
    return NovitaAPIError
