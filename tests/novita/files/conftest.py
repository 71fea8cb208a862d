"""A folder for finished files, and the store that keeps them there."""

from pathlib import Path

import httpx
import pytest
from novita_mcp.novita.files.artifacts import ArtifactStore
from novita_mcp.novita.files.folders import Folders

from ..conftest import FakeClock, StorageHost


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "novita"


@pytest.fixture
def store(
    folder: Path, tmp_path: Path, storage: StorageHost, clock: FakeClock, http: httpx.AsyncClient
) -> ArtifactStore:
    allowed = Folders(folder, home=tmp_path / "home", cwd=None)
    trusted = frozenset({storage.host})
    return ArtifactStore(folder, allowed=allowed, max_bytes=2**20, clock=clock, http=http, trusted_hosts=trusted)
