"""A PostgreSQL server of the tests' own, on loopback, from Debian's packages."""

import glob
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASSWORD = "a-pass/word"
QUOTED = "a-pass%2Fword"


def binaries() -> Path | None:
    """Where initdb and postgres are; None where they are not installed."""
    found = [Path(name).parent for name in glob.glob("/usr/lib/postgresql/*/bin/initdb")]  # noqa: PTH207  # a fixed place
    if found:
        return max(found)
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    port: int
    folder: Path

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres:{QUOTED}@127.0.0.1:{self.port}/{database}"

    def new(self) -> str:
        """The URL of a new, empty database."""
        import psycopg

        name = f"journal_{secrets.token_hex(4)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def hang_up(self) -> None:
        """Break every connection, as a restart of the server does."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )


@contextmanager
def run_postgres() -> Generator[Postgres]:
    """A server until the block ends. It refuses to run as root, so root becomes `postgres` for it."""
    where = binaries()
    assert where is not None
    someone: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="novita-pg-"))
    try:
        (folder / "password").write_text(PASSWORD)
        if someone:
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(folder / "password", "postgres", "postgres")
        subprocess.run(
            [where / "initdb", "-Ddata", "-Upostgres", "-EUTF8", "-Ascram-sha-256", "--pwfile=password"],
            check=True,
            capture_output=True,
            cwd=folder,
            **someone,
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        control = [where / "pg_ctl", "-D", folder / "data", "-w", "-s"]
        # Tests lose no power: durability is not what they ask for.
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off -c max_connections=60"
        subprocess.run(
            [*control, "-l", folder / "log", "-o", options, "start"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **someone,
        )
        try:
            yield Postgres(port, folder)
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=False, cwd=folder, **someone)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
