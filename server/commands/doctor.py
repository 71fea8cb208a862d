"""`novita-mcp doctor`: says what is wrong with this installation, and how to repair it.

Each check prints one line: ok, a note, or wrong. The checks cost nothing and leave nothing on the disk.
"""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import anyio
import httpx
from rich.text import Text

from ...novita.account.balance import get_balance
from ...novita.core.answers import a_header_date
from ...novita.core.client import NovitaClient, new_http, owner_of, sendable
from ...novita.core.errors import BILLING_PAGE, KEYS_PAGE, MissingKeyError, NovitaError
from ...novita.core.hosts import API_HOST
from ...novita.core.money import say_exactly
from ...novita.core.network.surroundings import Surroundings, trouble
from ...novita.core.placeholders import unfilled_key
from ...novita.core.redaction import learn, shown_address
from ...novita.core.words import counted
from ...novita.journal.journal import JobState
from ...novita.journal.leases import enforce_leases
from ...tools.overview import family_parts
from ..app import choose_tools
from ..building import leases_wait, open_journal
from ..config.config_file import KEYRING, config_path
from ..config.places import journal_file, output_folder
from ..logs import for_logs, learn_settings
from ..settings import Origin, SettingError, Settings, request_keys, shown_value
from ..version import version
from .host_starts import mend_start, settings_of, start_all
from .install import Installed, installed, mend, unsafe_files
from .layout import columns, whole, wrapped
from .models_check import examine_models
from .screen import Screen

Status = Literal["ok", "note", "wrong", "skipped"]

SKEW_SECONDS = 60
"""With a larger error of the clock, links seem to expire too early or too late."""

NOT_THE_API = ("novita.ai", "novitai.com", "omniinfer.io")
"""Names of Novita at which there is no API, or no longer: its web pages, its files, and an earlier name."""

LOSES_PICTURES = (2, 1, 128)
"""Versions of Claude Code before this one drop the pictures of an answer that also has structured content."""


@dataclass(frozen=True)
class Check:
    """The result of one check. `mend` says how to repair what is wrong."""

    name: str
    status: Status
    detail: str
    mend: str = ""


def run_doctor(
    settings: Settings,
    *,
    as_json: bool,
    offline: bool,
    leases: bool = False,
    mending: bool = False,
    models: bool = False,
    origins: Sequence[Origin] = (),
    starting: bool = False,
) -> int:
    """Run the checks and print their results. Returns the exit code: 1 if something is wrong.

    Args:
        leases: Also stop instances whose lease is over.
        mending: Also repair the entries in the hosts' files that can be repaired.
        models: Also check the models that are used by default.
        origins: Where the values of the settings come from.
        starting: Also start the server as each host's entry says.
    """
    try:
        checks = [*_origins(settings, origins), *anyio.run(_examine, settings, offline, leases, mending, starting)]
        checks += anyio.run(_models, settings, offline) if models else []
    except KeyboardInterrupt:
        return 130
    # A check may repeat a setting or an error that contains a secret. All results pass through this filter.
    _known = [*learn_settings(settings), *(learn(found.real_key) for found in installed(Path.home(), sys.platform))]
    checks = [replace(check, detail=for_logs(check.detail), mend=for_logs(check.mend)) for check in checks]
    well = all(check.status != "wrong" for check in checks)
    if as_json:
        sys.stdout.write(json.dumps({"ok": well, "checks": [asdict(check) for check in checks]}, indent=2) + "\n")
    else:
        hosts = [found.path for found in installed(Path.home(), sys.platform)]
        _show(checks, well, [*hosts, output_folder(settings), journal_file(settings)])
    if not well and not as_json and not mending and _mend_agreed(checks):
        return run_doctor(
            settings, as_json=False, offline=offline, leases=leases, mending=True, models=models, starting=starting
        )
    return 0 if well else 1


