"""What a caller wishes of every row of a batch, and what is to be known before it runs."""

from typing import Any

from ...novita.batches.rows import Prepared
from ...novita.core.errors import InputError
from ...novita.text.language_models import LlmModel
from ...novita.text.request_checks import check_schema, response_format


def with_wishes(
    options: dict[str, Any] | None, schema: dict[str, Any] | None, thinking: bool | None
) -> dict[str, Any] | None:
    """The options of every row with a schema and thinking, as chat sends them.

    Raises:
        InputError: The same is said twice.
    """
    made: dict[str, Any] = dict(options or {})
    if schema is not None:
        if "response_format" in made:
            raise InputError("Give either response_schema or options.response_format")
        check_schema(schema, "response_schema")
        made["response_format"] = response_format(schema)
    if thinking is not None:
        if made.get("enable_thinking", thinking) is not thinking:
            raise InputError("thinking and options.enable_thinking say different things")
        made["enable_thinking"] = thinking
    return made or None


LEAST_TO_THINK = 2_048
"""max_tokens below which a model that thinks first may have nothing left for its answer."""


def too_few(prepared: Prepared, model: LlmModel | None) -> str:
    """A warning where a model that reasons may use up all tokens before it answers; empty where there is none."""
    fewest = prepared.extremes.fewest
    if model is None or not model.has("reasoning") or fewest is None or fewest >= LEAST_TO_THINK:
        return ""
    return (
        f"{model.id} thinks before it answers, and {fewest} max_tokens are little for that: answers may be cut off or "
        f"empty, and are paid for all the same. Give thinking=false, or max_tokens of {LEAST_TO_THINK} or more."
    )
