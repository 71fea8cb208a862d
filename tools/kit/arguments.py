"""Arguments that several tools share, worded once and briefly: every word is paid for in every conversation.

Bounds that the chosen model sets (sizes, ratios) are checked with its entry, whose errors say more than a pattern.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

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


Prompt = Annotated[str, Field(min_length=1, description="What to make.")]
Model = Annotated[str | None, Field(description="See list_media_models.")]
Count = Annotated[int | None, Field(ge=1, le=15, description="Variants.")]
Seed = Annotated[int | None, Field(description="Repeats a result.")]
Size = Annotated[str | None, Field(description="Pixels: 1024x768.")]
AspectRatio = Annotated[str | None, Field(description="Such as 16:9.")]
Resolution = Annotated[str | None, Field(description="Such as 1080p.")]
Strength = Annotated[float | None, Field(ge=0, le=1, description="Change: 0 none, 1 all.")]
ImageFormat = Annotated[Literal["png", "jpeg", "webp"] | None, Field(description="File type.")]
Image = Annotated[str, Field(min_length=1, description="URL, path or task:<id>/<n>.")]
Resize = Annotated[bool, Field(description="Fit it to the model's limits.")]
Options = Annotated[dict[str, Any] | None, Field(description="See describe_media_model.")]
SaveTo = Annotated[str | None, Field(description="Folder or file.")]
WebhookUrl = Annotated[str | None, Field(description="Novita POSTs here when done.")]
WaitSeconds = Annotated[float | None, Field(ge=0, description="Default 45; 0: no wait.")]
Confirm = Annotated[bool, Field(description="User agrees.")]
DryRun = Annotated[bool, Field(description="Show request and cost only.")]
Wait = Annotated[float | None, Between(0, 3_600), Field(description="Until it is done; default 45.")]


def check_length(what: str, text: str | None, most: int) -> None:
    """Raise InputError for a text longer than Novita takes."""
    if text is not None and len(text) > most:
        raise InputError(f"{what} has {len(text)} characters; at most {most} are taken")
