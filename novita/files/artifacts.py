"""Finished files: what is known about each, and how it is saved."""

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
import httpx
from pydantic import BaseModel, ConfigDict, Field

from ..core.clock import Clock
from ..core.errors import ArtifactError, InputError, NovitaError
from ..core.placeholders import unquoted
from ..core.redaction import without_secrets
from .addresses import Guard
from .containers import is_whole
from .decoding import BUDGET
from .downloads import Downloaded, Downloader
from .folders import Folders, clean_name, slug, try_folder
from .kinds import HEAD_BYTES, Kind, MediaType, fits, media_type, sniff
from .ours import copy_ours, is_twin, read_ours
from .parts import PartFile, sweep
from .pictures import probe, thumbnail, thumbnail_cost

MIB = 2**20

_REFERENCE = re.compile(r"(?i:task:(?://)?|novita://(?:artifacts|tasks)/)(?P<id>[^/\s]+?)(?:/(?P<index>\d{1,4}))?/?")


def parse_reference(text: str) -> tuple[str, int] | None:
    """The task id and index in `task:<id>/<n>` or `novita://artifacts/<id>/<n>`, also in quotes. None for others.

    The address of a task, `novita://tasks/<id>`, means its first file.
    """
    found = _REFERENCE.fullmatch(unquoted(text))
    return (found["id"], int(found["index"] or 0)) if found else None


MOST_IN_MEMORY = 64 * MIB
"""How many bytes in all are kept in memory until the process ends, of files that could be saved nowhere."""
_MOST_REMEMBERED = 10_000
"""For how many files this process remembers that it saved them."""


class UnsavedError(ArtifactError):
    """A file could not be written to the wanted place."""


