"""The batches' state: their files, the jobs, and the two knobs they have."""

import asyncio
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from ..core.bounds import Kept
from ..core.world import Course, World


@dataclass(slots=True, kw_only=True)
class UploadedFile:
    """One file of the files routes. Times are Unix seconds; gone_at ends its retention."""

    id: str
    owner: str
    filename: str
    purpose: Literal["batch", "batch_output"]
    content: bytes = field(repr=False)
    created_at: int
    gone_at: int
    total_requests: int | None = None


@dataclass(slots=True, kw_only=True)
class BatchRow:
    """One line of a batch's input."""

    custom_id: str
    body: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class BatchJob:
    """One batch. Times are Unix seconds, None until reached; status in the lower-case spelling."""

    id: str
    owner: str
    endpoint: str
    input_file_id: str
    created_at: float
    progress: Course = field(repr=False)
    metadata: dict[str, Any] | None
    rows: list[BatchRow] = field(default_factory=list[BatchRow], repr=False)
    status: str = "validating"
    errors: str = ""
    times: dict[str, float] = field(default_factory=dict[str, float])
    output: list[str] = field(default_factory=list[str], repr=False)
    failures: list[str] = field(default_factory=list[str], repr=False)
    micro_usd: int = 0
    output_file_id: str = ""
    error_file_id: str = ""
    version: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    ended: tuple[int, int, int] | None = None
    """The three counts, kept once the batch has ended and its rows are dropped."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Rows in all, answered, failed."""
        return self.ended or (len(self.rows), len(self.output), len(self.failures))

    def close(self) -> None:
        """Drop the rows of a batch that has ended, and keep their counts."""
        self.ended = self.counts
        self.rows, self.output, self.failures = [], [], []


@dataclass(slots=True, kw_only=True)
class BatchKnobs:
    """Settable by `POST /_simulator/batches` or directly.

    seconds is the run time of a batch on the world's clock (None: ten times task_seconds). upper_case_status spells
    batch states as the documentation pages do, not as its example answer does.
    """

    seconds: float | None = None
    upper_case_status: bool = False

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds >= 0:
            raise ValueError("seconds must not be negative")


class BatchState:
    """All of the area, reached as `world.area(BatchState)`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.knobs = BatchKnobs()
        bounds = world.bounds
        self.files: Kept[str, UploadedFile] = Kept(
            bounds.records, most_bytes=bounds.file_bytes, size=lambda file: len(file.content)
        )
        self.batches: Kept[str, BatchJob] = Kept(bounds.records, over=lambda job: job.ended is not None)

    def report(self) -> dict[str, Any]:
        """Knobs, files and batches, as JSON."""
        return {
            "settings": asdict(self.knobs),
            "files": len(self.files),
            "batches": {
                batch.id: {each.name: getattr(batch, each.name) for each in fields(batch) if each.name in _SHOWN}
                for batch in self.batches.values()
            },
        }


_SHOWN = {"status", "endpoint", "input_file_id", "output_file_id", "error_file_id", "errors", "micro_usd"}


async def get_batches(world: World, _: dict[str, Any]) -> Any:
    return world.area(BatchState).report()


async def post_batches(world: World, sent: dict[str, Any]) -> Any:
    """GET or POST /_simulator/batches shows or sets the knobs of `BatchKnobs`."""
    state = world.area(BatchState)
    state.knobs = BatchKnobs(**(asdict(state.knobs) | sent))
    return state.report()
