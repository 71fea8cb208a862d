"""Where a process keeps things: chosen by the Novita it asks, so that play never stands beside what was paid for.

Novita itself has the journal of the user and `novita` in Downloads. Whoever else `NOVITA_BASE_URL` names, such as a
simulator on this machine, has a journal and a folder for files of its own in the user's data. So has each profile its
journal. What a setting names is taken as it is.
"""

import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from ...novita.core.hosts import is_novita_itself
from ...novita.journal.databases import is_database_url
from ..settings import Settings

_PORTS = {"http": 80, "https": 443}


def other_novita(base_url: str) -> str | None:
    """What to call the Novita at this address, as a folder; None where it is Novita's own.

    Every name of this machine is one name. The port counts: a second simulator knows nothing of the first one's tasks.
    """
    parsed = urlsplit(base_url)
    host = (parsed.hostname or "").rstrip(".").lower()
    if is_novita_itself(base_url):
        return None
    if _is_here(host):
        host = "localhost"
    port = parsed.port or _PORTS.get(parsed.scheme)
    named = host if port == _PORTS.get(parsed.scheme) else f"{host}-{port}"
    return re.sub(r"[^a-z0-9.\-]+", "-", named)


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def data_folder(settings: Settings) -> Path:
    """What this user's servers keep between runs, for one profile and one Novita."""
    folder = Path(platformdirs.user_data_dir("novita-mcp", appauthor=False))
    if settings.profile:
        folder = folder / "profiles" / settings.profile
    other = other_novita(settings.base_url)
    return folder / "elsewhere" / other if other else folder


def output_folder(settings: Settings) -> Path:
    """Where finished files go."""
    if settings.output_dir:
        return settings.output_dir
    if other_novita(settings.base_url):
        return data_folder(settings) / "files"
    return Path(platformdirs.user_downloads_dir()) / "novita"


def played_folder(name: str) -> Path:
    """Where the files go of a simulator that lives no longer than the command that starts it."""
    return Path(platformdirs.user_data_dir("novita-mcp", appauthor=False)) / "simulated" / name


def journal_file(settings: Settings) -> Path | None:
    """The journal's file; None where it is in memory or in a database."""
    if settings.journal.lower() == "off" or is_database_url(settings.journal):
        return None
    if settings.journal:
        return Path(settings.journal).expanduser()
    return data_folder(settings) / "journal.sqlite3"