class Artifact(BaseModel):
    """A finished file of a task. The journal, results and inputs all use this type."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: str = Field(description="Task it belongs to; empty for what a synchronous call made.")
    index: int = Field(ge=0, description="Place in the task's results, from 0; `task:<task_id>/<index>` names it.")
    kind: Literal["image", "video", "audio", "text", "file"] = Field(description="What it is.")
    url: str | None = Field(default=None, description="Download link; it expires.")
    expires_at: datetime | None = Field(default=None, description="When the link expires (UTC).")
    path: str | None = Field(default=None, description="Where it was saved on this machine.")
    mime: str | None = Field(default=None, description="Mime type, told from its content once it is here.")
    bytes: int | None = Field(default=None, description="Size in bytes.")
    sha256: str | None = Field(default=None, description="SHA-256 of the content, hex.")
    width: int | None = Field(default=None, description="Pixels.")
    height: int | None = Field(default=None, description="Pixels.")
    duration_seconds: float | None = Field(default=None, description="Length in seconds, of video and audio.")
    seed: int | None = Field(default=None, description="Seed that made it.")
    nsfw: float | None = Field(
        default=None, description="Likelihood of adult content in percent, where it was checked."
    )
    note: str | None = Field(default=None, description="What else there is to know, such as why it was not saved.")

    @property
    def name(self) -> str:
        """The name by which people and models refer to the file."""
        return f"{self.kind} {self.index} of task {self.task_id}" if self.task_id else f"{self.kind} {self.index}"

    def alive(self, wall: float, *, margin: float = 120.0) -> bool:
        """Whether there is a link that stays valid for `margin` more seconds after `wall` (Unix time)."""
        return self.url is not None and (self.expires_at is None or self.expires_at.timestamp() > wall + margin)


@dataclass(frozen=True)
class NameHint:
    """The parts of a file's name: `<date>_<slug of the title>_<index + 1><suffix>`.

    If a file of an earlier run has that name already, the new one ends in `_run2`. If several files are saved under
    one name that the caller chose, the first has exactly that name and the others end in `_2`, `_3`.

    Args:
        title: The prompt, or what the file is ("embeddings").
        index: Counts from 0; None leaves the number out.
        day: None means today.
        owner: The owner of the file; shared storage keeps the files of owners apart.
        since: A file of this name may be this very file only if it was written after this Unix time. None: it never is.
    """

    title: str = ""
    index: int | None = None
    day: date | None = None
    owner: str = ""
    since: float | None = None


class ArtifactStore:
    """Saves finished files on this machine.

    Args:
        folder: Where files are saved by default; None saves nothing (HTTP mode gives links only).
        allowed: The folders that `save_to` may name.
        max_bytes: The largest file that is saved.
        spool: A private folder for bytes that have no link, used if `folder` is None or cannot be written to.
        trusted_hosts: Each a `host` or `host:port` that may lie inside our own network (the simulator).
        downloader: Built from `http`, `clock` and `trusted_hosts` if not given.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        allowed: Folders,
        max_bytes: int = 2048 * MIB,
        clock: Clock,
        http: httpx.AsyncClient,
        spool: Path | None = None,
        trusted_hosts: frozenset[str] = frozenset(),
        downloader: Downloader | None = None,
    ) -> None:
        self.folder = folder
        self.allowed = allowed
        self.max_bytes = max_bytes
        self.spool = spool
        self._clock = clock
        self._swept: set[Path] = set()
        self._memory: dict[tuple[str, int], _Kept] = {}
        self._saved: dict[Path, tuple[str, int]] = {}
        self._downloader = downloader or Downloader(http, clock, Guard(trusted_hosts))

    @property
    def downloader(self) -> Downloader:
        """The downloader that fetches finished files."""
        return self._downloader

    @property
    def saves(self) -> bool:
        """Whether finished files are saved on this machine."""
        return self.folder is not None

    def holds(self, artifact: Artifact) -> bool:
        """Whether a file still lies where it was saved."""
        return artifact.path is not None and Path(artifact.path).is_file()

    async def present(self, artifact: Artifact) -> Artifact:
        """The artifact in the form that a caller can use. Here it stays as it is; shared storage adds a link."""
        return artifact

    async def fetch(self, artifact: Artifact, *, name: NameHint = NameHint(), save_to: str | None = None) -> Artifact:
        """Save the file behind the artifact's link. Returns the artifact with path, size, hash and measures.

        An artifact that is saved already is returned as it is, or copied if `save_to` names another place.
        Without a folder (HTTP mode) nothing is fetched.

        Raises:
            InputError: `save_to` leads out of the allowed folders.
            ExpiredLinkError, ArtifactError: No whole file of the right kind arrived; nothing was left behind.
        """
        kept = self._memory.get((artifact.task_id, artifact.index))
        if kept is not None:
            return await self._save(kept.data, artifact, kept.type, name, save_to)
        if self.folder is None:
            if save_to is not None:
                raise _no_saving()
            return artifact
        here = await anyio.to_thread.run_sync(_is_here, artifact)
        if here and save_to is None:
            return artifact
        return await self._bring(artifact, name, save_to, here=here)

    async def _bring(self, artifact: Artifact, name: NameHint, save_to: str | None, *, here: bool = False) -> Artifact:
        """Save the file behind the link, or make another copy if the file is saved here already."""
        if artifact.url is None and not here:
            raise ArtifactError(
                f"There is no link to {artifact.name}", next_step="Call get_task with the task's id for a fresh one."
            )
        target = await self._target(artifact, name, save_to)
        declared = media_type(artifact.mime)

        async def fill(part: PartFile) -> "_Content":
            if here and artifact.path is not None:
                copying = partial(copy_ours, Path(artifact.path), artifact.sha256, part.handle)
                copied = await anyio.to_thread.run_sync(copying)
                if copied is not None:
                    return _Content(*copied[:2], sniff(copied[2]) or declared)
                if artifact.url is None:
                    raise ArtifactError(f"{artifact.name} is no longer what was saved, and has no link")
            done = await self._downloader.download(
                artifact.url or "",
                part.handle,
                max_bytes=self.max_bytes,
                accept=lambda head: _refusal(artifact.kind, head, declared),
                what=artifact.name,
            )
            found = sniff(done.head)
            if not done.measured and not await anyio.to_thread.run_sync(_whole, part.path, found):
                raise ArtifactError(
                    f"{artifact.name} arrived incomplete", next_step="Call get_task with its id to fetch it again."
                )
            return _Content(done.size, done.sha256, _settle(done, found, declared))

        return await self._keep(artifact, target, fill)

    async def save_bytes(
        self, data: bytes, artifact: Artifact, *, name: NameHint = NameHint(), save_to: str | None = None
    ) -> Artifact:
        """Save bytes that came within an answer (base64 or hex, decoded already, or raw) under the rules of `fetch`.

        Without a folder they go to the spool, if there is one.

        Raises:
            InputError, ArtifactError: As for `fetch`.
        """
        declared = media_type(artifact.mime)
        reason = _refusal(artifact.kind, data[:HEAD_BYTES], declared)
        if not data or reason:
            raise ArtifactError(f"What Novita gave as {artifact.name} was refused: {reason or 'it is empty'}")
        return await self._save(data, artifact, sniff(data[:HEAD_BYTES]) or declared, name, save_to)

    async def save_text(
        self,
        data: str | bytes,
        artifact: Artifact,
        *,
        suffix: str,
        name: NameHint = NameHint(),
        save_to: str | None = None,
    ) -> Artifact:
        """Save a text or a table that this server wrote (`.txt`, `.jsonl`, `.npy`, `.csv`) with the given suffix.

        Raises:
            InputError, ArtifactError: As for `fetch`.
        """
        raw = without_secrets(data).encode("utf-8") if isinstance(data, str) else data
        known = media_type(suffix)
        mime = known.mime if known else {".csv": "text/csv", ".jsonl": "application/jsonl"}.get(suffix)
        kind: Kind = "text" if artifact.kind == "text" else "file"
        written = MediaType(suffix.lstrip("."), mime or artifact.mime or "application/octet-stream", suffix, kind)
        return await self._save(raw, artifact, written, name, save_to)

    async def read(self, artifact: Artifact, *, max_bytes: int | None = None) -> bytes:
        """The bytes of an artifact, from disk if it was saved there, else from its link.

        Raises:
            ArtifactError: Neither the file nor its link is there, or the file is larger than `max_bytes`.
        """
        limit = max_bytes or self.max_bytes
        kept = self.in_memory(artifact)
        if kept is not None and len(kept) <= limit:
            return kept
        if artifact.path is not None:
            try:
                found = await anyio.to_thread.run_sync(read_ours, Path(artifact.path), artifact.sha256, limit)
            except InputError as error:
                raise ArtifactError(error.what) from error
            if found is not None:
                return found
        if artifact.url is None:
            raise ArtifactError(
                f"{artifact.name} is no longer on disk and has no link",
                next_step="Call get_task with the task's id for a fresh link.",
            )
        sink = BytesIO()
        declared = media_type(artifact.mime)
        await self._downloader.download(
            artifact.url,
            sink,
            max_bytes=limit,
            accept=lambda head: _refusal(artifact.kind, head, declared),
            what=artifact.name,
        )
        return sink.getvalue()

    async def _save(
        self, data: bytes, artifact: Artifact, found: MediaType | None, name: NameHint, save_to: str | None
    ) -> Artifact:
        """Save bytes that cannot be fetched again: in the place asked for, the usual folder, the spool or memory."""
        if len(data) > self.max_bytes:
            raise ArtifactError(f"{artifact.name} is larger than the limit of {self.max_bytes // MIB} MiB")

        async def fill(part: PartFile) -> "_Content":
            await anyio.to_thread.run_sync(partial(part.handle.write, data))
            return _Content(len(data), hashlib.sha256(data).hexdigest(), found)

        async def usual() -> "_Target":
            return await self._target(artifact, name, None)

        async def spool() -> "_Target":
            return self._spooled(artifact)

        async def asked() -> "_Target":
            return await self._target(artifact, name, save_to)

        refused: list[NovitaError] = []
        for place in (asked, usual, spool) if save_to is not None else (usual, spool):
            try:
                saved = await self._keep(artifact, await place(), fill)
            except (InputError, ArtifactError) as error:
                refused.append(error)
                continue
            recovered = self._memory.pop((artifact.task_id, artifact.index), None) is not None
            note = None if recovered else artifact.note
            note = f"It was not saved in the wanted place: {refused[0].what}." if refused else note
            return saved.model_copy(update={"note": note})
        return self._remember(data, artifact, found, refused[0])

    def _remember(self, data: bytes, artifact: Artifact, found: MediaType | None, why: NovitaError) -> Artifact:
        """Keep bytes in memory that could be saved nowhere.

        Raises:
            ArtifactError: There is no room for them, or they have no id by which they could be asked for again.
        """
        key = (artifact.task_id, artifact.index)
        held = sum(len(one.data) for other, one in self._memory.items() if other != key)
        if not artifact.task_id or held + len(data) > MOST_IN_MEMORY:
            raise why
        self._memory[key] = _Kept(data, found)
        note = (
            f"{why.what.rstrip('.')}. It is kept in memory until this server ends: have the user make room, "
            f"then call get_task with {artifact.task_id}."
        )
        mime = found.mime if found else artifact.mime
        return artifact.model_copy(update={"path": None, "note": note, "bytes": len(data), "mime": mime})

    def in_memory(self, artifact: Artifact) -> bytes | None:
        """The bytes of an artifact that could be saved nowhere. They are kept until this process ends."""
        kept = self._memory.get((artifact.task_id, artifact.index))
        return None if kept is None else kept.data

    def check_place(self, save_to: str) -> None:
        """Refuse a `save_to` that cannot be used, before anything is paid for. It writes a test file: use a thread.

        Raises:
            InputError: The place lies outside the allowed folders, cannot be written to, or this server saves nothing.
        """
        if self.folder is None:
            raise _no_saving()
        try_folder(self.allowed.place(save_to)[0])

    async def _target(self, artifact: Artifact, name: NameHint, save_to: str | None) -> "_Target":
        if self.folder is None:
            if save_to is not None:
                raise _no_saving()
            return self._spooled(artifact)
        folder, given, root = self.folder.expanduser(), None, None
        if save_to is not None:
            folder, given = await anyio.to_thread.run_sync(self.allowed.place, save_to)
            root = await anyio.to_thread.run_sync(self.allowed.root_of, folder)
        if given is not None:
            cleaned = Path(clean_name(given))
            stem = f"{cleaned.stem}_{name.index + 1}" if name.index else cleaned.stem
            again = "_{}" if name.index is None else _LATER_RUN
            return _Target(folder, stem, cleaned.suffix, private=False, root=root, since=name.since, again=again)
        stem = self._stem(artifact, name)
        return _Target(folder, stem, None, private=False, root=root, since=name.since, again=_LATER_RUN)

    def _spooled(self, artifact: Artifact) -> "_Target":
        if self.spool is None:
            raise ArtifactError(f"There is no place to keep {artifact.name} on this server")
        return _Target(self.spool, secrets.token_hex(16), None, private=True)

    def _stem(self, artifact: Artifact, name: NameHint) -> str:
        day = name.day or datetime.fromtimestamp(self._clock.wall(), UTC).astimezone().date()
        number = "" if name.index is None else f"_{name.index + 1}"
        return f"{day.isoformat()}_{slug(name.title) or artifact.kind}{number}"

    async def _keep(
        self, artifact: Artifact, target: "_Target", fill: Callable[[PartFile], Awaitable["_Content"]]
    ) -> Artifact:
        """Write a partial file, then give it its name. Whatever goes wrong, no partial file is left behind."""
        part = PartFile(target.folder, private=target.private, root=target.root)
        try:
            if target.private:  # nothing else ever cleans the spool
                await anyio.to_thread.run_sync(partial(sweep, target.folder, self._clock.wall(), pattern="*"))
            elif target.folder not in self._swept:
                self._swept.add(target.folder)
                await anyio.to_thread.run_sync(sweep, target.folder, self._clock.wall())
            await anyio.to_thread.run_sync(part.open)
            content = await fill(part)
            part.handle.flush()
            kind = content.type.kind if content.type else artifact.kind
            # Measure the file before it gets its name: publishing must be the last step.
            measures = await anyio.to_thread.run_sync(probe, part.path, kind)
            suffix = content.type.suffix if content.type else ".bin"
            if target.suffix is not None and (content.type is None or media_type(target.suffix) == content.type):
                suffix = target.suffix
            is_twin = partial(self._is_twin, artifact, content, target.since)
            path = await anyio.to_thread.run_sync(
                partial(part.publish, target.stem, suffix, again=target.again, is_twin=is_twin)
            )
            self._saved[path] = (artifact.task_id, artifact.index)
            if len(self._saved) > _MOST_REMEMBERED:
                del self._saved[next(iter(self._saved))]
        except OSError as error:
            raise UnsavedError(
                f"{artifact.name} could not be saved in {target.folder} ({error.strerror or error})",
                next_step="Have the user make room or choose another folder, then call get_task with its id.",
            ) from error
        finally:
            part.discard()
        return artifact.model_copy(
            update={
                "path": str(path),
                "mime": content.type.mime if content.type else artifact.mime,
                "bytes": content.size,
                "sha256": content.sha256,
                "width": measures.width or artifact.width,
                "height": measures.height or artifact.height,
                "duration_seconds": measures.duration or artifact.duration_seconds,
            }
        )

    def _is_twin(self, artifact: Artifact, content: "_Content", since: float | None, path: Path) -> bool:
        """Whether the file at `path` is this artifact, saved earlier, and not another one with the same content."""
        mine = (artifact.task_id, artifact.index)
        if since is None or self._saved.get(path, mine) != mine:
            return False
        return is_twin(path, content.size, content.sha256, since)


