"""The files for running it for a team say what the server takes: no engine runs here, so compose.yaml is read.

nginx is run, with deploy/nginx.conf: here for webhooks, in test_balanced.py for calls.
"""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from novita_mcp.novita.files.decoding import BUDGET
from novita_mcp.novita.files.in_work import InWork
from novita_mcp.novita.journal.databases import is_database_url
from novita_mcp.server.flags import read
from novita_mcp.server.settings import Settings, read_settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.serving import serve

from .team import balancer, copies, nginx_installed

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {item.metadata["env"] for item in fields(Settings)}
GIVEN = {
    "POSTGRES_PASSWORD": "letters",
    "NOVITA_MCP_HANDLE_KEYS": "x" * 32,
    "NOVITA_MCP_ALLOWED_HOSTS": "mcp.example.com",
}

pytestmark = pytest.mark.skipif(not (ROOT / "compose.yaml").is_file(), reason="away from the source")


@pytest.fixture
def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]


def filled(text: str) -> str:
    """Compose's `${NAME:?}` and `${NAME:-default}`."""

    def value(found: re.Match[str]) -> str:
        name, kind, default = found.groups()
        assert kind == "-" or name in GIVEN, f"{name} is asked for and docs/http.md does not say so"
        return GIVEN.get(name, default)

    return re.sub(r"\$\{(\w+):([?-])([^}]*)\}", value, text)


def test_the_balancer_writes_no_link_of_the_key_page_into_its_log() -> None:
    """nginx quotes the whole address in errors about copies that do not answer; whoever has the link has the page."""
    text = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    (block,) = re.findall(r"location = /key \{(.*?)\}", text, re.DOTALL)
    assert "error_log stderr crit;" in block
    assert "access_log off;" in text


def test_both_copies_are_set_up_alike_by_settings_that_exist(services: dict[str, Any]) -> None:
    one, two = services["novita-mcp-1"], services["novita-mcp-2"]
    environment = {name: filled(value) for name, value in one["environment"].items()}
    settings = read_settings(environment, vars(read(one["command"])))

    assert one == two
    assert {name for name in environment if name.startswith("NOVITA")} <= ENVIRONMENT
    assert "NOVITA_API_KEY" not in environment
    assert is_database_url(settings.journal)
    assert "letters@postgres/" in settings.journal
    assert (settings.host, settings.port, settings.allowed_hosts) == ("0.0.0.0", 8000, "mcp.example.com")
    assert 0 < settings.drain_seconds < int(one["stop_grace_period"].removesuffix("s"))


def test_a_copy_has_room_for_what_it_bounds_and_for_no_more(services: dict[str, Any]) -> None:
    """Four copies of a file in work at the most, all that is decoded, the program itself; sockets above the reserve."""
    one, budget = services["novita-mcp-1"], InWork()
    most = 4 * budget.total + BUDGET.total + 256 * 2**20
    assert most <= int(one["mem_limit"].removesuffix("g")) * 2**30 < 2 * most
    assert one["ulimits"]["nofile"] > 1_024
    assert one["cap_drop"] == ["ALL"]


def test_the_balancer_knows_the_copies(services: dict[str, Any]) -> None:
    config = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    members = re.findall(r"^\s+server (\S+):8000 ", config, re.MULTILINE)

    assert members == [name for name in services if name.startswith("novita-mcp")] == services["balancer"]["depends_on"]
    assert "listen 8080;" in config
    assert services["balancer"]["ports"] == ["8080:8080"]


def test_images_name_no_registry(services: dict[str, Any]) -> None:
    images = [service["image"] for service in services.values() if "image" in service]

    assert images
    assert not [image for image in images if "/" in image]


def test_the_page_for_teams_names_settings_that_exist() -> None:
    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bNOVITA_MCP_[A-Z_]+\b", page))

    assert named <= ENVIRONMENT
    assert all(name in page for name in GIVEN)


CHECKPOINT = "dreamshaper_8_93211.safetensors"
"""Makes it txt2img, whose page documents the webhook."""


@pytest.mark.slow
@pytest.mark.skipif(not nginx_installed(), reason="Debian's nginx is not installed")
def test_a_call_that_a_task_has_ended_finds_the_copy_that_sent_it(tmp_path: Path) -> None:
    """Only that copy knows the address: the balancer asks on after a 404, and says 404 where nobody knows it."""
    world = World(WorldSettings(task_seconds=3600, old_models=True))
    with (
        serve(world) as simulator,
        copies(tmp_path, simulator.url, NOVITA_MCP_PUBLIC_URL="https://here.example") as two,
        balancer(two) as url,
    ):
        wish = {
            "name": "generate_image",
            "arguments": {"prompt": "a fox", "checkpoint": CHECKPOINT, "wait_seconds": 0},
        }
        asked = httpx.post(
            f"{two[0].url}/mcp",
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": wish},
            headers={"Authorization": f"Bearer {DEFAULT_KEY}", "Accept": "application/json, text/event-stream"},
        )
        assert asked.status_code == 200
        (sent,) = world.received("txt2img")
        path = urlsplit(str(sent.body["extra"]["webhook"]["url"])).path

        assert httpx.post(two[1].url + path).status_code == 404
        assert [httpx.post(url + path, content=b"{}").status_code for _ in range(6)] == [204] * 6
        assert httpx.post(f"{url}/webhooks/{'x' * 43}", content=b"{}").status_code == 404
        # A 404 is no fault of a copy: both are still asked.
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert all(httpx.get(f"{copy.url}/readyz").status_code == 200 for copy in two)
