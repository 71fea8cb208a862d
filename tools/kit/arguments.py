"""Arguments that several tools share. Descriptions are brief, since every conversation pays for their tokens.

Limits that depend on the chosen model (sizes, ratios) are checked by its catalogue entry, not by the schema: the entry
can say in an error what is allowed.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from .schemas import UNLISTED

SELDOM = Field(json_schema_extra=UNLISTED)
"""For arguments that an agent sets only when asked to: `Annotated[Seed, SELDOM]` is accepted but not listed."""

Prompt = Annotated[str, Field(min_length=1, description="What the picture shows.")]
Model = Annotated[str | None, Field(description="Id from list_media_models.")]
Count = Annotated[int | None, Field(ge=1, le=15, description="How many pictures or variants.")]
Seed = Annotated[int | None, Field(description="Same seed and prompt: same picture.")]
Size = Annotated[str | None, Field(description="Such as 1024x768.")]
AspectRatio = Annotated[str | None, Field(description="Such as 16:9.")]
Resolution = Annotated[str | None, Field(description="Such as 1080p.")]
Strength = Annotated[float | None, Field(ge=0, le=1, description="How much changes.")]
ImageFormat = Annotated[Literal["png", "jpeg", "webp"] | None, Field(description="File type.")]
OneOrMany = Annotated[str | list[str], WithJsonSchema({"type": "string"})]
"""A file, or many: a folder, a pattern, a list, or one per line. The schema shows only text, since not every client can
read a union of types; a list is accepted all the same."""
Image = Annotated[OneOrMany, Field(description="File path, URL or task:<id>/<n>; many: folder, *.jpg, or one a line.")]
Checkpoint = Annotated[str | None, Field(description="Name from search_checkpoints.")]
Resize = Annotated[bool, Field(description="Fit it to the model's limits."), SELDOM]
Options = Annotated[dict[str, Any] | None, Field(description="Fields that describe_media_model shows.")]
SaveTo = Annotated[str | None, Field(description="Where to save: folder or file path.")]
WebhookUrl = Annotated[str | None, Field(description="Novita POSTs here when done."), SELDOM]
WaitSeconds = Annotated[float | None, Field(ge=0, description="Longest wait; default 45.")]
Confirm = Annotated[bool, Field(description="true only after the user agreed to the price shown.")]
Agreed = Annotated[bool, Field(description="true only after the user agreed.")]
"""The user's agreement to an act that is free but destroys something."""
DryRun = Annotated[bool, Field(description="Only show the price.")]
Wait = Annotated[float | None, Field(ge=0, le=3_600, description="Longest wait; default 45.")]

Offset = Annotated[int, Field(ge=0, description="Rows to skip, for the next page.")]
