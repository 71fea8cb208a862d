"""Skills over MCP, by the words of SEP-2640: declared, listed, told one by one, and read, in both eras."""

import re
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from mcp import Client, MCPError
from mcp_types import Request, TextResourceContents
from novita_mcp.server.app import HOUR_MS
from novita_mcp.server.extensions.skills import all_skills, read_skill
from pydantic import BaseModel, ConfigDict

from ..conftest import Connect
from .skill_files import FOLDER, ROOT, Json, skills

SKILLS = "io.modelcontextprotocol/skills"
WORKFLOWS = {
    "gpu-job-not-forgotten",
    "label-rows-by-batch",
    "monthly-cost-review",
    "poster-with-variants",
    "product-photo-set",
    "storyboard-to-clip",
}


class Asked(Request[Json, str]):
    """A request of the extension, which the SDK does not know."""

    method: str
    params: Json


class Answer(BaseModel):
    """Whatever it answers."""

    model_config = ConfigDict(extra="allow")


Method = Literal["skills/list", "skills/get", "resources/directory/read"]


async def ask(client: Client, method: Method, **params: Any) -> Json:
    answer = await client.session.send_request(Asked(method=method, params=params), Answer)
    return answer.model_extra or {}


async def entries(client: Client) -> dict[str, Json]:
    """The listed skills by address."""
    found: Sequence[Json] = (await ask(client, "skills/list"))["skills"]
    return {entry["uri"]: entry for entry in found}


async def test_the_extension_is_declared_in_both_eras(connect: Connect) -> None:
    async with connect() as client:
        capabilities = client.server_capabilities
        assert capabilities is not None and capabilities.resources is not None
        assert (capabilities.extensions or {})[SKILLS] == {"directoryRead": True}


async def test_each_skill_is_listed_with_what_it_says_of_itself_and_every_file(connect: Connect) -> None:
    async with connect(toolsets="default,sandbox") as client:
        found = await entries(client)
        for uri, entry in found.items():
            assert entry.keys() == {"uri", "frontmatter", "resources"}
            assert uri == f"skill://{entry['frontmatter']['name']}/SKILL.md"
            assert [file["uri"] for file in entry["resources"]].count(uri) == 1
            for file in entry["resources"]:
                (content,) = (await client.read_resource(file["uri"])).contents
                assert isinstance(content, TextResourceContents)
                assert content.mime_type == "text/markdown"
                data = content.text.encode()
                assert file["digest"] == f"sha256:{sha256(data).hexdigest()}"
                assert file["size"] == len(data)
                if file["uri"] == uri:
                    written = re.match(r"---\n(.*?)\n---\n", content.text, re.DOTALL)
                    assert written is not None
                    assert yaml.safe_load(written[1]) == entry["frontmatter"]

    assert len(found) == len(all_skills())
    assert {entry["frontmatter"]["name"] for entry in found.values()} > WORKFLOWS


async def test_they_are_resources_under_their_names(connect: Connect) -> None:
    async with connect() as client:
        found = await entries(client)
        listed = {str(each.uri): each for each in (await client.list_resources()).resources}
    files = {file["uri"] for entry in found.values() for file in entry["resources"]}
    for uri, entry in found.items():
        resource = listed[uri]
        assert {"name": resource.name, "description": resource.description} == entry["frontmatter"]
        assert resource.mime_type == "text/markdown"
    assert {uri for uri in listed if uri.startswith("skill:")} == files > found.keys()


async def test_folders_are_read_level_by_level_until_every_file_is_found(connect: Connect) -> None:
    async with connect() as client:
        for uri, entry in (await entries(client)).items():
            folders, files = [uri.removesuffix("/SKILL.md")], set[str]()
            while folders:
                folder = folders.pop()
                for child in (await ask(client, "resources/directory/read", uri=folder))["resources"]:
                    assert child["uri"].rpartition("/")[0] == folder
                    if child["mimeType"] == "inode/directory":
                        folders.append(child["uri"])
                    else:
                        files.add(child["uri"])
            assert files == {file["uri"] for file in entry["resources"]}


