"""The facts of a journal row, besides its columns: a frozen type for each kind of job, checked on write and on read.

Facts are added as a job goes on. Only the fields that were set are written, and a fact that was set to None is
removed. The database keeps them as a JSON object.
"""

import json
import logging
from decimal import Decimal
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

logger = logging.getLogger(__name__)


class Facts(BaseModel):
    """Facts that any row may have.

    Args:
        usd: Its known cost, which is no estimate any more.
        took: Seconds from accepted to done, if it was watched closely enough to know.
        resource: Id of the thing at Novita it is about, as the bill names it.
        ended: When that thing ended for good, in Unix seconds, so that the bill can settle the row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    usd: Decimal | None = None
    took: float | None = None
    resource: str | None = None
    ended: float | None = None

    def set_fields(self) -> dict[str, Any]:
        """The fields that were set, as JSON values."""
        return self.model_dump(mode="json", exclude_unset=True)

    def with_(self, other: "Facts") -> Self:
        """These facts, updated with the fields that were set in others; fields set to None are removed.

        Raises:
            TypeError: The others are of another kind.
        """
        if type(other) not in (type(self), Facts):
            raise TypeError(f"{type(other).__name__} cannot be added to {type(self).__name__}")
        together = {**self.set_fields(), **other.set_fields()}
        return type(self).model_validate({name: value for name, value in together.items() if value is not None})


class MediaFacts(Facts):
    """A picture, a film or a sound.

    Args:
        operation: The route that was called, by its name in the API facts.
        save_to: The folder or file that the caller named for its files.
        mode: How it answers: "sync" has its files at once.
        remark: How the result differs from what was asked for.
        asked: The number of files that was asked for.
        look: How its task is looked up, if not in the usual way.
        values: Results that are not files.
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
    """A call that is awaited directly: chat, embeddings, search, an endpoint's answer.

    Args:
        tokens: Tokens that the model wrote.
        answer_id: The answer's id at Novita.
        provider: The provider of a search.
        index: A hash of the texts and the model that an index was made of.
    """

    tokens: int | None = None
    answer_id: str | None = None
    provider: str | None = None
    index: str | None = None


class BatchFacts(Facts):
    """A batch.

    Args:
        content: A hash of its rows.
        rows: The number of rows.
        endpoint: The API route that the rows call.
        answered: Rows with an answer; `unanswered` counts those without, and `why` counts these by reason.
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
        usd_per_hour: Its price while it runs, root disk included.
        billing: How it is billed: onDemand, spot, monthly.
        term_usd: The term that was paid in advance.
        metered_from: Since when its time is billed.
        rests_since: Since when it is stopped.
        waited_until: When it was last seen starting.
        kept_until: When it was last seen to be kept longer than a stopped machine usually is.
        volume: Name and region of a volume that is being made.
        of: The thing that is made larger: to `to_gb` GB, which adds `adds_usd_per_day`.
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
        min_workers: The number of workers that it asks to keep alive.
        usd_per_worker_hour: The price of one worker.
        waiting_at: When it was last seen not serving yet, in Unix seconds.
    """

    min_workers: int | None = None
    usd_per_worker_hour: Decimal | None = None
    waiting_at: float | None = None


class GatewayFacts(Facts):
    """A job of an async endpoint.

    Args:
        gateway_name: The endpoint's name at the gateway.
        usd_per_worker_hour: The price of one worker.
        counted_by_endpoint: All its workers are kept alive, so the endpoint's own row counts them.
        worker_usd: The price of one worker for the time that the job took.
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
        usd_per_hour: Its price while it runs.
        ends_at: When its time is over, by the last look.
        paused_since: When it was first seen paused.
        whole: The most that the rest of its life can cost, in USD, if this row gave it time.
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
"""Kind of job -> the type of its facts. Rows of other kinds have plain `Facts`."""

F = TypeVar("F", bound=Facts)


def written(kind: str, facts: Facts) -> str:
    """Facts of a row of that kind, as the text that the database keeps.

    Raises:
        TypeError: They are facts of another kind of job.
    """
    wanted = FACTS.get(kind, Facts)
    if type(facts) not in (wanted, Facts):
        raise TypeError(f"a {kind} job has {wanted.__name__}, not {type(facts).__name__}")
    return json.dumps({name: value for name, value in facts.set_fields().items() if value is not None})


def read_facts(kind: str, text: str) -> Facts:
    """Read a row's facts. Fields that do not fit the type (another program may have written them) are dropped and
    logged."""
    wanted = FACTS.get(kind, Facts)
    try:
        return wanted.model_validate_json(text)
    except ValidationError as error:
        odd = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
    logger.warning(
        "a row of a %s job has facts that such rows do not have: %s", kind, ", ".join(sorted(odd)) or text[:40]
    )
    if not odd:
        return wanted()
    stored: dict[str, Any] = json.loads(text)
    return wanted.model_validate({name: value for name, value in stored.items() if name not in odd})
