"""Calls deployed endpoints: async ones by jobs at Novita's gateway, sync ones at their own HTTP service.

The API key is sent to the gateway, which is Novita's, and never to an endpoint's own host, where anybody's container
may answer. Such a host is called only if the account's list of endpoints names it.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import anyio
import httpx

from ..core.answers import an_object
from ..core.bodies import AS_IT_IS, BodyError, BodyTooLargeError, read_body
from ..core.client import NEVER_ARRIVED, NovitaClient
from ..core.errors import InputError, NotFoundError, NovitaConnectionError, redact
from ..core.json_text import read_json
from ..core.network.pools import Outside
from ..core.network.surroundings import trouble
from ..core.redaction import holds, is_credential, learn, without_credentials
from ..core.waiting import Look, Phase
from ..gpu.routes import act_for_id, ask
from .endpoints import route
from .shapes import Endpoint

logger = logging.getLogger(__name__)

MIB = 2**20
MOST_REQUEST = 4 * MIB
"""The most bytes in a job's request, by x-async-limits of the facts."""
LARGEST_REPLY = 64 * MIB
RESULT_KEPT_HOURS = 6


# Jobs of async endpoints


@dataclass(frozen=True)
class GatewayJob:
    """A job as the gateway shows it. `output` is partial until the job is completed; `error` is text."""

    status: str
    output: Any = None
    error: str = ""


_PHASES: Mapping[str, Phase] = {
    "PENDING": Phase.WORKING,
    "IN_PROGRESS": Phase.WORKING,
    "COMPLETED": Phase.SUCCEEDED,
    "FAILED": Phase.FAILED,
    "TIMED_OUT": Phase.FAILED,
    "CANCELLED": Phase.CANCELLED,
}


def job_request(client: NovitaClient, body: Any) -> dict[str, Any]:
    """The request that queues a job.

    Raises:
        InputError: The request is larger than the gateway allows, or holds the caller's Novita key.
    """
    _refuse_key(client, "The body", body)
    request = {"input": body}
    size = len(json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MOST_REQUEST:
        raise InputError(
            f"The job's request has {size / MIB:.1f} MiB; the gateway takes at most 4 MiB",
            next_step="Put large data where the endpoint can fetch it, and send a link.",
        )
    return request


async def run_job(client: NovitaClient, endpoint: Endpoint, request: Mapping[str, Any]) -> tuple[str, str]:
    """Queue a job once. Returns the name by which the gateway knows the endpoint, and the job's id.

    Novita's texts disagree in three ways about the endpoint's name in the path, so up to three are tried; a call that
    answers "not found" has queued nothing.

    Raises:
        NovitaError: `billed` says what is known.
    """
    names = endpoint.gateway_names()
    for name in names:
        try:
            where, path = route("run_async_job"), quote(name, safe="")
            job_id = await act_for_id(client, where, request, "id", "jobId", endpoint_name=path)
        except NotFoundError:
            if name == names[-1]:
                raise
            continue
        if job_id:
            return name, job_id
        break
    raise NovitaConnectionError("The gateway's answer has no job id in it", billed="maybe")


async def get_job(client: NovitaClient, name: str, job_id: str) -> GatewayJob:
    """A job's state and output.

    Raises:
        NotFoundError: There is no such job, or its result is no longer kept.
    """
    answer = await ask(
        client,
        route("get_async_job_status"),
        endpoint_name=quote(name, safe=""),
        job_id=quote(job_id, safe=""),
    )
    shown = an_object(answer)
    status: Any = shown.get("status")
    if not isinstance(status, str) or not status:
        raise NovitaConnectionError("The gateway's answer about the job has no status in it")
    error: Any = shown.get("error")
    reason = error if isinstance(error, str) else ""
    if error is not None and not isinstance(error, str):
        reason = json.dumps(without_credentials(error), ensure_ascii=False)
    return GatewayJob(status.upper(), shown.get("output"), reason)


async def look_at_job(client: NovitaClient, name: str, job_id: str) -> Look[GatewayJob]:
    """One look at a job."""
    job = await get_job(client, name, job_id)
    phase = _PHASES.get(job.status)
    if phase is None:
        logger.warning("gateway job %s has an undocumented status %r; taken for running", job_id, job.status[:40])
        phase = Phase.WORKING
    note = job.status.lower().replace("_", " ")
    if phase is Phase.WORKING and job.output is not None:
        note = f"{note}, so far: {json.dumps(job.output, ensure_ascii=False)[:120]}"
    reason = ""
    if phase is Phase.FAILED:
        detail = job.error or (json.dumps(job.output, ensure_ascii=False) if job.output is not None else "")
        reason = f"{note}: {detail[:600]}" if detail else note
    return Look(phase, job, note=note, reason=reason)


async def cancel_job(client: NovitaClient, name: str, job_id: str) -> None:
    """Cancel a queued or running job. The request is repeated until Novita answers: cancelling twice does no harm."""
    await ask(client, route("cancel_async_job"), endpoint_name=quote(name, safe=""), job_id=quote(job_id, safe=""))


async def queue_of(client: NovitaClient, endpoint: Endpoint) -> dict[str, Any]:
    """Counters of workers and jobs, under Novita's undocumented names."""
    names = endpoint.gateway_names()
    for name in names:
        try:
            answer = await ask(client, route("get_async_endpoint_health"), endpoint_name=quote(name, safe=""))
        except NotFoundError:
            if name == names[-1]:
                raise
            continue
        return without_credentials(an_object(answer))
    return {}


# A sync endpoint's own service


@dataclass(frozen=True)
class ServiceReply:
    """A service's answer, whatever its status."""

    status: int
    content_type: str
    body: bytes
    seconds: float
    location: str = ""

    def text(self) -> str | None:
        """The body as text, or None if it is not text."""
        kind = self.content_type.split(";")[0].strip().lower()
        if kind.startswith(("image/", "audio/", "video/")) and kind != "image/svg+xml":
            return None
        try:
            text = self.body.decode("utf-8")
        except UnicodeDecodeError:
            return None
        return None if "\0" in text else text

    def json(self) -> Any:
        """The body as JSON, or None if it is not JSON."""
        text = self.text()
        if text is None or not text.lstrip()[:1] or text.lstrip()[0] not in "{[":
            return None
        try:
            return read_json(text)
        except ValueError:
            return None


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_OURS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "expect", "accept-encoding")
)


