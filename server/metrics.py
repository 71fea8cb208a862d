"""Counts for Prometheus, in its text format. Labels take few values: nothing a caller writes becomes one."""

from collections import defaultdict
from collections.abc import Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

NAMES: Mapping[str, tuple[str, str]] = {
    "novita_mcp_calls_total": ("counter", "Tool calls by tool and outcome (ok, error, limited, cancelled)."),
    "novita_mcp_call_seconds_total": ("counter", "Seconds spent in tool calls, by tool."),
    "novita_mcp_calls_running": ("gauge", "Tool calls running or waiting now."),
    "novita_mcp_requests_total": ("counter", "Requests at /mcp by status."),
    "novita_mcp_bytes_total": ("counter", "Bytes at /mcp by direction (in, out)."),
    "novita_mcp_upstream_requests_total": (
        "counter",
        "Requests to Novita and its file hosts by kind (look: is a task done; read; submit: may cost; file).",
    ),
    "novita_mcp_upstream_responses_total": ("counter", "Answers to them by kind and class of status."),
}
"""Every metric: its type, and what it counts."""


class Metrics:
    """Counts of one process."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[tuple[str, str], ...], float]] = defaultdict(lambda: defaultdict(float))

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter, or to a gauge (there also a negative amount)."""
        self._values[name][tuple(sorted(labels.items()))] += amount

    def text(self) -> str:
        """All of them, as Prometheus reads them."""
        lines: list[str] = []
        for name, (kind, what) in NAMES.items():
            lines += [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
            for labels, value in sorted(self._values[name].items()):
                shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
                lines.append(f"{name}{{{shown}}} {value:g}" if shown else f"{name} {value:g}")
        return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
