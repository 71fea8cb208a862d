"""`novita-mcp models`, `models refresh --probe` and `doctor --models`: what they say, and what they send."""

import json
from pathlib import Path

import pytest
from novita_mcp.server.cli import main
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.media.offered import Offer
from novita_mcp.simulator.serving import Running

LIST = "/v1/product/multimodal-model/list"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, simulator: Running, tmp_path: Path) -> None:
    """A machine of its own, on the simulator."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NOVITA_BASE_URL", simulator.url)
    monkeypatch.setenv("NOVITA_API_KEY", DEFAULT_KEY)
    monkeypatch.setenv("NOVITA_MCP_JOURNAL", str(tmp_path / "journal.sqlite3"))
    monkeypatch.delenv("NOVITA_MCP_SHIPPED_MODELS_ONLY", raising=False)


def test_as_shipped_nothing_is_sent(world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["models", "kling-v3.0-std-t2v"]) == 0
    said = capsys.readouterr().out
    assert "kling-v3.0-std-t2v" in said
    assert "1 model, as shipped, no news." in said
    assert not world.requests
    assert not (tmp_path / "journal.sqlite3").exists()


def test_refreshed_it_has_the_model_of_tomorrow_its_price_and_the_age(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.area(Offer).add("aurora-9", usd="0.03")
    assert main(["models", "refresh", "aurora", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["model"], row["state"], row["evidence"]) == ("aurora-9", "live", "multimodal-list")
    assert row["price"].startswith("$0.03 per image (Novita's list of ")
    assert row["age"] == "news 0 hours old"
    assert world.leaked_keys == 0

    world.requests.clear()
    assert main(["models", "aurora"]) == 0
    assert "aurora-9" in capsys.readouterr().out
    assert not world.requests


def test_a_probe_learns_which_routes_are_gone_and_pays_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.switched_off.add("kling_v3_0_std_t2v")
    assert main(["models", "refresh", "kling-v3.0", "--probe", "--json"]) == 0
    rows = {row["model"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert rows["kling-v3.0-std-t2v"].startswith("gone since ")
    assert rows["kling-v3.0-pro-t2v"] == "live"
    assert not world.charges

    world.requests.clear()
    assert main(["models", "refresh", "--probe"]) == 0
    assert "within a day" in capsys.readouterr().err
    assert not [request for request in world.requests if request.path.startswith("/v3/")]


def test_a_probe_of_another_host_marks_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.trouble({"status": 404, "body": "<html>no</html>", "content_type": "text/html"}, times=-1)
    assert main(["models", "refresh", "--probe"]) == 1
    assert "does not answer as Novita does" in capsys.readouterr().err
    assert main(["models", "--json"]) == 0
    assert not [row for row in json.loads(capsys.readouterr().out) if row["state"].startswith("gone")]


def test_refresh_says_that_it_is_switched_off(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVITA_MCP_SHIPPED_MODELS_ONLY", "true")
    assert main(["models", "refresh"]) == 1
    assert "NOVITA_MCP_SHIPPED_MODELS_ONLY is set" in capsys.readouterr().err
    assert not world.requests


def test_the_doctor_examines_what_is_taken_by_itself(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--models", "--json"])
    checks = [check for check in json.loads(capsys.readouterr().out)["checks"] if check["name"] == "models"]
    said = "\n".join(check["detail"] for check in checks)
    assert "text to image: ming-image-0.1-design" in said
    assert "language, text: deepseek/" in said
    assert all(check["status"] == "ok" for check in checks)

    world.requests.clear()
    main(["doctor", "--models", "--offline", "--json"])
    assert "text to image: " in capsys.readouterr().out
    assert not world.requests
