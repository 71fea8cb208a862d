"""Files are fetched from the storage whole, through its faults, or refused."""

import hashlib
from pathlib import Path

import httpx
import pytest
from novita_mcp.novita.core.errors import ArtifactError
from novita_mcp.novita.files.addresses import Guard
from novita_mcp.novita.files.artifacts import ArtifactStore
from novita_mcp.novita.files.downloads import Downloader, ExpiredLinkError
from novita_mcp.novita.files.folders import Folders

from ..conftest import FakeClock, StorageHost, StorageReply, draw
from .pictures_there import image, kept


async def test_no_key_and_no_cookie_goes_to_the_storage(
    storage: StorageHost, folder: Path, clock: FakeClock, png: bytes
) -> None:
    headers = {"Authorization": "Bearer sk_secret"}
    async with httpx.AsyncClient(trust_env=False, headers=headers, cookies={"a": "b"}, auth=("u", "p")) as http:
        store = ArtifactStore(
            folder, allowed=Folders(folder), clock=clock, http=http, trusted_hosts=frozenset({storage.host})
        )
        await store.fetch(image(storage.plan("/a.png", StorageReply(png))))
    assert storage.asked("authorization") == [None]
    assert storage.asked("cookie") == [None]


@pytest.mark.parametrize(
    "fault",
    [
        StorageReply(b"oops", status=500),
        StorageReply(b"busy", status=503),
        StorageReply(b"slow down", status=429, headers={"Retry-After": "3"}),
        StorageReply(b"", status=200),
        StorageReply(b"<!DOCTYPE html><html><body>Bad gateway</body></html>", headers={"Content-Type": "image/png"}),
        StorageReply(b"<?xml version='1.0'?><Error><Code>InternalError</Code></Error>"),
        StorageReply(b"x" * 10, cut=0),
    ],
    ids=["500", "503", "429", "empty", "html", "xml", "reset"],
)
async def test_a_fault_that_passes_costs_a_retry_and_nothing_else(
    store: ArtifactStore, storage: StorageHost, clock: FakeClock, folder: Path, png: bytes, fault: StorageReply
) -> None:
    saved = await store.fetch(image(storage.plan("/a.png", fault, fault, fault, StorageReply(png))))
    assert saved.sha256 == hashlib.sha256(png).hexdigest()
    assert len(kept(folder)) == 1
    assert len(storage.requests) == 4
    assert len(clock.naps) == 3


async def test_retry_after_is_waited_for(
    store: ArtifactStore, storage: StorageHost, clock: FakeClock, png: bytes
) -> None:
    await store.fetch(
        image(storage.plan("/a.png", StorageReply(status=429, headers={"Retry-After": "3"}), StorageReply(png)))
    )
    assert 3 <= clock.naps[0] < 4


async def test_a_long_retry_after_is_named_and_not_slept(
    store: ArtifactStore, storage: StorageHost, clock: FakeClock
) -> None:
    url = storage.plan("/a.png", StorageReply(status=429, headers={"Retry-After": "90"}))
    with pytest.raises(ArtifactError, match="90 s"):
        await store.fetch(image(url))
    assert clock.naps == []


async def test_a_cut_download_goes_on_where_it_was_cut(store: ArtifactStore, storage: StorageHost, png: bytes) -> None:
    whole = StorageReply(png, headers={"ETag": '"v1"'})
    cuts = [StorageReply(png, headers={"ETag": '"v1"'}, cut=at) for at in (5_000, 7_000)]
    saved = await store.fetch(image(storage.plan("/a.png", *cuts, whole)))
    assert saved.sha256 == hashlib.sha256(png).hexdigest()
    assert storage.asked("range") == [None, "bytes=5000-", "bytes=12000-"]
    assert storage.asked("if-range") == [None, '"v1"', '"v1"']


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ETag": '"old"'}, {"ETag": '"new"'}),  # changed meanwhile: the server sends the new one whole
        ({}, {}),  # nothing to prove that it is still the same file
        ({"ETag": 'W/"v1"'}, {"ETag": 'W/"v1"'}),  # a weak tag proves nothing about bytes
    ],
    ids=["changed", "no tag", "weak tag"],
)
async def test_a_cut_download_starts_over_where_it_cannot_go_on(
    store: ArtifactStore, storage: StorageHost, png: bytes, first: dict[str, str], second: dict[str, str]
) -> None:
    other = (draw(300, 200) + png)[: len(png)]
    url = storage.plan("/a.png", StorageReply(other, headers=first, cut=9_000), StorageReply(png, headers=second))
    saved = await store.fetch(image(url))
    assert saved.sha256 == hashlib.sha256(png).hexdigest()


async def test_a_server_that_ignores_range_is_read_from_the_start(
    store: ArtifactStore, storage: StorageHost, png: bytes
) -> None:
    tag = {"ETag": '"v1"'}
    url = storage.plan(
        "/a.png", StorageReply(png, headers=tag, cut=9_000), StorageReply(png, headers=tag, ranges=False)
    )
    assert (await store.fetch(image(url))).sha256 == hashlib.sha256(png).hexdigest()


async def test_a_body_shorter_than_it_said_is_never_kept(
    store: ArtifactStore, storage: StorageHost, png: bytes
) -> None:
    url = storage.plan("/a.png", StorageReply(png, length=len(png) + 10))
    with pytest.raises(ArtifactError, match="cut"):
        await store.fetch(image(url))
    assert len(storage.requests) == 6


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_a_cut_that_no_length_could_show_is_seen_in_the_picture(
    store: ArtifactStore, storage: StorageHost, folder: Path, kind: str
) -> None:
    data = draw(kind=kind)
    with pytest.raises(ArtifactError, match="incomplete"):
        await store.fetch(image(storage.plan("/a", StorageReply(data[:-100], length=None))))
    assert kept(folder) == []
    assert (await store.fetch(image(storage.plan("/b", StorageReply(data, length=None))))).bytes == len(data)


