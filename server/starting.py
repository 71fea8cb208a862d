"""How other programs start this one, so that Python cannot import a file of the current folder as one of our libraries.

`python -m` puts the current folder first on the import path. A host that starts its servers in the opened project
would import that project's `anyio.py` or `mcp/`, with the API key in the environment. `-P` keeps the current folder
off the path; a console script never puts it there.
"""

import importlib.metadata
import json
import re
import shlex
import shutil
import sys
import sysconfig
import tomllib
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .jsonc import changed, read_jsonc

MODULE = "novita_mcp.server"
_SWITCHES = re.compile(r"-(?!-)[A-Za-z]+")
_BY_MODULE = re.compile(rf"(?P<before>(?<!\S)(?:-[A-Za-z]+\s+)*)(?P<start>-[A-Za-z]*m\s+{re.escape(MODULE)}(?!\S))")


def this_program() -> list[str]:
    """The command that starts this program: through uvx if uvx started it, or else its full path."""
    executable = Path(sys.executable)
    if any(part in ("uv", "uvx") for part in executable.parts) and "archive-v0" in executable.parts:
        uvx, origin = shutil.which("uvx") or "uvx", origin_of(_noted())
        return [uvx, "--from", origin, "novita-mcp"] if origin else [uvx, "novita-mcp"]
    script = shutil.which("novita-mcp", path=sysconfig.get_path("scripts"))
    return [script] if script else this_interpreter()


def short_command() -> str:
    """What a person types in this terminal to run this program: the bare name if the shell finds it by that name."""
    script = shutil.which("novita-mcp", path=sysconfig.get_path("scripts"))
    if script is None:
        return shlex.join(this_program())
    found = shutil.which("novita-mcp")
    if found and Path(found).resolve() == Path(script).resolve():
        return "novita-mcp"
    beneath = Path(script).is_relative_to(Path.cwd())
    return shlex.quote(str(Path(script).relative_to(Path.cwd()) if beneath else script))


def _noted() -> str | None:
    try:
        return importlib.metadata.distribution("novita-mcp").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None


def origin_of(text: str | None) -> str | None:
    """The file, folder or repository that direct_url.json (PEP 610) names; None if the package came from an index."""
    if not text:
        return None
    noted = json.loads(text)
    url = str(noted["url"])
    if vcs := noted.get("vcs_info"):
        return f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return url2pathname(urlsplit(url).path) if url.startswith("file:") else url


def this_interpreter() -> list[str]:
    """The command that starts another process of this installation."""
    return [sys.executable, "-P", "-m", MODULE]


def safely(words: Sequence[str]) -> list[str]:
    """A command's words, with `-P` added if the command would put the current folder on our import path."""
    made: list[str] = []
    for number, word in enumerate(words):
        following = words[number + 1] if number + 1 < len(words) else ""
        if _SWITCHES.fullmatch(word) and word.endswith("m") and following == MODULE and not _guarded([*made, word]):
            made.append("-P")
        made.append(_BY_MODULE.sub(_with_guard, word))  # a word may contain a whole line for a shell
    return made


def _guarded(words: Sequence[str]) -> bool:
    """Whether the words end with switches among which is -P or -I; either keeps the current folder off the path."""
    for word in reversed(words):
        if not _SWITCHES.fullmatch(word):
            return False
        if "P" in word or "I" in word:
            return True
    return False


def _with_guard(found: re.Match[str]) -> str:
    if _guarded([*found["before"].split(), found["start"].split()[0]]):
        return found[0]
    return f"{found['before']}-P {found['start']}"


def unsafe_starts(config: object) -> Iterator[tuple[str, MutableMapping[str, Any]]]:
    """The entries anywhere in a host's parsed file that start us unsafely, each with its name."""
    if not isinstance(config, MutableMapping):
        return
    for name, inner in cast("MutableMapping[str, Any]", config).items():
        if not isinstance(inner, MutableMapping):
            continue
        entry = cast("MutableMapping[str, Any]", inner)
        words, environment = entry.get("args"), entry.get("env")
        if isinstance(entry.get("command"), str) and isinstance(words, list):
            words = [str(word) for word in cast("list[object]", words)]
            guarded = isinstance(environment, MutableMapping) and "PYTHONSAFEPATH" in environment
            if safely(words) != words and not guarded:
                yield name, entry
        else:
            yield from unsafe_starts(entry)


def names_of_unsafe_starts(path: Path) -> list[str]:
    """The names of such entries in a file; empty if there is no file.

    Raises:
        OSError, ValueError: The file cannot be read or parsed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return []
    config: object = tomllib.loads(text) if path.suffix == ".toml" else read_jsonc(text)
    return [name for name, _ in unsafe_starts(config)]


def with_safe_starts(path: Path, text: str) -> str:
    """The text of a host's file with every start of ours made safe, and everything else unchanged."""
    if path.suffix == ".toml":
        import tomlkit

        document = tomlkit.parse(text)
        for _, entry in unsafe_starts(document):
            entry["args"] = safely([str(word) for word in entry["args"]])
        return tomlkit.dumps(document)  # pyright: ignore[reportUnknownMemberType]
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    config = read_jsonc(text.removeprefix(mark))
    for _, entry in unsafe_starts(config):
        entry["args"] = safely([str(word) for word in entry["args"]])
    return mark + changed(text.removeprefix(mark), cast("dict[str, Any]", config))
