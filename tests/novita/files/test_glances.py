"""A look at a film that stays where it is: which parts of it are asked for, and what is known where they cannot be had.

What a caller sees of it is told in tests/server/test_shown_over_http.py.
"""

import struct
from pathlib import Path

import httpx
import pytest
from novita_mcp.novita.files.artifacts import Artifact, ArtifactStore
from novita_mcp.novita.files.folders import Folders
from novita_mcp.novita.files.glances import BEGINNING, END, MOST_FETCHED, look_at
from novita_mcp.simulator.media.film import Film, make_film

from ..conftest import FakeClock, StorageHost, StorageReply


@pytest.fixture
def store(tmp_path: Path, storage: StorageHost, clock: FakeClock, http: httpx.AsyncClient) -> ArtifactStore:
    return ArtifactStore(
        None,
        allowed=Folders(None, home=None, cwd=None),
        clock=clock,
        http=http,
        spool=tmp_path / "spool",
        trusted_hosts=frozenset({storage.host}),
    )


@pytest.fixture(scope="module")
def film() -> bytes:
    """A film of more than 20 MB with its index at its end."""
    made = make_film(Film(160, 120, 2, words="a fox"))
    at = made.index(b"moov") - 4
    return made[:at] + struct.pack(">I4s", MOST_FETCHED, b"free") + bytes(MOST_FETCHED - 8) + made[at:]


def video(url: str) -> Artifact:
    return Artifact(task_id="t1", index=0, kind="video", url=url)


async def test_of_a_long_film_only_its_two_ends_are_asked_for(
    store: ArtifactStore, storage: StorageHost, film: bytes, tmp_path: Path
) -> None:
    pytest.importorskip("av")
    seen, thumb = await look_at(store, video(storage.plan("/long.mp4", StorageReply(film))), owner="a")

    assert thumb is not None
    assert (seen.width, seen.height, seen.bytes, seen.sha256) == (160, 120, len(film), None)
    start = len(film) - END
    assert storage.asked("range") == [f"bytes=0-{BEGINNING - 1}", f"bytes={start}-{len(film) - 1}"]
    assert [*(tmp_path / "spool").iterdir()] == []


async def test_a_storage_that_gives_out_no_parts_is_not_made_to_send_all_of_it(
    store: ArtifactStore, storage: StorageHost, film: bytes
) -> None:
    seen, thumb = await look_at(store, video(storage.plan("/long.mp4", StorageReply(film, ranges=False))), owner="a")

    assert thumb is None
    assert (seen.bytes, seen.sha256) == (len(film), None)
    assert len(storage.requests) == 2
