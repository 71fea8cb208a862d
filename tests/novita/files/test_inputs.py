"""What the user hands in is checked before anything is sent, and becomes what the model takes."""

import base64
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from novita_mcp.novita.core.errors import InputError, NotFoundError
from novita_mcp.novita.files.artifacts import Artifact
from novita_mcp.novita.files.folders import Folders
from novita_mcp.novita.files.inputs import Inputs
from novita_mcp.novita.files.kinds import sniff
from novita_mcp.novita.files.media_limits import MediaLimits
from PIL import Image

from ..conftest import FakeClock, StorageHost, StorageReply, draw, tone

CLIP = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(200)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("Pictures", "private", "novita", "here"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def inputs(home: Path, storage: StorageHost, clock: FakeClock, http: httpx.AsyncClient) -> Inputs:
    folders = Folders(home / "novita", home=home, cwd=home / "here")
    return Inputs(folders, http, clock, trusted_hosts=frozenset({storage.host}))


@pytest.fixture
def remote(storage: StorageHost, clock: FakeClock, http: httpx.AsyncClient) -> Inputs:
    """As in HTTP mode: no paths, nothing private."""
    return Inputs(None, http, clock, trusted_hosts=frozenset({storage.host}))


def put(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def decoded(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


async def test_a_file_becomes_base64_or_a_data_uri_as_the_model_takes_it(
    inputs: Inputs, home: Path, png: bytes
) -> None:
    source = await inputs.load(put(home / "Pictures", "fox.png", png), "image")
    assert (source.mime, source.width, source.height, source.bytes_size) == ("image/png", 320, 240, len(png))
    assert base64.b64decode(await source.as_form(["base64", "url"])) == png
    uri = await source.as_form(["url", "data_uri"])
    assert uri.startswith("data:image/png;base64,")
    assert decoded(uri) == png


async def test_a_file_for_a_model_that_only_takes_links_is_refused_with_the_ways_out(
    inputs: Inputs, home: Path, png: bytes
) -> None:
    source = await inputs.load(put(home / "Pictures", "fox.png", png), "image")
    with pytest.raises(InputError, match=r"only links.*fox\.png is a file on this machine.*public.*task:"):
        await source.as_form(["url"])


@pytest.mark.parametrize("ref", ["fox.png", "~/Pictures/fox.png", "file://{home}/Pictures/fox.png"])
async def test_paths_may_be_relative_at_home_or_an_address(inputs: Inputs, home: Path, png: bytes, ref: str) -> None:
    put(home / "Pictures", "fox.png", png)
    put(home / "here", "fox.png", png)
    assert (await inputs.load(ref.format(home=home), "image")).width == 320


async def test_a_relative_name_is_also_sought_among_earlier_results(inputs: Inputs, home: Path, png: bytes) -> None:
    put(home / "novita", "made.png", png)
    assert (await inputs.load("made.png", "image")).width == 320


async def test_a_percent_sign_in_a_file_address_is_undone(inputs: Inputs, home: Path, png: bytes) -> None:
    put(home / "Pictures", "red fox.png", png)
    assert (await inputs.load(f"file://{home}/Pictures/red%20fox.png", "image")).width == 320


@pytest.mark.parametrize("ref", ["{home}/private/fox.png", "{home}/Pictures/../private/fox.png", "{home}/Pictures/out"])
async def test_paths_out_of_the_allowed_folders_are_refused_whatever_leads_there(
    inputs: Inputs, home: Path, png: bytes, ref: str
) -> None:
    put(home / "private", "fox.png", png)
    (home / "Pictures" / "out").symlink_to(home / "private" / "fox.png")
    with pytest.raises(InputError, match=r"outside the folders.*Allowed are"):
        await inputs.load(ref.format(home=home), "image")


async def test_a_forbidden_path_is_refused_in_the_same_words_whether_it_exists_or_not(
    inputs: Inputs, home: Path
) -> None:
    texts: list[str] = []
    for name in ("there", "absent"):
        (home / "private" / "there").touch()
        with pytest.raises(InputError) as caught:
            await inputs.load(f"{home}/private/{name}", "image")
        texts.append(str(caught.value).replace(name, "X"))
    assert texts[0] == texts[1]


async def test_what_is_no_regular_file_is_refused_without_hanging(inputs: Inputs, home: Path) -> None:
    os.mkfifo(home / "Pictures" / "pipe.png")
    for name in ("pipe.png", "."):
        with pytest.raises(InputError, match="not a regular file"):
            await inputs.load(str(home / "Pictures" / name), "image")
    with pytest.raises(InputError, match="no file"):
        await inputs.load(str(home / "Pictures" / "absent.png"), "image")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"my diary: secret words", "text/plain"),
        (b"<html><body>secret words</body></html>", "text/html"),
        (CLIP, "video/mp4"),
        (b"\x00\x01\x02secret words", "no known format"),
        (b"\x89PNG\r\n\x1a\nsecret words", "damaged"),
        (b"", "empty"),
    ],
    ids=["text", "html", "video", "unknown", "damaged", "empty"],
)
async def test_a_file_that_is_not_what_its_name_says_is_refused_without_quoting_it(
    inputs: Inputs, home: Path, data: bytes, reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        await inputs.load(put(home / "Pictures", "fox.png", data), "image")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (MediaLimits(max_bytes=1000), r"0\.\d MiB and the model takes at most 0\.0 MiB.*resize=true"),
        (MediaLimits(formats=("jpg", "webp")), r"PNG and the model takes JPG, WEBP.*resize=true"),
        (MediaLimits(max_side=300), r"320x240 pixels and the longer side may have at most 300.*resize=true"),
        (MediaLimits(min_side=300), r"the shorter side must have at least 300.*resize=true"),
        (MediaLimits(max_pixels=70_000), r"0\.1 megapixels.*resize=true"),
        (MediaLimits(min_ratio=2), r"a ratio of 1\.33, and the model takes at least 2.*[Cc]rop"),
    ],
    ids=["bytes", "format", "max side", "min side", "pixels", "ratio"],
)
async def test_each_limit_of_the_model_is_named_with_what_to_do(
    inputs: Inputs, home: Path, png: bytes, limits: MediaLimits, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        await inputs.load(put(home / "Pictures", "fox.png", png), "image", limits=limits)


@pytest.mark.parametrize(
    ("limits", "size", "kind"),
    [
        (MediaLimits(max_side=160), (160, 120), "png"),
        (MediaLimits(min_side=480), (640, 480), "png"),
        (MediaLimits(max_pixels=19_200), (160, 120), "png"),
        (MediaLimits(formats=("jpeg",)), (320, 240), "jpeg"),
        (MediaLimits(max_bytes=90_000), (320, 240), "jpeg"),
        (MediaLimits(max_bytes=30_000, formats=("png",)), None, "png"),
    ],
    ids=["down", "up", "pixels", "format", "bytes", "bytes of a png"],
)
async def test_resize_brings_a_picture_within_the_limits(
    inputs: Inputs, home: Path, png: bytes, limits: MediaLimits, size: tuple[int, int] | None, kind: str
) -> None:
    source = await inputs.load(put(home / "Pictures", "fox.png", png), "image", limits=limits, resize=True)
    data = await source.read()
    found = sniff(data)
    assert found is not None
    assert found.name == kind
    assert source.changed
    assert limits.max_bytes is None or len(data) <= limits.max_bytes
    assert Image.open(BytesIO(data)).size == (size or (source.width, source.height))


async def test_resize_leaves_a_picture_that_fits_as_it_is(inputs: Inputs, home: Path, png: bytes) -> None:
    path = put(home / "Pictures", "fox.png", png)
    source = await inputs.load(path, "image", limits=MediaLimits(max_side=400), resize=True)
    assert await source.read() == png
    assert not source.changed


async def test_resize_cannot_mend_a_ratio(inputs: Inputs, home: Path, png: bytes) -> None:
    path = put(home / "Pictures", "fox.png", png)
    with pytest.raises(InputError, match="ratio"):
        await inputs.load(path, "image", limits=MediaLimits(max_ratio=1, max_side=100), resize=True)


async def test_transparency_is_refused_where_not_taken_and_flattened_on_request(inputs: Inputs, home: Path) -> None:
    sink = BytesIO()
    Image.new("RGBA", (40, 30), (255, 0, 0, 0)).save(sink, "PNG")
    path, limits = put(home / "Pictures", "clear.png", sink.getvalue()), MediaLimits(alpha=False)
    with pytest.raises(InputError, match=r"transparent.*resize=true"):
        await inputs.load(path, "image", limits=limits)
    flat = Image.open(BytesIO(await (await inputs.load(path, "image", limits=limits, resize=True)).read()))
    assert (flat.mode, flat.getpixel((3, 3))) == ("RGB", (255, 255, 255))


async def test_the_length_of_a_sound_is_checked(inputs: Inputs, home: Path) -> None:
    path = put(home / "Pictures", "line.wav", tone(2.0))
    assert (await inputs.load(path, "audio")).duration == 2.0
    with pytest.raises(InputError, match=r"2\.0 s long and the model takes at most 1 s.*Shorten"):
        await inputs.load(path, "audio", limits=MediaLimits(max_seconds=1))
    with pytest.raises(InputError, match=r"wants at least 10 s"):
        await inputs.load(path, "audio", limits=MediaLimits(min_seconds=10))


async def test_a_data_uri_is_unpacked_and_checked(inputs: Inputs, png: bytes) -> None:
    packed = base64.b64encode(png).decode()
    source = await inputs.load(f"data:image/webp;base64,{packed}", "image")
    assert await source.as_form(["data_uri"]) == f"data:image/png;base64,{packed}"
    for bad, reason in (
        ("data:image/png;base64,%%%", "valid base64"),
        ("data:image/png", "malformed"),
        ("data:text/plain,hello", "text/plain"),
        (packed * 2, "bare base64"),
    ):
        with pytest.raises(InputError, match=reason):
            await inputs.load(bad, "image")


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        ("", "empty"),
        ("ftp://example.com/a.png", "ftp://"),
        ("https://user:pw@example.com/a.png", "password"),
        ("task:", "task:<id>/<n>"),
        ("http://", "no host"),
        ("http://0177.0.0.1/a.png", "malformed"),
        ("file://server/share/a.png", "this machine"),
        ("a\0b", "not a path"),
    ],
)
async def test_what_is_no_reference_at_all_is_explained(inputs: Inputs, ref: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        await inputs.load(ref, "image")


async def test_a_link_is_passed_on_unfetched_where_the_model_takes_links(inputs: Inputs, storage: StorageHost) -> None:
    source = await inputs.load(f"{storage.url}/a.png", "image")
    assert await source.as_form(["url", "base64"]) == f"{storage.url}/a.png"
    assert storage.requests == []


async def test_a_link_is_fetched_and_checked_where_the_model_wants_content(
    inputs: Inputs, storage: StorageHost, png: bytes
) -> None:
    url = storage.plan("/a.png", StorageReply(status=503), StorageReply(png))
    assert base64.b64decode(await (await inputs.load(url, "image")).as_form(["base64"])) == png
    assert storage.asked("authorization") == [None, None]
    small = await inputs.load(url, "image", limits=MediaLimits(max_side=100))
    with pytest.raises(InputError, match="at most 100"):
        await small.as_form(["base64"])


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (StorageReply(b"<html><body>login</body></html>"), "HTML page"),
        (StorageReply(CLIP), "video/mp4"),
        (StorageReply(status=404), "404"),
        (StorageReply(status=302, headers={"Location": "http://169.254.169.254/"}), "link-local"),
        (StorageReply(status=302, headers={"Location": "http://192.168.1.4/"}), "private"),
    ],
    ids=["html", "video", "gone", "to metadata", "to the user's network"],
)
async def test_a_link_that_gives_no_picture_is_an_input_error(
    inputs: Inputs, storage: StorageHost, reply: StorageReply, reason: str
) -> None:
    source = await inputs.load(storage.plan("/a.png", reply), "image")
    with pytest.raises(InputError, match=reason) as caught:
        await source.read()
    assert caught.value.billed == "no"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (StorageReply(b"<html><body>login</body></html>"), "text/html"),
        (StorageReply(status=403), "403"),
        (StorageReply(draw(320, 240)), "at most 300"),
        (StorageReply(draw(90, 90) + bytes(300_000)), r"0\.3 MiB"),
    ],
    ids=["html", "gone", "too wide", "too heavy"],
)
async def test_a_checked_link_is_looked_at_without_fetching_it_whole(
    inputs: Inputs, storage: StorageHost, http: httpx.AsyncClient, clock: FakeClock, reply: StorageReply, reason: str
) -> None:
    checking = Inputs(inputs.folders, http, clock, trusted_hosts=inputs.trusted_hosts, check_links=True)
    limits = MediaLimits(max_side=300, max_bytes=200_000)
    with pytest.raises(InputError, match=reason):
        await checking.load(storage.plan("/a.png", reply), "image", limits=limits)
    assert storage.asked("range") == ["bytes=0-65535"]
    good = await checking.load(storage.plan("/b.png", StorageReply(draw(120, 90))), "image", limits=limits)
    assert (good.mime, good.width, good.height) == ("image/png", 120, 90)


