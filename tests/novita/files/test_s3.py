"""Files in S3-compatible storage. moto's server stands in for it: it keeps what it is given and checks no signature."""

import hashlib
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from novita_mcp.novita.core.errors import ArtifactError, InputError
from novita_mcp.novita.files.artifacts import Artifact, NameHint
from novita_mcp.novita.files.s3 import Bucket, Place, SharedStore

from ...storage import Storage, run_storage
from ..conftest import FakeClock

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)
MINE = NameHint(title="a fox", index=0, owner="me")


@pytest.fixture(scope="module")
def storage() -> Generator[Storage]:
    with run_storage() as running:
        yield running


@pytest.fixture
def bucket(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in storage.credentials.items():
        monkeypatch.setenv(name, value)
    return Bucket(Place.parse(storage.url()))


@pytest.fixture
async def store(bucket: Bucket, tmp_path: Path, clock: FakeClock) -> AsyncGenerator[SharedStore]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(serve)) as http:
        yield SharedStore(bucket, staging=tmp_path / "staging", max_bytes=2**20, clock=clock, http=http)


def serve(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=PNG, headers={"Content-Length": str(len(PNG))})


def picture(task_id: str = "t-1", **more: Any) -> Artifact:
    return Artifact(task_id=task_id, index=0, kind="image", **more)


async def test_a_file_comes_by_way_of_a_link_that_expires(store: SharedStore, clock: FakeClock, tmp_path: Path) -> None:
    kept = await store.save_bytes(PNG, picture(), name=MINE)
    shown = await store.present(kept)

    assert (kept.mime, kept.bytes, kept.width) == ("image/png", len(PNG), 1)
    assert store.holds(kept)
    assert shown.path is None
    assert shown.expires_at is not None
    assert shown.expires_at.timestamp() == clock.wall() + 86_400
    query = parse_qs(urlsplit(shown.url or "").query)
    assert query["X-Amz-Expires"] == ["86400"]
    assert query["X-Amz-Signature"]
    assert httpx.get(shown.url or "").content == PNG
    assert await store.read(kept) == PNG
    assert list((tmp_path / "staging").iterdir()) == []


async def test_the_same_file_is_kept_once_and_another_callers_apart(store: SharedStore, storage: Storage) -> None:
    before = storage.keys()
    first = await store.save_bytes(PNG, picture("t-2"), name=MINE)
    again = await store.save_bytes(PNG, picture("t-2"), name=MINE)
    other = await store.save_bytes(PNG, picture("t-2"), name=NameHint(owner="you"))

    assert first.path == again.path
    assert len(storage.keys() - before) == 2
    folders = {str(each.path).split("/")[-2] for each in (first, other)}
    assert len(folders) == 2
    assert not folders & {"me", "you", hashlib.sha256(b"me").hexdigest()[:24]}


async def test_keys_tell_nothing_and_cannot_be_guessed_from_the_task(store: SharedStore) -> None:
    kept = await store.save_bytes(PNG, picture("t-3"), name=MINE)

    assert "t-3" not in str(kept.path)
    assert "fox" not in str(kept.path)
    assert len(Path(str(kept.path)).stem) == 64


async def test_what_is_kept_is_not_fetched_again_and_goes_nowhere_else(store: SharedStore) -> None:
    kept = await store.save_bytes(PNG, picture("t-4"), name=MINE)

    assert await store.fetch(kept, name=MINE) is kept
    with pytest.raises(InputError, match="save_to cannot be used"):
        await store.fetch(kept, name=MINE, save_to="elsewhere")
    with pytest.raises(InputError):
        store.check_place("elsewhere")


async def test_another_buckets_file_is_not_ours(store: SharedStore) -> None:
    strange = picture("t-5", path="s3://somebody-elses/key.png")

    assert not store.holds(strange)
    with pytest.raises(ArtifactError):
        await store.read(strange)


async def test_a_large_file_is_not_read_whole(store: SharedStore) -> None:
    kept = await store.save_bytes(PNG, picture("t-6"), name=MINE)

    with pytest.raises(ArtifactError, match="larger"):
        await store.read(kept, max_bytes=10)


async def test_storage_that_fails_costs_no_paid_bytes(
    tmp_path: Path, clock: FakeClock, storage: Storage, bucket: Bucket
) -> None:
    gone = Bucket(Place.parse(storage.url("no-such-bucket")))
    async with httpx.AsyncClient() as http:
        broken = SharedStore(gone, staging=tmp_path, max_bytes=2**20, clock=clock, http=http)
        kept = await broken.save_bytes(PNG, picture("t-7"), name=MINE)
        assert not broken.holds(kept)
        assert await broken.read(kept) == PNG
        with pytest.raises(ArtifactError, match="NoSuchBucket"):
            await broken.fetch(kept, name=MINE)
        mended = SharedStore(bucket, staging=tmp_path, max_bytes=2**20, clock=clock, http=http)
        assert mended.holds(await mended.fetch(kept, name=MINE))


async def test_links_name_the_address_callers_know(storage: Storage, bucket: Bucket) -> None:
    public = Bucket(Place.parse(f"{storage.url()}&public_endpoint_url=https%3A%2F%2Ffiles.example&expires=60"))

    assert public.link("key.png").startswith(f"https://files.example/{storage.bucket}/key.png?")


PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def around(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """What the environment says of proxies, and nothing else of them."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ALL_PROXY": "socks5://127.0.0.1:9"}, ("ALL_PROXY", "SOCKS", "NO_PROXY")),
        ({"HTTP_PROXY": "gopher://127.0.0.1:9"}, ("http_proxy", "not known here")),
        ({"http_proxy": "http://127.0.0.1:99999"}, ("http_proxy", "no address of a proxy")),
        ({"http_proxy": "http://127.0.0.1:9"}, ("proxy on the way to the file storage", "NO_PROXY")),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], words: tuple[str, ...]
) -> None:
    around(monkeypatch, **settings)
    file = tmp_path / "a.png"
    file.write_bytes(PNG)
    with pytest.raises(ArtifactError) as caught:
        bucket.put(file, "a.png", "image/png")

    told = f"{caught.value} {caught.value.next_step}"
    assert not [word for word in words if word.casefold() not in told.casefold()], told
    assert bucket.link("a.png").startswith(bucket.place.endpoint_url or "")  # a link asks nobody


@pytest.mark.parametrize("exception", ["127.0.0.0/8", "fd00::/8,127.0.0.1", "*", "http://127.0.0.1"])
def test_storage_that_no_proxy_covers_is_reached(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exception: str
) -> None:
    """Also where the driver's own reading would ask the proxy, or fail."""
    around(monkeypatch, ALL_PROXY="socks5://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9", NO_PROXY=exception)
    file = tmp_path / "a.png"
    file.write_bytes(PNG)
    bucket.put(file, "straight.png", "image/png")
    assert bucket.get("straight.png", 1_000) == PNG


@pytest.mark.parametrize(
    "url",
    [
        "https://bucket/prefix",
        "s3://",
        "s3://key:secret@bucket",
        "s3://bucket?endpoint=http://x",
        "s3://bucket?expires=5",
        "s3://bucket?expires=soon",
    ],
)
def test_a_place_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Place.parse(url)


def test_a_place_is_read() -> None:
    place = Place.parse("s3://files/team/a/?endpoint_url=https%3A%2F%2Fr2.example&region=auto")

    assert place == Place("files", "team/a/", endpoint_url="https://r2.example", region="auto")
