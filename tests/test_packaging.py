"""What a registry, a container engine and a desktop host read about us agrees, and is what they can read."""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from jsonschema import Draft202012Validator
from novita_mcp.server import health
from novita_mcp.server.settings import Settings
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .scripts import script
from .serving import serve_asgi

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SERVER: dict[str, Any] = json.loads((ROOT / "server.json").read_text())
MANIFEST: dict[str, Any] = json.loads((ROOT / "manifest.json").read_text())

# The registry's server.json (schema of 2025-12-11), as far as we use it. The schema itself cannot be fetched here.
REGISTRY = {
    "type": "object",
    "required": ["$schema", "name", "description", "version"],
    "properties": {
        "$schema": {"const": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"},
        "name": {"type": "string", "pattern": r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$", "minLength": 3, "maxLength": 200},
        "title": {"type": "string", "maxLength": 100},
        "description": {"type": "string", "minLength": 1, "maxLength": 100},
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
        "websiteUrl": {"type": "string", "pattern": "^https://"},
        "packages": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["registryType", "identifier", "version", "transport"],
                "additionalProperties": False,
                "properties": {
                    "registryType": {"enum": ["pypi", "npm", "oci", "nuget", "mcpb"]},
                    "identifier": {"type": "string"},
                    "version": {"type": "string", "not": {"const": "latest"}},
                    "runtimeHint": {"enum": ["uvx", "npx", "docker", "dnx"]},
                    "transport": {"type": "object", "required": ["type"]},
                    "environmentVariables": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "additionalProperties": False,
                            "properties": {
                                "name": {"type": "string"},
                                "description": {"type": "string"},
                                "isRequired": {"type": "boolean"},
                                "isSecret": {"type": "boolean"},
                                "default": {"type": "string"},
                                "format": {"enum": ["string", "number", "boolean", "filepath"]},
                            },
                        },
                    },
                },
            },
        },
    },
}


def test_the_registry_entry_is_one_the_registry_takes() -> None:
    assert [error.message for error in Draft202012Validator(REGISTRY).iter_errors(SERVER)] == []  # pyright: ignore[reportUnknownMemberType]


def test_every_version_is_the_projects_own() -> None:
    version = PROJECT["version"]
    assert SERVER["version"] == version
    assert [package["version"] for package in SERVER["packages"]] == [version]
    assert MANIFEST["version"] == version
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## {re.escape(version)}\b", changelog, re.MULTILINE)


def test_pypi_can_prove_who_owns_the_name() -> None:
    assert f"mcp-name: {SERVER['name']}" in (ROOT / "README.md").read_text()
    assert f'io.modelcontextprotocol.server.name="{SERVER["name"]}"' in (ROOT / "Dockerfile").read_text()


def test_every_environment_variable_offered_is_a_setting() -> None:
    known = {field.metadata["env"] for field in Settings.__dataclass_fields__.values()}
    offered = {one["name"] for package in SERVER["packages"] for one in package["environmentVariables"]}
    offered |= set(MANIFEST["server"]["mcp_config"]["env"])
    offered |= set(re.findall(r"\b(NOVITA_[A-Z_]+)=", (ROOT / "Dockerfile").read_text()))
    assert offered <= known


@pytest.mark.parametrize("name", ["NOVITA_API_KEY"])
def test_the_key_is_marked_as_a_secret(name: str) -> None:
    (variable,) = (
        one for package in SERVER["packages"] for one in package["environmentVariables"] if one["name"] == name
    )
    assert variable["isSecret"]
    assert MANIFEST["user_config"]["api_key"]["sensitive"]


def test_the_icon_opens() -> None:
    with Image.open(ROOT / MANIFEST["icon"]) as icon:
        assert icon.size == (512, 512)


# No engine runs here: the file is read and linted, and its steps were run by hand (docs/developing.md).
HADOLINT = shutil.which(
    "hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
)
DOCKERFILE = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]


