"""What a row of the journal says besides its columns: a frozen type for each kind of job, checked on write and on read.

Facts are added as a job goes on: of a type given to the journal only what was set is written down, and a fact that was
set to None is taken away. In the database they stand as a JSON object.
"""

import json
import logging
from decimal import Decimal
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

logger = logging.getLogger(__name__)


class Facts(BaseModel):
    """What any row may say.

    Args:
        usd: What it cost, where that is no estimate any more.
        took: Seconds from accepted to done, where it was watched.
        resource: Id of the thing at Novita it is about, as the bill names it.
        ended: When that thing ended, in Unix seconds: the bill will have all its lines.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    usd: Decimal | None = None
    took: float | None = None
    resource: str | None = None
    ended: float | None = None

    def told(self) -> dict[str, Any]:
        """What was set, as JSON holds it."""
        return self.model_dump(mode="json", exclude_unset=True)

    def with_(self, other: "Facts") -> Self:
        """These with what was set in others of the same kind; what was set to None goes.

        Raises:
            TypeError: The others are of another kind.
        """
        if type(other) not in (type(self), Facts):
            raise TypeError(f"{type(other).__name__} cannot be added to {type(self).__name__}")
        together = {**self.told(), **other.told()}
        return type(self).model_validate({name: value for name, value in together.items() if value is not None})


class MediaFacts(Facts):
    """A picture, a film or a sound.

    Args:
        operation: The route that was asked, by its name in the API facts.
        save_to: Where the caller wished its files.
        mode: How it answers: "sync" has its files at once.
        remark: What differs from what was asked for.
        asked: Files it was asked for.
        look: How its task is looked at, where not in the usual way.
        values: What it made that is no file.
        empty_since: When it was first seen to have succeeded without files, in Unix seconds.
    """

    operation: str | None = None
    save_to: str | None = None
    mode: str | None = None
    remark: str | None = None
    asked: int | None = None
    seed: int | None = None
    look: str | None = None
    values: dict[str, str] | None = None
    empty_since: float | None = None


class CallFacts(Facts):
    """A call that is awaited: chat, embeddings, search, an endpoint's answer.

    Args:
        tokens: Written by the model.
        answer_id: The answer's id at Novita.
        provider: Of a search.
        index: Of which texts and model an index was made, as a hash.
    """

    tokens: int | None = None
    answer_id: str | None = None
    provider: str | None = None
    index: str | None = None


class BatchFacts(Facts):
    """A batch.

    Args:
        content: A hash of its rows.
        rows: How many there are.
        endpoint: What they ask.
        answered: Rows with an answer; `unanswered` those without, and `why` by reason.
    """

    content: str | None = None
    rows: int | None = None
    endpoint: str | None = None
    input_file_id: str | None = None
    answered: int | None = None
    unanswered: int | None = None
    why: dict[str, int] | None = None


class GpuFacts(Facts):
    """A machine or a volume, or what was done to one. Times are Unix seconds, money USD.

    Args:
        usd_per_hour: While it runs, root disk included.
        billing: How it is billed: onDemand, spot, monthly.
        term_usd: Paid in advance.
        metered_from: Since when its time counts.
        rests_since: Since when it is stopped.
        waited_until: When it was last seen on its way.
        kept_until: When it was last seen to be kept beyond the usual time.
        volume: Name and region of a volume that is being made.
        of: The thing that grows; to so many GB, which adds so much a day.
        moved_to: The row that counts the growth.
    """

    usd_per_hour: Decimal | None = None
    disk_gb: int | None = None
    billing: str | None = None
    term_usd: Decimal | None = None
    metered_from: float | None = None
    rests_since: float | None = None
    waited_until: float | None = None
    kept_until: float | None = None
    volume: tuple[str, str] | None = None
    of: str | None = None
    to_gb: int | None = None
    adds_usd_per_day: Decimal | None = None
    moved_to: str | None = None


class EndpointFacts(Facts):
    """A creation or a change of an endpoint.

    Args:
        min_workers: Kept alive by its wish.
        usd_per_worker_hour: What one costs.
        waiting_at: When it was last seen not to serve yet, in Unix seconds.
    """

    min_workers: int | None = None
    usd_per_worker_hour: Decimal | None = None
    waiting_at: float | None = None


class GatewayFacts(Facts):
    """A job of an async endpoint.

    Args:
        gateway_name: What the gateway calls the endpoint.
        usd_per_worker_hour: What a worker costs.
        counted_by_endpoint: All its workers are kept alive, and counted by the endpoint's own row.
        worker_usd: What a worker cost for as long as it took.
    """

    endpoint_id: str | None = None
    gateway_name: str | None = None
    save_to: str | None = None
    usd_per_worker_hour: Decimal | None = None
    counted_by_endpoint: bool | None = None
    worker_usd: Decimal | None = None


class SandboxFacts(Facts):
    """A sandbox, or what was done to one. Times are Unix seconds.

    Args:
        usd_per_hour: While it runs.
        ends_at: When its time is over, as it was last seen.
        paused_since: When it was first seen paused.
        whole: What the rest of its life costs at most, where this row gave it time; in USD.
    """

    usd_per_hour: Decimal | None = None
    ends_at: float | None = None
    paused_since: float | None = None
    whole: Decimal | None = None


FACTS: dict[str, type[Facts]] = {
    "media": MediaFacts,
    "call": CallFacts,
    "batch": BatchFacts,
    "gpu_instance": GpuFacts,
    "gpu_admin": GpuFacts,
    "endpoint": EndpointFacts,
    "gateway_job": GatewayFacts,
    "sandbox": SandboxFacts,
}
"""Kind of job -> what its rows may say. Of a kind that is not here they say what any row may."""

F = TypeVar("F", bound=Facts)


def written(kind: str, facts: Facts) -> str:
    """Facts of a row of that kind, as they are kept.

    Raises:
        TypeError: They are facts of another kind of job.
    """
    wanted = FACTS.get(kind, Facts)
    if type(facts) not in (wanted, Facts):
        raise TypeError(f"a {kind} job has {wanted.__name__}, not {type(facts).__name__}")
    return json.dumps({name: value for name, value in facts.told().items() if value is not None})


def read_facts(kind: str, text: str) -> Facts:
    """Facts as a row has them. What does not fit, as another hand may have left it, is left out and logged."""
    wanted = FACTS.get(kind, Facts)
    try:
        return wanted.model_validate_json(text)
    except ValidationError as error:
        odd = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
    logger.warning("a row of a %s job says what such rows do not: %s", kind, ", ".join(sorted(odd)) or text[:40])
    if not odd:
        return wanted()
    told: dict[str, Any] = json.loads(text)
    return wanted.model_validate({name: value for name, value in told.items() if name not in odd})
