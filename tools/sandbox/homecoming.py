"""Saves what a run made: its files under readable names, and its output in the answer as far as there is room."""

import base64
import binascii
import contextlib
import csv
import io
import json
import re
from typing import Any, Literal

import anyio.to_thread

from ...novita.core.answers import a_list, an_object
from ...novita.core.errors import ArtifactError, InputError, NovitaAPIError, NovitaConnectionError
from ...novita.core.redaction import MARK, bytes_hold_secret, without_secrets
from ...novita.core.words import counted
from ...novita.files.artifacts import Artifact, NameHint
from ...novita.files.pictures import Thumb, fit_thumbnails, thumbnail
from ...novita.journal.journal import Job, JobState
from ...novita.sandbox.inside import Inside
from ...novita.sandbox.interpreter import Cell, Result
from ...novita.sandbox.output import LARGEST_FILE, Output
from ...novita.sandbox.rows import note_seen
from ...novita.sandbox.sandboxes import SandboxGoneError
from ..kit.context import Caller
from ..kit.saved_files import SavedFile, shown_file
from ..kit.toolset import Picture
from .moving import fetched
from .results import RunResult

SHOWN = 6_000
"""The most characters of output in an answer. All of a longer output is saved as a file."""
SHOWN_RESULT = 2_000
SHOWN_CHART = 1_500
MOST_FILES = 20
FOREIGN = "sandbox_files"
"""The kind of row that keeps the files of a sandbox made elsewhere. Such a row counts no cost."""
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links, the clipboard: to their end
    r"|[ -/]*[0-~])?"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
"""Control sequences, which a terminal obeys and nobody can read."""


def tail(output: Output) -> str | None:
    """The last part of the output of a run that is still going on."""
    text = output.beginning + output.end if not output.cut else output.end
    return clean(text)[-SHOWN:] or None


def clean(text: str) -> str:
    """The text without control sequences and secrets. Call it before cutting text: half a secret is not recognized."""
    return without_secrets(_ESCAPES.sub("", text))