PRIVATE = ["http://192.168.1.4/a.png", "http://localhost/a.png", "http://2130706433/a.png", "http://[::1]/a.png"]


@pytest.mark.parametrize("ref", [*PRIVATE, "http://169.254.169.254/a.png"])
async def test_over_http_private_addresses_and_paths_are_refused(remote: Inputs, ref: str) -> None:
    with pytest.raises(InputError, match="private address"):
        await remote.load(ref, "image")
    with pytest.raises(InputError, match=r"File paths cannot be used.*data: URI"):
        await remote.load("/etc/passwd", "image")


@pytest.mark.parametrize("ref", PRIVATE)
async def test_on_stdio_a_private_link_is_content_but_no_link_for_novita(inputs: Inputs, ref: str) -> None:
    source = await inputs.load(ref, "image")
    with pytest.raises(InputError, match="private network"):
        await source.as_form(["url"])


def results(inputs: Inputs, *artifacts: Artifact) -> Inputs:
    """The same inputs, with these results of earlier tasks."""

    async def resolve(task_id: str, index: int) -> Artifact:
        for artifact in artifacts:
            if (artifact.task_id, artifact.index) == (task_id, index):
                return artifact
        raise NotFoundError("no such task", status=404)

    return Inputs(inputs.folders, inputs.http, inputs.clock, resolve_task=resolve, trusted_hosts=inputs.trusted_hosts)


