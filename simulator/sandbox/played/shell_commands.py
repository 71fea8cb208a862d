"""The commands that the played shell knows."""

import asyncio
import itertools
import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping

from ..disk import DiskError, absolute
from .shell import NOT_RUN, Exit, Shell


async def _echo(shell: Shell, arguments: list[str]) -> int:
    end = "\n"
    if arguments and arguments[0] == "-n":
        arguments, end = arguments[1:], ""
    await shell.say("stdout", " ".join(arguments) + end)
    return 0


async def _printf(shell: Shell, arguments: list[str]) -> int:
    words = arguments[0].replace("\\n", "\n").replace("\\t", "\t") if arguments else ""
    for argument in arguments[1:]:
        words = words.replace("%s", argument, 1).replace("%d", argument, 1)
    await shell.say("stdout", words)
    return 0


async def _cat(shell: Shell, arguments: list[str]) -> int:
    async for piece in shell.pieces(arguments):
        await shell.say("stdout", piece)
    return 0


async def _ls(shell: Shell, arguments: list[str]) -> int:
    flags = "".join(each[1:] for each in arguments if each.startswith("-"))
    names = [each for each in arguments if not each.startswith("-")] or ["."]
    lines: list[str] = []
    for name in names:
        path = absolute(name, shell.cwd)
        entry = shell.disk.entry(path)
        found = shell.disk.children(path) if entry.folder else [name]
        for child in found if "a" in flags else [each for each in found if each[0] != "."]:
            inner = shell.disk.entry(posixpath.join(path, child) if entry.folder else path).shown()
            row = f"{inner['permissions']} 1 user user {inner.get('size', '0'):>8} {child}"
            lines.append(row if "l" in flags else child)
    await shell.say("stdout", "".join(f"{line}\n" for line in lines))
    return 0


async def _pwd(shell: Shell, arguments: list[str]) -> int:
    await shell.say("stdout", shell.cwd + "\n")
    return 0


async def _cd(shell: Shell, arguments: list[str]) -> int:
    path = absolute(arguments[0] if arguments else "~", shell.cwd)
    if not shell.disk.is_folder(path):
        return await shell.fail(f"bash: cd: {arguments[0]}: No such file or directory")
    shell.cwd = path
    return 0


async def _mkdir(shell: Shell, arguments: list[str]) -> int:
    for name in [each for each in arguments if not each.startswith("-")]:
        path = absolute(name, shell.cwd)
        if shell.disk.is_folder(path) and "-p" not in arguments:
            raise DiskError("already_exists", name)
        shell.disk.folders(path)
    return 0


async def _rm(shell: Shell, arguments: list[str]) -> int:
    flags = "".join(each[1:] for each in arguments if each.startswith("-"))
    for name in [each for each in arguments if not each.startswith("-")]:
        path = absolute(name, shell.cwd)
        if "f" not in flags:
            shell.disk.get(path)
        if shell.disk.is_folder(path) and "r" not in flags:
            return await shell.fail(f"rm: cannot remove '{name}': Is a directory")
        shell.disk.drop(path)
    return 0


async def _touch(shell: Shell, arguments: list[str]) -> int:
    for name in arguments:
        path = absolute(name, shell.cwd)
        if path not in shell.disk.nodes:
            shell.disk.put(path, b"")
    return 0


async def _cp(shell: Shell, arguments: list[str]) -> int:
    source, target = (absolute(name, shell.cwd) for name in arguments[-2:])
    if shell.disk.is_folder(target):
        target = posixpath.join(target, posixpath.basename(source))
    shell.disk.put(target, shell.disk.bytes_of(source))
    return 0


async def _mv(shell: Shell, arguments: list[str]) -> int:
    source, target = (absolute(name, shell.cwd) for name in arguments[-2:])
    if shell.disk.is_folder(target):
        target = posixpath.join(target, posixpath.basename(source))
    shell.disk.rename(source, target)
    return 0


def _count_of(arguments: list[str]) -> tuple[int, list[str]]:
    joined = " ".join(arguments)
    found = re.match(r"(?:-n\s*|-)(\d+)\s*", joined)
    return (int(found[1]), joined[found.end() :].split()) if found else (10, arguments)


async def _head(shell: Shell, arguments: list[str]) -> int:
    count, names = _count_of(arguments)
    lines = (await shell.input(names)).splitlines(keepends=True)
    await shell.say("stdout", b"".join(lines[:count]))
    return 0