def name_shown(name: str) -> str:
    """A file's name on one line, as `ls` shows it, with `?` for each control character."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", name)


def _harmless(data: bytes, what: str) -> tuple[bytes | str, str]:
    """The file in a form that may be saved, and a sentence about what was changed in it ("" if nothing was).

    Raises:
        ArtifactError: The file holds a secret and is not text, so the secret cannot be removed.
    """
    if b"\0" not in data and len(data) <= LARGEST_FILE:
        with contextlib.suppress(UnicodeDecodeError):
            text = data.decode("utf-8")
            if (without := without_secrets(text)) != text:
                return without, f"What {what} had of secret_env was replaced by {MARK}."
            return data, ""
    if bytes_hold_secret(data):
        raise ArtifactError(f"{what} holds a value of secret_env", next_step="Leave it out of the file, or encrypt it.")
    return data, ""


class HomeComing:
    """Saves what one run made. The files belong to the sandbox's row: `task:<sandbox_id>/<n>` names them."""

    def __init__(self, caller: Caller, inside: Inside, save_to: str | None) -> None:
        self._caller, self._inside, self._save_to = caller, inside, save_to
        self.files: list[SavedFile] = []
        self.trouble: list[str] = []
        self._thumbs: list[Thumb | None] = []
        self._artifacts: list[Artifact] = []

    async def __aenter__(self) -> "HomeComing":
        """Read which files the sandbox has, to number new ones after them. Other runs wait until this one is done."""
        self._turn = self._caller.app.jobs.one_at_a_time(f"files of sandbox {self._inside.id}")
        await self._turn.__aenter__()
        try:
            self._artifacts = list((await self._row()).artifacts)
        except BaseException:
            await self._turn.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if self.files:
                journal = self._caller.app.journal
                await journal.put_artifacts(self._caller.owner, self._inside.id, self._artifacts)
        finally:
            await self._turn.__aexit__(None, None, None)

    async def _row(self) -> Job:
        """The row that keeps the sandbox's files. For a sandbox made elsewhere a row is added that counts no cost."""
        journal, owner, id = self._caller.app.journal, self._caller.owner, self._inside.id
        row = await journal.find(owner, id)
        if row is None:
            await note_seen(journal, owner, self._inside.shape)
            row = await journal.find(owner, id)
        if row is None:
            row = await journal.adopt(owner, id, kind=FOREIGN, tool="run_code")
            row = await journal.finish(row.key, JobState.SUCCEEDED, task_id=id)
        return row

    @property
    def reference(self) -> str:
        """The reference by which other tools accept the last file as input."""
        return f"task:{self._inside.id}/{self._artifacts[-1].index}"

    async def put(self, data: bytes, name: str) -> None:
        """Save one file.

        Raises:
            ArtifactError, InputError: The file cannot be saved there, or holds a secret.
        """
        name = clean(name)
        harmless, remark = await anyio.to_thread.run_sync(_harmless, data, name[-60:])
        self.trouble += [remark] if remark else []
        artifact, _, place = self._next("file", name)
        hint = NameHint(title=name[-60:], index=artifact.index, owner=self._caller.owner)
        saved = await self._caller.app.jobs.store.save_text(
            harmless, artifact, suffix=_suffix(name), name=hint, save_to=place
        )
        self._add(name[:80], saved)

    def pictures(self) -> list[Picture]:
        if not self._caller.app.settings.thumbnails:
            return []
        return [
            Picture(data=thumb.data, mime=thumb.mime) for thumb in fit_thumbnails(self._thumbs) if thumb is not None
        ]

    def _next(self, kind: Literal["image", "text", "file"], what: str) -> tuple[Artifact, NameHint, str | None]:
        index = (self._artifacts[-1].index + 1) if self._artifacts else 0
        place = self._save_to if not self.files else None
        artifact = Artifact(task_id=self._inside.id, index=index, kind=kind)
        return artifact, NameHint(title=f"sandbox {what}", index=index, owner=self._caller.owner), place

    def _add(self, what: str, saved: Artifact) -> None:
        self._artifacts.append(saved)
        self.files.append(shown_file(self._caller, what, saved))

    async def _save(self, data: str | bytes, what: str, suffix: str, kind: Literal["text", "file"] = "text") -> None:
        if len(self.files) >= MOST_FILES:
            self.trouble.append(f"{what} was not saved: more than {MOST_FILES} files.")
            return
        what = clean(what)
        artifact, name, place = self._next(kind, what)
        try:
            if isinstance(data, bytes):
                data, remark = await anyio.to_thread.run_sync(_harmless, data, what)
                self.trouble += [remark] if remark else []
            saved = await self._caller.app.jobs.store.save_text(data, artifact, suffix=suffix, name=name, save_to=place)
        except (ArtifactError, InputError) as error:
            self.trouble.append(f"{what} was not saved: {error.what}.")
            return
        self._add(what, saved)

    async def text(self, output: Output, what: str) -> str | None:
        """The output for the answer. A long one is shown without its middle, and all of it is saved as a file."""
        if output.size <= SHOWN:
            return clean(output.whole()) or None
        await self._save(await anyio.to_thread.run_sync(output.whole), what, ".txt")
        more = f" ({counted(output.lost, 'letter')} beyond the limit were dropped)" if output.lost else ""
        half = SHOWN // 2
        left = output.size - 2 * half
        end = output.end if output.cut else output.whole()
        middle = f"[... {counted(left, 'letter')} left out; all are in the file{more} ...]"
        return f"{clean(output.beginning)[:half]}\n{middle}\n{clean(end)[-half:]}"

    async def results(self, result: RunResult, cell: Cell) -> None:
        shown: list[str] = []
        for each in cell.results:
            await self._one(result, each, shown)
        result.result = await self._bounded(shown) or None
        if cell.dropped:
            self.trouble.append(f"Left out, as too many or too large: {counted(cell.dropped, 'result')}.")
        if cell.error is not None:
            trace = clean(cell.error.traceback)
            trace = trace if len(trace) <= SHOWN else f"[...]\n{trace[-SHOWN:]}"
            error = f"{clean(cell.error.name)[:100]}: {clean(cell.error.value)[:500]}"
            result.error = f"{error}\n{trace}".strip() if trace else error

    async def _bounded(self, shown: list[str]) -> str:
        """The text of many results together, as far as it fits. If it does not fit, all of it is saved as a file."""
        whole = "\n".join(shown)
        if len(whole) <= SHOWN:
            return whole
        await self._save(whole, "results", ".txt")
        size = f"{counted(len(shown), 'result')} of {counted(len(whole), 'letter')}"
        return f"{whole[:SHOWN]}\n[... {size} in all, which are in the file]"

    async def _one(self, result: RunResult, each: Result, shown: list[str]) -> None:
        kinds = each.kinds
        for kind in ("png", "jpeg"):
            if isinstance(kinds.get(kind), str):
                await self._picture(kinds[kind], kind)
        if isinstance(kinds.get("pdf"), str) and (data := _unpacked(kinds["pdf"])):
            await self._save(data, "page", ".pdf", "file")
        if isinstance(kinds.get("svg"), str):
            await self._save(kinds["svg"], "drawing", ".svg")
        if isinstance(kinds.get("chart"), dict):
            self._chart(result, clean(json.dumps(kinds["chart"], ensure_ascii=False, default=str)))
        text = next((str(kinds[kind]) for kind in ("text", "markdown", "latex", "json") if kinds.get(kind)), "")
        if isinstance(kinds.get("data"), dict):
            await self._save(_as_csv(kinds["data"]), "table", ".csv")
        elif isinstance(kinds.get("html"), str) and len(kinds["html"]) > 200:
            await self._save(kinds["html"], "page", ".html")
        elif len(text) > SHOWN_RESULT:
            await self._save(text, "result", ".txt")
        if text and (each.main or not ({"png", "jpeg"} & kinds.keys())):
            text = clean(text)
            shown.append(
                text if len(text) <= SHOWN_RESULT else f"{text[:SHOWN_RESULT]}\n[... the whole is in the file]"
            )

    def _chart(self, result: RunResult, text: str) -> None:
        if sum(map(len, result.charts)) >= SHOWN:
            remark = "The data of the charts beyond those shown are left out: their pictures have them."
            self.trouble += [] if remark in self.trouble else [remark]
            return
        result.charts = (*result.charts, text if len(text) <= SHOWN_CHART else f"{text[:SHOWN_CHART]}...")

    async def _picture(self, packed: str, kind: str) -> None:
        data = _unpacked(packed)
        if data is not None and bytes_hold_secret(data):
            self.trouble.append("A picture holds a value of secret_env and was left out.")
            return
        if data is None:
            self.trouble.append("A picture arrived damaged.")
            return
        if len(self.files) >= MOST_FILES:
            self.trouble.append(f"A picture was not saved: more than {MOST_FILES} files.")
            return
        artifact, name, place = self._next("image", "plot")
        try:
            saved = await self._caller.app.jobs.store.save_bytes(data, artifact, name=name, save_to=place)
        except (ArtifactError, InputError) as error:
            self.trouble.append(f"A {kind} was not saved: {error.what}.")
            return
        self._add("plot", saved)
        self._thumbs.append(await anyio.to_thread.run_sync(thumbnail, data))

    async def bring(self, pattern: str) -> None:
        """Save the sandbox's files that match `pattern`. The run's answer names files that cannot be saved."""
        try:
            found = await fetched(self._inside, pattern, most=MOST_FILES - len(self.files))
        except (ArtifactError, InputError, NovitaAPIError, NovitaConnectionError, SandboxGoneError) as error:
            self.trouble.append(f"{clean(pattern)[:100]} was not saved: {error.what}.")
            return
        for name, data in found:
            await self._save(data, clean(name)[-60:], _suffix(name), "file")


def _suffix(name: str) -> str:
    found = re.search(r"\.[A-Za-z0-9]{1,8}$", name)
    return found[0].lower() if found else ".bin"


def _unpacked(packed: str) -> bytes | None:
    try:
        return base64.b64decode(re.sub(r"\s+", "", packed), validate=True)
    except (binascii.Error, ValueError):
        return None


def _as_csv(data: Any) -> str:
    """A table, given as columns, in CSV."""
    columns = {str(name): a_list(values) for name, values in an_object(data).items()}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    rows = max((len(values) for values in columns.values()), default=0)
    for number in range(rows):
        writer.writerow([values[number] if number < len(values) else "" for values in columns.values()])
    return out.getvalue()
