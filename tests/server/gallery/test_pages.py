"""The pages as hosts get them: declared in both eras, on the tools whose answers they show, each one closed file."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mcp import Client
from mcp_types import TextResourceContents
from novita_mcp.server.app import create_app
from novita_mcp.server.gallery.pages import GALLERY, MIME, PAGES, SOURCES, SPEND, SPENT, TELL, html_of
from novita_mcp.server.settings import SettingError, Settings
from novita_mcp.tools import TOOLS
from novita_mcp.tools.media.results import MediaResult

from ...conftest import Connect

UI = "io.modelcontextprotocol/ui"


class Parts(HTMLParser):
    """A page's tags with their attributes, and what stands in scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.within: dict[str, str] = {}
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self._open in ("script", "style"):
            self.within[self._open] = self.within.get(self._open, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    @property
    def policy(self) -> dict[str, list[str]]:
        (found,) = [seen["content"] or "" for tag, seen in self.tags if tag == "meta" and "http-equiv" in seen]
        return {name: values for name, *values in (rule.split() for rule in found.split(";"))}


async def page_of(client: Client, uri: str = GALLERY) -> TextResourceContents:
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return content


@pytest.mark.parametrize("uri", [GALLERY, SPEND])
async def test_a_page_is_declared_listed_and_read(connect: Connect, uri: str) -> None:
    async with connect() as client:
        capabilities = client.server_capabilities
        assert capabilities is not None and UI in (capabilities.extensions or {})
        (listed,) = [each for each in (await client.list_resources()).resources if each.uri == uri]
        page = await page_of(client, uri)

    assert listed.mime_type == page.mime_type == MIME
    assert (listed.meta or {})["ui"] == (page.meta or {})["ui"]
    assert page.text.startswith("<!doctype html>")


async def test_whoever_asks_for_a_page_that_is_not_there_is_told(connect: Connect) -> None:
    async with connect() as client:
        with pytest.raises(Exception, match="not found"):
            await client.read_resource("ui://novita/other.html")


async def test_every_tool_that_makes_media_has_it_and_no_other_has(connect: Connect) -> None:
    async with connect(toolsets="all") as client:
        listed = (await client.list_tools()).tools
    shown = {tool.name for tool in listed if (tool.meta or {}).get("ui", {}).get("resourceUri") == GALLERY}
    answers = {name: spec.build().answers for name, spec in TOOLS.items()}
    media = {name for name, answer in answers.items() if answer and issubclass(answer, MediaResult)}

    assert media > TELL
    assert shown == media - TELL | {"list_tasks"}
    assert {"generate_image", "generate_video", "generate_speech", "get_task", "run_media_model"} <= shown


async def test_what_tells_of_money_and_of_machines_has_the_other_page(connect: Connect) -> None:
    async with connect() as client:
        listed = (await client.list_tools()).tools
    shown = {tool.name for tool in listed if (tool.meta or {}).get("ui", {}).get("resourceUri") == SPEND}
    assert shown == SPENT == {"get_balance", "get_bill", "list_gpu_instances", "stop_everything"}


@pytest.mark.parametrize("uri", [GALLERY, SPEND])
async def test_the_page_is_one_closed_file(connect: Connect, uri: str) -> None:
    """Nothing is fetched, no handler stands in an attribute, and the policy lets exactly this script and style in."""
    async with connect() as client:
        page = await page_of(client, uri)
    parts = Parts(page.text)
    (script,) = [seen for tag, seen in parts.tags if tag == "script"]

    assert script == {}
    assert not [seen for _, seen in parts.tags if seen.keys() & {"src", "href", "action", "style"}]
    assert not [name for _, seen in parts.tags for name in seen if name.startswith("on")]
    assert "{{" not in page.text and len(page.text.encode()) < 64_000
    for what in ("script", "style"):
        digest = b64encode(sha256(parts.within[what].encode()).digest()).decode()
        assert parts.policy[f"{what}-src"] == [f"'sha256-{digest}'"]
    assert parts.policy["default-src"] == parts.policy["base-uri"] == parts.policy["form-action"] == ["'none'"]


@pytest.mark.parametrize("source", sorted(SOURCES.glob("*.js")), ids=lambda path: path.name)
def test_sources_read_nothing_as_html_or_code(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|</script", text)


async def test_files_are_shown_by_link_from_the_hosts_in_the_setting_alone(settings: Settings) -> None:
    chosen = replace(settings, base_url="https://api.novita.ai", media_hosts="Files.example.com, *.store.example:8443")
    async with Client(create_app(chosen)) as client:
        page = await page_of(client)
    origins = ["https://files.example.com", "https://*.store.example:8443"]

    assert (page.meta or {})["ui"]["csp"]["resourceDomains"] == origins
    assert Parts(page.text).policy["media-src"] == Parts(page.text).policy["img-src"] == ["data:", *origins]


def test_where_novita_is_moved_its_own_links_are_shown_and_else_none(settings: Settings) -> None:
    gallery, spend = (Parts(html_of(page, ())).policy for page in PAGES)
    assert gallery["media-src"] == ["data:"] and spend["media-src"] == spend["img-src"] == ["'none'"]
    assert create_app(settings)._pages._origins == (settings.base_url,)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("host", ["https://a.example", "a.example; script-src *", "a b.example", "*", "*.*", '"><b>'])
def test_what_is_no_host_is_refused_at_the_start(settings: Settings, host: str) -> None:
    with pytest.raises(SettingError, match="MEDIA_HOSTS"):
        create_app(replace(settings, media_hosts=host))
