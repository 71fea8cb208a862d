"""Finds the packages in the four folders, and the skills. pyproject.toml says everything else about the project."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

FOLDERS = [name for name in ("server", "tools", "novita", "simulator", "skills") if Path(name).is_dir()]
"""The folders to look in. The small desktop bundle does not contain the simulator."""


class EmptyFirst(build_py):
    """Empties the build folder first, so that a module deleted since the last build is not in the next wheel."""

    def run(self) -> None:
        if not self.editable_mode:
            shutil.rmtree(Path(self.build_lib) / "novita_mcp", ignore_errors=True)
        super().run()


setup(
    packages=[
        f"novita_mcp.{name}" for top in FOLDERS for name in (top, *(f"{top}.{inner}" for inner in find_packages(top)))
    ],
    package_dir={f"novita_mcp.{top}": top for top in FOLDERS},
    cmdclass={"build_py": EmptyFirst},
)
