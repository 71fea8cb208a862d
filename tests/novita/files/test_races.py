"""Links that another process puts in the way, and a file saved before a kill: nothing leads out, nothing is doubled."""

import hashlib
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from novita_mcp.novita.core.errors import ArtifactError, InputError
from novita_mcp.novita.files.artifacts import Artifact, ArtifactStore, NameHint
from novita_mcp.novita.files.beneath import STEPWISE, read_beneath
from novita_mcp.novita.files.folders import Folders
from novita_mcp.novita.files.inputs import Inputs
from novita_mcp.novita.files.parts import PartFile

from ..conftest import FakeClock, StorageHost, StorageReply

pytestmark = pytest.mark.skipif(not STEPWISE, reason="this system opens first and judges then")
TRIES = 300


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    for name in ("allowed/inner", "secret"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "allowed" / "inner" / "fox.png").write_bytes(b"fox")
    (tmp_path / "secret" / "fox.png").write_bytes(b"secret")
    return Folders(tmp_path / "allowed", home=tmp_path / "home", cwd=None)


@contextmanager
def swapping(inner: Path, secret: Path) -> Generator[None]:
    """A process that makes a folder a link to another one and back, as fast as it can."""
    end, aside = threading.Event(), inner.with_name("aside")

    def swap() -> None:
        while not end.is_set():
            try:
                inner.rename(aside)
                inner.symlink_to(secret)
                inner.unlink()
                aside.rename(inner)
            except OSError:  # the writer made the folder anew in between
                return

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_no_input_is_read_through_a_link_that_was_put_in_the_way(folders: Folders, tmp_path: Path) -> None:
    read: list[bytes] = []
    with swapping(tmp_path / "allowed" / "inner", tmp_path / "secret"):
        for _ in range(TRIES):
            try:
                read.append(folders.read(str(tmp_path / "allowed" / "inner" / "fox.png"), 100)[1])
            except InputError:
                continue
    assert set(read) <= {b"fox"}


def test_what_was_judged_is_not_read_once_it_is_a_link(folders: Folders, tmp_path: Path) -> None:
    """The race, step by step: judged first, replaced then, opened last."""
    judged = folders.locate(str(tmp_path / "allowed" / "inner" / "fox.png"))
    inner = tmp_path / "allowed" / "inner"
    inner.rename(tmp_path / "allowed" / "aside")
    inner.symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match=r"symbolic link|Not a directory"):
        read_beneath(folders.root_of(tmp_path / "allowed"), judged, 100)


def test_no_file_lands_behind_a_link_that_was_put_in_the_way(folders: Folders, tmp_path: Path) -> None:
    inner = tmp_path / "allowed" / "inner"
    with swapping(inner, tmp_path / "secret"):
        for number in range(TRIES):
            part = PartFile(inner, root=tmp_path / "allowed")
            try:
                part.open()
                part.handle.write(b"made")
                part.publish(f"made{number}", ".png")
            except OSError:
                continue
            finally:
                part.discard()
    assert [path.name for path in (tmp_path / "secret").iterdir()] == ["fox.png"]


def test_a_folder_that_was_replaced_meanwhile_gets_nothing(folders: Folders, tmp_path: Path) -> None:
    inner = tmp_path / "allowed" / "inner"
    part = PartFile(inner, root=tmp_path / "allowed")
    part.open()
    part.handle.write(b"made")
    inner.rename(tmp_path / "allowed" / "aside")
    inner.symlink_to(tmp_path / "secret")
    part.publish("made", ".png")
    part.discard()
    assert not (tmp_path / "secret" / "made.png").exists()
    assert (tmp_path / "allowed" / "aside" / "made.png").read_bytes() == b"made"
    assert not list((tmp_path / "allowed" / "aside").glob(".novita-*"))


def test_a_linked_pictures_folder_keeps_working(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "Pictures").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "fox.png").write_bytes(b"fox")
    folders = Folders(None, home=tmp_path / "home", cwd=None)
    assert folders.read(str(tmp_path / "home" / "Pictures" / "fox.png"), 100)[1] == b"fox"
    folder, _ = folders.place(str(tmp_path / "home" / "Pictures" / "new" / "deep"))
    part = PartFile(folder, root=folders.root_of(folder))
    part.open()
    part.publish("made", ".png")
    part.discard()
    assert (tmp_path / "disk" / "new" / "deep" / "made.png").exists()


def store_in(folder: Path, storage: StorageHost, clock: FakeClock, http: httpx.AsyncClient) -> ArtifactStore:
    allowed = Folders(folder, home=folder / "home", cwd=None)
    return ArtifactStore(folder, allowed=allowed, clock=clock, http=http, trusted_hosts=frozenset({storage.host}))


async def test_a_file_that_a_killed_process_had_saved_is_not_saved_again(
    tmp_path: Path, storage: StorageHost, clock: FakeClock, http: httpx.AsyncClient, png: bytes
) -> None:
    """The process ended between saving the file and noting it: the next one knows the link, and no path."""
    artifact = Artifact(task_id="t", index=0, kind="image", url=storage.plan("/a.png", StorageReply(png)))
    name = NameHint("a fox", 0, since=0.0)
    first = await store_in(tmp_path, storage, clock, http).fetch(artifact, name=name)
    after = store_in(tmp_path, storage, clock, http)
    assert await after.fetch(artifact, name=name) == first
    assert [path.name for path in tmp_path.iterdir()] == [Path(first.path or "").name]

    # The same picture of another task, or one that was there before the task, is another file.
    other = await after.fetch(artifact.model_copy(update={"index": 1}), name=name)
    earlier = await store_in(tmp_path, storage, clock, http).fetch(artifact, name=NameHint("a fox", 0, since=2.0**40))
    assert len({first.path, other.path, earlier.path}) == 3


@pytest.mark.parametrize("link", ["the file", "its folder"])
async def test_a_result_that_was_replaced_by_a_link_is_neither_sent_nor_copied_nor_shown(
    link: str, tmp_path: Path, storage: StorageHost, clock: FakeClock, http: httpx.AsyncClient, png: bytes
) -> None:
    secret = tmp_path / "secret" / "made.png"
    secret.parent.mkdir()
    secret.write_bytes(png[:-1] + b"x")
    store = store_in(tmp_path / "out", storage, clock, http)
    made = Artifact(task_id="t", index=0, kind="image")
    saved = await store.save_bytes(png, made, save_to=str(tmp_path / "out" / "inner" / "made.png"))
    inner = tmp_path / "out" / "inner"
    if link == "the file":
        (inner / "made.png").unlink()
        (inner / "made.png").symlink_to(secret)
    else:
        inner.rename(tmp_path / "out" / "aside")
        inner.symlink_to(secret.parent)

    async def resolve(task_id: str, index: int) -> Artifact:
        return saved

    inputs = Inputs(store.allowed, http, clock, resolve_task=resolve)
    with pytest.raises(InputError, match="neither on disk nor behind a link"):
        await (await inputs.load("task:t/0", "image")).read()
    with pytest.raises(ArtifactError, match="no longer on disk"):
        await store.read(saved)
    with pytest.raises(ArtifactError, match="no longer what was saved"):
        await store.fetch(saved, save_to=str(tmp_path / "out" / "copy.png"))
    copies = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and not path.is_symlink()]
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in copies] == [saved.sha256] * (link != "the file")
