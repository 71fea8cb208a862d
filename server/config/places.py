"""The places of journal and files. They depend on the address of Novita, so simulated work never mixes with paid work.

For Novita itself the journal is in the user's data folder, and files go to `novita` in Downloads. Any other address in
`NOVITA_BASE_URL`, such as a simulator on this machine, has its own journal and files in the data folder. Each profile
has its own journal too. A place that a setting names is used as it is.
"""

import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from ...novita.core.hosts import is_novita_itself
from ...novita.journal.databases import is_database_url
from ..settings import Settings

_PORTS = {"http": 80, "https": 443}


def other_novita(base_url: str) -> str | None:
    """The folder's name for another address than Novita's own; None for Novita's own.

    All names of this machine give `localhost`. The port is part of the name, because a second simulator does not know
    the tasks of the first.
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
    """The folder for what this user's servers keep between runs, for one profile and one address of Novita."""
    folder = _user_data()
    if settings.profile:
        folder = folder / "profiles" / settings.profile
    other = other_novita(settings.base_url)
    return folder / "elsewhere" / other if other else folder


def output_folder(settings: Settings) -> Path:
    """The folder for finished files."""
    if settings.output_dir:
        return settings.output_dir
    if other_novita(settings.base_url):
        return data_folder(settings) / "files"
    import platformdirs  # not at the top, as in _user_data

    return Path(platformdirs.user_downloads_dir()) / "novita"


def played_folder(name: str) -> Path:
    """The folder for the files of a simulator that ends with the command that started it."""
    return _user_data() / "simulated" / name


def _user_data() -> Path:
    import platformdirs  # not at the top: a server that has only listed its tools needs it not

    return Path(platformdirs.user_data_dir("novita-mcp", appauthor=False))


def journal_file(settings: Settings) -> Path | None:
    """The journal's file; None if the journal is in memory or in PostgreSQL."""
    if settings.journal.lower() == "off" or is_database_url(settings.journal):
        return None
    if settings.journal:
        return Path(settings.journal).expanduser()
    return data_folder(settings) / "journal.sqlite3"
