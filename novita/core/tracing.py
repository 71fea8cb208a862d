"""Spans around calls to Novita, for whoever set up OpenTelemetry; without its SDK they are nothing and cost nothing."""

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

_tracer = trace.get_tracer("novita_mcp")


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
