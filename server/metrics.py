"""Prometheus metrics, by its own client library. Labels have few values, and never text from a caller."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.exposition import choose_encoder

NAMES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "novita_mcp_calls_total": (
        "Tool calls by tool and outcome (ok, error, limited, cancelled).",
        ("tool", "outcome"),
    ),
    "novita_mcp_call_seconds_total": ("Seconds spent in tool calls, by tool.", ("tool",)),
    "novita_mcp_calls_running": ("Tool calls running or waiting now.", ()),
    "novita_mcp_requests_total": ("Requests at /mcp by status.", ("status",)),
    "novita_mcp_bytes_total": ("Bytes at /mcp by direction (in, out).", ("direction",)),
    "novita_mcp_upstream_requests_total": (
        "Requests to Novita and its file hosts by kind (look: is a task done; read; submit: may cost; file).",
        ("kind",),
    ),
    "novita_mcp_upstream_responses_total": ("Answers to them by kind and class of status.", ("kind", "status")),
}
"""Metric -> what it counts, and its labels. A name that ends in `_total` is a counter, which only grows."""

disable_created_metrics()  # they would double the number of series


class Metrics:
    """Counts of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()  # not the global one, so that two servers in a process count separately
        self._metrics = {
            name: (Counter if name.endswith("_total") else Gauge)(name, what, labels, registry=self._registry)
            for name, (what, labels) in NAMES.items()
        }
        self._series: dict[tuple[str, ...], Counter | Gauge] = {}

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter, or to a gauge (there also a negative amount)."""
        series = (name, *labels.values())
        found = self._series.get(series)
        if found is None:  # looked up once, because the library takes as long for it as for all the rest of a count
            metric = self._metrics[name]
            found = self._series[series] = metric.labels(**labels) if labels else metric
        found.inc(amount)

    def written(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics in the format that an Accept header asks for, and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type
