"""Stops everything that costs money, after one question: machines are stopped, endpoints keep no worker alive."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import Literal

from pydantic import BaseModel, Field

from ...novita.core.errors import JournalError, NovitaError
from ...novita.core.money import say_usd
from ...novita.core.words import counted
from ...novita.gpu.instances import BILLED_STATES, Instance
from ...novita.serverless.endpoints import update_endpoint
from ...novita.serverless.leases import ENDPOINT
from ...novita.serverless.plans import EndpointPlan
from ...novita.serverless.rows import note_seen
from ...novita.serverless.shapes import Endpoint
from ..gpu.results import KnownInstances
from ..gpu.waiting import own_instances, settle_jobs, stop_now
from ..kit.arguments import Agreed
from ..kit.context import Call, Caller
from ..kit.purchase import Purchase, carry_out, destruction
from ..kit.toolset import DESTROYS, CountedUsd, ToolResult
from ..serverless.waiting import own_endpoints
from .tasks import tasks

_MOST_NAMED = 12


class StopLine(BaseModel):
    """One machine or endpoint."""

    kind: Literal["instance", "endpoint"] = Field(description="What it is.")
    id: str = Field(description="Its id.")
    name: str = Field(description="Its name.")
    what: str = Field(description="What was done, or why it was left.")


class StopResult(ToolResult):
    """What was stopped, and what could not be stopped."""

    status: Literal["succeeded", "incomplete", "needs_confirmation"] = Field(
        description="incomplete: some could not be stopped."
    )
    model: str | None = Field(default=None, description="What it is about.")
    stopped: tuple[StopLine, ...] = Field(default=(), description="What costs no more, but for disks and calls.")
    failed: tuple[StopLine, ...] = Field(default=(), description="What could not be stopped and may cost on.")
    left: tuple[StopLine, ...] = Field(default=(), description="What was left as it is, and why.")
    estimated_cost_usd: str | None = Field(default=None, description="Cost of stopping in USD.")
    counted_usd: CountedUsd = None
    next_step: str | None = Field(default=None, description="What to do now.")

    def headline(self) -> str:
        if self.status == "needs_confirmation":
            return "Nothing was stopped yet."
        summary = f"{len(self.stopped)} stopped." if self.stopped else "Nothing was stopped."
        return f"{summary} {len(self.failed)} could not be stopped." if self.failed else summary


Act = tuple[StopLine, Callable[[], Awaitable[None]]]


@tasks.tool("Stop everything", DESTROYS)
async def stop_everything(call: Call, confirm: Agreed = False) -> StopResult:
    """Emergency stop, a panic button: stop or turn off everything that still runs and costs money, at once. Every
    rented GPU machine is turned off, every endpoint keeps no worker alive. Asks once. Free; returns what was
    stopped and what was not.
    """

    async def plan() -> Purchase[StopResult] | StopResult:
        instances = await own_instances(call)
        endpoints = await own_endpoints(call)
        noted = await KnownInstances.open(call)
        await settle_jobs(noted, instances, all_of_them=True)
        acts: list[Act] = []
        left: list[StopLine] = []
        saved, unpriced = Decimal(0), False
        for each in instances:
            if each.status not in BILLED_STATES or each.status in ("toStop", "stopping"):
                continue
            if each.billing_mode == "monthly":
                left.append(_machine(each, "paid in advance: stopping saves nothing"))
                continue
            price = await noted.usd_per_hour(each)
            saved, unpriced = saved + (price or 0), unpriced or price is None
            acts.append((_machine(each, "stopped"), partial(stop_now, call, each)))
        for each in endpoints:
            if each.worker_config.min_num:
                acts.append((_endpoint(each, "keeps no worker alive"), partial(_idle, call, each)))
            elif each.running:
                left.append(_endpoint(each, "its workers end when idle; delete_endpoint ends it now"))
        if not acts:
            return StopResult(
                status="succeeded", left=tuple(left), next_step="Nothing was running that can be stopped."
            )
        names = [f"{line.kind} {line.name!r} ({line.id})" for line, _ in acts]
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        about_usd = f" Instances cost about {say_usd(saved)} per hour now." if saved else ""
        return destruction(
            StopResult,
            f"Stop {', '.join(names[:_MOST_NAMED])}{more}. What runs on them ends.{about_usd}"
            + (" The price of some is unknown." if unpriced else ""),
            model=counted(len(acts), "thing"),
            about=f"stop {' '.join(sorted(line.id for line, _ in acts))}",
            act=partial(_stop, acts, left),
        )

    return await carry_out(call, plan, confirm=confirm)


async def _stop(acts: list[Act], left: list[StopLine]) -> StopResult:
    """Stop one thing after the other. If one cannot be stopped, the others are stopped all the same."""
    stopped: list[StopLine] = []
    failed: list[StopLine] = []
    for line, act in acts:
        try:
            await act()
        except JournalError as error:  # the request was sent; the next look will note its effect
            stopped.append(line.model_copy(update={"what": f"{line.what}, but not noted: {error.what}"}))
        except NovitaError as error:
            failed.append(line.model_copy(update={"what": str(error)[:200]}))
        else:
            stopped.append(line)
    step = "Stopped instances keep their disk; above 60 GB it costs. delete_gpu_instance removes one."
    if failed:
        step = "Look with list_gpu_instances and list_endpoints, then call stop_everything again."
    return StopResult(
        status="incomplete" if failed else "succeeded",
        stopped=tuple(stopped),
        failed=tuple(failed),
        left=tuple(left),
        next_step=step,
    )


async def _idle(caller: Caller, endpoint: Endpoint) -> None:
    """Keep no worker of an endpoint alive. An endpoint cannot be stopped as a machine can: it still answers calls."""
    await update_endpoint(caller.novita, endpoint, EndpointPlan.of(endpoint).changed(min_workers=0))
    await caller.app.leases.end(caller.owner, kind=ENDPOINT, thing_id=endpoint.id, note="it was idled before")
    idle = endpoint.worker_config.model_copy(update={"min_num": 0})
    await note_seen(caller.app.journal, caller.owner, [endpoint.model_copy(update={"worker_config": idle})])


def _machine(instance: Instance, what: str) -> StopLine:
    return StopLine(kind="instance", id=instance.id, name=instance.name[:80], what=what)


def _endpoint(endpoint: Endpoint, what: str) -> StopLine:
    return StopLine(kind="endpoint", id=endpoint.id, name=endpoint.name[:80], what=what)
