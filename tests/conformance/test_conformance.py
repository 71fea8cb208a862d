"""The official conformance suite of MCP against our HTTP server, in both eras: what passed must go on passing.

`expected.json` keeps the checks that passed; `pytest -m conformance --update-conformance` rewrites it. Whatever does
not pass must have a reason in the table below: nearly all of it calls tools of the suite's own fixture server.
"""

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World

from ..environments import node, node_environment
from ..serving import serve_asgi
from .adapted import Adapted

pytestmark = [pytest.mark.conformance, pytest.mark.slow]

EXPECTED = Path(__file__).with_name("expected.json")
PATIENCE = 400.0
"""Seconds for a whole run; the longest takes 40 on a quiet machine, most of it waiting."""


@dataclass(frozen=True)
class Run:
    """One run of the suite: which release of it, and what it is asked to test."""

    release: str
    asked: tuple[str, ...]

    @property
    def name(self) -> str:
        return " ".join((self.release, *self.asked)).replace("--", "")


RUNS = (
    Run("0.1.16", ("--suite", "all", "--spec-version", "2025-11-25")),
    Run("0.2.0-alpha.12", ("--suite", "all", "--spec-version", "2025-11-25")),
    Run("0.2.0-alpha.12", ("--requirements", "2026-07-28")),
    # No requirement of the revision, since an extension's: each by its name.
    *(
        Run("0.2.0-alpha.12", ("--scenario", f"sep-2640-skills-{part}", "--spec-version", "2026-07-28", "--force"))
        for part in ("enumeration", "manifest", "directory")
    ),
)
OF_THE_FIXTURE = "calls a tool, prompt or resource that only the suite's own fixture server has"
REASONS = (
    (r"tools-call-(?!error)[\w-]+/.*", OF_THE_FIXTURE),
    (r"(prompts-get|resources-read|resources-templates)-?[\w-]+/.*", OF_THE_FIXTURE),
    (r"(json-schema|elicitation-sep)[\w-]*/.*", OF_THE_FIXTURE),
    (r"input-required-result-[\w-]+/sep-2322-.*", OF_THE_FIXTURE),
    (r"tasks-mrtr-[\w-]+/.*", OF_THE_FIXTURE),
    (r"tasks-lifecycle/sep-2663-tasks-get-status-failed", OF_THE_FIXTURE),
    (r"server-stateless/sep-2575-(server-rejects-undeclared-capability|missing-capability-http-400)", OF_THE_FIXTURE),
    (r"tasks-request-headers/tasks-headers-tolerate-mcp-method-on-tools-call", "wants the very words of a greeting"),
    (r"tasks-required-task-error/.*", "wants a tool that refuses who takes no tasks; ours wait for them instead"),
    (r"tasks-lifecycle/sep-2663-cancel-ack-empty-result", "wants the job cancelled; Novita cannot cancel a media task"),
    (r"http-custom-header-[\w-]+/.*", "no argument of ours is sent as a header"),
    (r"logging-set-level/.*", "logging over MCP is deprecated, and not offered"),
    (r"resources-(un)?subscribe/.*", "nothing that is listed changes, so there is nothing to subscribe to"),
    (r"server-sse-polling/.*", "no session is held, so no stream is taken up again"),
)
"""Why a check does not pass, by scenario and check."""

Checks = dict[str, list[str]]
"""Names of checks by scenario."""


@pytest.fixture
def url(settings: Settings, world: World) -> Generator[str]:
    world.add_account(DEFAULT_KEY, 100_000)
    with serve_asgi(Adapted(http_app(web_server(settings), settings), world)) as base:
        yield f"{base}/mcp"


@pytest.mark.parametrize("run", RUNS, ids=[run.name for run in RUNS])
def test_what_passed_passes_and_the_rest_has_a_reason(
    run: Run, url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    passed, failed = conform(run, url, tmp_path)

    if request.config.getoption("--update-conformance"):
        keep(run, passed, failed)
    kept: Checks = stored()[run.name]["passed"]
    lost = [f"{scenario}/{check}" for scenario in kept for check in kept[scenario] if check not in passed[scenario]]
    assert lost == [], {name: failed[name.partition("/")[0]] for name in lost}
    assert {name: said for name, said in flat(failed).items() if not reason(name)} == {}


def conform(run: Run, url: str, scratch: Path) -> tuple[Checks, dict[str, dict[str, str]]]:
    """What passed, and what did not with what the suite says of it."""
    package = f"@modelcontextprotocol/conformance@{run.release}"
    suite = node_environment([package]) / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    out = scratch / "out"
    command = [str(part) for part in (node(), suite, "server", "--url", url, *run.asked, "-o", out)]
    # It exits with 1 where anything failed; what failed is read from its files.
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=PATIENCE)
    found = sorted(out.rglob("checks.json"))
    assert found, done.stdout + done.stderr
    passed: Checks = defaultdict(list)
    failed: dict[str, dict[str, str]] = defaultdict(dict)
    for path in found:
        scenario = re.sub(r"^server-|-20\d\d-\d\d-\d\dT.*$", "", path.parent.name)
        for check in cast(list[dict[str, Any]], json.loads(path.read_text())):
            if check["status"] == "SUCCESS":
                passed[scenario].append(check["id"])
            elif check["status"] == "FAILURE":
                failed[scenario][check["id"]] = check.get("errorMessage", "")
    return passed, failed


def keep(run: Run, passed: Checks, failed: dict[str, dict[str, str]]) -> None:
    """Write down what passed, and why the rest did not."""
    why: Checks = defaultdict(list)
    for name in sorted(flat(failed)):
        why[reason(name)].append(name)
    kept = {**stored(), run.name: {"passed": {key: sorted({*passed[key]}) for key in sorted(passed)}, "not": why}}
    EXPECTED.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def stored() -> dict[str, Any]:
    return json.loads(EXPECTED.read_text(encoding="utf-8")) if EXPECTED.is_file() else {}


def flat(failed: dict[str, dict[str, str]]) -> dict[str, str]:
    return {f"{scenario}/{check}": said for scenario, checks in failed.items() for check, said in checks.items()}


def reason(name: str) -> str:
    """Why this check cannot pass here; empty where there is no reason."""
    return next((why for pattern, why in REASONS if re.fullmatch(pattern, name)), "")
