"""Makes the pages that hosts get, each one HTML file from the sources in this folder, and says which tools name them.

A page exchanges messages only with its host. Its content security policy lets it show data that it was given, and
links of the network hosts in NOVITA_MCP_MEDIA_HOSTS.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mcp.server.extension import Extension
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp_types import Resource

from ...novita.core.hosts import API_HOST
from ...tools.overview.surface import OfferedTool
from ..browsers import allowed
from ..settings import SettingError, Settings, parts

SOURCES = Path(__file__).parent
MIME = "text/html;profile=mcp-app"
GALLERY = "ui://novita/gallery.html"
SPEND = "ui://novita/spend.html"


@dataclass(frozen=True)
class Page:
    """A page, with its source files in their order."""

    uri: str
    name: str
    description: str
    body: str
    styles: tuple[str, ...]
    scripts: tuple[str, ...]
    media: bool
    """Whether the page shows media files, by their bytes or by links."""


PAGES = (
    Page(
        GALLERY,
        "Gallery",
        "A page that hosts show beside answers: pictures, videos and sounds, and how far they are.",
        "gallery.html",
        ("page.css", "gallery.css"),
        ("bridge.js", "page.js", "media.js", "gallery.js"),
        media=True,
    ),
    Page(
        SPEND,
        "Money and machines",
        "A page that hosts show beside bills and machines: what was spent, what runs and costs, and how to stop it.",
        "spend.html",
        ("page.css", "spend.css"),
        ("bridge.js", "page.js", "chart.js", "running.js", "spend.js"),
        media=False,
    ),
)

SPENT = frozenset({"get_balance", "get_bill", "list_gpu_instances", "stop_everything"})
"""The tools whose answers are about money, or about machines that cost; they name the page of money and machines."""

TELL = frozenset({"describe_image", "transcribe_audio", "generate_lyrics"})
"""Tools that have artifacts in their answers' schema, but answer with words only. A page would show nothing."""

_HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+(:\d{1,5})?", re.IGNORECASE)


class Pages(Extension):
    """The MCP extension that declares the pages, lists them and serves them.

    Raises:
        SettingError: A name in NOVITA_MCP_MEDIA_HOSTS is not a host.
    """

    identifier = "io.modelcontextprotocol/ui"

    def __init__(self, settings: Settings) -> None:
        self._origins = media_origins(settings)

    def _meta(self, page: Page) -> dict[str, Any]:
        csp = {"csp": {"resourceDomains": list(self._origins)}} if page.media and self._origins else {}
        rights: dict[str, Any] = {"permissions": {"clipboardWrite": {}}} if page.media else {}
        return {"ui": {**csp, **rights, "prefersBorder": True}}

    def meta_of(self, tool: OfferedTool) -> dict[str, Any]:
        """The `_meta` with which a tool is listed: the page for its answers, if there is one."""
        uri = SPEND if tool.name in SPENT else GALLERY if has_gallery(tool) else None
        return {"_meta": {"ui": {"resourceUri": uri}}} if uri else {}

    def listed(self) -> list[Resource]:
        """The pages in the form of resources."""
        return [
            Resource(
                uri=page.uri,
                name=page.name,
                title=page.name,
                description=page.description,
                mime_type=MIME,
                _meta=self._meta(page),
            )
            for page in PAGES
        ]

    def read(self, uri: str) -> ReadResourceContents | None:
        """The page at an address; None if the address is not that of a page."""
        for page in PAGES:
            if page.uri == uri:
                return ReadResourceContents(content=html_of(page, self._origins), mime_type=MIME, meta=self._meta(page))
        return None


def has_gallery(tool: OfferedTool) -> bool:
    """Whether the gallery shows a tool's answers: the tool makes media files, or lists what was made."""
    answer: Mapping[str, Any] = tool.listing["outputSchema"]["properties"]
    return (tool.name not in TELL and "artifacts" in answer) or tool.name == "list_tasks"


def media_origins(settings: Settings) -> tuple[str, ...]:
    """The origins whose links a page may show: the hosts in the setting, and the address in NOVITA_BASE_URL if that is
    not Novita's own.

    Raises:
        SettingError: A name in the setting is not a host.
    """
    named = parts(settings.media_hosts)
    for host in named:
        if not _HOST.fullmatch(host):
            raise SettingError(f"NOVITA_MCP_MEDIA_HOSTS: {host!r} is not a host; write host, host:port or *.host")
    found = [f"https://{host.lower()}" for host in named]
    if settings.base_url.rstrip("/") != API_HOST:
        moved = urlsplit(settings.base_url)
        found.append(f"{moved.scheme}://{moved.netloc.rpartition('@')[2]}")
    return tuple(dict.fromkeys(found))


@cache
def html_of(page: Page, origins: tuple[str, ...]) -> str:
    """A page as one HTML file. Its policy allows its own script and style, by their hashes, and no others."""
    shown = ["data:", *origins] if page.media else ["'none'"]
    rules = (f"img-src {' '.join(shown)}", f"media-src {' '.join(shown)}")
    filled = {"title": f"Novita: {page.name}", "origins": " ".join(origins), "body": _source(page.body)}
    return closed("page.html", page.styles, page.scripts, rules, filled)


def closed(
    shell: str, styles: Sequence[str], scripts: Sequence[str], rules: Sequence[str], slots: Mapping[str, str]
) -> str:
    """Make one HTML file of a shell, styles and scripts. Its policy forbids everything that `rules` do not allow.

    Args:
        rules: Directives of the policy besides those for the file's own script and style.
        slots: The texts for the shell's other slots, by name.
    """
    style = "".join(_source(name) for name in styles)
    script = "{\n" + "\n".join(_source(name) for name in scripts) + "}\n"
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {allowed(script)}",
            f"style-src {allowed(style)}",
            *rules,
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    made = _source(shell)
    for slot, filled in {**slots, "policy": policy, "style": style, "script": script}.items():
        made = made.replace("{{" + slot + "}}", filled)
    return made


def _source(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")
