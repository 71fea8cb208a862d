"""Logs on stderr: lines for people, or one JSON object a line for machines. No keys, no prompts, no signed links.

Everything that writing a record needs is imported with this module, because a record may say that no file can be
opened any more, and then no import works.

The JSON is written by hand: it takes a few lines, and a library (python-json-logger) handles neither traces nor lone
surrogates.
"""

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from opentelemetry import trace

from ..novita.core.redaction import MARK, Known, learn, redact, without_credentials, without_secrets
from ..novita.core.wellformed import well_formed
from .settings import Settings, parts

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""The attributes that every record has; any others were given as `extra`."""

_CHATTY = ("httpx", "httpx2", "httpcore", "httpcore2", "h11", "hpack", "botocore", "boto3", "s3transfer", "urllib3")
"""Libraries that log whole addresses, headers and signatures."""

_SIGNED = re.compile(r"(?i)(\bhttps?://[^\s\"'<>?#\\]+)[?#][^\s\"'<>\\]+")
_SIGNATURE = re.compile(
    r"(?i)([?&;](?:[\w\-.%]*(?:signature|credential|token|secret|password|key|auth)[\w\-.%]*|sig|code)=)[^&\s\"'<>\\]+"
)
_LOGIN = re.compile(r"(?i)(\b[a-z][a-z0-9+.\-]*://)[^\s/@\"'<>]+@")
_HEADER = re.compile(
    r"(?i)(\b(?:proxy-)?authorization|\b(?:set-)?cookie|\bx-api-key|\bx-amz-security-token)"
    r"(['\"]?\s*[:=,]\s*b?['\"]?)[^'\"\r\n]+"
)


def for_logs(text: str) -> str:
    """`text` made safe for a log: no secrets, links without signatures, addresses without a login."""
    text = _LOGIN.sub(rf"\1{MARK}@", text)
    text = _SIGNED.sub(r"\1?[query]", text)
    text = _SIGNATURE.sub(rf"\1{MARK}", text)
    return redact(_HEADER.sub(rf"\1\2{MARK}", text))


class Hush(logging.Filter):
    """Removes secrets from a record: from its message, its extra attributes and its traceback.

    Args:
        known: Secrets that stay known as long as this filter exists.
    """

    def __init__(self, known: Sequence[Known] = ()) -> None:
        super().__init__()
        self._known = known

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # the values do not fit the message's format
            message = f"{record.msg} {record.args}"
        record.msg, record.args = for_logs(message), None
        if record.exc_info:
            record.exc_text = for_logs(logging.Formatter().formatException(record.exc_info))
        if record.stack_info:
            record.stack_info = for_logs(record.stack_info)
        for name, value in vars(record).items():
            if name not in _OWN:
                setattr(record, name, for_logs(value) if isinstance(value, str) else _data(value))
        return True


def _data(value: Any) -> Any:
    return without_secrets(without_credentials(value)) if isinstance(value, dict | list | tuple) else value


class Lines(logging.Formatter):
    """A record as a line for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


class JsonLines(logging.Formatter):
    """A record as one JSON object: time (UTC), level, logger, message, what was given as extra, the trace it is in."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _OWN},
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line |= {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
        if record.exc_info:
            line["exception"] = record.exc_text or self.formatException(record.exc_info)
        return well_formed(json.dumps(line, ensure_ascii=False, default=str))


def set_up_logs(settings: Settings) -> None:
    """Set up logging. Call it before the server is made, which keeps existing handlers."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mcp").setLevel(logging.INFO)  # below that it writes whole messages, arguments included
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else Lines())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    hush_handlers(learn_settings(settings))
    sys.excepthook = _tell_end
    threading.excepthook = _tell_end_of_thread


def hush_handlers(known: Sequence[Known] = ()) -> None:
    """Add the filter to every existing handler."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(each, Hush) for each in handler.filters):
            handler.addFilter(Hush(known))


def _tell_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Report an uncaught error as the interpreter does, without secrets."""
    if issubclass(kind, KeyboardInterrupt):
        return
    sys.stderr.write(for_logs("".join(traceback.format_exception(kind, error, trace))))


def _tell_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not issubclass(ended.exc_type, SystemExit):
        _tell_end(ended.exc_type, ended.exc_value, ended.exc_traceback)


def learn_settings(settings: Settings) -> list[Known]:
    """Hide the process's own secrets (key, passwords, sealing keys) as long as the returned list exists."""
    words = [
        settings.api_key,
        settings.operator_token,
        *parts(settings.handle_keys),
        *_passwords(settings.base_url, settings.journal),
    ]
    words += [settings.oauth_client_secret, *parts(settings.vault_keys), settings.team_key]
    proxies = [value for name, value in os.environ.items() if name.lower().endswith("_proxy")]
    words += _passwords(settings.artifacts, *proxies)
    words += [os.environ.get(name) for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD")]
    return [known for known in map(learn, words) if known is not None]


def _passwords(*urls: str) -> list[str]:
    """The passwords in addresses, as they stand there and as they are sent."""
    found: list[str] = []
    for url in urls:
        try:
            password = urlsplit(url).password
        except ValueError:
            continue
        found += [password, unquote(password)] if password else []
    return found
