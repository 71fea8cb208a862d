"""`novita-mcp install --lease-timer`: sets up a timer of the system that enforces leases while no server runs.

The timer (a user timer of systemd, a job of launchd or a scheduled task of Windows) runs `novita-mcp doctor --leases`
every few minutes. The key goes into a file that only this user can read, or the command finds it in a host's
configuration.
"""

import os
import plistlib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from xml.sax.saxutils import escape

from ..settings import SettingError, Settings
from ..starting import this_program

EVERY_MINUTES = 5
NAME = "novita-mcp-leases"
LABEL = "ai.novita.mcp.leases"
_KEPT = ("base_url", "profile", "journal")
"""Settings that the timer must share with the servers whose leases it enforces, wherever their values come from."""


@dataclass(frozen=True)
class TimerPlan:
    """The files to write for a timer, and the commands that start it.

    Args:
        files: Path and text of each file, in the order of writing.
        commands: The commands that make the system read the files.
        after: What the user should know.
    """

    files: tuple[tuple[Path, str], ...]
    commands: tuple[tuple[str, ...], ...]
    after: str


def plan_timer(home: Path, platform: str, program: Sequence[str], environment: dict[str, str]) -> TimerPlan:
    """The timer for a platform.

    Args:
        platform: The platform, in the form of `sys.platform`.
        program: The command that runs novita-mcp.
        environment: The environment variables for it, with the key.
    """
    words = [*program, "doctor", "--leases"]
    if platform == "darwin":
        return _launchd(home, words, environment)
    if platform == "win32":
        return _scheduled_task(home, words)
    return _systemd(home, words, environment)


def _systemd(home: Path, words: list[str], environment: dict[str, str]) -> TimerPlan:
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    folder, variables = config / "systemd" / "user", config / "novita-mcp" / "leases.env"
    service = f"""[Unit]
Description=Stop what has a lease of novita-mcp that has ended

[Service]
Type=oneshot
EnvironmentFile=-{_in_unit(str(variables))}
ExecStart={" ".join(_in_unit(shlex.quote(word)) for word in words)}
# The command also runs all other checks, and its exit code is 1 if one of them fails. The timer itself works then.
SuccessExitStatus=1
"""
    timer = f"""[Unit]
Description=Check the leases of novita-mcp every few minutes

[Timer]
OnActiveSec=1min
OnUnitActiveSec={EVERY_MINUTES}min

[Install]
WantedBy=timers.target
"""
    kept = "".join(f"{name}={_quoted(value)}\n" for name, value in environment.items())
    return TimerPlan(
        ((variables, kept), (folder / f"{NAME}.service", service), (folder / f"{NAME}.timer", timer)),
        (("systemctl", "--user", "daemon-reload"), ("systemctl", "--user", "enable", "--now", f"{NAME}.timer")),
        "It runs while you are logged in; `loginctl enable-linger` keeps it running after that.",
    )


def _in_unit(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _launchd(home: Path, words: list[str], environment: dict[str, str]) -> TimerPlan:
    path = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    job = {
        "Label": LABEL,
        "ProgramArguments": words,
        "EnvironmentVariables": environment,
        "StartInterval": EVERY_MINUTES * 60,
        "RunAtLoad": True,
    }
    return TimerPlan(
        ((path, plistlib.dumps(job).decode()),),
        (("launchctl", "unload", str(path)), ("launchctl", "load", "-w", str(path))),
        "It runs while you are logged in.",
    )


def _scheduled_task(home: Path, words: list[str]) -> TimerPlan:
    path = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "novita-mcp" / "leases.xml"
    task = f"""<?xml version="1.0" encoding="UTF-8"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <Triggers>
    <TimeTrigger>
      <StartBoundary>2026-01-01T00:00:00</StartBoundary>
      <Repetition><Interval>PT{EVERY_MINUTES}M</Interval></Repetition>
    </TimeTrigger>
  </Triggers>
  <Settings>
    <StartWhenAvailable>true</StartWhenAvailable>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
  </Settings>
  <Actions>
    <Exec>
      <Command>{escape(words[0])}</Command>
      <Arguments>{escape(subprocess.list2cmdline(words[1:]))}</Arguments>
    </Exec>
  </Actions>
</Task>
"""
    return TimerPlan(
        ((path, task),),
        (("schtasks", "/Create", "/F", "/TN", NAME, "/XML", str(path)),),
        "It takes the key from your user environment (setx NOVITA_API_KEY ...) or from a host's configuration.",
    )


def run_lease_timer(settings: Settings, *, only_print: bool, command: str | None, filed: bool = False) -> None:
    """Write the timer and start it, or only print it.

    Args:
        command: The command that runs novita-mcp, such as `uvx novita-mcp`; by default this program.
        filed: The key is in the user's settings file or in the keyring, where the timer finds it too.

    Raises:
        SettingError: A file cannot be written.
    """
    environment = {
        item.metadata["env"]: str(getattr(settings, item.name))
        for item in fields(Settings)
        if item.name in _KEPT and getattr(settings, item.name) != item.default
    }
    if settings.api_key and not filed:
        environment["NOVITA_API_KEY"] = settings.api_key
    program = command.split() if command else this_program()
    plan = plan_timer(Path.home(), sys.platform, program, environment)
    if only_print:
        for path, text in plan.files:
            shown = text.replace(settings.api_key, "<your key>") if settings.api_key else text
            sys.stdout.write(f"{path}\n{shown}\n")
        sys.stdout.write("".join(f"{shlex.join(words)}\n" for words in plan.commands))
        return
    for path, text in plan.files:
        try:
            _write_private(path, text)
        except OSError as error:
            raise SettingError(f"{path} cannot be written: {error}") from error
        sys.stdout.write(f"Written: {path}\n")
    for words in plan.commands:
        if trouble := _run(words):
            sys.stdout.write(f"This command failed ({trouble}); run it yourself: {shlex.join(words)}\n")
    said = f"Every {EVERY_MINUTES} minutes `novita-mcp doctor --leases` now stops whatever has a lease that has ended."
    sys.stdout.write(f"{said} {plan.after}\n")
    if not settings.api_key:
        sys.stdout.write("No key was given, so each time it looks for one in the hosts' configurations.\n")


def _write_private(path: Path, text: str) -> None:
    """Write a file completely or not at all, readable by this user only, because it may contain the key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
            handle.write(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _run(words: Sequence[str]) -> str:
    """Run a command of the system. Returns why it did not work; empty if it did."""
    if words[:2] == ("launchctl", "unload"):  # it fails if the job was not loaded, which is no problem
        _run_quietly(words)
        return ""
    return _run_quietly(words)


def _run_quietly(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603  # ours
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{words[0]}: {getattr(error, 'strerror', None) or 'no answer'}"
    return "" if done.returncode == 0 else " ".join((done.stderr or done.stdout).split())[:200] or str(done.returncode)
