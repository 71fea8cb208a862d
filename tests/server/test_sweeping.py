"""What killed processes had begun to write is gone once a server works again; what others still write is not."""

import subprocess
import sys
from pathlib import Path

import anyio
from novita_mcp.novita.files.parts import PartFile

from ..conftest import Connect

PATIENCE = 20.0


BEGIN = """
import sys, time
from pathlib import Path
from novita_mcp.novita.files.parts import PartFile
part = PartFile(Path(sys.argv[1]))
part.open()
part.handle.write(b"half a picture")
part.handle.flush()
time.sleep(600)
"""


async def test_parts_of_killed_processes_are_swept_at_start(connect: Connect, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    killed = subprocess.Popen([sys.executable, "-c", BEGIN, str(folder)])
    try:
        with anyio.fail_after(PATIENCE):
            while not list(folder.glob("*.part")):
                await anyio.sleep(0.05)
    finally:
        killed.kill()
        killed.wait()
    (left,) = folder.glob("*.part")
    mine = PartFile(folder)
    mine.open()
    elsewhere = folder / f".novita-00000000-1-{'0' * 16}.part"
    elsewhere.write_bytes(b"of another machine that shares the folder")

    async with connect() as client:
        await client.call_tool("get_balance", {})  # the first call builds what they share
        with anyio.fail_after(PATIENCE):
            while left.exists():
                await anyio.sleep(0.05)
        assert mine.path.exists()
        assert elsewhere.exists()
    mine.discard()