def _mend_agreed(checks: Sequence[Check]) -> bool:
    """Whether something can be repaired here, and a person at the terminal agrees to it."""
    if not any("--mend" in check.mend for check in checks) or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    sys.stdout.write("Mend what can be mended here? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


async def _examine(settings: Settings, offline: bool, leases: bool, mending: bool, starting: bool) -> list[Check]:
    starts = list(_starts(mending))
    hosts = list(installed(Path.home(), sys.platform))
    mended = [*_mended(hosts)] if mending else []
    hosts = list(installed(Path.home(), sys.platform)) if mended else hosts
    found = [
        _versions(),
        _settings(settings),
        *_hosts(hosts),
        *starts,
        *mended,
        *(await _started(hosts) if starting else ()),
        *_old_host(hosts),
        _output(settings),
        *_allowed(settings),
    ]
    found.append(await _journal(settings))
    found.append(_key(settings, hosts))
    settings = replace(settings, api_key=settings.api_key or _key_of_a_host(hosts)[0])
    if address := _address(settings):
        found.append(address)
    found += _way_out()
    if offline:
        return [*found, Check("network", "skipped", "not checked, because of --offline")]
    found += [check async for check in _network(settings)]
    return [*found, await _leases(settings)] if leases else found


async def _models(settings: Settings, offline: bool) -> list[Check]:
    found = await examine_models(settings, offline=offline)
    return [Check("models", "ok" if one.ok else "wrong", one.detail, one.mend) for one in found]


def _versions() -> Check:
    libraries = ("mcp", "httpx", "pydantic", "pillow")
    known = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries)
    detail = f"novita-mcp {version()}, Python {platform.python_version()} on {platform.system()}, {known}"
    return Check("versions", "ok", detail)


def _settings(settings: Settings) -> Check:
    try:
        tools = choose_tools(settings)
        request_keys(settings)
    except SettingError as error:
        return Check("settings", "wrong", str(error), "Correct that setting.")
    if not tools:
        return Check("settings", "wrong", "no tool is on", "Name other toolsets, or leave --read-only out.")
    return Check("settings", "ok", f"{counted(len(tools), 'tool')} on{', read-only' if settings.read_only else ''}")


def _origins(settings: Settings, origins: Sequence[Origin]) -> Iterator[Check]:
    """Every setting that is not at its default, and where its value comes from."""
    for origin in origins:
        value = shown_value(settings, origin.name)
        yield Check("setting", "ok", f"{origin.name} = {value}, from {origin.where}")
    path = config_path(os.environ)
    if os.name != "nt" and path.exists() and _holds_key(path) and path.stat().st_mode & 0o077:
        yield Check("settings", "wrong", f"{path} holds a key, and others may read it", f"chmod 600 {path}")