@dataclass(frozen=True)
class ServiceCall:
    """A checked request to an endpoint's own service. `origin` comes from the account's list of endpoints; `path`
    begins with a slash.
    """

    origin: str
    path: str
    method: str
    headers: Mapping[str, str]
    content: bytes | None


def service_call(
    client: NovitaClient,
    endpoint: Endpoint,
    *,
    path: str | None,
    method: str | None,
    headers: Mapping[str, str] | None,
    body: Any,
) -> ServiceCall:
    """Check a request to the service of an endpoint of the account.

    Raises:
        InputError: The request would leave the endpoint's host, or cannot be sent.
    """
    base = _address(endpoint.url)
    if base is None:
        raise InputError(
            f"Endpoint {endpoint.label()} has no address to call yet", next_step="See get_endpoint for its state."
        )
    asked = path or "/"
    if asked.startswith("//") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", asked):
        whole = _address(asked)
        inside = whole is not None and (whole.path == base.path or whole.path.startswith(base.path.rstrip("/") + "/"))
        if whole is None or _origin(whole) != _origin(base) or not inside:
            raise InputError(
                f"{asked[:120]} does not belong to endpoint {endpoint.label()}",
                next_step="Give a path on the endpoint, such as /v1/chat/completions.",
            )
        rest = whole.path.removeprefix(base.path.rstrip("/"))
        asked = f"{rest or '/'}{f'?{whole.query}' if whole.query else ''}"
    asked = "/" + asked.lstrip("/")
    plain = unquote(asked.partition("?")[0])
    strays = "\\" in plain or any(segment in (".", "..") for segment in plain.split("/"))
    if strays or re.search(r"[\s\x00-\x1f\x7f#]", asked):
        raise InputError(f"The path {asked[:120]!r} cannot be sent", next_step="Write it without .., # and spaces.")
    verb = (method or ("POST" if body is not None else "GET")).strip().upper()
    if verb not in _METHODS:
        raise InputError(f"There is no method {verb[:20]!r}", next_step=f"Use {', '.join(_METHODS)}.")
    _refuse_key(client, "The path", asked)
    _refuse_key(client, "The body", body)
    for name, value in parse_qsl(asked.partition("?")[2]):
        if is_credential(name):
            learn(value)
    content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
    sent = _headers(client, headers or {}, has_body=content is not None)
    return ServiceCall(_origin(base), base.path.rstrip("/") + asked, verb, sent, content)


def _refuse_key(client: NovitaClient, where: str, what: Any) -> None:
    """Refuse a request that holds the caller's Novita key in any form, because anybody's code may run there."""
    if client.api_key and holds(what, client.api_key):
        raise InputError(
            f"{where} holds the Novita API key, which is never sent to an endpoint",
            next_step="If the endpoint wants a key of its own, give that one.",
        )