async def test_a_part_that_ends_early_is_not_the_end(store: ArtifactStore, storage: StorageHost, png: bytes) -> None:
    tag, total = {"ETag": '"v1"'}, len(png)
    part = StorageReply(png[5_000:8_000], status=206, headers={**tag, "Content-Range": f"bytes 5000-7999/{total}"})
    saved = await store.fetch(
        image(storage.plan("/a.png", StorageReply(png, headers=tag, cut=5_000), part, StorageReply(png, headers=tag)))
    )
    assert saved.sha256 == hashlib.sha256(png).hexdigest()
    assert storage.asked("range") == [None, "bytes=5000-", "bytes=8000-"]


async def test_a_part_from_another_place_is_not_joined(store: ArtifactStore, storage: StorageHost, png: bytes) -> None:
    tag, total = {"ETag": '"v1"'}, len(png)
    part = StorageReply(png[6_000:], status=206, headers={**tag, "Content-Range": f"bytes 6000-{total - 1}/{total}"})
    saved = await store.fetch(
        image(storage.plan("/a.png", StorageReply(png, headers=tag, cut=5_000), part, StorageReply(png, headers=tag)))
    )
    assert saved.sha256 == hashlib.sha256(png).hexdigest()


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_an_expired_link_says_so_and_what_refreshes_it(
    store: ArtifactStore, storage: StorageHost, folder: Path, status: int
) -> None:
    url = storage.plan("/a.png", StorageReply(b"<Error><Code>AccessDenied</Code></Error>", status=status))
    with pytest.raises(ExpiredLinkError, match=r"expired.*get_task"):
        await store.fetch(image(url))
    assert len(storage.requests) == 1
    assert kept(folder) == []


@pytest.mark.parametrize("length", [-1, None], ids=["declared", "undeclared"])
async def test_a_file_over_the_cap_is_refused_and_not_kept(
    store: ArtifactStore, storage: StorageHost, folder: Path, png: bytes, length: int | None
) -> None:
    url = storage.plan("/a.png", StorageReply(png + bytes(2**20), length=length))
    with pytest.raises(ArtifactError, match=r"larger than allowed.*1 MiB"):
        await store.fetch(image(url))
    assert kept(folder) == []


async def test_a_file_that_says_it_is_over_the_cap_is_not_even_begun(
    store: ArtifactStore, storage: StorageHost, png: bytes
) -> None:
    with pytest.raises(ArtifactError, match=r"5\.0 MiB"):
        await store.fetch(image(storage.plan("/a.png", StorageReply(png, length=5 * 2**20))))
    assert len(storage.requests) == 1


async def test_a_page_that_stays_a_page_is_an_error(store: ArtifactStore, storage: StorageHost, folder: Path) -> None:
    with pytest.raises(ArtifactError, match="HTML page"):
        await store.fetch(image(storage.plan("/a.png", StorageReply(b"<html><body>secret detail</body></html>"))))
    assert kept(folder) == []


async def test_a_video_where_a_picture_was_promised_is_refused_at_once(
    store: ArtifactStore, storage: StorageHost, folder: Path
) -> None:
    clip = b"\0\0\0\x20ftypisom" + bytes(20_000)
    with pytest.raises(ArtifactError, match=r"video/mp4, not image"):
        await store.fetch(image(storage.plan("/a.png", StorageReply(clip))))
    assert len(storage.requests) == 1
    assert kept(folder) == []


async def test_a_redirect_is_followed_and_one_to_a_private_address_is_not(
    store: ArtifactStore, storage: StorageHost, folder: Path, png: bytes
) -> None:
    storage.plan("/real.png", StorageReply(png))
    good = storage.plan("/a.png", StorageReply(status=302, headers={"Location": "/real.png"}))
    assert (await store.fetch(image(good))).bytes == len(png)
    for target in ("http://169.254.169.254/latest/meta-data", "http://127.0.0.1:1/x", "http://[::ffff:10.0.0.1]/x"):
        bad = storage.plan("/b.png", StorageReply(status=307, headers={"Location": target}))
        with pytest.raises(ArtifactError, match=r"private|link-local"):
            await store.fetch(image(bad))
    assert len(kept(folder)) == 1


@pytest.mark.parametrize("url", ["http://0177.0.0.1/a", "file:///etc/passwd", "https://", "http://u:p@example.com/a"])
async def test_a_link_that_is_none_is_refused(store: ArtifactStore, folder: Path, url: str) -> None:
    with pytest.raises(ArtifactError, match=r"malformed|not followed"):
        await store.fetch(image(url))
    assert kept(folder) == []


async def test_redirects_in_a_circle_end(store: ArtifactStore, storage: StorageHost) -> None:
    url = storage.plan("/a.png", StorageReply(status=302, headers={"Location": "/a.png"}))
    with pytest.raises(ArtifactError, match="more than five"):
        await store.fetch(image(url))
    assert len(storage.requests) == 6


async def test_giving_up_keeps_to_the_budget(
    folder: Path, storage: StorageHost, clock: FakeClock, http: httpx.AsyncClient
) -> None:
    downloader = Downloader(http, clock, Guard({storage.host}), budget=10, jitter=lambda low, high: high)
    store = ArtifactStore(folder, allowed=Folders(folder), clock=clock, http=http, downloader=downloader)
    with pytest.raises(ArtifactError, match="500"):
        await store.fetch(image(storage.plan("/a.png", StorageReply(status=500))))
    assert sum(clock.naps) <= 10
