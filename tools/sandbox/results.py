"""The results of the sandbox tools."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, Field

from ...novita.core.money import say_usd, show_usd
from ...novita.core.words import counted
from ...novita.sandbox.prices import prices
from ...novita.sandbox.shapes import Sandbox
from ..kit.context import Caller
from ..kit.saved_files import SavedFile
from ..kit.toolset import CountedUsd, ToolResult

LABEL = "label"
Status = Literal["succeeded", "failed", "working", "broken", "time_limit", "stopped"]


class SandboxLine(BaseModel):
    """One sandbox."""

    sandbox_id: str = Field(description="Its id.")
    state: str = Field(description="running or paused.")
    label: str | None = Field(default=None, description="What it was called when it was made.")
    template: str = Field(description="What it started from.")
    machine: str = Field(description="Cores and memory.")
    started_at: datetime | None = Field(default=None, description="UTC.")
    ends_at: datetime | None = Field(default=None, description="When its time is over (UTC).")
    at_the_end: str | None = Field(default=None, description="What happens then: it is deleted, or paused.")
    usd_per_hour: str = Field(description="What it costs now, estimated.")
    cost_so_far_usd: str | None = Field(default=None, description="Since it was started, estimated.")
    storage: str | None = Field(default=None, description="What it may cost while it is paused.")


def line_of(caller: Caller, sandbox: Sandbox) -> SandboxLine:
    """A sandbox in its present state, with its cost."""
    table, running = prices(), sandbox.state != "paused"
    lived = caller.app.jobs.clock.wall() - sandbox.started_at.timestamp() if sandbox.started_at else None
    so_far = table.cost(sandbox.shape, lived) if lived is not None and running else None
    return SandboxLine(
        sandbox_id=sandbox.id,
        state=sandbox.state or "running",
        label=sandbox.metadata.get(LABEL, "")[:80] or None,
        template=(sandbox.alias or sandbox.template_id)[:80],
        machine=str(sandbox.shape),
        started_at=sandbox.started_at,
        ends_at=sandbox.ends_at if running else None,
        at_the_end="paused" if sandbox.lifecycle.on_timeout == "pause" else None,
        usd_per_hour=show_usd(round(table.per_hour(sandbox.shape), 5)) if running else "0.00",
        cost_so_far_usd=show_usd(round(so_far, 5)) if so_far is not None else None,
        storage=None if running else table.storage_words,
    )


class SandboxResult(ToolResult):
    """A sandbox that was made, changed or ended, or the question that must be answered before that."""

    status: Literal["running", "paused", "saved", "deleted", "needs_confirmation", "dry_run"] = Field(
        description="How it stands now; saved: a snapshot was made."
    )
    sandbox_id: str | None = Field(default=None, description="For the other sandbox tools.")
    sandbox: SandboxLine | None = Field(default=None, description="How it stands.")
    snapshot_id: str | None = Field(default=None, description="Give it to create_sandbox as template.")
    deleted: tuple[str, ...] = Field(default=(), description="Ids that are gone now.")
    model: str | None = Field(default=None, description="Template or sandbox it is about.")
    estimated_cost_usd: str | None = Field(default=None, description="Most it costs until its end, in USD.")
    counted_usd: CountedUsd = None
    next_step: str | None = Field(default=None, description="What to do now.")
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: what would be sent.")

    def headline(self) -> str:
        match self.status:
            case "needs_confirmation" | "dry_run":
                return "Nothing was sent yet."
            case "deleted":
                return f"Deleted: {', '.join(self.deleted) or 'nothing'}."
            case "saved":
                return f"Saved as {self.snapshot_id}; a sandbox can start from it."
            case _:
                return f"Sandbox {self.sandbox_id} is {self.status}."


class RunResult(ToolResult):
    """The output and outcome of code or a command, or what there is so far."""

    status: Literal[
        "succeeded", "failed", "working", "broken", "time_limit", "stopped", "needs_confirmation", "dry_run"
    ] = Field(
        description="failed: it raised, or its exit code is not 0. broken: the answer ended without its end; nobody "
        "knows how the run ended."
    )
    sandbox_id: str | None = Field(default=None, description="Where it ran.")
    run_id: str | None = Field(default=None, description="For get_sandbox, while it is working.")
    exit_code: int | None = Field(default=None, description="Of a command.")
    result: str | None = Field(default=None, description="Value of the last line of the code.")
    output: str | None = Field(default=None, description="What it wrote; the middle of a long one is in the file.")
    errors: str | None = Field(default=None, description="What it wrote to stderr.")
    error: str | None = Field(default=None, description="What the code raised, with its traceback.")
    charts: tuple[str, ...] = Field(default=(), description="Data of each chart, as JSON.")
    files: tuple[SavedFile, ...] = Field(
        default=(), description="Pictures, tables and long output; task:<sandbox_id>/<n>."
    )
    trouble: str | None = Field(default=None, description="Why it did not end by itself.")
    ends_at: datetime | None = Field(default=None, description="When the sandbox ends (UTC).")
    model: str | None = Field(default=None, description="Template.")
    estimated_cost_usd: str | None = Field(default=None, description="In USD: of a sandbox made for this run alone.")
    counted_usd: CountedUsd = None
    next_step: str | None = Field(default=None, description="What to do now.")
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: what would be sent.")

    def as_part(self) -> "RunPart":
        """The run as a part of what get_sandbox shows."""
        return RunPart(**{name: getattr(self, name) for name in RunPart.model_fields})

    def headline(self) -> str:
        words = {
            "succeeded": "Done.",
            "failed": "It failed.",
            "working": f"Still running as {self.run_id}.",
            "broken": "The run broke off: the end of its output never arrived.",
            "time_limit": "It took too long and was stopped.",
            "stopped": "It was stopped.",
        }
        return words.get(self.status, "Nothing was sent yet.")


class SandboxEntryLine(BaseModel):
    """A file or folder in a sandbox."""

    path: str = Field(description="In the sandbox.")
    kind: str = Field(description="file or folder.")
    bytes: int | None = Field(default=None, description="Size of a file.")


class FileResult(ToolResult):
    """A file or folder of a sandbox."""

    sandbox_id: str = Field(description="Whose file it is.")
    path: str = Field(description="In the sandbox.")
    bytes: int | None = Field(default=None, description="Size of the file.")
    entries: tuple[SandboxEntryLine, ...] = Field(default=(), description="What is in a folder.")
    more: int | None = Field(default=None, description="How many entries are not shown.")
    text: str | None = Field(default=None, description="Text from offset on.")
    next_offset: int | None = Field(default=None, description="Where the text goes on.")
    file: SavedFile | None = Field(default=None, description="The file, brought here.")
    next_step: str | None = Field(default=None, description="What to do now.")

    def headline(self) -> str:
        return f"{self.path} in sandbox {self.sandbox_id}."


class ProcessLine(BaseModel):
    """A running command."""

    pid: int = Field(description="Its number in the sandbox.")
    command: str = Field(description="What was started, shortened.")
    run_id: str | None = Field(default=None, description="Of a run that was started here.")


class PortLine(BaseModel):
    """The address of a port of a sandbox."""

    port: int = Field(description="As the program listens.")
    url: str = Field(description="Its address.")


class RunPart(BaseModel):
    """The state of a run and its output so far."""

    status: str = Field(description="As run_code and run_command tell it.")
    exit_code: int | None = Field(default=None, description="Of a command.")
    result: str | None = Field(default=None, description="Value of the last line of the code.")
    output: str | None = Field(default=None, description="What it wrote.")
    errors: str | None = Field(default=None, description="What it wrote to stderr.")
    error: str | None = Field(default=None, description="What the code raised.")
    files: tuple[SavedFile, ...] = Field(default=(), description="What came home.")
    trouble: str | None = Field(default=None, description="Why it did not end by itself.")
    next_step: str | None = Field(default=None, description="What to do now.")


class SandboxDetail(ToolResult):
    """One sandbox with what it contains and runs."""

    sandbox: SandboxLine = Field(description="How it stands.")
    run: RunPart | None = Field(default=None, description="The run asked for.")
    cpu_percent: float | None = Field(default=None, description="Last measured.")
    memory_mb: int | None = Field(default=None, description="In use.")
    disk_mb: int | None = Field(default=None, description="In use.")
    processes: tuple[ProcessLine, ...] = Field(default=(), description="Commands that run.")
    ports: tuple[PortLine, ...] = Field(default=(), description="Addresses asked for.")
    note: str | None = Field(default=None, description="Who can reach the ports.")

    def headline(self) -> str:
        return f"Sandbox {self.sandbox.sandbox_id} is {self.sandbox.state}."


class SandboxTemplateLine(BaseModel):
    """A template from which sandboxes can start."""

    template: str = Field(description="Name or id for create_sandbox.")
    name: str | None = Field(default=None, description="What a snapshot was called.")
    machine: str | None = Field(default=None, description="Cores and memory.")
    usd_per_hour: str | None = Field(default=None, description="While a sandbox of it runs.")


class SandboxList(ToolResult):
    """Sandboxes, templates or snapshots of the account."""

    sandboxes: tuple[SandboxLine, ...] = Field(default=(), description="Running and paused ones.")
    templates: tuple[SandboxTemplateLine, ...] = Field(default=(), description="Templates, or snapshots.")
    total: int = Field(description="How many there are, also where not all are shown.")
    usd_per_hour: str | None = Field(default=None, description="What all of them cost together.")
    quota: str | None = Field(default=None, description="What the account may have at a time, and has.")
    next_step: str | None = Field(default=None, description="What to do now.")

    def headline(self) -> str:
        if self.templates or not self.sandboxes:
            return f"{self.total} found."
        return f"{counted(self.total, 'sandbox')}, {say_usd(self.usd_per_hour or '0')} per hour together."


def sum_per_hour(sandboxes: list[Sandbox]) -> str:
    total = sum((prices().per_hour(each.shape) for each in sandboxes if each.state != "paused"), Decimal(0))
    return show_usd(round(total, 5))