async def _tail(shell: Shell, arguments: list[str]) -> int:
    count, names = _count_of(arguments)
    lines = (await shell.input(names)).splitlines(keepends=True)
    await shell.say("stdout", b"".join(lines[-count:] if count else []))
    return 0


async def _wc(shell: Shell, arguments: list[str]) -> int:
    data = await shell.input([each for each in arguments if not each.startswith("-")])
    counts = {"l": data.count(b"\n"), "w": len(data.split()), "c": len(data)}
    wanted = [counts[flag] for flag in "lwc" if f"-{flag}" in arguments] or list(counts.values())
    await shell.say("stdout", " ".join(map(str, wanted)) + "\n")
    return 0


async def _seq(shell: Shell, arguments: list[str]) -> int:
    numbers = [int(each) for each in arguments if re.fullmatch(r"-?\d{1,7}", each)]
    first, last = (numbers[0], numbers[-1]) if len(numbers) > 1 else (1, numbers[0] if numbers else 0)
    for start in range(first, last + 1, 1000):
        lines = "".join(f"{number}\n" for number in range(start, min(start + 1000, last + 1)))
        await shell.say("stdout", lines)
    return 0


async def _sleep(shell: Shell, arguments: list[str]) -> int:
    if not arguments or not re.fullmatch(r"\d*\.?\d+s?", arguments[0]):
        return await shell.fail(f"sleep: invalid time interval '{' '.join(arguments)}'")
    await shell.seconds(float(arguments[0].rstrip("s")))
    return 0


async def _yes(shell: Shell, arguments: list[str]) -> int:
    line = (" ".join(arguments) or "y") + "\n"
    # Into a pipe it writes only so much, because the commands of a pipe are played one after the other.
    for _ in range(16) if shell.caught else itertools.count():
        await shell.say("stdout", line * 4096)
        await asyncio.sleep(0)
    return 0


async def _exit(shell: Shell, arguments: list[str]) -> int:
    raise Exit(int(arguments[0]) & 255 if arguments and arguments[0].isdigit() else shell.status)


async def _true(shell: Shell, arguments: list[str]) -> int:
    return 0


async def _false(shell: Shell, arguments: list[str]) -> int:
    return 1


async def _env(shell: Shell, arguments: list[str]) -> int:
    if arguments:
        await shell.say("stdout", "".join(f"{shell.envs[name]}\n" for name in arguments if name in shell.envs))
        return 0 if all(name in shell.envs for name in arguments) else 1
    await shell.say("stdout", "".join(f"{name}={value}\n" for name, value in shell.envs.items()))
    return 0


async def _export(shell: Shell, arguments: list[str]) -> int:
    shell.envs |= {name: value for name, mark, value in (each.partition("=") for each in arguments) if mark}
    return 0


async def _whoami(shell: Shell, arguments: list[str]) -> int:
    await shell.say("stdout", shell.envs.get("USER", "user") + "\n")
    return 0


async def _bash(shell: Shell, arguments: list[str]) -> int:
    if "-c" not in arguments or arguments[-1] == "-c":
        return await shell.fail(f"bash: {NOT_RUN}", 127)
    return await shell.run(arguments[arguments.index("-c") + 1])


async def _python(shell: Shell, arguments: list[str]) -> int:
    if arguments[:1] == ["-c"] and len(arguments) > 1:
        code = arguments[1]
    elif arguments and not arguments[0].startswith("-"):
        code = shell.disk.bytes_of(absolute(arguments[0], shell.cwd)).decode("utf-8", "replace")
    else:
        return await shell.fail(f"python: {NOT_RUN}", 127)
    failed = False
    async for output, piece in shell.python(code, shell.envs):
        failed = output == "stderr"
        await shell.say(output, piece)
    return int(failed)


COMMANDS: Mapping[str, Callable[[Shell, list[str]], Awaitable[int]]] = {
    "echo": _echo,
    "printf": _printf,
    "cat": _cat,
    "ls": _ls,
    "pwd": _pwd,
    "cd": _cd,
    "mkdir": _mkdir,
    "rm": _rm,
    "touch": _touch,
    "cp": _cp,
    "mv": _mv,
    "head": _head,
    "tail": _tail,
    "wc": _wc,
    "seq": _seq,
    "sleep": _sleep,
    "yes": _yes,
    "exit": _exit,
    "true": _true,
    ":": _true,
    "false": _false,
    "env": _env,
    "printenv": _env,
    "export": _export,
    "whoami": _whoami,
    "bash": _bash,
    "sh": _bash,
    "python": _python,
    "python3": _python,
}
