"""A very small shell that is played, not run: it has some commands on a disk in memory, and cannot reach this machine.

It understands `;`, `&&`, `||`, pipes, `>`, `>>`, `2>&1`, `2>/dev/null`, quotes, `$NAME`, `$?` and `NAME=value`.
"""

import asyncio
import fnmatch
import posixpath
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from ..disk import DiskError, MemoryDisk, absolute
from ..machine import Output
from .shell_words import Word, steps

Out = Callable[[Output, bytes], Awaitable[None]]
Python = Callable[[str, Mapping[str, str]], AsyncGenerator[tuple[Output, str]]]
"""Plays a program and yields pieces of its output. If it fails, the last piece is ("stderr", traceback)."""

LONGEST_LINE = 64 * 1024
_NOTHING: Word = []


NOT_RUN = "the simulator does not run commands (start it with --run-code to have it do so)"


class Exit(Exception):
    """The script ends with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Command:
    """One command: its words, and where its output goes."""

    words: list[str] = field(default_factory=list[str])
    to: str = ""
    append: bool = False
    errors_too: bool = False
    no_errors: bool = False


@dataclass
class Shell:
    """The state of one script."""

    disk: MemoryDisk
    cwd: str
    envs: dict[str, str]
    out: Out
    python: Python
    commands: "Mapping[str, Callable[[Shell, list[str]], Awaitable[int]]]"
    seconds: Callable[[float], Awaitable[None]] = asyncio.sleep
    status: int = 0
    stdin: asyncio.Queue[bytes | None] | None = None
    _piped: bytes | None = None
    """The output of the command before this one in the pipe."""
    _caught: list[bytes] | None = None
    """Collects standard output for the next command of the pipe or for a file. None if it goes to the client."""
    _now: Command = field(default_factory=Command)

    async def run(self, script: str) -> int:
        """Play a script, and return its exit code."""
        if len(script) > LONGEST_LINE:
            await self.say("stderr", "bash: the script is too long for the simulator\n")
            return 2
        try:
            found = list(steps(script))
        except ValueError as error:
            await self.say("stderr", f"bash: -c: syntax error: {error}\n")
            return 2
        try:
            before = ";"
            for mark, pipeline in found:
                if (before == "&&" and self.status) or (before == "||" and not self.status):
                    before = mark if mark in ("&&", "||") else ";"
                    continue
                before = mark
                await self._pipeline(pipeline)
        except Exit as end:
            self.status = end.code
        return self.status

    async def _pipeline(self, parts: list[list[Word]]) -> None:
        data: bytes | None = None
        for index, part in enumerate(parts):
            caught: list[bytes] = []
            self._piped, self._caught = data, caught if index < len(parts) - 1 else None
            self.status = await self._one(part)
            data = b"".join(caught)
        self._piped = self._caught = None

    async def _one(self, words: list[Word]) -> int:
        call = self._call(words)
        while call.words and (found := re.fullmatch(r"([A-Za-z_]\w*)=(.*)", call.words[0], re.DOTALL)):
            self.envs[found[1]] = found[2]
            call.words.pop(0)
        if not call.words:
            return 0
        name, *arguments = call.words
        kept, outer = self._caught, self._now
        written: list[bytes] = []
        self._caught, self._now = written if call.to else kept, call
        handler = self.commands.get(posixpath.basename(name))
        try:
            if handler is None:
                return await self.fail(f"bash: {name}: {NOT_RUN}", 127)
            return await handler(self, arguments)
        except DiskError as error:
            return await self.fail(f"{name}: {_words(error)}")
        finally:
            self._caught, self._now = kept, outer
            if call.to not in ("", "/dev/null"):
                self._keep(call, b"".join(written))

    def _call(self, words: list[Word]) -> Command:
        call = Command()
        rest = iter(words)
        for word in rest:
            bare = "".join(text for text, _, _ in word) if not any(quoted for _, _, quoted in word) else ""
            if bare == "2>&1":
                call.errors_too = True
            elif bare in ("2>/dev/null", "&>/dev/null"):
                call.no_errors = True
                call.to = "/dev/null" if bare.startswith("&") else call.to
            elif found := re.match(r"1?(>>?)", word[0][0] if word[0][1:] == (True, False) else ""):
                target = [(word[0][0][found.end() :], True, False), *word[1:]]
                call.append = found[1] == ">>"
                call.to = self._expanded(target) or self._expanded(next(rest, _NOTHING))
            else:
                call.words += self._globbed(self._expanded(word), quoted=any(quoted for _, _, quoted in word))
        return call

    def _keep(self, call: Command, data: bytes) -> None:
        path = absolute(call.to, self.cwd)
        if call.append and path in self.disk.nodes:
            data = self.disk.bytes_of(path) + data
        self.disk.put(path, data)

    def _expanded(self, word: Word) -> str:
        """A word with the values of its variables."""

        def value(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            return str(self.status) if name == "?" else self.envs.get(name, "")

        return "".join(re.sub(r"\$(?:(\w+|\?)|\{(\w+)\})", value, text) if expand else text for text, expand, _ in word)

    def _globbed(self, word: str, *, quoted: bool) -> list[str]:
        if quoted or not any(mark in word for mark in "*?["):
            return [word]
        folder, name = posixpath.split(word)
        try:
            names = self.disk.children(absolute(folder or ".", self.cwd))
        except DiskError:
            return [word]
        found = [posixpath.join(folder, each) for each in fnmatch.filter(names, name) if each[0] != "."]
        return found or [word]

    @property
    def caught(self) -> bool:
        """Whether output goes into a pipe or a file."""
        return self._caught is not None

    async def say(self, output: Output, words: str | bytes) -> None:
        data = words.encode() if isinstance(words, str) else words
        if output == "stderr":
            if self._now.no_errors:
                return
            output = "stdout" if self._now.errors_too else output
        if output == "stdout" and self._caught is not None:
            self._caught.append(data)
        else:
            await self.out(output, data)

    async def fail(self, words: str, code: int = 1) -> int:
        await self.say("stderr", f"{words}\n")
        return code

    async def pieces(self, names: list[str]) -> AsyncGenerator[bytes]:
        """The content of the named files, or else of the pipe, or else what the client sends to stdin."""
        for name in names:
            yield self.disk.bytes_of(absolute(name, self.cwd))
        if not names and self._piped is not None:
            yield self._piped
        elif not names:
            while self.stdin is not None and (part := await self.stdin.get()) is not None:
                yield part

    async def input(self, names: list[str]) -> bytes:
        return b"".join([piece async for piece in self.pieces(names)])


def _words(error: DiskError) -> str:
    return {
        "not_found": "No such file or directory",
        "already_exists": "File exists",
        "permission_denied": "Permission denied",
        "resource_exhausted": "No space left on device",
    }.get(error.code, error.message)
