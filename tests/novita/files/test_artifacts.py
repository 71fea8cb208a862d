"""Finished files are saved whole, once, under a good name, or not at all."""

import asyncio
import hashlib
import os
from datetime import UTC, date, datetime
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
import pytest
from novita_mcp.novita.core.errors import ArtifactError, InputError
from novita_mcp.novita.files.artifacts import Artifact, ArtifactStore, NameHint
from novita_mcp.novita.files.folders import Folders
from novita_mcp.novita.files.parts import PartFile

from ..conftest import FakeClock, StorageHost, StorageReply, draw
from .pictures_there import FOX, image, kept


async def test_a_picture_is_saved_under_a_name_for_people_with_its_measures(
    store: ArtifactStore, storage: StorageHost, folder: Path, png: bytes
) -> None:
    saved = await store.fetch(image(storage.plan("/a.png", StorageReply(png)), seed=7), name=FOX)
    assert kept(folder) == ["2026-11-23_red-fox-in-the-snow_1.png"]
    assert saved.path == str(folder / "2026-11-23_red-fox-in-the-snow_1.png")
    assert (folder / kept(folder)[0]).read_bytes() == png
    assert saved.sha256 == hashlib.sha256(png).hexdigest()
    assert (saved.mime, saved.bytes, saved.width, saved.height, saved.seed) == ("image/png", len(png), 320, 240, 7)


async def test_the_suffix_follows_what_the_file_really_is(
    store: ArtifactStore, storage: StorageHost, folder: Path, png: bytes
) -> None:
    url = storage.plan("/a.webp", StorageReply(png, headers={"Content-Type": "image/webp"}))
    saved = await store.fetch(image(url, mime="image/webp"), save_to="fox.webp")
    assert kept(folder) == ["fox.png"]
    assert saved.mime == "image/png"


async def test_bare_samples_are_taken_only_where_they_were_announced(
    store: ArtifactStore, storage: StorageHost
) -> None:
    url = storage.plan("/a", StorageReply(bytes(range(256)) * 40))
    sound = Artifact(task_id="t", index=0, kind="audio", url=url)
    with pytest.raises(ArtifactError, match="no known format"):
        await store.fetch(sound)
    saved = await store.fetch(sound.model_copy(update={"mime": "audio/pcm"}))
    assert saved.path is not None
    assert saved.path.endswith(".pcm")


async def test_nothing_is_overwritten(store: ArtifactStore, storage: StorageHost, folder: Path, png: bytes) -> None:
    folder.mkdir()
    (folder / "fox.png").write_text("precious")
    url = storage.plan("/a.png", StorageReply(png))
    await store.fetch(image(url), save_to="fox.png")
    await store.fetch(image(url), save_to="fox.png")
    assert kept(folder) == ["fox.png", "fox_2.png", "fox_3.png"]
    assert (folder / "fox.png").read_text() == "precious"


async def test_a_second_run_does_not_read_like_variants(
    store: ArtifactStore, storage: StorageHost, folder: Path, png: bytes
) -> None:
    url = storage.plan("/a.png", StorageReply(png))
    for save_to in (None, "fox.png"):
        for _run in range(2):
            for index in range(2):
                name = NameHint("a fox", index, day=date(2026, 11, 30))
                await store.fetch(image(url), name=name, save_to=save_to)
    by_date = [f"2026-11-30_a-fox_{end}.png" for end in ("1", "1_run2", "2", "2_run2")]
    assert kept(folder) == [*by_date, "fox.png", "fox_2.png", "fox_2_run2.png", "fox_run2.png"]


async def test_a_link_in_the_place_of_the_file_is_not_followed(
    store: ArtifactStore, storage: StorageHost, folder: Path, tmp_path: Path, png: bytes
) -> None:
    folder.mkdir()
    (folder / "fox.png").symlink_to(tmp_path / "elsewhere.png")
    saved = await store.fetch(image(storage.plan("/a.png", StorageReply(png))), save_to="fox.png")
    assert saved.path == str(folder / "fox_2.png")
    assert not (tmp_path / "elsewhere.png").exists()


