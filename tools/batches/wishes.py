"""Options that a caller gives for every row of a batch, and warnings to give before the batch runs."""

from typing import Any

from ...novita.batches.rows import Prepared
from ...novita.core.errors import InputError
from ...novita.text.language_models import LlmModel
from ...novita.text.request_checks import check_schema, response_format


def with_wishes(
    options: dict[str, Any] | None, schema: dict[str, Any] | None, thinking: bool | None
) -> dict[str, Any] | None:
    """The options for every row, with `schema` and `thinking` added in the form in which chat sends them.

    Raises:
        InputError: The options already set what an argument sets.
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
"""A model that thinks first needs at least so many max_tokens, or nothing may be left for its answer."""


def too_few(prepared: Prepared, model: LlmModel | None) -> str:
    """A warning if the model reasons and may use up all tokens before it answers. Otherwise empty."""
    fewest = prepared.extremes.fewest
    if model is None or not model.has("reasoning") or fewest is None or fewest >= LEAST_TO_THINK:
        return ""
    return (
        f"{model.id} thinks before it answers, and {fewest} max_tokens are little for that: answers may be cut off or "
        f"empty, and are paid for all the same. Give thinking=false, or max_tokens of {LEAST_TO_THINK} or more."
    )
