"""Who may look at the pages on this machine, asked over real HTTP, and what may be asked for."""

import http.client
import json
import logging
import socket
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.server.commands.gallery import run_gallery
from novita_mcp.server.gallery.loopback import LOOKS, STOPS, TOKEN_LASTS, Loopback, Visit
from novita_mcp.server.settings import SettingError, Settings

from ...serving import serve_asgi

Json = dict[str, Any]
IDLE = 60.0
PICTURE = b"\x89PNG" + bytes(range(256)) * 4


@dataclass
class Server:
    """Stands in for our server: remembers what is asked for; the stops ask first; a task has these files."""

    files: list[Path] = field(default_factory=list[Path])
    calls: list[tuple[str, Json]] = field(default_factory=list[tuple[str, Json]])

    async def call(self, name: str, arguments: Json) -> Json:
        self.calls.append((name, arguments))
        asks = name in STOPS and not arguments.get("confirm")
        gone = {"url": "https://novita.example/a", "expires_at": "2020-01-01T00:00:00Z"}
        artifacts = [{"index": place, "path": str(path), **gone} for place, path in enumerate(self.files)]
        return {"structuredContent": {"status": "needs_confirmation" if asks else "succeeded", "artifacts": artifacts}}

    async def read(self, uri: str) -> Json:
        self.calls.append(("read", {"uri": uri}))
        if uri.endswith("/9"):
            raise ValueError("Resource not found")
        return {"contents": [{"uri": uri}]}


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Json:
        return json.loads(self.body)


