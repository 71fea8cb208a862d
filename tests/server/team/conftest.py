"""What tests of several copies share."""

from collections.abc import Generator

import pytest

from ...postgres import Postgres, binaries, run_postgres


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres]:
    """One database server for all tests of a process here; each asks it for a database of its own."""
    pytest.importorskip("psycopg")
    if binaries() is None:
        pytest.skip("Debian's postgresql is not installed")
    with run_postgres() as running:
        yield running
