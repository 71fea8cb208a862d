"""Creates machines and endpoints, which cost money until they are stopped.

It checks whether the name is taken, and which region the volumes require; it makes a lease before the request is sent;
and it handles a lost answer.
"""

import difflib
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeVar

from ...novita.core.by_name import Named, the_one
from ...novita.core.costs import Cost, assumed
from ...novita.core.errors import InputError, NovitaError
from ...novita.core.words import counted
from ...novita.journal.facts import Facts
from ...novita.journal.jobs import Paid
from ...novita.journal.journal import MICRO, Job, micro
from ...novita.journal.leases import Lease
from .context import Caller

T = TypeVar("T")
_ALLOW_DUPLICATE = 'again=true (or options {"allow_duplicate": true})'
_DUPLICATE_WINDOW = 3_600.0
"""Seconds for which a create without an answer may still turn out to have worked."""


def machine_cost(usd: Decimal | None, words: str = "", *, card_hours: int = 1, shown: str = "") -> Cost:
    """The cost of a machine, as the journal notes it.

    Args:
        usd: The price of the first hour, or of the term; None if unknown.
        words: The price as a sentence.
        card_hours: Cards times hours, where there is no price.
    """
    if usd is None:
        return assumed("hour_of_a_card", card_hours, asks=True)
    return Cost(Decimal(micro(usd)) / MICRO, words=words, shown=shown)


@dataclass(frozen=True, kw_only=True)
class Creation:
    """One thing that is about to be created.

    Args:
        what: "instance" or "endpoint".
        kind: The kind of its row in the journal.
        listed_by: The tool that lists such things.
        duplicate: Why it may be a duplicate, from `duplicate_of`; empty if nothing suggests that.
        allow_duplicate: Whether the user wants it even if it is a duplicate.
        hours: The length of its lease in hours; None if it has no lease.
        lease_kind: The kind of its lease.
    """

    what: str
    name: str
    kind: str
    listed_by: str
    duplicate: str = ""
    allow_duplicate: bool = False
    hours: float | None = None
    lease_kind: str

    @property
    def careful(self) -> str:
        """The warning about a duplicate, for the question."""
        return f" Careful: {self.duplicate}" if self.duplicate else ""

    @property
    def hint(self) -> str:
        """Tells a model how to agree by a second call."""
        return f"With confirm=true give {_ALLOW_DUPLICATE} too." if self.duplicate else ""

    @property
    def about(self) -> str:
        """Identifies the question, so that a yes to a create without a known duplicate does not count for one with."""
        return f"{self.name} again" if self.duplicate else self.name

    @property
    def lost(self) -> str:
        """What to do if its answer was lost."""
        return (
            f"It was not sent again. Call {self.listed_by} in a minute: if {self.name!r} is there, it was created and "
            "may cost; only if it is not, create it again."
        )

    def start(
        self, caller: Caller, create: Callable[[], Awaitable[str]], facts: Facts, *, confirm: bool
    ) -> Callable[[Paid], Awaitable[tuple[Job, str]]]:
        """Note the thing and create it once, for `Submitted`; returns its row and its id.

        Its lease is written first, because the thing may exist even if the answer is lost.

        Args:
            create: Makes the paid call, and returns the id.
            confirm: Whether the yes came with the call, so that the user has not seen the warning about a duplicate.
        """
        app = caller.app

        async def send(job: Job) -> str:
            return await under_lease(caller, job, create, kind=self.lease_kind, hours=self.hours, name=self.name)

        async def note(job: Job, created: str) -> Job:
            noted = await app.journal.accepted(job.key, created, Facts(resource=created))
            await app.leases.attach(job.key, created)
            return noted

        async def start(paid_for: Paid) -> tuple[Job, str]:
            if self.duplicate and confirm and not (self.allow_duplicate or caller.again):
                step = f"If the user wants a second one, call again with {_ALLOW_DUPLICATE}, or give another name."
                raise InputError(f"Not created: {self.duplicate}", next_step=step)
            label = f"{self.what} {self.name}"
            job, created = await app.jobs.submit(
                paid_for,
                kind=self.kind,
                send=send,
                note=note,
                facts=facts,
                on_progress=caller.progress_of(f"{label}: sent"),
            )
            await caller.progress(f"{label} ({created}) accepted")
            return job, created

        return start


async def under_lease(
    caller: Caller,
    job: Job,
    act: Callable[[], Awaitable[T]],
    *,
    kind: str,
    hours: float | None,
    name: str,
    thing_id: str | None = None,
) -> T:
    """Start something that is billed by time, under a lease.

    The lease is written first, because the thing may start even if the answer is lost. It is dropped if Novita refuses.

    Args:
        hours: The length of the lease; None for no lease.
        thing_id: The id of a thing that exists already.
    """
    leases = caller.app.leases
    if hours:
        await leases.grant(caller.owner, kind=kind, hours=hours, name=name, thing_id=thing_id, job_key=job.key)
        leases.remember(caller.novita)
    try:
        return await act()
    except NovitaError as error:
        if error.billed == "no":
            await leases.drop(job.key, f"the {'start' if thing_id else 'create'} was refused")
        raise