def _holds_key(path: Path) -> bool:
    found = re.search(r"^\s*api_key\s*=\s*[\"'](?P<key>.*)[\"']", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found is not None and found["key"] != KEYRING


def _hosts(hosts: Sequence[Installed]) -> Iterator[Check]:
    """The hosts that are set up to run this server, and whether their entries can work."""
    if not hosts:
        mend = "`novita-mcp install HOST` sets one up; nothing to do where the server runs over HTTP."
        yield Check("hosts", "note", "no host is set up for this user", mend)
    for found in hosts:
        name = found.host.title
        if found.problem:
            yield Check("hosts", "wrong", f"{name}: {found.path} cannot be read: {found.problem}", "Correct that file.")
        elif found.command and shutil.which(found.command) is None:
            mend = "It was moved or removed: `novita-mcp doctor --mend` has it run this installation instead."
            yield Check("hosts", "wrong", f"{name} runs {found.command}, which is not there", mend)
        elif found.real_key or found.key.startswith("${"):
            yield Check("hosts", "ok", f"{name}: {found.path}")
        elif not found.key and (known := settings_of(found)) and known.api_key:
            yield Check("hosts", "ok", f"{name}: {found.path}, the key from your own settings")
        elif found.command:
            mend = f"Put your key there, from {KEYS_PAGE}; then start {name} again."
            yield Check("hosts", "wrong", f"{name} has no key: {found.path}", mend)


def _starts(mending: bool) -> Iterator[Check]:
    """Entries in the form of version 0.1.0, which put the current folder on Python's import path."""
    for host, path, names in unsafe_files(Path.home(), sys.platform, Path.cwd()):
        which = f"{host.title}: {', '.join(names)} in {path}"
        unsafe = f"{which} starts with `python -m`: in a project you open, a file named like a library runs instead"
        if not mending:
            yield Check("start", "wrong", unsafe, "`novita-mcp doctor --mend` adds -P there, and keeps the old file.")
            continue
        try:
            mend(path)
        except OSError as error:
            yield Check("start", "wrong", f"{unsafe}; {error.strerror or error}", 'Put "-P" before "-m" there.')
        else:
            yield Check("start", "ok", f"{which} starts safely now", f"Start {host.title} again.")


def _mended(hosts: Sequence[Installed]) -> Iterator[Check]:
    """Repair the entries whose program no longer exists, so that they start this installation."""
    for found in hosts:
        if not found.command or shutil.which(found.command) is not None:
            continue
        try:
            program = mend_start(found)
        except (OSError, SettingError) as error:
            yield Check("start", "wrong", f"{found.host.title}: {error}", f"Correct {found.path} by hand.")
        else:
            detail = f"{found.host.title} ran {found.command}, and runs {' '.join(program)} now"
            yield Check("start", "ok", detail, f"Start {found.host.title} again.")


async def _started(hosts: Sequence[Installed]) -> list[Check]:
    """Start the server as each host's entry says, and check that it answers."""
    checks: list[Check] = []
    for start in await start_all([one for one in hosts if one.command and shutil.which(one.command)]):
        name = start.found.host.title
        if start.problem:
            detail = f"{name}: as it is set up, the server does not start: {start.problem}"
            checks.append(Check("start", "wrong", detail, f"Correct {start.found.path}, or install it there again."))
        else:
            checks.append(Check("start", "ok", f"{name}: started as it is set up, {counted(start.tools, 'tool')}"))
    return checks


def _old_host(hosts: Sequence[Installed]) -> Iterator[Check]:
    """Whether the installed Claude Code is a version that loses pictures; no other old version is known to matter."""
    program = shutil.which("claude")
    if program is None or not any(found.host.title == "Claude Code" for found in hosts):
        return
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10).stdout  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return
    numbers = re.match(r"\s*(\d+)\.(\d+)\.(\d+)", said)
    if numbers and tuple(map(int, numbers.groups())) < LOSES_PICTURES:
        wanted = ".".join(map(str, LOSES_PICTURES))
        detail = f"Claude Code {'.'.join(numbers.groups())} does not show pictures to the model; {wanted} does"
        yield Check("old host", "note", detail, "Run `claude update`.")


def _output(settings: Settings) -> Check:
    folder = output_folder(settings)
    problem = _unwritable(folder)
    if problem:
        return Check(
            "output folder", "wrong", f"{folder}: {problem}", "Set NOVITA_MCP_OUTPUT_DIR to a writable folder."
        )
    return Check("output folder", "ok", str(folder))


def _allowed(settings: Settings) -> list[Check]:
    named = [Path(part).expanduser() for part in settings.allowed_dirs.split(os.pathsep) if part.strip()]
    missing = [str(folder) for folder in named if not folder.is_dir()]
    if not missing:
        return []
    mend = "Correct NOVITA_MCP_ALLOWED_DIRS, or make the folder."
    return [Check("allowed folders", "wrong", f"no such folder: {', '.join(missing)}", mend)]


async def _journal(settings: Settings) -> Check:
    path = journal_file(settings)
    journal = open_journal(settings)
    if not journal.lasting:
        return Check("journal", "note", "off: tasks are forgotten when the server ends", "Unset NOVITA_MCP_JOURNAL.")
    mend = "Start the database, or correct NOVITA_MCP_JOURNAL."
    if path is not None:
        mend = f"Make {path.parent} writable, or set NOVITA_MCP_JOURNAL to another file."
    if path is not None and not path.exists():
        problem = _unwritable(path.parent)
        return (
            Check("journal", "wrong", f"{path}: {problem}", mend) if problem else Check("journal", "ok", f"{path}, new")
        )
    try:
        unclear = await journal.recent(owner_of(settings.api_key), limit=50, states=(JobState.UNCONFIRMED,))
    except NovitaError as error:
        return Check("journal", "wrong", str(error), mend)
    finally:
        await journal.close()
    if unclear:
        detail = f"{journal.label}: {counted(len(unclear), 'job')} that may have been billed without an answer"
        return Check("journal", "note", detail, "Ask your host for list_tasks, and compare with get_balance.")
    return Check("journal", "ok", journal.label)


