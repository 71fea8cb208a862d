"""Rules between the fields of a media model's native request."""

from typing import Any

from ..core.json_paths import MISSING, Json, get_path
from .catalog_entry import FieldRule, MediaModel


def effective(model: MediaModel, body: Json, path: str) -> Any:
    """The value a field will have: the one given, else the documented default, else MISSING."""
    value = get_path(body, path)
    if value is MISSING or value is None:
        return (model.field(path) or {}).get("default", MISSING)
    return value


def breaks(model: MediaModel, body: Json, rule: FieldRule) -> bool:
    """Whether a body breaks a rule of its model."""

    def holds(path: str, wanted: list[Any] | bool) -> bool:
        if isinstance(wanted, bool):
            return (get_path(body, path) not in (MISSING, None)) is wanted
        value = effective(model, body, path)
        return (None if value is MISSING else value) in wanted

    return all(holds(*one) for one in rule.when.items()) and not all(holds(*one) for one in rule.need.items())