def duplicate_of(
    caller: Caller, what: str, name: str, there: Iterable[str], lost: Sequence[Job], listed_by: str
) -> str:
    """Why a create of this name may make a duplicate; empty if nothing suggests that.

    Args:
        what: "an instance" or "an endpoint".
        there: Label and state of the existing things of this name.
        lost: Rows of creates whose answer was lost and that match no existing thing.
    """
    for one in there:
        return f"{what} of this name exists already: {one}."
    now = caller.app.jobs.clock.wall()
    for job in lost:
        if job.title == name and job.task_id is None and now - job.created.timestamp() < _DUPLICATE_WINDOW:
            return (
                f"an earlier create of this name, at {job.created:%H:%M:%S} UTC, got no answer and may have worked; "
                f"it may show in {listed_by} within minutes."
            )
    return ""


def with_lease_doubt(caller: Caller, next_step: str | None, hours: float | None) -> str | None:
    """The next step, followed by what a lease needs, if there is one."""
    doubt = lease_doubt(caller) if hours else ""
    return f"{next_step or ''} {doubt}".strip() if doubt else next_step


LEASE_NEEDS = (
    "A lease needs a running novita-mcp server, or the timer that the user sets up with "
    "`novita-mcp install --lease-timer`; `novita-mcp doctor --leases` looks once."
)


def lease_doubt(caller: Caller) -> str:
    """What must hold so that a lease can end the thing; for every question and answer that promises a lease."""
    if caller.app.settings.http:
        return (
            "This server stores no keys: it can end the lease while it runs, and after a restart only from your next "
            "call on."
        )
    if not caller.app.journal.lasting:
        return "The journal is off, so the lease ends with this server."
    return LEASE_NEEDS


def lease_at_start(
    caller: Caller,
    hours: float | None,
    earlier: Lease | None,
    *,
    end: str = "it will be stopped",
    without: str = "it runs until stopped",
) -> str:
    """A sentence about the lease that applies to a thing that is started.

    Args:
        hours: The length of a new lease, which replaces an earlier one.
        earlier: The lease that is still open.
        end: What the end of the lease does, in words.
        without: The sentence if there is no lease.
    """
    if hours:
        return f"{end[0].upper()}{end[1:]} after {counted(hours, 'hour')}. {lease_doubt(caller)}"
    if earlier is None or ran_out(caller, earlier):
        return f"No lease applies: {without}."
    return f"Its lease from before applies: {end} at {_utc(earlier)}. {lease_doubt(caller)}"


async def lease_by_now(
    caller: Caller, kind: str, thing_id: str, *, end: str = "it will be stopped", started: bool = False
) -> str:
    """A sentence about the lease that a thing has now, for answers of later calls.

    Args:
        end: What its end does.
        started: Whether to say so, too, if there is no lease; otherwise the sentence is then empty.
    """
    lease = await caller.app.leases.open_of(caller.owner, kind, thing_id)
    if lease is None or ran_out(caller, lease):
        return lease_at_start(caller, None, None) if started else ""
    return f"{end[0].upper()}{end[1:]} at {_utc(lease)}, by its lease. {lease_doubt(caller)}"


def ran_out(caller: Caller, lease: Lease | None) -> bool:
    """Whether a lease's time is over."""
    return lease is not None and lease.stop_at.timestamp() <= caller.app.jobs.clock.wall()


def _utc(lease: Lease) -> str:
    return f"{lease.stop_at:%Y-%m-%d %H:%M} UTC"


def check_source(image: str | None, template_id: str | None) -> None:
    """Raise InputError unless exactly one says what is to run."""
    if image and template_id:
        raise InputError("Both image and template_id were given", next_step="Give one of them.")
    if not image and not template_id:
        raise InputError(
            "Neither image nor template_id was given",
            next_step="Give a container image, or a template_id from list_gpu_templates.",
        )


def default_name(image: str, machine: str) -> str:
    """A name made from image and machine. Equal requests get equal names, so that a repetition is noticed."""
    base = image.rsplit("/", 1)[-1].split("@")[0].split(":")[0]
    return re.sub(r"[^a-z0-9]+", "-", f"{base} {machine}".lower()).strip("-")[:60] or "instance"


class NetworkVolume(Named, Protocol):
    """A network volume in a list."""

    @property
    def cluster_id(self) -> str: ...
    def label(self) -> str: ...


def mounts_and_region(
    there: Sequence[NetworkVolume], wanted: Mapping[str, str], region: str | None = None
) -> tuple[dict[str, str], str | None]:
    """Volume id -> path, and the region that the volumes require (without volumes, the one that was asked for).

    Args:
        there: All volumes of the account.
        wanted: Id or name of each volume to mount -> its path.

    Raises:
        InputError: A volume does not exist, is given twice or shares its name, or they are not all in the region.
    """
    mounts: dict[str, str] = {}
    places: set[str] = set()
    for named, path in wanted.items():
        volume = the_one(named, there, "network volumes", lambda each: each.label())
        if volume is None:
            names = ", ".join(each.label() for each in there) or "none"
            raise InputError(f"There is no network volume {named[:60]!r}", next_step=f"There are: {names}.")
        if volume.id in mounts:
            raise InputError(f"Network volume {volume.label()} is given twice", next_step="Name it once.")
        mounts[volume.id] = path
        places.add(volume.cluster_id)
    if len(places) > 1:
        where = ", ".join(sorted(places))
        raise InputError(f"The volumes are in different regions: {where}", next_step="Mount one region's.")
    place = next(iter(places), region)
    if region and region != place:
        raise InputError(f"The volumes are in {place}, not in {region}", next_step="Leave region out.")
    return mounts, place


def unknown_option(name: str, known: Collection[str]) -> InputError:
    """The error for an unknown option. It names the option that was probably meant, or all that exist."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
    return InputError(f"Unknown option {name[:40]!r}", next_step=hint)