async def test_files_saved_at_once_under_one_name_all_stay(
    store: ArtifactStore, storage: StorageHost, folder: Path
) -> None:
    pictures = [draw(60 + number, 40) for number in range(8)]
    urls = [storage.plan(f"/{number}.png", StorageReply(data)) for number, data in enumerate(pictures)]
    async with anyio.create_task_group() as group:
        for url in urls:
            group.start_soon(lambda url=url: store.fetch(image(url), save_to="fox.png"))
    assert kept(folder) == sorted(["fox.png", *(f"fox_{number}.png" for number in range(2, 9))])
    assert {(folder / name).read_bytes() for name in kept(folder)} == set(pictures)


async def test_without_hard_links_names_are_still_never_shared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT disks and some shares have none. The system call is replaced because no test machine has such a disk."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for text in (b"one", b"two"):
        part = PartFile(folder)
        part.open()
        part.handle.write(text)
        part.publish("fox", ".txt")
    assert [(folder / name).read_bytes() for name in kept(folder)] == [b"one", b"two"]
    assert kept(folder) == ["fox.txt", "fox_2.txt"]


@pytest.mark.parametrize("kind", ["scope", "task"])
async def test_a_cancelled_save_leaves_nothing(
    store: ArtifactStore, storage: StorageHost, folder: Path, png: bytes, kind: str
) -> None:
    url = storage.plan("/a.png", StorageReply(png, hold=True))
    if kind == "scope":
        async with anyio.create_task_group() as group:
            group.start_soon(store.fetch, image(url))
            assert await anyio.to_thread.run_sync(storage.held.wait, 10)
            group.cancel_scope.cancel()
    else:
        task = asyncio.create_task(store.fetch(image(url)))
        assert await anyio.to_thread.run_sync(storage.held.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert kept(folder) == []


async def test_a_saved_file_is_not_fetched_again_unless_it_is_gone(
    store: ArtifactStore, storage: StorageHost, png: bytes
) -> None:
    saved = await store.fetch(image(storage.plan("/a.png", StorageReply(png))))
    assert await store.fetch(saved) == saved
    assert len(storage.requests) == 1
    assert saved.path is not None
    Path(saved.path).unlink()
    assert (await store.fetch(saved)).path == saved.path
    assert len(storage.requests) == 2


async def test_a_saved_file_is_copied_to_another_place_without_its_link(
    store: ArtifactStore, storage: StorageHost, folder: Path, png: bytes
) -> None:
    saved = await store.fetch(image(storage.plan("/a.png", StorageReply(png))), save_to="a.png")
    copy = await store.fetch(saved.model_copy(update={"url": None}), save_to="posters/b.png")
    assert kept(folder) == ["a.png", "b.png"]
    assert (folder / "posters" / "b.png").read_bytes() == png
    assert copy.model_copy(update={"path": saved.path, "url": saved.url}) == saved
    assert len(storage.requests) == 1


async def test_where_a_file_may_go_is_checked_before_there_is_one(store: ArtifactStore) -> None:
    store.check_place("posters/fox.png")
    with pytest.raises(InputError, match="outside the folders"):
        store.check_place("/etc/fox.png")


@pytest.mark.parametrize("save_to", ["/etc/fox.png", "../../fox.png", "~/fox.png", "link/fox.png", "link/", "link/new"])
async def test_save_to_outside_the_allowed_folders_is_refused_before_anything_is_fetched(
    store: ArtifactStore, storage: StorageHost, folder: Path, tmp_path: Path, png: bytes, save_to: str
) -> None:
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"outside the folders.*Allowed are: .*novita"):
        await store.fetch(image(storage.plan("/a.png", StorageReply(png))), save_to=save_to)
    assert storage.requests == []