@dataclass(frozen=True)
class _Target:
    """Where a file is to go. `suffix` was asked for, but the file's real kind decides. For `root` see PartFile."""

    folder: Path
    stem: str
    suffix: str | None
    private: bool
    root: Path | None = None
    since: float | None = None
    again: str = "_{}"


_LATER_RUN = "_run{}"


@dataclass(frozen=True)
class _Kept:
    """Bytes that could be saved nowhere and are kept in memory."""

    data: bytes
    type: MediaType | None


@dataclass(frozen=True)
class _Content:
    size: int
    sha256: str
    type: MediaType | None


def _no_saving() -> InputError:
    return InputError("save_to cannot be used here: this server does not save files", next_step="Use the link.")


def _refusal(kind: Kind, head: bytes, declared: MediaType | None) -> str | None:
    """Why a file with these first bytes cannot be the artifact, or None if it can."""
    found = sniff(head)
    if fits(kind, found):
        return None
    if found is None and kind == "audio" and declared is not None and declared.name == "pcm":
        return None  # raw samples have no header to know them by
    return f"it is {found.mime if found else 'of no known format'}, not {kind}"


def _whole(path: Path, found: MediaType | None) -> bool:
    """Whether a file is complete, as far as its format tells, if the server did not say how long it is."""
    if not is_whole(path, found):
        return False
    picture = found is not None and found.kind == "image" and thumbnail_cost(path) <= BUDGET.total
    return not picture or thumbnail(path) is not None


def _settle(done: Downloaded, found: MediaType | None, declared: MediaType | None) -> MediaType | None:
    """The type of a file: what its bytes show, else what Novita said, else what the storage said."""
    return found or declared or done.declared


def _is_here(artifact: Artifact) -> bool:
    if artifact.path is None:
        return False
    path = Path(artifact.path)
    return path.is_file() and (artifact.bytes is None or path.stat().st_size == artifact.bytes)