def test_the_container_runs_as_nobody_special() -> None:
    (user,) = (line for line in DOCKERFILE if line.startswith("USER "))
    assert int(user.split()[1]) > 0
    assert any("useradd" in line and f"--uid {user.split()[1]}" in line for line in DOCKERFILE)
    last_run = max(index for index, line in enumerate(DOCKERFILE) if line.startswith("RUN"))
    assert DOCKERFILE.index(user) > last_run


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_the_linter_of_dockerfiles_has_nothing_to_say() -> None:
    said = subprocess.run([str(HADOLINT), "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, "")


def test_what_the_container_copies_exists_and_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [line.split()[1:-1] for line in DOCKERFILE if line.startswith("COPY ") and "--from" not in line]
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists()
        assert name in kept


def test_the_container_has_a_health_check_and_speaks_stdio_by_default() -> None:
    assert any(line.startswith("HEALTHCHECK") for line in DOCKERFILE)
    assert DOCKERFILE[-1] == 'ENTRYPOINT ["novita-mcp"]'


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (200, ["novita-mcp", "serve", "--http"], 0),
        (503, ["novita-mcp", "serve", "--http"], 1),
        (None, ["novita-mcp", "serve", "--http"], 1),
        (None, ["novita-mcp"], 0),  # over stdio there is nothing to ask
    ],
)
@pytest.mark.parametrize("by_flag", [False, True])
def test_the_health_check_asks_the_server_there_is(
    status: int | None, words: list[str], code: int, by_flag: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def healthz(_: Request) -> Response:
        return Response(status_code=status or 500)

    with serve_asgi(Starlette(routes=[Route("/healthz", healthz)])) as url:
        port = str(urlsplit(url).port)
        if status is None:
            with socket.create_server(("127.0.0.1", 0)) as taken:
                port = str(taken.getsockname()[1])
        monkeypatch.setenv("NOVITA_MCP_PORT", "1" if by_flag else port)
        monkeypatch.setattr(health, "_first_process", lambda: [*words, *(["--port", port] if by_flag else [])])

        assert health.main() == code


def test_the_bundles_pin_what_was_tested_and_all_of_it() -> None:
    made = script("bundle").with_pins((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    pins = dict(pin.split("==") for pin in tomllib.loads(made)["tool"]["uv"]["constraint-dependencies"])
    assert all(version == importlib.metadata.version(name) for name, version in pins.items())
    direct = {re.split(r"[\[>=<; ]", line)[0].lower() for line in PROJECT["dependencies"]}
    assert direct <= set(pins)
    assert {"pydantic-core", "starlette", "socksio"} <= set(pins)  # what those need, with their extras
    assert not {"pytest", "ruff", "boto3"} & set(pins)


def test_a_release_completes_the_registrys_entry(tmp_path: Path) -> None:
    bundle = tmp_path / f"novita-mcp-{PROJECT['version']}.mcpb"
    bundle.write_bytes(b"packed")
    owner = SERVER["name"].partition("/")[0].removeprefix("io.github.")
    repository = f"https://github.com/{owner}/novita-mcp"

    made = script("registry").entry(
        SERVER, repository=repository, image=f"ghcr.io/{owner}/novita-mcp", bundles=[bundle]
    )

    assert made["repository"] == {"url": repository, "source": "github"}
    pypi, mcpb, oci = made["packages"]
    assert pypi == SERVER["packages"][0]
    assert mcpb["fileSha256"] == hashlib.sha256(b"packed").hexdigest()
    assert mcpb["identifier"] == f"{repository}/releases/download/v{PROJECT['version']}/{bundle.name}"
    assert oci["identifier"] == f"ghcr.io/{owner}/novita-mcp:{PROJECT['version']}"
    assert all("version" not in package for package in (mcpb, oci))
    assert "repository" not in SERVER  # what is stored names nothing that is not there


@pytest.mark.parametrize(
    ("repository", "image", "said"),
    [
        ("https://github.com/somebody/else", "ghcr.io/somebody/else", "may publish io.github.somebody/"),
        ("github.com/a/b", "ghcr.io/a/b", "is no repository"),
        ("https://github.com/novita-mcp/novita-mcp", "novita-mcp", "is no name of an image"),
        ("https://github.com/novita-mcp/novita-mcp", "ghcr.io/a/b:1", "is no name of an image"),
    ],
)
def test_an_entry_that_would_be_refused_is_not_made(repository: str, image: str, said: str) -> None:
    module = script("registry")
    with pytest.raises(module.RegistryProblem, match=said):
        module.entry(SERVER, repository=repository, image=image, bundles=[])


def test_a_release_says_what_its_section_of_the_changelog_says() -> None:
    notes = script("release").notes
    assert (
        notes("# C\n\n## 0.2.0 (soon)\n\n- Two.\n\n## 0.1.0\n\n- One.\n", "0.2.0") == "# novita-mcp 0.2.0\n\n- Two.\n"
    )
    with pytest.raises(SystemExit):
        notes("# C\n\n## 0.2.0\n\n## 0.1.0\n\n- One.\n", "0.2.0")


def test_a_release_leaves_no_change_without_a_version() -> None:
    notes = script("release").notes
    with pytest.raises(SystemExit, match="raise the version"):
        notes("# C\n\n## Unreleased\n\n- Two.\n\n## 0.1.0 - 2026-11-23\n\n- One.\n", "0.1.0")


def test_the_changelog_keeps_its_form() -> None:
    """Keep a Changelog: unreleased changes come first, each version has its day, and the newest is the project's."""
    sections = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    released = [section for section in sections if section != "Unreleased"]
    assert sections in (released, ["Unreleased", *released])
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", section) for section in released)
    assert released[0].split(" ")[0] == PROJECT["version"]
    kinds = set(re.findall(r"^### (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
