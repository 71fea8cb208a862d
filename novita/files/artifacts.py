"""Finished files: what is known about one, and how it comes home."""

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
from ..core.redaction import without_secrets
from .addresses import Guard
from .containers import is_whole
from .decoding import BUDGET
from .downloads import Downloaded, Downloader
from .folders import Folders, clean_name, slug, try_folder
from .kinds import HEAD_BYTES, Kind, MediaType, fits, media_type, sniff
from .ours import copy_ours, is_twin, read_ours
from .parts import PartFile, sweep
from .pasted import unquoted
from .pictures import probe, thumbnail, thumbnail_cost

MIB = 2**20

_REFERENCE = re.compile(r"(?i:task:(?://)?|novita://artifacts/)(?P<id>[^/\s]+?)(?:/(?P<index>\d{1,4}))?/?")


def parse_reference(text: str) -> tuple[str, int] | None:
    """Task id and index that `task:<id>/<n>` or `novita://artifacts/<id>/<n>` names, in quotes too; None for others."""
    found = _REFERENCE.fullmatch(unquoted(text))
    return (found["id"], int(found["index"] or 0)) if found else None


MOST_IN_MEMORY = 64 * MIB
"""Bytes that could be saved nowhere and are kept until the process ends, all together."""
_MOST_REMEMBERED = 10_000
"""Files of this process of which is known what they are."""


class UnsavedError(ArtifactError):
    """A file could not be written where it was to be."""


class Artifact(BaseModel):
    """A finished file of a task. The same in the journal, in results and as an input."""

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
        """How people and models refer to it."""
        return f"{self.kind} {self.index} of task {self.task_id}" if self.task_id else f"{self.kind} {self.index}"

    def alive(self, wall: float, *, margin: float = 120.0) -> bool:
        """Whether the link is there and lives for `margin` more seconds after `wall` (Unix time)."""
        return self.url is not None and (self.expires_at is None or self.expires_at.timestamp() > wall + margin)


@dataclass(frozen=True)
class NameHint:
    """What a file is named after: `<date>_<slug of the title>_<index + 1><suffix>`.

    Where a file has that name already, one of an earlier run, `_run2` stands after it. Of files that were given one
    name the first has it as it is, and the others `_2`, `_3`.

    Args:
        title: The prompt, or what the file is ("embeddings").
        index: From 0; None leaves the number out.
        day: None means today.
        owner: Whose file it is: what shared storage keeps apart.
        since: Unix time before which no file of this name can be the same one; None: none is.
    """

    title: str = ""
    index: int | None = None
    day: date | None = None
    owner: str = ""
    since: float | None = None