def result(clock: FakeClock, *, seconds: float = 3600, **more: Any) -> Artifact:
    expires = datetime.fromtimestamp(clock.wall(), UTC) + timedelta(seconds=seconds)
    return Artifact.model_validate({"task_id": "t1", "index": 0, "kind": "image", "expires_at": expires, **more})


@pytest.mark.parametrize("ref", ["task:t1/0", "task:t1", "novita://artifacts/t1/0"])
async def test_an_earlier_result_is_its_link_or_its_file(
    inputs: Inputs, home: Path, storage: StorageHost, clock: FakeClock, png: bytes, ref: str
) -> None:
    artifact = result(clock, url=f"{storage.url}/a.png", path=put(home / "private", "fox.png", png), mime="image/png")
    source = await results(inputs, artifact).load(ref, "image")
    assert await source.as_form(["url", "base64"]) == f"{storage.url}/a.png"
    assert base64.b64decode(await source.as_form(["base64"])) == png
    assert storage.requests == []


@pytest.mark.parametrize(("forms", "works"), [(["url", "base64"], True), (["url"], False)])
async def test_an_expired_link_gives_way_to_the_file(
    inputs: Inputs, home: Path, storage: StorageHost, clock: FakeClock, png: bytes, forms: Sequence[str], works: bool
) -> None:
    path = put(home / "novita", "fox.png", png)
    artifact = result(clock, seconds=30, url=f"{storage.url}/a.png", path=path, mime="image/png")
    source = await results(inputs, artifact).load("task:t1/0", "image")
    if works:
        assert base64.b64decode(await source.as_form(forms)) == png
    else:
        with pytest.raises(InputError, match="get_task"):
            await source.as_form(forms)


