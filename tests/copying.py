"""A copy of the source that a test may change, and processes that run it."""

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("server", "tools", "novita", "simulator", "skills")


class Copy:
    """A copy of the source, installed for the processes that a test starts.

    Args:
        folder: An empty one.
        all_of_it: The tests, documents and scripts, too.
    """

    def __init__(self, folder: Path, *, all_of_it: bool = True) -> None:
        self.root = folder / "copy"
        ignored = shutil.ignore_patterns("__pycache__", ".venv", ".git", "node_modules", "build", "*.egg-info")
        for source in [ROOT] if all_of_it else [ROOT / name for name in FOLDERS]:
            shutil.copytree(source, self.root / source.relative_to(ROOT), ignore=ignored, symlinks=True)
        package = folder / "package" / "novita_mcp"
        package.mkdir(parents=True)
        for name in FOLDERS:
            (package / name).symlink_to(self.root / name)
            self._take_compiled(name)
        self.environment = {**os.environ, "PYTHONPATH": str(package.parent), "HOME": str(folder)}

    def _take_compiled(self, name: str) -> None:
        """What was compiled of the source holds for the copy, whose files are as old: no process compiles it again."""
        source = Path(str(import_module(f"novita_mcp.{name}").__file__)).parent
        for compiled in source.rglob("__pycache__"):
            shutil.copytree(compiled, self.root / name / compiled.relative_to(source), dirs_exist_ok=True)

    def write(self, name: str, text: str) -> None:
        """A new module, in a package that is new, too."""
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").write_text('"""Greetings."""\n', encoding="utf-8")
        path.write_text(text, encoding="utf-8")

    def change(self, name: str, before: str, after: str) -> None:
        """Put `after` where `before` stands, once, in a file."""
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{name}: {before}"
        path.write_text(text.replace(before, after), encoding="utf-8")

    def run(self, *words: str) -> str:
        """What Python says when it runs these in the copy; it must end well."""
        done = subprocess.run(
            [sys.executable, *words], cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
