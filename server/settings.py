"""Every setting in one typed place: name, environment variable, flag, default, and what it is for.

README's table is made from this list. The order of precedence is: flag, environment, profile in the user's file, the
rest of the file, default.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..novita.core.hosts import API_HOST, address_problem, base_address, is_novita_itself
from ..novita.core.placeholders import bare_key, expand, unfilled
from ..novita.core.redaction import shown_address
from .config.config_file import KEYRING, ConfigFile, ConfigFileError, as_text, config_path, is_profile_name, read_config
from .config.keyring_keys import read_key

if TYPE_CHECKING:
    from pydantic import TypeAdapter

LogFormat = Literal["text", "json"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class SettingError(Exception):
    """A setting has a value that cannot be used; the message names it."""


def _setting(env: str, help: str, default: Any = None, *, flag: str | None = None, secret: bool = False) -> Any:
    return field(default=default, metadata={"env": env, "help": help, "flag": flag, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """How one server process runs."""

    api_key: str | None = _setting(
        "NOVITA_API_KEY", "Key from novita.ai. stdio only: over HTTP each caller sends its own.", secret=True
    )
    base_url: str = _setting(
        "NOVITA_BASE_URL", "Send all requests to this address, e.g. a simulator's.", API_HOST, flag="--base-url"
    )
    profile: str = _setting(
        "NOVITA_MCP_PROFILE",
        "Use `[profiles.NAME]` of the user's file; it has its own journal.",
        "",
        flag="--profile",
    )
    toolsets: str = _setting(
        "NOVITA_MCP_TOOLSETS",
        "`default`, `all` or names, with commas; `-name` leaves one out.",
        "default",
        flag="--toolsets",
    )
    tools: str = _setting("NOVITA_MCP_TOOLS", "Single tools to add, with commas.", "", flag="--tools")
    read_only: bool = _setting(
        "NOVITA_MCP_READ_ONLY", "Only tools that change nothing and cost nothing.", False, flag="--read-only"
    )
    shipped_models_only: bool = _setting(
        "NOVITA_MCP_SHIPPED_MODELS_ONLY",
        "Use only the models of this release. Otherwise the server reads Novita's lists of models and prices and its "
        "notices once a day in the background, and looks up media models it does not know. It sends the names of "
        "models and prices; the key goes only to the API itself.",
        False,
    )
    output_dir: Path | None = _setting(
        "NOVITA_MCP_OUTPUT_DIR", "Where finished files go; default `novita` in Downloads.", flag="--output-dir"
    )
    allowed_dirs: str = _setting(
        "NOVITA_MCP_ALLOWED_DIRS",
        f"More folders to read from and save to, separated by `{os.pathsep}`.",
        "",
        flag="--allowed-dirs",
    )
    max_file_mb: int = _setting("NOVITA_MCP_MAX_FILE_MB", "Largest file fetched, in MiB.", 2048)
    journal: str = _setting(
        "NOVITA_MCP_JOURNAL",
        "File of the journal, `postgresql://...` for a team, or `off` (kept in memory only).",
        "",
        flag="--journal",
        secret=True,  # a URL holds a password
    )
    artifacts: str = _setting(
        "NOVITA_MCP_ARTIFACTS",
        "HTTP: keep finished files in S3-compatible storage, `s3://bucket/prefix?endpoint_url=...&region=...`.",
        "",
    )
    wait_seconds: float = _setting(
        "NOVITA_MCP_WAIT_SECONDS", "How long a slow tool waits when the call does not say.", 45.0
    )
    spend_limit_usd: Decimal | None = _setting(
        "NOVITA_MCP_SPEND_LIMIT_USD", "Refuse calls whose estimates would exceed this, per run and per day (UTC)."
    )
    call_limit_usd: Decimal | None = _setting("NOVITA_MCP_CALL_LIMIT_USD", "Refuse a single call estimated above this.")
    unknown_price_usd: Decimal | None = _setting(
        "NOVITA_MCP_UNKNOWN_PRICE_USD",
        "Counted for each thing of unknown price; default: the highest price of its kind.",
    )
    confirm_above_usd: Decimal = _setting(
        "NOVITA_MCP_CONFIRM_ABOVE_USD", "Calls that count more than this ask the user first.", Decimal("1.00")
    )
    thumbnails: bool = _setting("NOVITA_MCP_THUMBNAILS", "Show finished pictures small beside the text.", True)
    media_hosts: str = _setting(
        "NOVITA_MCP_MEDIA_HOSTS",
        "Hosts, with commas, whose links the gallery may show for files above 8 MB (your storage): `*.example.com`.",
        "",
    )
    handle_keys: str = _setting(
        "NOVITA_MCP_HANDLE_KEYS",
        "Secrets (32+ characters, commas) for task handles: the first encrypts, all decrypt. For several HTTP copies.",
        "",
        secret=True,
    )
    sandbox_domain: str = _setting(
        "NOVITA_MCP_SANDBOX_DOMAIN", "Domain of agent sandboxes; default `us-phx-1.sandbox.novita.ai`.", ""
    )
    host: str = _setting("NOVITA_MCP_HOST", "HTTP: address to listen on.", "127.0.0.1", flag="--host")
    port: int = _setting("NOVITA_MCP_PORT", "HTTP: port.", 8000, flag="--port")
    allowed_hosts: str = _setting(
        "NOVITA_MCP_ALLOWED_HOSTS",
        "HTTP: Host headers to accept besides localhost, with commas.",
        "",
        flag="--allowed-hosts",
    )
    allowed_origins: str = _setting(
        "NOVITA_MCP_ALLOWED_ORIGINS", "HTTP: browser origins to accept, with commas.", "", flag="--allowed-origins"
    )
    public_url: str = _setting(
        "NOVITA_MCP_PUBLIC_URL",
        "HTTP: this server's public address. Novita then calls it when a task ends, if the model supports that.",
        "",
        flag="--public-url",
    )
    oauth_issuer: str = _setting(
        "NOVITA_MCP_OAUTH_ISSUER",
        "HTTP: the OAuth 2.1 authorization server that callers sign in at, by its issuer address; empty: keys only.",
        "",
    )
    oauth_audience: str = _setting(
        "NOVITA_MCP_OAUTH_AUDIENCE",
        "HTTP: audiences a token may name, with commas; default: the public URL with `/mcp`.",
        "",
    )
    oauth_scopes: str = _setting("NOVITA_MCP_OAUTH_SCOPES", "HTTP: scopes a token must have, with commas.", "")
    oauth_client_id: str = _setting(
        "NOVITA_MCP_OAUTH_CLIENT_ID",
        "HTTP: this server's own client id at the issuer. With it the issuer is asked about each token (RFC 7662).",
        "",
    )
    oauth_client_secret: str = _setting(
        "NOVITA_MCP_OAUTH_CLIENT_SECRET", "HTTP: the secret of that client.", "", secret=True
    )
    vault_keys: str = _setting(
        "NOVITA_MCP_VAULT_KEYS",
        "HTTP: secrets (32+ characters, commas) for the kept Novita keys of people who sign in: the first encrypts, "
        "all decrypt.",
        "",
        secret=True,
    )
    team_key: str = _setting(
        "NOVITA_MCP_TEAM_KEY",
        "HTTP: one Novita key that pays for all who sign in, instead of a key for each person.",
        "",
        secret=True,
    )
    team_limit_usd: Decimal | None = _setting(
        "NOVITA_MCP_TEAM_LIMIT_USD",
        "HTTP: refuse calls whose estimates would exceed this per day (UTC) on the team's key, all callers together.",
    )
    rate_limit: int = _setting(
        "NOVITA_MCP_RATE_LIMIT",
        "HTTP: tool calls a caller may make in a minute over all copies; 0 means any number.",
        0,
    )
    novita_limit: int = _setting(
        "NOVITA_MCP_NOVITA_LIMIT",
        "HTTP: paid requests a minute that Novita accepts for one key and model; further ones wait, callers in turn. "
        "0: requests wait only after Novita has refused one.",
        0,
    )
    metrics: bool = _setting("NOVITA_MCP_METRICS", "HTTP: serve Prometheus counters at /metrics, without a key.", True)
    audit_days: int = _setting(
        "NOVITA_MCP_AUDIT_DAYS",
        "HTTP: days for which the journal keeps who called which tool, what it cost and how it ended; 0 keeps none.",
        90,
    )
    audit_arguments: bool = _setting(
        "NOVITA_MCP_AUDIT_ARGUMENTS",
        "HTTP: keep the arguments of calls there, too: prompts and everything except keys.",
        False,
    )
    operator_token: str = _setting(
        "NOVITA_MCP_OPERATOR_TOKEN",
        "HTTP: a secret (32+ characters) that opens /operator: what runs, spending, errors, the audit log.",
        "",
        secret=True,
    )
    drain_seconds: float = _setting(
        "NOVITA_MCP_DRAIN_SECONDS", "HTTP: how long running calls may go on after SIGTERM.", 0.0
    )
    log_level: LogLevel = _setting("NOVITA_MCP_LOG_LEVEL", "To stderr.", "WARNING", flag="--log-level")
    log_format: LogFormat = _setting("NOVITA_MCP_LOG_FORMAT", "`text`, or `json` for one object a line.", "text")

    @property
    def sandboxes(self) -> bool:
        """Whether the sandbox tools are on."""
        return not {"sandbox", "all"}.isdisjoint(parts(self.toolsets))

    def __repr__(self) -> str:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        hidden = {item.name for item in fields(self) if item.metadata["secret"] and values[item.name]}
        shown = (f"{name}={'[secret]' if name in hidden else repr(value)}" for name, value in values.items())
        return f"Settings({', '.join(shown)})"


@dataclass(frozen=True)
class Origin:
    """Where the value of a setting comes from.

    Args:
        name: The setting, by the name of its field.
        where: The place in words: "flag --port", "environment, NOVITA_MCP_PORT", "profile work of ~/.config/...".
    """

    name: str
    where: str


@dataclass(frozen=True)
class _Layer:
    """One place that can give values to settings. `label` names a field of it in errors, `called` in reports."""

    values: Mapping[str, Any]
    label: Callable[[Any], str]
    called: Callable[[Any], str]


def read_settings(
    environment: Mapping[str, str], flags: Mapping[str, Any] | None = None, *, played: bool = False
) -> Settings:
    """Read the settings from the user's file, the environment, and flags (by field name; None means not given).

    If one place gives an address other than Novita's own, the journal and the output folder are read only from that
    place and stronger ones. A weaker place names those of real work.

    Args:
        played: The command runs a simulator of its own, so the journal and the output folder are read only from flags.

    Raises:
        SettingError: A value has the wrong type or form, or a name is not a setting. A misspelt limit must be an
            error, because it would otherwise be no limit.
    """
    return read_with_origins(environment, flags, played=played)[0]


def read_with_origins(
    environment: Mapping[str, str], flags: Mapping[str, Any] | None = None, *, played: bool = False
) -> tuple[Settings, list[Origin]]:
    """Read the settings as `read_settings` does, and say where each value comes from that is not a default.

    Raises:
        SettingError: As `read_settings`.
    """
    known = [item.metadata["env"] for item in fields(Settings)]
    for name in environment:
        if name.startswith("NOVITA_MCP_") and name not in known:
            import difflib  # needed only after a typing mistake

            near = difflib.get_close_matches(name, known, n=1)
            raise SettingError(f"{name} is not a setting" + (f". Did you mean {near[0]}?" if near else ""))
    layers = _layers(environment, flags or {})
    values: dict[str, Any] = {}
    origins: list[Origin] = []
    moved = _moved_at(layers)
    for item in fields(Settings):
        if item.name == "profile":
            continue  # the profile has already chosen the layers
        for depth, layer in enumerate(layers):
            raw = layer.values.get(item.name)
            if raw is None or raw == "" or str(raw).startswith("${user_config."):  # left blank in a desktop host
                continue
            if item.name in _KEPT and depth > (0 if played else moved):
                continue  # this value is meant for Novita itself
            values[item.name] = _ready(item, raw, layer.label(item), environment)
            origins.append(Origin(item.name, layer.called(item)))
            break
    profile, where = _chosen_profile(layers)
    if profile:
        values["profile"] = profile
        origins.insert(0, Origin("profile", where))
    settings = Settings(**values)
    if settings.artifacts and not settings.artifacts.startswith("s3://"):
        raise SettingError("NOVITA_MCP_ARTIFACTS must begin with s3://")
    if settings.operator_token and len(settings.operator_token) < 32:
        raise SettingError("NOVITA_MCP_OPERATOR_TOKEN needs at least 32 characters")
    for name, address in (
        ("NOVITA_BASE_URL", settings.base_url),
        ("NOVITA_MCP_PUBLIC_URL", settings.public_url),
        ("NOVITA_MCP_OAUTH_ISSUER", settings.oauth_issuer),
    ):
        if address and (problem := address_problem(address)):
            shown = shown_address(address)[:40]
            raise SettingError(f"{name} must begin with http:// or https:// and name a host; {shown!r} {problem}")
    if {"?", "#"} & {*settings.base_url}:
        raise SettingError(
            "NOVITA_BASE_URL ends where the paths of Novita's API begin: leave out '?', '#' and the rest"
        )
    if settings.api_key == KEYRING:
        try:
            settings = replace(settings, api_key=read_key(settings.profile))
        except ConfigFileError as error:
            raise SettingError(str(error)) from error
    return settings, origins


def shown_value(settings: Settings, name: str) -> str:
    """The value of a setting as a person may see it: of a key only its end, by which keys can be told apart, and
    nothing of other secrets."""
    (item,) = (item for item in fields(Settings) if item.name == name)
    value = getattr(settings, name)
    if not item.metadata["secret"]:
        return str(value)
    if name == "journal" and "://" not in str(value):
        return str(value)
    return f"****{value[-4:]}" if name == "api_key" and len(value) >= 20 else "****"


def the_config_file(environment: Mapping[str, str]) -> ConfigFile:
    """The user's settings file.

    Raises:
        SettingError: The file cannot be used.
    """
    try:
        return read_config(config_path(environment), [item.name for item in fields(Settings)])
    except ConfigFileError as error:
        raise SettingError(str(error)) from error


def _layers(environment: Mapping[str, str], flags: Mapping[str, Any]) -> list[_Layer]:
    """The places that give settings, the strongest first.

    Raises:
        SettingError: The user's file cannot be used, or does not have the chosen profile.
    """
    by_name = {item.name: environment.get(item.metadata["env"]) for item in fields(Settings)}
    config = the_config_file(environment)
    layers = [
        _Layer(
            flags,
            lambda item: item.metadata["flag"] or item.metadata["env"],
            lambda item: f"flag {item.metadata['flag']}",
        ),
        _Layer(by_name, lambda item: item.metadata["env"], lambda item: f"environment, {item.metadata['env']}"),
        _file_layer(config.values, str(config.path)),
    ]
    profile, _ = _chosen_profile(layers)
    if not profile:
        return layers
    if profile not in config.profiles:
        import difflib  # needed only after a typing mistake

        near = difflib.get_close_matches(profile, config.profiles, n=1)
        hint = f"Did you mean {near[0]}?" if near else "A table with that name makes one."
        name = f"[profiles.{profile}]" if is_profile_name(profile) else repr(profile)
        raise SettingError(f"there is no {name} in {config.path}. {hint}")
    layers.insert(2, _file_layer(config.profiles[profile], f"profile {profile} of {config.path}"))
    return layers


def _file_layer(values: Mapping[str, Any], where: str) -> _Layer:
    texts = {name: as_text(name, value) for name, value in values.items()}
    return _Layer(texts, lambda item: f"{item.name} in {where}", lambda _: where)


def _chosen_profile(layers: Sequence[_Layer]) -> tuple[str, str]:
    """The chosen profile, and the place that chose it; two empty texts if no profile is chosen."""
    (item,) = (item for item in fields(Settings) if item.name == "profile")
    for layer in layers:
        if (raw := layer.values.get("profile")) and not str(raw).startswith("${user_config."):
            return str(raw).strip(), layer.called(item)
    return "", ""


def _moved_at(layers: Sequence[_Layer]) -> int:
    """The depth of the layer that gives an address other than Novita's own. Layers below it speak of Novita itself.
    The number of layers if none gives such an address."""
    for depth, layer in enumerate(layers):
        if raw := layer.values.get("base_url"):
            named = base_address(str(raw))
            moved = not named.startswith("${") and not address_problem(named) and not is_novita_itself(named)
            return depth if moved else len(layers)
    return len(layers)


def _ready(item: Any, raw: Any, name: str, environment: Mapping[str, str]) -> Any:
    """One value, converted to the type of its setting."""
    database = item.name == "journal" and "://" in str(raw)  # a password in it may look like a placeholder
    if isinstance(raw, str) and item.name in _MAY_BE_UNFILLED and not database:
        raw = expand(raw, environment) if item.name in _PATHS else raw
        if left := unfilled(raw):
            raise SettingError(f"{name} was not filled in: it still contains the placeholder {left}")
    if isinstance(raw, str) and item.name == "api_key":
        raw = bare_key(raw)
    if isinstance(raw, str) and item.name == "base_url":
        raw = base_address(raw)
    return _read(item.type, raw, name)


_KEPT = ("output_dir", "journal")
"""The settings that name the places of files and jobs."""
_PATHS = ("output_dir", "allowed_dirs", "journal")
_MAY_BE_UNFILLED = (*_PATHS, "base_url", "public_url", "toolsets", "tools", "host")
"""Settings whose placeholders, such as `${HOME}`, must be expanded before the start. The key is not among them: without
a key the server starts, and the first call says what to do. Nor are settings that may contain a password."""


@cache
def _reader(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import ConfigDict, TypeAdapter  # imported here, so that `--help` is fast

    return TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False, str_strip_whitespace=True))


def _read(kind: Any, raw: Any, name: str) -> Any:
    """Convert a value to the type of its field, as pydantic reads texts: `8000` is a number, `off` is false."""
    needed = next((words for each, words in _NEEDED.items() if kind == each or kind == each | None), "another value")
    given = raw.strip() if isinstance(raw, str) else raw
    if isinstance(given, str) and needed == _NEEDED[Decimal]:
        given = given.lstrip("$")
    if isinstance(given, str) and kind == LogLevel:
        given = given.upper()
    if isinstance(given, str) and needed == _NEEDED[Path]:
        given = Path(given)  # a folder's name need not be valid UTF-8, and pydantic refuses such a text
    try:
        value = _reader(kind).validate_python(given)
        value = value.expanduser() if isinstance(value, Path) else value
    except (ValueError, RuntimeError) as error:  # RuntimeError: there is no such user as in `~somebody`
        raise SettingError(f"{name} cannot be {raw!r}: {needed} is needed") from error
    if isinstance(value, int | float | Decimal) and value < 0:
        raise SettingError(f"{name} must not be negative")
    return value


_NEEDED: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Decimal: "an amount of dollars",
    Path: "a folder",
    LogFormat: "text or json",
    LogLevel: "DEBUG, INFO, WARNING, ERROR or CRITICAL",
}


def parts(text: str) -> list[str]:
    """The parts of a comma-separated setting."""
    return [part.strip() for part in text.split(",") if part.strip()]


def request_keys(settings: Settings) -> list[bytes]:
    """The keys that encrypt handles: the configured ones, or else one derived from the API key, so that a handle still
    works after a restart.

    Raises:
        SettingError: A configured key is too short to be a secret.
    """
    if configured := long_secrets(settings.handle_keys, "NOVITA_MCP_HANDLE_KEYS"):
        return configured
    secret = (settings.api_key or "").encode()
    if not secret:
        return [os.urandom(32)]
    return [hashlib.sha256(b"novita-mcp task handles\0" + secret).digest()]


def long_secrets(text: str, name: str) -> list[bytes]:
    """The secrets in a comma-separated setting. The first one encrypts, and all of them decrypt.

    Raises:
        SettingError: A secret is shorter than 32 characters.
    """
    found = [each.encode() for each in parts(text)]
    if any(len(each) < 32 for each in found):
        raise SettingError(f"{name}: each key needs at least 32 characters")
    return found