@pytest.mark.parametrize(
    "uri",
    [
        "skill://gpu-job-not-forgotten/SKILL.md",
        "skill://gpu-job-not-forgotten/",
        "skill://gpu-job",
        "skill://none",
        "skill:/",
        "skill:",
        "novita://models",
        "",
    ],
)
async def test_what_is_no_folder_is_refused(connect: Connect, uri: str) -> None:
    async with connect() as client:
        with pytest.raises(MCPError) as caught:
            await ask(client, "resources/directory/read", uri=uri)
    assert caught.value.error.code == -32602


async def test_one_skill_is_told_by_its_address(connect: Connect) -> None:
    async with connect() as client:
        for uri, entry in (await entries(client)).items():
            told = await ask(client, "skills/get", uri=uri)
            assert told["skill"] == entry and "nextCursor" not in told


@pytest.mark.parametrize("uri", ["skill://none/SKILL.md", "skill://poster-with-variants", "novita://balance", ""])
async def test_what_is_no_skill_is_refused(connect: Connect, uri: str) -> None:
    async with connect() as client:
        with pytest.raises(MCPError) as caught:
            await ask(client, "skills/get", uri=uri)
    assert caught.value.error.code == -32602


@pytest.mark.parametrize("uri", ["skill://none/SKILL.md", "skill://poster-with-variants/../README.md"])
async def test_no_other_file_is_given_out(connect: Connect, uri: str) -> None:
    async with connect() as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
    assert caught.value.error.code == -32602


async def test_a_cursor_that_nobody_gave_is_refused(connect: Connect) -> None:
    async with connect() as client:
        for ask_on in (
            partial(ask, client, "skills/list"),
            partial(ask, client, "resources/directory/read", uri="skill://poster-with-variants"),
        ):
            with pytest.raises(MCPError) as caught:
                await ask_on(cursor="2")
            assert caught.value.error.code == -32602


async def test_how_long_a_list_holds_is_said_where_the_revision_knows_of_it(connect: Connect) -> None:
    async with connect() as client:
        modern = client.protocol_version >= "2026-07-28"
        uri = next(iter(await entries(client)))
        for answer in (await ask(client, "skills/list"), await ask(client, "skills/get", uri=uri)):
            hints = {name: answer.get(name) for name in ("ttlMs", "cacheScope", "resultType")}
            wanted = {"ttlMs": HOUR_MS, "cacheScope": "public", "resultType": "complete"}
            assert hints == (wanted if modern else dict.fromkeys(wanted))


@pytest.mark.parametrize(
    ("chosen", "gone", "there"),
    [
        ({"toolsets": "default,-gpu"}, "gpu-job-not-forgotten", "poster-with-variants"),
        ({"toolsets": "default"}, "analyse-data", "storyboard-to-clip"),
        ({"read_only": True}, "poster-with-variants", "monthly-cost-review"),
    ],
)
async def test_a_skill_whose_tools_are_off_is_not_offered(
    connect: Connect, chosen: Json, gone: str, there: str
) -> None:
    async with connect(**chosen) as client:
        found = await entries(client)
        assert f"skill://{gone}/SKILL.md" not in found
        assert f"skill://{there}/SKILL.md" in found
        with pytest.raises(MCPError):
            await ask(client, "skills/get", uri=f"skill://{gone}/SKILL.md")


@pytest.mark.skipif(not (ROOT / "server").is_dir(), reason="away from the source")
def test_the_server_reads_each_skill_as_a_reader_of_yaml_does() -> None:
    assert {skill.front["name"]: dict(skill.front) for skill in all_skills()} == {
        skill.folder: skill.front for skill in skills()
    }
    assert {skill.front["name"]: skill.tools for skill in all_skills()} == {
        skill.folder: {call.tool for call in skill.calls} for skill in skills()
    }
    others = [path for path in FOLDER.glob("*/**/*") if path.is_file() and path.suffix not in (".md", ".pyc")]
    assert others == [], "a skill's files are served and packed as Markdown"


@pytest.mark.parametrize(
    "front",
    [
        "name: a\ndescription: one: two",
        "name: a\ndescription: one # two",
        'name: a\ndescription: "one"',
        "name: a\ndescription: >\n  one",
        "name: b\ndescription: one",
        "name: a",
    ],
)
def test_front_matter_that_would_be_read_otherwise_than_as_yaml_is_refused(tmp_path: Path, front: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "SKILL.md").write_text(f"---\n{front}\n---\n\n# A\n")
    with pytest.raises(ValueError, match="front matter"):
        read_skill(tmp_path / "a")
