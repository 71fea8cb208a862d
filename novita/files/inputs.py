"""Inputs from the user: a link, a file, a data URI or an earlier result, brought into a form that a model accepts.

Every input is checked before anything is sent: it must exist, must be allowed to be read, must really be the kind of
file it claims to be, and must keep to the model's limits. Error texts never repeat the content.
"""

import base64
import binascii
import logging
import re
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path

import anyio.to_thread
import httpx

from ..core.clock import Clock
from ..core.errors import ArtifactError, InputError, NotFoundError
from ..core.placeholders import unquoted
from .addresses import AddressError, Guard, UnknownHostError, route_to
from .artifacts import Artifact, parse_reference
from .containers import is_whole
from .decoding import BUDGET
from .downloads import Downloader
from .folders import Folders
from .glances import BEGINNING, MOST_FETCHED, WITHIN
from .in_work import Claim, Hold
from .kinds import HEAD_BYTES, MEDIA_TYPES, Form, MediaType, media_type, sniff
from .links import parse_link
from .masks import fit_mask
from .media_limits import MediaLimits, find_trouble, refuse
from .ours import read_ours
from .picture_inputs import look, prepare
from .pictures import Probe, probe
from .sound import is_foreign, prepare_sound
from .source import Expects, Source

logger = logging.getLogger(__name__)

MIB = 2**20
ResolveTask = Callable[[str, int], Awaitable[Artifact]]