def _key(settings: Settings, hosts: Sequence[Installed]) -> Check:
    if settings.api_key and (left := unfilled_key(settings.api_key)):
        mend = f"The host that starts this server does not expand it: write the key itself there, from {KEYS_PAGE}."
        return Check("API key", "wrong", f"NOVITA_API_KEY was not filled in: it is still {left}", mend)
    if settings.api_key:
        try:
            sendable(settings.api_key)
        except MissingKeyError as error:
            return Check("API key", "wrong", error.what, f"Copy it once more from {KEYS_PAGE}.")
        return Check("API key", "ok", "set")
    _, name = _key_of_a_host(hosts)
    if name:
        return Check("API key", "ok", f"not set in this terminal; {name} has one, which is tried here")
    if settings.handle_keys or settings.allowed_hosts:
        return Check("API key", "note", "not set; over HTTP each caller sends its own")
    return Check("API key", "wrong", "not set", f"Make one at {KEYS_PAGE} and set NOVITA_API_KEY for this server.")


def _key_of_a_host(hosts: Sequence[Installed]) -> tuple[str | None, str]:
    """The first key in a host's configuration, and the name of that host."""
    return next(((found.real_key, found.host.title) for found in hosts if found.real_key), (None, ""))


def _address(settings: Settings) -> Check | None:
    """A finding if NOVITA_BASE_URL is an address of Novita at which there is no API; None otherwise."""
    host = urlsplit(settings.base_url).hostname or ""
    ours = any(host == name or host.endswith(f".{name}") for name in NOT_THE_API)
    if settings.base_url.rstrip("/") == API_HOST or not ours:
        return None
    named = f"NOVITA_BASE_URL is {shown_address(settings.base_url)}"
    detail = f"{named}; Novita's API is at {API_HOST}, and paths are added here"
    return Check("old host", "wrong", detail, "Unset NOVITA_BASE_URL.")


async def _network(settings: Settings) -> AsyncGenerator[Check]:
    """Check the connection to Novita first. Without it the checks of clock and account make no sense."""
    moved = " (moved by NOVITA_BASE_URL)" if settings.base_url.rstrip("/") != API_HOST else ""
    proxy = Surroundings.read().proxy_for(httpx.URL(settings.base_url))
    way = f"{shown_address(settings.base_url)}{moved}{f' through the proxy {proxy.shown}' if proxy else ''}"
    async with new_http(timeouts=httpx.Timeout(10)) as http:
        began = anyio.current_time()
        try:
            async with http.stream("GET", settings.base_url) as answer:
                pass  # any answer is enough
        except httpx.RequestError as error:
            found = trouble(error, httpx.URL(settings.base_url))
            mend = (
                "Correct or unset NOVITA_BASE_URL."
                if moved
                else "Check the connection; behind a proxy, set HTTPS_PROXY."
            )
            yield Check("network", "wrong", f"{way}: {found.what}", found.mend or mend)
            return
        took = (anyio.current_time() - began) * 1000
        yield Check("network", "ok", f"{way} answers in {took:.0f} ms")
        yield _clock(answer.headers.get_list("date"))
        if settings.api_key:
            yield await _account(NovitaClient(http, settings.api_key, settings.base_url).for_looking())


def _way_out() -> Iterator[Check]:
    """Environment variables about proxies and certificates whose values cannot be used. Checked with --offline too."""
    for problem in Surroundings.read().problems():
        yield Check("way out", "wrong", str(problem), problem.mend)


