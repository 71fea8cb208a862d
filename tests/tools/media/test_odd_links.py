"""Links and references as they are pasted: malformed ones get a clear error at every place that takes one."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.core.errors import InputError
from novita_mcp.novita.files.links import parse_link
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World

from ...conftest import Connect
from ..media_things import done, link_to, nothing_paid, one, picture, refused

MALFORMED = [
    "http://127.0.0.1:99999/x.png",
    "http://127.0.0.1:0/x.png",
    "http://127.0.0.1:-1/x.png",
    "http://127.0.0.1:port/x.png",
    "https://example.com:٤٤٣/x.png",
    "https://example.com:８０?x",
    "https://[::1/",
    "https://[::g]/x.png",
    "https://xn--/x",
    "https://xn--a.example/x",
    "https://256.1.1.1/x.png",
    "https://a..b/x.png",
    "https:///x.png",
    "https:x.png",
    f"https://{'a' * 64}.example/x.png",
    f"https://{'a.' * 140}example/x.png",
    "https://exa mple.com/x.png",
    "https://\u2024/x.png",
    f"https://{'é' * 60}.example/x.png",
    "https://example.com\\@10.0.0.1/x.png",
    "https://*.example.com/x.png",
]
TAKERS: list[tuple[str, str, dict[str, Any]]] = [
    ("edit_image", "image", {"prompt": "n"}),
    ("edit_image", "webhook_url", {"prompt": "n", "image": "https://example.com/fox.png"}),
    ("generate_image", "webhook_url", {"prompt": "n"}),
    ("generate_video", "image", {"prompt": "n"}),
    ("transcribe_audio", "audio", {}),
    ("edit_video", "video", {"prompt": "n"}),
]


@pytest.mark.parametrize(("tool", "argument", "more"), TAKERS, ids=[f"{tool} {name}" for tool, name, _ in TAKERS])
async def test_a_malformed_link_is_a_clear_error_wherever_it_is_given(
    connect: Connect, world: World, tool: str, argument: str, more: dict[str, Any]
) -> None:
    async with connect() as client:
        for link in MALFORMED:
            call = client.call_tool(tool, {**more, argument: link, "dry_run": True})
            text = await refused(call, "Nothing was billed")
            assert "malformed" in text or "no host" in text or "backslash" in text, (link, text)
            assert "fault in novita-mcp" not in text
    nothing_paid(world)


async def test_a_malformed_file_address_and_a_malformed_page_are_clear_errors(connect: Connect, world: World) -> None:
    async with connect(toolsets="all") as client:
        for bad in ("file://[x", "file://[::1/x.png"):
            await refused(
                client.call_tool("remove_background", {"model": "remove-background", "image": bad}),
                "malformed",
                "Nothing was billed",
            )
        for link in MALFORMED:
            await refused(client.call_tool("read_web_pages", {"urls": [link]}), "urls[0]", "Nothing was billed")
    nothing_paid(world)


@pytest.mark.parametrize(
    "link",
    [
        "https://example.com",
        "https://example.com:8443/a%20b.png?x=1#y",
        "HTTP://EXAMPLE.COM/x",
        "https://[2001:db8::1]:8080/x",
        "https://bücher.example/x",
        "https://my_bucket.s3.amazonaws.com/x",
        "https://xn--bcher-kva.example/x",
        "https://example.com./x",
        "https://example.com/a:٣",
        "https://example.com?a:٣",
    ],
)
def test_links_that_people_really_use_are_taken(link: str) -> None:
    assert parse_link(link).host


@pytest.mark.parametrize("link", ["ftp://example.com/x", "example.com/x.png", "", "https://ada:pw@example.com/x"])
def test_what_is_no_web_address_is_said_so_without_repeating_it(link: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_link(link, "`image`")
    assert "`image`" in caught.value.what
    assert "ada" not in str(caught.value)


FORMS = [
    *("task:{0}/0", "task:{0}", "novita://artifacts/{0}/0", " {0} ", "task:{0}/"),
    *("'task:{0}/0'", "`{0}`", '"{0}"', "“task:{0}”", "TASK:{0}/0", "task://{0}/0", "[the fox](task:{0}/0)"),
]


async def test_get_task_understands_the_form_that_answers_teach(connect: Connect) -> None:
    async with connect() as client:
        made = await done(client.call_tool("generate_image", {"prompt": "fox"}))
        for form in FORMS:
            answer = await done(client.call_tool("get_task", {"task_id": form.format(made["task_id"])}))
            assert (answer["task_id"], one(answer)["path"]) == (made["task_id"], one(made)["path"]), form


async def test_a_link_that_redirects_to_something_malformed_is_a_clear_error(
    connect: Connect, world: World, settings: Settings
) -> None:
    for target in ("https://xn--/x", "http://127.0.0.1:99999/x", "https://[::1/"):
        with serve_reply(302, {"Location": target}) as link:
            async with connect(base_url=settings.base_url) as client:
                call = client.call_tool("edit_image", {"image": link, "prompt": "n", "dry_run": True})
                await refused(call, "link", "Nothing was billed")
    nothing_paid(world)


@contextmanager
def serve_reply(status: int, headers: dict[str, str]) -> Generator[str]:
    """A server that always answers the same; yields a link to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/x.png"
        finally:
            server.shutdown()
            thread.join()


def _keep(path: str, world: World, settings: Settings) -> str:
    return link_to(path, world, settings.base_url)


@pytest.mark.old_models
async def test_a_good_link_still_works(connect: Connect, world: World, tmp_path: Path, settings: Settings) -> None:
    link = _keep(picture(tmp_path / "fox.png"), world, settings)
    async with connect() as client:
        await done(client.call_tool("remove_background", {"model": "remove-background", "image": link}))
