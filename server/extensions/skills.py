"""Offers the agent skills in skills/ over MCP (SEP-2640, extension io.modelcontextprotocol/skills).

A skill is offered only if all tools that it calls are on. https://agentskills.io/specification defines a skill.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, PaginatedRequestParams, RequestParams, Resource
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

FOLDER = Path(__file__).parents[2] / "skills"
SCHEME = "skill:"
MIME, DIRECTORY = "text/markdown", "inode/directory"
MAIN = "SKILL.md"
HOUR_MS = 3_600_000
"""How long a client may reuse an entry. Entries change only with a newer version of this server."""

_FRONT = re.compile(r"---\r?\n(.*?)\r?\n---\r?\n(.*)", re.DOTALL)
# A plain one-line scalar of YAML that every YAML reader takes as this text, never as a number, a date or a list.
_FIELD = re.compile(r"([a-z-]+): ([A-Za-z](?:(?!: | #).)*[^\s:])")
_CALLS = re.compile(r"^```tool-calls\r?\n(.*?)^```", re.DOTALL | re.MULTILINE)


class SkillParams(RequestParams):
    """Parameters of skills/get: the address of a skill's SKILL.md."""

    uri: str


class DirectoryParams(PaginatedRequestParams):
    """Parameters of resources/directory/read: the address of a folder, without a slash at its end."""

    uri: str


@dataclass(frozen=True)
class Skill:
    """A folder of skills/.

    Attributes:
        front: The front matter of its SKILL.md, by the names of the fields.
        tools: The names of the tools that the skill calls.
        files: The bytes of each file by its address; SKILL.md first.
    """

    uri: str
    front: Mapping[str, str]
    tools: frozenset[str]
    files: Mapping[str, bytes]

    @property
    def entry(self) -> dict[str, Any]:
        """The skill in the form of skills/list and skills/get."""
        resources = [
            {"uri": uri, "digest": f"sha256:{sha256(content).hexdigest()}", "size": len(content)}
            for uri, content in self.files.items()
        ]
        return {"uri": self.uri, "frontmatter": dict(self.front), "resources": resources}


def read_skill(folder: Path) -> Skill:
    """Read a skill from its folder.

    Raises:
        ValueError: Its SKILL.md does not begin with front matter in which each field is one line of text.
    """
    main = folder / MAIN
    found = _FRONT.fullmatch(main.read_bytes().decode())
    fields = [_FIELD.fullmatch(line) for line in found[1].splitlines()] if found else []
    front = {field[1]: field[2] for field in fields if field}
    if not found or len(front) != len(fields) or front.get("name") != folder.name or "description" not in front:
        raise ValueError(f"{main}: the front matter is to be name, as the folder's, and description, a line each")
    calls = [line.split(" ")[0] for block in _CALLS.findall(found[2]) for line in block.splitlines()]
    paths = [main, *(path for path in sorted(folder.rglob("*.md")) if path != main)]
    files = {f"{SCHEME}//{folder.name}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}
    return Skill(next(iter(files)), front, frozenset(calls), files)


@cache
def all_skills() -> tuple[Skill, ...]:
    """Every skill that ships with this server, in the order of their names."""
    return tuple(read_skill(path.parent) for path in sorted(FOLDER.glob(f"*/{MAIN}")))


class Skills(Extension):
    """The MCP extension that lists the skills, describes one, and serves their files.

    Args:
        offered: The names of the tools that are on.
    """

    identifier = "io.modelcontextprotocol/skills"

    def __init__(self, offered: Callable[[], Collection[str]]) -> None:
        self._offered = offered

    def settings(self) -> dict[str, Any]:
        return {"directoryRead": True}

    @property
    def _on(self) -> list[Skill]:
        offered = set(self._offered())
        return [skill for skill in all_skills() if skill.tools <= offered]

    def methods(self) -> list[MethodBinding]:
        return [
            MethodBinding("skills/list", PaginatedRequestParams, self._list),
            MethodBinding("skills/get", SkillParams, self._get),
            MethodBinding("resources/directory/read", DirectoryParams, self._directory),
        ]

    def listed(self) -> list[Resource]:
        """The files of the offered skills as resources. A SKILL.md has the name from its front matter."""
        return [
            Resource(
                uri=uri,
                name=skill.front["name"] if uri == skill.uri else uri.rpartition("/")[2],
                title=_title(content, uri),
                description=skill.front["description"] if uri == skill.uri else None,
                mime_type=MIME,
                size=len(content),
            )
            for skill in self._on
            for uri, content in skill.files.items()
        ]

    def read(self, uri: str) -> ReadResourceContents | None:
        """The file of a skill at an address; None if there is none."""
        for skill in self._on:
            if uri in skill.files:
                return ReadResourceContents(content=skill.files[uri].decode(), mime_type=MIME)
        return None

    async def _list(self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams) -> HandlerResult:
        _on_one_page(params)
        return _kept(ctx, {"skills": [skill.entry for skill in self._on]})

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: SkillParams) -> HandlerResult:
        for skill in self._on:
            if skill.uri == params.uri:
                return _kept(ctx, {"skill": skill.entry})
        raise MCPError(code=INVALID_PARAMS, message="Skill not found", data={"uri": params.uri})

    async def _directory(self, ctx: ServerRequestContext[Any, Any], params: DirectoryParams) -> HandlerResult:
        """The files and folders directly inside a folder of a skill."""
        _on_one_page(params)
        found: dict[str, Resource] = {}
        for resource in self.listed():
            folder, _, name = resource.uri.partition(f"{params.uri}/")
            if folder or not name or not params.uri.startswith(f"{SCHEME}//"):
                continue
            child, deeper, _ = name.partition("/")
            uri = f"{params.uri}/{child}"
            found[uri] = Resource(uri=uri, name=child, mime_type=DIRECTORY) if deeper else resource
        if not found:
            raise MCPError(code=INVALID_PARAMS, message="Directory not found", data={"uri": params.uri})
        told = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in found.values()]
        return _kept(ctx, {"resources": told})


def _title(content: bytes, uri: str) -> str:
    """The first heading of a file, or the file's name if it has no heading."""
    heading = re.search(r"^# (.+?)\s*$", content.decode(), re.MULTILINE)
    return heading[1] if heading else uri.rpartition("/")[2]


def _on_one_page(params: PaginatedRequestParams) -> None:
    if params.cursor is not None:
        raise MCPError(code=INVALID_PARAMS, message="Invalid cursor: everything is on one page")


def _kept(ctx: ServerRequestContext[Any, Any], result: dict[str, Any]) -> dict[str, Any]:
    """A result; if the revision of MCP has caching hints, with how long a client may reuse it."""
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return result
    return {"resultType": "complete", "ttlMs": HOUR_MS, "cacheScope": "public", **result}