def _clock(dates: Sequence[str]) -> Check:
    """Compare our clock with the first readable Date header of an answer. There may be several, as proxies add some."""
    there = next((found for date in dates if (found := a_header_date(date)) is not None), None)
    if there is None:
        return Check("clock", "skipped", "the answer carries no date")
    off = time.time() - there
    if abs(off) <= SKEW_SECONDS:
        return Check("clock", "ok", "agrees with Novita's")
    way = "ahead" if off > 0 else "behind"
    return Check(
        "clock", "wrong", f"{abs(off):.0f} s {way} of Novita's", "Let the system set its time from the network."
    )


async def _account(client: NovitaClient) -> Check:
    try:
        balance = await get_balance(client)
    except NovitaError as error:
        return Check("account", "wrong", error.what, error.next_step or f"See {KEYS_PAGE}.")
    detail = f"the key is accepted; {say_exactly(balance.available)} can be spent"
    if balance.available <= Decimal(0):
        return Check("account", "wrong", detail, f"Top up at {BILLING_PAGE}.")
    return Check("account", "ok", detail)


async def _leases(settings: Settings) -> Check:
    """Stop what has a lease that is over, once, and report the leases that remain."""
    name = "leases"
    if not await leases_wait(settings):
        return Check(name, "ok", "none")
    journal = open_journal(settings)
    try:
        async with new_http(timeouts=httpx.Timeout(30)) as http:
            client = NovitaClient(http, settings.api_key, settings.base_url).for_looking()
            done, waiting = await enforce_leases(journal, client, family_parts.ENDERS_BY_KIND)
    except NovitaError as error:
        return Check(name, "wrong", error.what, error.next_step)
    finally:
        await journal.close()
    acted = [f"{outcome.lease.name!r}: {outcome.note}" for outcome in done]
    due = {outcome.lease.key for outcome in done}
    still = [f"{lease.name!r} until {lease.stop_at:%Y-%m-%d %H:%M} UTC" for lease in waiting if lease.key not in due]
    detail = "; ".join([*acted, *still])
    if any(outcome.note.startswith("failed") for outcome in done):
        return Check(name, "wrong", detail, "Stop them by hand, or run this again.")
    return Check(name, "ok", detail)


def _unwritable(folder: Path) -> str:
    """Why no file can be made in `folder`; empty if one can. The attempt leaves no file behind."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{place} is not a folder"
    try:
        with closing(tempfile.TemporaryFile(dir=place)) as file:
            file.write(b"novita-mcp")
    except OSError as error:
        return error.strerror or str(error)
    return ""


_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "note": ("note", "yellow"),
    "wrong": ("WRONG", "bold red"),
    "skipped": ("-", "dim"),
}


_ROOM = 50
"""The width that a path usually needs."""


def _show(checks: list[Check], well: bool, places: Iterable[object]) -> None:
    """Print the results for people. Lines never break inside the paths in `places`."""
    names = {str(place): whole(place) for place in places}
    console = Screen(highlight=False)
    width, term = columns(), max(len(check.name) for check in checks)
    for check in checks:
        mark, style = _MARKS[check.status]
        head = f"{mark:>5}  {check.name.ljust(term)}  "
        if width is not None and width < _ROOM + len(head):  # too narrow for a path beside the check's name
            found, more = head.rstrip(), wrapped(_glued(check.detail, names), width, first=" " * 7)
        else:
            found, *more = wrapped(_glued(check.detail, names), width, first=head)
        below = len(more[0]) - len(more[0].lstrip()) if more and found == head.rstrip() else len(head)
        console.print(Text.assemble((found[:5], style), found[5:]), soft_wrap=True)
        for line in more:
            console.print(Text(line), soft_wrap=True)
        for line in wrapped(_glued(check.mend, names), width, first=" " * below) if check.mend else ():
            console.print(Text(line, style="cyan"), soft_wrap=True)
    console.print(Text("All is well." if well else "Something is wrong: see above.", style="bold"))


def _glued(text: str, names: Mapping[str, str]) -> str:
    for name, glued in names.items():
        text = text.replace(name, glued)
    return text