def _headers(client: NovitaClient, given: Mapping[str, str], *, has_body: bool) -> dict[str, str]:
    sent = {"Accept": "*/*", **AS_IT_IS, **({"Content-Type": "application/json"} if has_body else {})}
    for name, value in given.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not re.fullmatch(r"[\t\x20-\x7e]*", value):
            raise InputError(f"The header {name[:40]!r} cannot be sent")
        if name.lower() in _OURS:
            raise InputError(f"The header {name} is set by this server", next_step="Leave it out.")
        _refuse_key(client, f"The header {name[:40]}", [name, value])
        if is_credential(name):
            learn(value.rpartition(" ")[2])  # the service's own key: no log, journal or answer shows it
        sent = {known: old for known, old in sent.items() if known.lower() != name.lower()} | {name: value}
    return sent


@dataclass(frozen=True)
class _ServiceAddress:
    scheme: str
    host: str
    port: int
    path: str
    query: str


def _address(url: str) -> _ServiceAddress | None:
    """The parts of an address; None if it may not be called."""
    if not url:
        return None
    text = url if "://" in url else f"https:{url}" if url.startswith("//") else f"https://{url}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or not parts.hostname or parts.username is not None or "\\" in parts.netloc:
        return None
    return _ServiceAddress(
        scheme, parts.hostname.lower(), port or (443 if scheme == "https" else 80), parts.path, parts.query
    )


def _origin(address: _ServiceAddress) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    usual = {"http": 80, "https": 443}[address.scheme] == address.port
    return f"{address.scheme}://{host}{'' if usual else f':{address.port}'}"


async def call_service(client: NovitaClient, call: ServiceCall, *, within: float) -> ServiceReply:
    """Send a request to an endpoint's service, once and without the Novita key. Redirects are not followed.

    Args:
        within: Seconds within which the whole answer must arrive.

    Raises:
        NovitaConnectionError: No whole answer came in time, or it is too large.
    """
    url = client.url(call.path, host=call.origin)
    limits = httpx.Timeout(connect=10, read=within, write=60, pool=10)
    # Not built by the shared client, whose default headers must not be sent to somebody's container.
    request = httpx.Request(
        call.method, url, headers=dict(call.headers), content=call.content, extensions={"timeout": limits.as_dict()}
    )
    outside = client.outside or Outside(client.http)
    began, sent = client.clock.now(), False
    try:
        with anyio.fail_after(within):
            async with outside.turn(client.owner):
                sent = True
                response = await outside.http.send(request, stream=True, auth=None, follow_redirects=False)
                try:
                    body = await _read(response)
                finally:
                    await response.aclose()
    except NEVER_ARRIVED as error:
        found = trouble(error, request.url)
        raise NovitaConnectionError(
            f"The endpoint could not be reached ({redact(found.what, client.api_key or '')})",
            billed="no",
            next_step=found.mend or "See get_endpoint for its state.",
        ) from error
    except (TimeoutError, httpx.TimeoutException) as error:
        if not sent:
            raise NovitaConnectionError(
                f"The call was not sent within {within:g} s: too many of your other calls are still under way",
                billed="no",
                next_step="Wait until some of them have ended, then call again.",
            ) from error
        raise NovitaConnectionError(
            f"The endpoint did not answer within {within:g} s",
            billed="maybe",
            next_step="It may still be at work, or a worker is starting: get_endpoint shows the workers. Give a longer "
            "wait_seconds before you send it again, keep a worker alive with min_workers, or use an async endpoint.",
        ) from error
    except httpx.RequestError as error:
        detail = redact(str(error), client.api_key or "") or type(error).__name__
        raise NovitaConnectionError(
            f"The connection to the endpoint failed ({detail})",
            billed="maybe",
            next_step="The service may have done its work: it was not sent again. Check before you repeat it.",
        ) from error
    return ServiceReply(
        response.status_code,
        response.headers.get("content-type", ""),
        body,
        client.clock.now() - began,
        response.headers.get("location", ""),
    )


async def _read(response: httpx.Response) -> bytes:
    try:
        return await read_body(response, most=LARGEST_REPLY)
    except BodyTooLargeError as error:
        raise NovitaConnectionError(
            f"The endpoint's answer is larger than {LARGEST_REPLY // MIB} MiB",
            billed="maybe",
            next_step="Have the service give a link to large results.",
        ) from error
    except BodyError as error:
        raise NovitaConnectionError(
            f"The endpoint's answer could not be read: it is {error}",
            billed="maybe",
            next_step="Have the service send its answers as they are, or packed once with gzip.",
        ) from error