_DATA = re.compile(r"data:(?P<mime>[^;,]*)(?P<parameters>(?:;[^;,]*)*?)(?P<packed>;base64)?,", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:")  # at least two letters, since C:\ is a drive
_SOUND_OF = ("video", "audio")
_MEDIA = ("image", "video", "audio")
_MASKED = "was made into a mask of its picture's size here"
_WAYS = "Give an http(s) link, a file path, a data: URI, or task:<id>/<n> for an earlier result."
_WAYS_REMOTE = "Give an http(s) link, a data: URI, or task:<id>/<n> for an earlier result."


@dataclass(frozen=True)
class Inputs:
    """Loads inputs for one caller.

    Args:
        folders: The folders that paths may lead to; None refuses paths and private addresses (HTTP mode).
        resolve_task: Finds an earlier result of this caller; raises NotFoundError or InputError if there is none.
        trusted_hosts: Each a `host` or `host:port` that may lie inside our own network (the simulator).
        max_bytes: The largest file that is fetched, and the largest input for a model without a limit of its own.
        check_links: Whether to read the first bytes behind a link even if Novita will fetch the link itself.
        caller: Names the caller, since each may use only a share of the memory.
        downloader: Fetches the links that the caller hands in.
        results: Fetches earlier results, whose hosts Novita or this server's settings named; None uses `downloader`.
        hold: Counts the memory that this call's content takes; None counts nothing.
    """

    folders: Folders | None
    http: httpx.AsyncClient
    clock: Clock
    resolve_task: ResolveTask | None = None
    trusted_hosts: frozenset[str] = frozenset()
    max_bytes: int = 128 * MIB
    check_links: bool = False
    caller: str = ""
    downloader: Downloader | None = None
    results: Downloader | None = None
    hold: Hold | None = None

    @property
    def _fetcher(self) -> Downloader:
        if self.downloader is not None:
            return self.downloader
        guard = Guard(self.trusted_hosts, allow_private=self.folders is not None)
        return Downloader(self.http, self.clock, guard, budget=120)

    async def forms(self, ref: str, expects: Expects) -> frozenset[Form]:
        """The forms an input is available in, told from the reference alone: nothing is fetched or checked.

        Raises:
            InputError: The reference names an earlier result that does not exist.
        """
        ref = _bare(ref)
        here: frozenset[Form] = frozenset(("data_uri", "base64", "asset_id"))
        linked: frozenset[Form] = frozenset((*here, "url"))
        task = parse_reference(ref)
        if task is not None:
            artifact = await self._earlier(ref, *task, expects)
            return linked if self._link_of(artifact, expects) else here
        if not re.match("https?:", ref, re.IGNORECASE):
            return here
        url = parse_link(ref)
        guard = self._fetcher.guard
        return linked if guard.trusts(url) or guard.glance(url) is None else here

    def is_path(self, text: str) -> bool:
        """Whether a text is an absolute path that exists on this machine. It reads the disk: call it in a thread."""
        if self.folders is None or not 1 < len(text) < 1024 or "\0" in text:
            return False
        path = Path(text).expanduser() if text.startswith("~") else Path(text)
        try:
            return path.is_absolute() and path.exists()
        except OSError:
            return False

    async def load(
        self, ref: str, expects: Expects, *, limits: MediaLimits | None = None, resize: bool = False
    ) -> Source:
        """Find out what `ref` is and check everything that can be checked without paying.

        Nothing behind a link is read until its content is needed, unless `check_links` or `resize` is set.

        Args:
            resize: Whether to bring a picture within `limits` instead of refusing it.

        Raises:
            InputError: The text says what is wrong, which limit is broken and what to do.
        """
        ref = _bare(ref)
        limits = limits or MediaLimits()
        task = parse_reference(ref)
        if task is not None:
            return await self._from_task(ref, *task, expects, limits, resize)
        scheme = ref[:24].partition(":")[0].casefold() if _SCHEME.match(ref) else ""
        if scheme == "data":
            return await self._from_data_uri(ref, expects, limits, resize)
        if scheme in ("http", "https"):
            return await self._from_link(ref, expects, limits, resize)
        if scheme == "file":
            return await self._from_path(ref, expects, limits, resize)
        if scheme and "://" in ref[:32]:
            raise InputError(f"{scheme}:// links cannot be used for {expects}", next_step=self._ways)
        if scheme == "task" or not ref:
            what = "an earlier result is written as task:<id>/<n>, and this has another form" if ref else "It is empty"
            raise InputError(f"The {expects} cannot be found: {what}", next_step=self._ways)
        if len(ref) > 1024 and re.fullmatch(r"[A-Za-z0-9+/=_\-\s]+", ref[:1024]):
            raise InputError(
                f"The {expects} looks like bare base64", next_step="Put data:image/png;base64, (or its type) before it."
            )
        return await self._from_path(ref, expects, limits, resize)

    async def fit_mask(self, mask: Source, picture: Source | None, *, resize: bool = False) -> Source:
        """A loaded mask as white on black, as large as the picture it belongs to. Unchanged if it is that already.

        Args:
            resize: Whether to stretch a mask of another shape instead of refusing it.

        Raises:
            InputError: The mask marks nothing, or has another shape than the picture.
        """
        loaded, data = await mask.loaded()
        size = (picture.width, picture.height) if picture is not None and picture.width and picture.height else None
        fitting = partial(
            fit_mask,
            data,
            mask.name,
            size,
            turned=picture.turned if picture is not None else 1,
            stretch=resize,
        )
        pixels = (loaded.width or 1) * (loaded.height or 1)
        made = await BUDGET.run(fitting, 8 * pixels, caller=self.caller, name=mask.name)
        if made is None:
            return mask
        return _filled(loaded, made, MEDIA_TYPES["png"], Probe(*(size or (loaded.width, loaded.height))), _MASKED)

    @property
    def _ways(self) -> str:
        return _WAYS_REMOTE if self.folders is None else _WAYS

    async def _from_path(self, path: str, expects: Expects, limits: MediaLimits, resize: bool) -> Source:
        if self.folders is None:
            raise InputError(f"File paths cannot be used on this server ({expects})", next_step=self._ways)
        most = self._most(expects, limits)
        claim = Claim(self.hold)
        await claim.reach(min(most, await anyio.to_thread.run_sync(self.folders.size, path, abandon_on_cancel=True)))
        resolved, data = await anyio.to_thread.run_sync(self.folders.read, path, most, abandon_on_cancel=True)
        base = Source(resolved.name, expects, no_link="is a file on this machine")
        return await self._checked(base, data, limits, resize, claim)

    async def _from_data_uri(self, ref: str, expects: Expects, limits: MediaLimits, resize: bool) -> Source:
        # Match only the beginning: the content may have 100 MB.
        found = _DATA.match(ref[:512])
        if found is None:
            raise InputError(f"The data: URI for {expects} is malformed", next_step="data:<mime>;base64,<content>")
        if len(ref) > self._most(expects, limits) * 3:
            raise _too_large(f"the {expects} in the data: URI", None, self._most(expects, limits))
        claim = Claim(self.hold)
        await claim.reach(len(ref) * 3 // 4)
        data = await anyio.to_thread.run_sync(
            _unpack, ref, found.end(), found["packed"] is not None, abandon_on_cancel=True
        )
        if data is None:
            raise InputError(f"The data: URI for {expects} does not hold valid base64")
        name = f"The {expects} in the data: URI"
        if len(data) > self._most(expects, limits):
            raise _too_large(name, len(data), self._most(expects, limits))
        return await self._checked(Source(name, expects, no_link="is no link"), data, limits, resize, claim)

    async def _from_link(self, ref: str, expects: Expects, limits: MediaLimits, resize: bool) -> Source:
        url = parse_link(ref)
        guard, no_link = self._fetcher.guard, ""
        if not guard.trusts(url):
            seen = guard.glance(url)
            if seen == "forbidden" or (seen == "private" and not guard.allow_private):
                raise InputError(f"{url.host} is a private address; links must be public", next_step=self._ways)
            if seen == "private":
                no_link = "is a link into a private network, which Novita cannot reach"
            elif not guard.allow_private:
                await self._judge(url)
        source = Source(f"{expects} at {url.host}", expects, link=None if no_link else ref, no_link=no_link)
        return await self._linked(source, ref, limits, resize)

    async def _judge(self, url: httpx.URL) -> None:
        """Refuse links to private addresses. A host name unknown here passes: Novita, which fetches it, may know it."""
        try:
            await self._fetcher.guard.judge(url, route=route_to(self.http, url))
        except UnknownHostError:
            return
        except AddressError as error:
            raise InputError(f"This link cannot be used: {error}", next_step=self._ways) from error

    async def _from_task(
        self, ref: str, task_id: str, index: int, expects: Expects, limits: MediaLimits, resize: bool
    ) -> Source:
        artifact = await self._earlier(ref, task_id, index, expects)
        link = self._link_of(artifact, expects)
        known = media_type(artifact.mime)
        measures = Probe(artifact.width, artifact.height, artifact.duration_seconds)
        source = Source(
            ref,
            expects,
            known.mime if known else None,
            artifact.bytes,
            *(measures.width, measures.height, measures.duration),
            link=link,
            no_link="has no link that still works (get_task with its id asks for a fresh one)",
        )

        async def load() -> Source:
            if artifact.path is not None:
                # The path comes from the journal. The allowed folders may have changed since, so they do not matter.
                path, most = Path(artifact.path), self._most(expects, limits)
                claim = Claim(self.hold)
                await claim.reach(min(most, artifact.bytes or 0))
                reading = partial(read_ours, path, artifact.sha256, most)
                data = await anyio.to_thread.run_sync(reading, abandon_on_cancel=True)
                if data is not None:
                    return await self._checked(source, data, limits, resize, claim)
                claim.settle(0)
            if artifact.url is None or not artifact.alive(self.clock.wall()):
                raise InputError(
                    f"{ref} is neither on disk nor behind a link that still works",
                    next_step=f"Call get_task with task_id {task_id}, then try again.",
                )
            return await self._fetched(source, artifact.url, limits, resize, self.results)

        # If only a link is wanted, the journal's facts about our own result spare reading the file.
        broken = find_trouble(limits, known, artifact.bytes, measures) if known and link else []
        foreign = known is not None and _to_convert(known, expects, limits)
        if link is None or (broken and resize) or known is None or not limits.alpha or foreign:
            return await load()
        if broken:
            raise refuse(ref, broken)
        source = replace(source, _load=load)
        return replace(source, _vouch=partial(self._dead, link)) if self.check_links else source

    async def _dead(self, link: str) -> str:
        """Why a link that should still be valid is not, in words that follow its name; empty if it is valid."""
        try:
            await (self.results or self._fetcher).peek(link, length=1)
        except ArtifactError:
            return "has no link that still works, although its time is not over"
        return ""

    async def _earlier(self, ref: str, task_id: str, index: int, expects: Expects) -> Artifact:
        """The earlier result, refused if its kind is wrong. A video is accepted where its sound is wanted."""
        if self.resolve_task is None:
            raise InputError(f"{ref} cannot be looked up on this server", next_step="Give its link instead.")
        try:
            artifact = await self.resolve_task(task_id, index)
        except NotFoundError as error:
            raise InputError(f"There is no result {index} of task {task_id}", next_step="See list_tasks.") from error
        fits = artifact.kind in _MEDIA if expects == "media" else artifact.kind in (expects, "file")
        if not fits and (artifact.kind, expects) != _SOUND_OF:
            raise InputError(f"{ref} is {artifact.kind}, and {expects} is wanted here")
        return artifact

    def _link_of(self, artifact: Artifact, expects: Expects) -> str | None:
        """A link with which Novita itself can fetch an earlier result now. The sound of a video has no such link."""
        if artifact.url is None or not artifact.alive(self.clock.wall()) or (artifact.kind, expects) == _SOUND_OF:
            return None
        try:
            url, guard = parse_link(artifact.url), (self.results or self._fetcher).guard
        except InputError:  # Novita gave a malformed link
            return None
        return artifact.url if guard.trusts(url) or guard.glance(url) is None else None

    async def _linked(self, source: Source, url: str, limits: MediaLimits, resize: bool) -> Source:
        """A source behind a link. Its content is fetched when needed, which may be at once."""
        if resize and source.kind == "image":
            return await self._fetched(source, url, limits, resize)
        source = replace(source, _load=partial(self._fetched, source, url, limits, resize))
        return await self._glimpse(source, url, limits) if self.check_links else source

    async def _fetched(
        self, source: Source, url: str, limits: MediaLimits, resize: bool, by: Downloader | None = None
    ) -> Source:
        sink, most, claim = BytesIO(), self._most(source.kind, limits), Claim(self.hold)
        try:
            await (by or self._fetcher).download(
                url,
                sink,
                max_bytes=most,
                accept=lambda head: _wrong(head, source.kind),
                admit=claim.reach,
                what=source.name,
            )
        except ArtifactError as error:
            raise InputError(error.what, next_step="Check the link, or give a file instead.") from error
        return await self._checked(source, sink.getvalue(), limits, resize, claim)

    async def _glimpse(self, source: Source, url: str, limits: MediaLimits) -> Source:
        """Check what the first bytes behind a link show: the kind of file, and perhaps its measures."""
        try:
            peek = await self._fetcher.peek(url)
        except ArtifactError as error:
            raise InputError(
                f"The link for {source.kind} cannot be used: {error.what}", next_step="Check the link."
            ) from error
        found = _demand(peek.head[:HEAD_BYTES], source.kind, source.name)
        if _to_convert(found, source.kind, limits):
            return await self._fetched(source, url, limits, resize=False)
        measures = Probe()
        if source.kind in ("image", "video"):
            measures = await anyio.to_thread.run_sync(probe, peek.head, source.kind)
        if source.kind == "video" and measures.duration is None:
            measures = await self._measure(url, peek.size)
        broken = find_trouble(limits, found, peek.size, measures)
        if broken:
            raise refuse(source.name, broken)
        return replace(
            source,
            mime=found.mime,
            bytes_size=peek.size,
            width=measures.width,
            height=measures.height,
            duration=measures.duration,
        )

    async def _measure(self, url: str, size: int | None) -> Probe:
        """The measures of a video whose first bytes do not show them, if the video can be fetched quickly."""
        sink, claim = BytesIO(), Claim(self.hold)
        try:
            peek = await self._fetcher.peek(url, length=BEGINNING)
            found = await anyio.to_thread.run_sync(probe, peek.head, "video")
            if found.duration is not None or size is None or not len(peek.head) < size <= MOST_FETCHED:
                return found
            soon = replace(self._fetcher, budget=WITHIN, tries=2)  # the index is at the end of the file
            await soon.download(url, sink, max_bytes=MOST_FETCHED, admit=claim.reach, what="the video")
            return await anyio.to_thread.run_sync(probe, sink.getvalue(), "video")
        except (ArtifactError, InputError) as error:
            logger.info("a video was not measured: %s", error)
            return Probe()
        finally:
            claim.settle(0)

    async def _checked(self, base: Source, data: bytes, limits: MediaLimits, resize: bool, claim: Claim) -> Source:
        """The source with its content, checked: whole, of the right kind, within the limits, and ready to be sent."""
        made = await self._prepared(base, data, limits, resize)
        claim.settle(len(made.data or b""))
        return made

    async def _prepared(self, base: Source, data: bytes, limits: MediaLimits, resize: bool) -> Source:
        found = _demand(data[:HEAD_BYTES], base.kind, base.name)
        if found.kind != "image":
            return await anyio.to_thread.run_sync(partial(_check, base, data, limits), abandon_on_cancel=True)
        seeing = partial(look, data, found, limits, base.name, resize=resize)
        seen = await anyio.to_thread.run_sync(seeing, abandon_on_cancel=True)
        preparing = partial(prepare, data, seen, limits, base.name)
        ready = await BUDGET.run(preparing, seen.cost, caller=self.caller, name=base.name)
        return replace(_filled(base, ready.data, ready.found, ready.measures, ready.changed), turned=ready.turned)

    def _most(self, kind: Expects, limits: MediaLimits) -> int:
        """The most bytes to read. Pictures can be shrunk and videos hold little sound, so both may exceed the limit."""
        return self.max_bytes if kind in ("image", "audio", "media") or limits.max_bytes is None else limits.max_bytes


def _check(base: Source, data: bytes, limits: MediaLimits) -> Source:
    """A sound, a video or a text with its content, checked. A sound is converted if the model needs that."""
    found = _demand(data[:HEAD_BYTES], base.kind, base.name)
    if base.kind == "audio":
        sound = prepare_sound(data, found, limits, base.name)
        return _filled(base, sound.data, sound.found, sound.measures, sound.changed)
    measures = probe(data, found.kind)
    if base.kind in ("video", "media") and not is_whole(data, found):
        raise InputError(f"{base.name} is cut off: it ends before its own header says", next_step="Fetch it again.")
    broken = find_trouble(limits, found, len(data), measures)
    if broken:
        raise refuse(base.name, broken)
    return _filled(base, data, found, measures, "")


def _to_convert(found: MediaType, expects: Expects, limits: MediaLimits) -> bool:
    """Whether a file must be converted here before it is sent, so that its content is needed."""
    if expects == "image":
        return found.name == "heic" and "heic" not in limits.formats
    return expects == "audio" and is_foreign(found, limits)


def _filled(base: Source, data: bytes, found: MediaType, measures: Probe, changed: str) -> Source:
    return replace(
        base,
        mime=found.mime,
        bytes_size=len(data),
        width=measures.width,
        height=measures.height,
        duration=measures.duration,
        data=data,
        link=None if changed else base.link,
        no_link=changed or base.no_link,
        changed=bool(changed),
        _load=None,
    )


def _wrong(head: bytes, kind: Expects) -> str | None:
    found = sniff(head)
    if found is not None and found.kind == kind:
        return None
    if found is not None and ((found.kind, kind) == _SOUND_OF or (kind == "media" and found.kind in _MEDIA)):
        return None
    return f"it is {found.mime if found else 'of no known format'}, and {kind} is wanted"


def _demand(head: bytes, kind: Expects, name: str) -> MediaType:
    if not head:
        raise InputError(f"{name} is empty")
    reason, found = _wrong(head, kind), sniff(head)
    if reason is not None or found is None:
        raise InputError(f"{name} cannot be used: {reason}", next_step=_AS_WHAT.get(kind, ""))
    return found


_AS_WHAT: Mapping[Expects, str] = {
    "image": "Give a picture; what no program here reads (SVG, PSD, RAW, JPEG XL) has to be exported as PNG or JPEG.",
    "video": "Give a video; other formats have to be converted to MP4: ffmpeg -i in.xyz out.mp4.",
    "text": "Give text, such as .jsonl or .csv; a spreadsheet (.xlsx) has to be saved as CSV.",
    "audio": "Give a recording; other formats have to be converted to MP3 or WAV: ffmpeg -i in.xyz out.mp3.",
}


def _unpack(ref: str, start: int, packed: bool) -> bytes | None:
    """The content of a data URI from `start` on. None if it is not valid base64."""
    body = urllib.parse.unquote_to_bytes(ref[start:])
    if not packed:
        return body
    body = re.sub(rb"\s+", b"", body).translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(body + b"=" * (-len(body) % 4), validate=True)
    except binascii.Error:
        return None


def _bare(ref: str) -> str:
    """A link or reference without the quotes or brackets pasted around it. Other texts stay: `Folders` reads paths."""
    bare = unquoted(ref)
    return bare if re.match("(?i)(?:https?|data|task|novita):", bare) else ref.strip()


def _too_large(name: str, size: int | None, most: int) -> InputError:
    found = f"{size / MIB:.1f} MiB" if size is not None else "more"
    return InputError(f"{name} is too large ({found}; the limit is {most / MIB:.1f} MiB)")
