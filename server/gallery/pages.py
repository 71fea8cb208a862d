"""The gallery as hosts get it: one HTML file made of the sources beside this module, and which tools it belongs to.

The page speaks to its host alone; its policy lets it show what is handed to it, and links of the hosts in a setting.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mcp.server.extension import Extension
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp_types import Resource

from ...novita.core.hosts import API_HOST
from ...tools.overview.surface import OfferedTool
from ..settings import SettingError, Settings, parts

SOURCES = Path(__file__).parent
MIME = "text/html;profile=mcp-app"
GALLERY = "ui://novita/gallery.html"
SCRIPTS = ("bridge.js", "media.js", "gallery.js")

TELL = frozenset({"describe_image", "transcribe_audio", "generate_lyrics"})
"""Tools that answer as those that make media do, but with words alone: a page would only take room."""

_HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+(:\d{1,5})?", re.IGNORECASE)


class Pages(Extension):
    """Declares the pages, lists them and gives them out.

    Raises:
        SettingError: A media host of the settings is none.
    """

    identifier = "io.modelcontextprotocol/ui"

    def __init__(self, settings: Settings) -> None:
        self._origins = media_origins(settings)

    @property
    def _meta(self) -> dict[str, Any]:
        csp = {"csp": {"resourceDomains": list(self._origins)}} if self._origins else {}
        return {"ui": {**csp, "permissions": {"clipboardWrite": {}}, "prefersBorder": True}}

    def meta_of(self, tool: OfferedTool) -> dict[str, Any]:
        """What a tool is listed with: the page of its answers, if it has one."""
        return {"_meta": {"ui": {"resourceUri": GALLERY}}} if has_gallery(tool) else {}

    def listed(self) -> list[Resource]:
        """The pages as resources."""
        return [
            Resource(
                uri=GALLERY,
                name="Gallery",
                title="Gallery",
                description="A page that hosts show beside answers: pictures, videos and sounds, and how far they are.",
                mime_type=MIME,
                _meta=self._meta,
            )
        ]

    def read(self, uri: str) -> ReadResourceContents | None:
        """A page; None where the address is none of ours."""
        if uri != GALLERY:
            return None
        return ReadResourceContents(content=gallery_page(self._origins), mime_type=MIME, meta=self._meta)


def has_gallery(tool: OfferedTool) -> bool:
    """Whether what a tool answers is shown in the gallery: it makes media, or tells of what was made."""
    answer: Mapping[str, Any] = tool.listing["outputSchema"]["properties"]
    return (tool.name not in TELL and "artifacts" in answer) or tool.name == "list_tasks"


def media_origins(settings: Settings) -> tuple[str, ...]:
    """Where files may be shown from by their links: the setting's hosts, and Novita itself where it was moved.

    Raises:
        SettingError: What is set is no host.
    """
    named = parts(settings.media_hosts)
    for host in named:
        if not _HOST.fullmatch(host):
            raise SettingError(f"NOVITA_MCP_MEDIA_HOSTS: {host!r} is no host; write host, host:port or *.host")
    found = [f"https://{host.lower()}" for host in named]
    if settings.base_url.rstrip("/") != API_HOST:
        moved = urlsplit(settings.base_url)
        found.append(f"{moved.scheme}://{moved.netloc.rpartition('@')[2]}")
    return tuple(dict.fromkeys(found))


@cache
def gallery_page(origins: tuple[str, ...]) -> str:
    """The page in one file. Its policy knows its script and its style by their hashes and lets nothing else run."""
    style = _source("gallery.css")
    script = "{\n" + "\n".join(_source(name) for name in SCRIPTS) + "}\n"
    shown = " ".join(["data:", *origins])
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            f"img-src {shown}",
            f"media-src {shown}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    made = _source("gallery.html")
    for slot, filled in (("policy", policy), ("origins", " ".join(origins)), ("style", style), ("script", script)):
        made = made.replace("{{" + slot + "}}", filled)
    return made


def _source(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
