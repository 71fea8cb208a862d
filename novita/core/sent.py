"""Notes whether a call has sent a request that may cost money, and makes spans for tracing.

Without OpenTelemetry's SDK the spans do nothing and take no time.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

_tracer = trace.get_tracer("novita_mcp")


@dataclass
class Sent:
    """Marked as soon as a request that may cost money is handed to the network."""

    anything: bool = False


_sent: ContextVar[Sent | None] = ContextVar("sent", default=None)


def watch_sending() -> Sent:
    """Begin to watch. A request that is sent from now on, also by tasks started here, marks the returned object."""
    watched = Sent()
    _sent.set(watched)
    return watched


def mark_sent() -> None:
    """Note that a request that may cost money is sent now."""
    watched = _sent.get()
    if watched is not None:
        watched.anything = True


@contextmanager
def calling(method: str, path: str, doing: str) -> Generator[Span]:
    """A span for one request. It holds the route, never keys, queries or bodies."""
    span = _tracer.start_span(
        f"Novita: {doing}", kind=SpanKind.CLIENT, attributes={"http.request.method": method, "url.path": path}
    )
    try:
        yield span
    except BaseException as error:
        span.set_attribute("error.type", type(error).__name__)  # its text may quote what was sent
        span.set_status(StatusCode.ERROR)
        raise
    finally:
        span.end()