@pytest.mark.parametrize(
    ("save_to", "expected"),
    [
        ("fox.png", "fox.png"),
        ("posters/fox.PNG", "posters/fox.PNG"),
        ("posters/", "posters/2026-11-23_red-fox-in-the-snow_1.png"),
        ("posters", "posters/2026-11-23_red-fox-in-the-snow_1.png"),
        ("v1.2", "v1.2/2026-11-23_red-fox-in-the-snow_1.png"),
        ("CON.png", "_CON.png"),
        ('a:b?"c.png', "a-b-c.png"),
    ],
)
async def test_save_to_is_a_folder_or_a_file(
    store: ArtifactStore, storage: StorageHost, folder: Path, png: bytes, save_to: str, expected: str
) -> None:
    saved = await store.fetch(image(storage.plan("/a.png", StorageReply(png))), name=FOX, save_to=save_to)
    assert saved.path == str(folder / expected)
    assert (folder / expected).is_file()


async def test_a_folder_that_cannot_be_written_is_named(
    store: ArtifactStore, storage: StorageHost, folder: Path, png: bytes
) -> None:
    folder.write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match=r"could not be saved in .*novita"):
        await store.fetch(image(storage.plan("/a.png", StorageReply(png))))


async def test_bytes_of_an_answer_are_saved_like_a_download(store: ArtifactStore, folder: Path, png: bytes) -> None:
    saved = await store.save_bytes(png, image(mime="image/webp"), name=FOX)
    assert kept(folder) == ["2026-11-23_red-fox-in-the-snow_1.png"]
    assert (saved.sha256, saved.width) == (hashlib.sha256(png).hexdigest(), 320)
    for bad in (b"", b"<html><body>no</body></html>", b"not a picture"):
        with pytest.raises(ArtifactError, match="refused"):
            await store.save_bytes(bad, image())


async def test_tables_are_saved_as_they_are_called(store: ArtifactStore, folder: Path) -> None:
    table = Artifact(task_id="b1", index=0, kind="file")
    saved = await store.save_text('{"a": 1}\n', table, suffix=".jsonl", name=NameHint("labels", day=FOX.day))
    assert kept(folder) == ["2026-11-23_labels.jsonl"]
    assert saved.mime == "application/jsonl"


async def test_without_a_folder_links_stay_links_and_bytes_go_to_the_spool(
    tmp_path: Path, storage: StorageHost, clock: FakeClock, http: httpx.AsyncClient, png: bytes
) -> None:
    """HTTP mode: nothing of a caller is kept where another could see it."""
    store = ArtifactStore(
        None,
        allowed=Folders(None, home=None, cwd=None),
        clock=clock,
        http=http,
        spool=tmp_path / "spool",
        trusted_hosts=frozenset({storage.host}),
    )
    artifact = image(storage.plan("/a.png", StorageReply(png)))
    assert await store.fetch(artifact, name=FOX) == artifact
    assert storage.requests == []
    with pytest.raises(InputError, match="save_to"):
        await store.fetch(artifact, save_to="fox.png")
    spooled = await store.save_bytes(png, image(), name=FOX)
    assert spooled.path is not None
    assert "fox" not in spooled.path
    assert Path(spooled.path).stat().st_mode & 0o077 == 0
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    old = tmp_path / "spool" / "old.png"
    old.touch()
    os.utime(old, (clock.wall() - 100_000, clock.wall() - 100_000))
    await store.save_bytes(png, image())
    assert not old.exists()
    assert await store.read(spooled) == png
    assert await store.read(artifact) == png


async def test_a_killed_process_leaves_a_part_that_the_next_one_removes(
    store: ArtifactStore, storage: StorageHost, folder: Path, clock: FakeClock, png: bytes
) -> None:
    folder.mkdir()
    for name, age in ((".novita-old.part", 100_000), (".novita-new.part", 100)):
        (folder / name).touch()
        os.utime(folder / name, (clock.wall() - age, clock.wall() - age))
    await store.fetch(image(storage.plan("/a.png", StorageReply(png))), save_to="fox.png")
    assert kept(folder) == [".novita-new.part", "fox.png"]


def test_a_link_about_to_expire_is_not_alive() -> None:
    artifact = image("https://example.com/a", expires_at=datetime(2026, 11, 23, 12, tzinfo=UTC))
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
    assert artifact.alive(noon - 600)
    assert not artifact.alive(noon - 60)