async def test_a_result_that_is_gone_absent_or_of_another_kind_is_refused(inputs: Inputs, clock: FakeClock) -> None:
    gone = result(clock, seconds=-1, url="https://example.com/a.png")
    clip = result(clock, index=1, kind="video", url="https://example.com/a.mp4")
    known = results(inputs, gone, clip)
    for ref, reason in (
        ("task:t1/0", "neither on disk nor behind a link.*get_task"),
        ("task:t1/1", "is video, and image is wanted"),
        ("task:t2/0", "no result 0 of task t2.*list_tasks"),
    ):
        with pytest.raises(InputError, match=reason):
            await known.load(ref, "image")


async def test_a_result_known_to_break_a_limit_is_refused_unread_or_resized(
    inputs: Inputs, home: Path, storage: StorageHost, clock: FakeClock, png: bytes
) -> None:
    path = put(home / "novita", "fox.png", png)
    artifact = result(clock, url=f"{storage.url}/a.png", path=path, mime="image/png", width=320, height=240)
    known, limits = results(inputs, artifact), MediaLimits(max_side=160)
    with pytest.raises(InputError, match="at most 160"):
        await known.load("task:t1/0", "image", limits=limits)
    source = await known.load("task:t1/0", "image", limits=limits, resize=True)
    assert (source.width, source.link) == (160, None)


async def test_a_text_is_a_text_and_nothing_else_is(inputs: Inputs, home: Path, png: bytes) -> None:
    rows = b'{"prompt": "F\xc3\xbcchse"}\n' * 500
    source = await inputs.load(put(home / "Pictures", "rows.jsonl", rows), "text")
    assert await source.read() == rows
    with pytest.raises(InputError, match="image/png, and text is wanted"):
        await inputs.load(put(home / "Pictures", "fox.txt", png), "text")
