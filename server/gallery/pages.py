"""The pages as hosts get them: each one HTML file made of the sources beside this module, and whose answers it shows.

A page speaks to its host alone; its policy lets it show what is handed to it, and links of the hosts in a setting.
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
    """A page, and the sources it is made of, in their order."""

    uri: str
    name: str
    description: str
    body: str
    styles: tuple[str, ...]
    scripts: tuple[str, ...]
    media: bool
    """Whether it shows files, by their bytes or by links of the hosts in the setting."""


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
"""Tools whose answers are about money, or about machines that cost."""

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

    def _meta(self, page: Page) -> dict[str, Any]:
        csp = {"csp": {"resourceDomains": list(self._origins)}} if page.media and self._origins else {}
        rights: dict[str, Any] = {"permissions": {"clipboardWrite": {}}} if page.media else {}
        return {"ui": {**csp, **rights, "prefersBorder": True}}

    def meta_of(self, tool: OfferedTool) -> dict[str, Any]:
        """What a tool is listed with: the page of its answers, if it has one."""
        uri = SPEND if tool.name in SPENT else GALLERY if has_gallery(tool) else None
        return {"_meta": {"ui": {"resourceUri": uri}}} if uri else {}

    def listed(self) -> list[Resource]:
        """The pages as resources."""
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
        """A page; None where the address is none of ours."""
        for page in PAGES:
            if page.uri == uri:
                return ReadResourceContents(content=html_of(page, self._origins), mime_type=MIME, meta=self._meta(page))
        return None


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
def html_of(page: Page, origins: tuple[str, ...]) -> str:
    """A page in one file. Its policy knows its script and its style by their hashes and lets nothing else run."""
    shown = ["data:", *origins] if page.media else ["'none'"]
    rules = (f"img-src {' '.join(shown)}", f"media-src {' '.join(shown)}")
    filled = {"title": f"Novita: {page.name}", "origins": " ".join(origins), "body": _source(page.body)}
    return closed("page.html", page.styles, page.scripts, rules, filled)


def closed(
    shell: str, styles: Sequence[str], scripts: Sequence[str], rules: Sequence[str], slots: Mapping[str, str]
) -> str:
    """One file of a shell, styles and scripts, which nothing but `rules` lets reach out.

    Args:
        rules: Of its policy, beside those for its own script and style.
        slots: What stands in the shell's other slots.
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