class ArtifactStore:
    """Brings finished files home.

    Args:
        folder: Where files are saved by default; None saves nothing (HTTP mode: links only).
        allowed: Where `save_to` may lead.
        max_bytes: Size cap of one file.
        spool: Private folder for bytes that have no link, when `folder` is None or cannot be written to.
        trusted_hosts: `host` or `host:port` that may be inside our own network (the simulator).
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
        """What fetches finished files."""
        return self._downloader

    @property
    def saves(self) -> bool:
        """Whether finished files are brought home."""
        return self.folder is not None

    def holds(self, artifact: Artifact) -> bool:
        """Whether a file is where it was saved."""
        return artifact.path is not None and Path(artifact.path).is_file()

    async def present(self, artifact: Artifact) -> Artifact:
        """An artifact as a caller may use it: here as it is, from shared storage with a link."""
        return artifact

    async def fetch(self, artifact: Artifact, *, name: NameHint = NameHint(), save_to: str | None = None) -> Artifact:
        """Save what the artifact's link holds; the artifact with path, size, hash and measures.

        Already saved and still there: returned as it is, or copied where `save_to` asks for another place.
        Without a folder (HTTP mode) nothing is fetched.

        Raises:
            InputError: `save_to` leads out of the allowed folders.
            ExpiredLinkError, ArtifactError: No whole file of the right kind could be had; nothing was left behind.
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
        """Save what the link holds; or, where it is here already, another copy of it."""
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
                    f"{artifact.name} arrived cut", next_step="Call get_task with its id to fetch it again."
                )
            return _Content(done.size, done.sha256, _settle(done, found, declared))

        return await self._keep(artifact, target, fill)

    async def save_bytes(
        self, data: bytes, artifact: Artifact, *, name: NameHint = NameHint(), save_to: str | None = None
    ) -> Artifact:
        """Save what came in an answer itself (base64, hex or raw, already decoded) under the rules of `fetch`.

        Without a folder it goes to the spool, if there is one.

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
        """Save a text or a table this server wrote (`.txt`, `.jsonl`, `.npy`, `.csv`) with the suffix given.

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
        """The bytes of an artifact: from disk where it was saved, else from its link.

        Raises:
            ArtifactError: Neither is there, or it is larger than `max_bytes`.
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
        """Save bytes that come once: in the asked place, else the usual folder, else the spool, else in memory."""
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
            note = f"It is not where it was to be: {refused[0].what}." if refused else note
            return saved.model_copy(update={"note": note})
        return self._remember(data, artifact, found, refused[0])

    def _remember(self, data: bytes, artifact: Artifact, found: MediaType | None, why: NovitaError) -> Artifact:
        """Keep bytes that could be saved nowhere in memory.

        Raises:
            ArtifactError: There is no room for them, or no id by which they could be asked for again.
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
        """The bytes of an artifact that could not be saved anywhere, as long as this process lives."""
        kept = self._memory.get((artifact.task_id, artifact.index))
        return None if kept is None else kept.data

    def check_place(self, save_to: str) -> None:
        """Refuse a `save_to` that cannot be used, before anything is paid for. Tries the disk: call it in a thread.

        Raises:
            InputError: It leads out of the allowed folders, cannot be written to, or nothing is saved here.
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
        """Fill a part and publish it; whatever goes wrong, no part stays."""
        part = PartFile(target.folder, private=target.private, root=target.root)
        try:
            if target.private:  # nobody else ever tidies the spool
                await anyio.to_thread.run_sync(partial(sweep, target.folder, self._clock.wall(), pattern="*"))
            elif target.folder not in self._swept:
                self._swept.add(target.folder)
                await anyio.to_thread.run_sync(sweep, target.folder, self._clock.wall())
            await anyio.to_thread.run_sync(part.open)
            content = await fill(part)
            part.handle.flush()
            kind = content.type.kind if content.type else artifact.kind
            # Measured before it has its name: publishing is the last thing that happens.
            measures = await anyio.to_thread.run_sync(probe, part.path, kind)
            suffix = content.type.suffix if content.type else ".bin"
            if target.suffix is not None and (content.type is None or media_type(target.suffix) == content.type):
                suffix = target.suffix
            twin = partial(self._is_twin, artifact, content, target.since)
            path = await anyio.to_thread.run_sync(
                partial(part.publish, target.stem, suffix, again=target.again, is_twin=twin)
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
        """Whether this artifact is saved there already, and not another one that happens to be the same."""
        mine = (artifact.task_id, artifact.index)
        if since is None or self._saved.get(path, mine) != mine:
            return False
        return is_twin(path, content.size, content.sha256, since)


@dataclass(frozen=True)
class _Target:
    """Where a file is to go. `suffix` is the one asked for; the real kind has the last word. `root`: see PartFile."""

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
    """Bytes that could be saved nowhere."""

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
    """Why these first bytes cannot be the artifact, or None."""
    found = sniff(head)
    if fits(kind, found):
        return None
    if found is None and kind == "audio" and declared is not None and declared.name == "pcm":
        return None  # bare samples look like nothing
    return f"it is {found.mime if found else 'of no known format'}, not {kind}"


def _whole(path: Path, found: MediaType | None) -> bool:
    """Whether a file of undeclared length is complete, as far as its format tells."""
    if not is_whole(path, found):
        return False
    picture = found is not None and found.kind == "image" and thumbnail_cost(path) <= BUDGET.total
    return not picture or thumbnail(path) is not None


def _settle(done: Downloaded, found: MediaType | None, declared: MediaType | None) -> MediaType | None:
    """The type a file gets: what it is, else what Novita said, else what the storage said."""
    return found or declared or done.declared


def _is_here(artifact: Artifact) -> bool:
    if artifact.path is None:
        return False
    path = Path(artifact.path)
    return path.is_file() and (artifact.bytes is None or path.stat().st_size == artifact.bytes)