class Place:
    """The pages on a port of this machine, and a browser that may not have come in yet."""

    def __init__(self, port: int, visit: Visit, server: Server, now: list[float]) -> None:
        self.port, self.visit, self.server, self.now = port, visit, server, now
        self.here = f"127.0.0.1:{port}"
        self.cookie = ""

    def ask(self, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
        """As the page's own script asks; a header that is None is left out."""
        sent = {"host": self.here, "cookie": self.cookie or None}
        if method == "POST":
            sent |= {"origin": f"http://{self.here}", "content_type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.putrequest(method, path, skip_host=True)
        for name, value in {**sent, "content_length": str(len(data or b"")), **headers}.items():
            if value is not None:
                connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(data)
        answer = connection.getresponse()
        found = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return found

    def enter(self, token: str | None = None, **headers: str | None) -> Answer:
        answer = self.ask("POST", "/enter", {"token": self.visit.token if token is None else token}, **headers)
        if answer.status == 204:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer

    def call(self, name: str, arguments: Json | None = None, **headers: str | None) -> Answer:
        return self.ask("POST", "/call", {"name": name, "arguments": arguments or {}}, **headers)


@pytest.fixture
def place() -> Generator[Place]:
    now = [1_000.0]
    visit, server = Visit(IDLE, clock=lambda: now[0]), Server()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with serve_asgi(Loopback(server, visit, port), listener, http="h11"):
        yield Place(port, visit, server, now)


@pytest.fixture
def inside(place: Place) -> Place:
    """A browser that came in."""
    assert place.enter().status == 204
    return place


def test_the_token_opens_it_once_and_becomes_a_cookie_of_no_script(place: Place) -> None:
    assert place.enter("wrong").status == place.enter("").status == 403
    came = place.enter()
    assert came.status == 204 and came.body == b""
    name, *marks = came.headers["set-cookie"].split("; ")
    assert {mark.lower() for mark in marks} == {"httponly", "samesite=strict", "path=/"}
    assert place.visit.token not in name and name.startswith(f"novita_gallery_{place.port}=")
    assert place.call("list_tasks").status == 200
    assert place.enter().status == 403
    assert place.call("list_tasks").status == 200


def test_a_link_is_good_for_five_minutes(place: Place) -> None:
    place.now[0] += TOKEN_LASTS
    assert place.enter().status == 403 and place.visit.over


def test_whoever_does_not_look_for_a_while_may_look_no_more(inside: Place) -> None:
    for _ in range(3):
        inside.now[0] += IDLE - 1
        assert inside.call("list_tasks").status == 200
    inside.now[0] += IDLE - 1
    for cookie in ("", "novita_gallery=x", inside.cookie + "x"):  # who may not look keeps nothing open
        assert inside.call("list_tasks", cookie=cookie).status == 401
    inside.now[0] += 1
    with inside.visit.answering():  # whoever waits for an answer looks
        assert not inside.visit.over
    inside.now[0] += IDLE
    assert inside.visit.over and inside.call("list_tasks").status == 401
    assert inside.ask("GET", "/pages/gallery.html").status == 401


def test_without_the_cookie_nothing_is_asked_of_the_server(inside: Place) -> None:
    mine = f"novita_gallery_{inside.port}"
    for cookie in (None, "", f"{mine}=", f"{mine}=wrong", "a=b", f"novita_gallery={inside.cookie.partition('=')[2]}"):
        assert inside.call("list_tasks", cookie=cookie).status == 401
        assert inside.ask("POST", "/read", {"uri": "novita://artifacts/a/0"}, cookie=cookie).status == 401
        for page in ("gallery.html", "spend.html", "host.html"):
            assert inside.ask("GET", f"/pages/{page}", cookie=cookie).status == 401
    assert inside.server.calls == []


def test_a_foreign_name_that_leads_here_is_not_listened_to(place: Place) -> None:
    foreign = (
        "evil.example",
        f"evil.example:{place.port}",
        f"localhost:{place.port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "",
        None,
    )
    for host in foreign:
        for method, path in (("GET", "/"), ("GET", "/pages/gallery.html"), ("GET", "/files/x"), ("POST", "/call")):
            assert place.ask(method, path, host=host).status in (400, 421)
        assert place.enter(host=host).status in (400, 421) and not place.visit.came.is_set()
    assert place.enter().status == 204


def test_what_another_page_asks_is_not_done(inside: Place) -> None:
    mine = f"127.0.0.1:{inside.port}"
    for origin in (
        None,
        "null",
        "https://evil.example",
        "http://127.0.0.1:1",
        f"http://localhost:{inside.port}",
        f"https://{mine}",
    ):
        assert inside.call("stop_everything", origin=origin).status == 403
        assert inside.ask("POST", "/read", {"uri": "novita://artifacts/a/0"}, origin=origin).status == 403
    assert inside.server.calls == []


def test_a_form_of_another_page_cannot_say_it_either(inside: Place) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):
        assert inside.call("list_tasks", content_type=kind).status == 415
    assert inside.call("list_tasks", {"limit": "9" * 70_000}).status == 413
    assert inside.call("list_tasks", content_length=None, transfer_encoding="chunked").status == 413
    assert inside.server.calls == []


NOT_FOR_PAGES: tuple[tuple[str, Json], ...] = (
    ("generate_image", {"prompt": "a fox"}),
    ("delete_gpu_instance", {"instance_id": "i"}),
    ("create_gpu_instance", {}),
    ("get_bill", {"csv": True}),
    ("get_task", {"task_id": "t-1", "save_to": "/tmp"}),
    ("get_task", {"task_id": "t-1", "confirm": True}),
    ("update_endpoint", {"endpoint_id": "e", "min_workers": 3}),
    ("update_endpoint", {"endpoint_id": "e", "env": {"A": "B"}}),
    ("stop_everything", {"confirm": True}),
    ("stop_gpu_instance", {"instance_id": "i", "confirm": True}),
    ("stop_gpu_instance", {"instance_id": "i", "after_hours": 1}),
)


def test_a_page_may_only_look_and_stop_what_costs_once_it_was_asked(inside: Place) -> None:
    assert {inside.call(name, given).status for name, given in NOT_FOR_PAGES} == {403}
    assert inside.server.calls == []


def test_a_yes_is_for_the_question_that_was_asked_and_for_it_once(inside: Place) -> None:
    one: Json = {"instance_id": "one"}
    assert inside.call("stop_gpu_instance", one).json["structuredContent"]["status"] == "needs_confirmation"
    assert inside.call("stop_gpu_instance", {"instance_id": "other", "confirm": True}).status == 403
    assert inside.call("stop_gpu_instance", {**one, "confirm": "yes"}).status == 403
    assert inside.call("stop_gpu_instance", {**one, "confirm": True}).status == 200
    assert inside.call("stop_gpu_instance", {**one, "confirm": True}).status == 403
    assert [given for _, given in inside.server.calls] == [one, {**one, "confirm": True}]


def test_what_is_no_call_is_refused(inside: Place) -> None:
    bodies: tuple[Any, ...] = (
        [],
        "text",
        {"name": 1, "arguments": {}},
        {"name": "list_tasks"},
        {"name": "list_tasks", "arguments": []},
    )
    for body in bodies:
        assert inside.ask("POST", "/call", body).status == 400
    assert inside.server.calls == []


def test_only_what_was_made_is_read(inside: Place) -> None:
    for uri in ("novita://spend", "novita://tasks", "file:///etc/passwd", "ui://novita/gallery.html", 3):
        assert inside.ask("POST", "/read", {"uri": uri}).status == 403
    assert inside.server.calls == []
    assert inside.ask("POST", "/read", {"uri": "novita://artifacts/t/0"}).json["contents"]
    assert inside.ask("POST", "/read", {"uri": "novita://artifacts/t/9"}).status == 404


def linked(place: Place, *paths: Path) -> list[str]:
    """Where the files of a task are to be had."""
    place.server.files = list(paths)
    artifacts = place.call("get_task", {"task_id": "t-1"}).json["structuredContent"]["artifacts"]
    assert not [each for each in artifacts if "expires_at" in each and each["url"].startswith("http://")]
    return [each["url"].removeprefix(f"http://{place.here}") for each in artifacts]


def test_a_file_is_given_whole_or_in_parts_so_that_a_film_can_be_sought(inside: Place, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(PICTURE)
    (at,) = linked(inside, film)
    # A frame of its own origin has no cookie: the name is the key.
    whole = inside.ask("GET", at, cookie=None)
    part = inside.ask("GET", at, range="bytes=4-7", cookie=None)
    assert (whole.status, whole.headers["content-type"], whole.body) == (200, "video/mp4", PICTURE)
    assert (part.status, part.headers["content-range"], part.body) == (206, f"bytes 4-7/{len(PICTURE)}", PICTURE[4:8])
    assert inside.ask("GET", at, range=f"bytes={len(PICTURE)}-", cookie=None).status == 416
    assert linked(inside, film) == [at]


def test_no_file_but_those_that_were_told_of_can_be_had(inside: Place, tmp_path: Path) -> None:
    made, secret = tmp_path / "made.png", tmp_path / "secret.txt"
    made.write_bytes(PICTURE)
    secret.write_text("secret")
    (at,) = linked(inside, made)
    tried = ["/files/", "/files/x", f"/files/{secret}", f"{at}/../secret.txt", "/files/../secret.txt", "/../secret.txt"]
    tried += [
        f"/files/{'..%2f' * 12}etc/passwd",
        "/files/..%5c..%5csecret.txt",
        f"/files/%2f{secret}",
        f"{at}%00",
        f"{at}/",
    ]
    tried += ["/pages/../host.js", "/pages/host.html", "/pages/..%2floopback.py", "/gallery.js"]
    assert [inside.ask("GET", path).status for path in tried] == [404] * len(tried)
    made.unlink()
    assert inside.ask("GET", at).status == 404
    made.mkdir()
    assert inside.ask("GET", at).status == 404
    assert linked(inside, Path("relative.png"))[0].startswith("https://novita.example")


def test_what_is_no_picture_film_or_sound_is_saved_and_not_run(inside: Place, tmp_path: Path) -> None:
    for name in ("page.html", "run.js", "notes.txt", "data", "x.pdf"):
        path = tmp_path / name
        path.write_text("<script>alert(1)</script>")
        answer = inside.ask("GET", *linked(inside, path))
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == "attachment"


def test_a_drawing_with_a_script_in_it_is_shown_in_a_sandbox(inside: Place, tmp_path: Path) -> None:
    path = tmp_path / "drawing.svg"
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    answer = inside.ask("GET", *linked(inside, path))
    assert "sandbox" in answer.headers["content-security-policy"] and "default-src 'none'" in answer.headers["content-security-policy"]  # fmt: skip  # noqa: E501
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_files_end_with_the_visit(inside: Place, tmp_path: Path) -> None:
    path = tmp_path / "made.png"
    path.write_bytes(PICTURE)
    (at,) = linked(inside, path)
    inside.now[0] += IDLE
    assert inside.ask("GET", at).status == 404


def test_every_answer_keeps_to_itself_and_no_page_and_no_log_has_a_secret(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    entered = place.enter()
    answers = [place.ask("GET", path) for path in ("/", "/pages/gallery.html", "/pages/spend.html", "/files/x", "/no")]
    answers += [place.call("list_tasks"), place.call("generate_image"), place.ask("GET", "/call"), place.enter()]
    for answer in (entered, *answers):
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["access-control-allow-origin"] is None
    told = b"".join(answer.body + str(answer.headers).encode() for answer in answers)
    for secret in (place.visit.token, place.cookie.partition("=")[2]):
        assert secret and secret.encode() not in told
        assert secret not in caplog.text and secret not in repr(place.visit)
    assert "frame-ancestors 'none'" in answers[0].headers["content-security-policy"]
    for page in answers[1:3]:
        assert page.headers["content-security-policy"] == "sandbox allow-scripts; frame-ancestors 'self'"
        assert page.status == 200


def test_no_tool_but_a_stop_can_take_a_yes() -> None:
    assert not LOOKS.keys() & STOPS.keys()
    assert not [name for name, given in {**LOOKS, **STOPS}.items() if "confirm" in given]


@pytest.mark.parametrize(
    ("settings", "minutes", "says"),
    [
        (Settings(), 30, "needs your key"),
        (Settings(api_key="k", journal="off"), 30, "the journal is off"),
        (Settings(api_key="k"), 0, "more than 0"),
    ],
)
def test_what_it_cannot_show_is_told_at_once(settings: Settings, minutes: float, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        run_gallery(settings, browser=False, idle_minutes=minutes)
