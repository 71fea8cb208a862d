"""Arguments of the GPU tools, and bounds that a schema need not spell out: the error says them when it matters."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from ...novita.core.errors import InputError


@dataclass(frozen=True)
class Between:
    """A number in these bounds. As a check after the type, it costs no tokens in the schema."""

    least: float
    most: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return AfterValidator(self.check).__get_pydantic_core_schema__(source, handler)

    def check(self, value: Any) -> Any:
        if value is not None and not self.least <= value <= self.most:
            raise ValueError(f"must be {self.least:g} to {self.most:g}")
        return value


Wait = Annotated[float | None, Between(0, 3_600), Field(description="Until it is done; default 45.")]
Yes = Annotated[bool, Field(description="User agrees.")]
DryRun = Annotated[bool, Field(description="Only show request and price.")]


def whole_months(value: Any) -> int | None:
    """The option `month`: 1 to 12, or not given.

    Raises:
        InputError: It is something else.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 12:
        raise InputError("The option month must be a whole number from 1 to 12")
    return value


def check_length(what: str, text: str | None, most: int) -> None:
    """Raise InputError for a text longer than Novita takes."""
    if text is not None and len(text) > most:
        raise InputError(f"{what} has {len(text)} characters; at most {most} are taken")
