"""Arguments that several tools share, worded once."""

from typing import Annotated, Any

from pydantic import Field

Prompt = Annotated[str, Field(min_length=1, max_length=20_000, description="What it shows, in plain words.")]
Model = Annotated[str | None, Field(description="An id from list_media_models; chosen from the inputs when left out.")]
NegativePrompt = Annotated[str | None, Field(max_length=5_000, description="What to keep out.")]
Count = Annotated[int | None, Field(ge=1, le=15, description="How many variants; default 1. Each is billed.")]
Seed = Annotated[int | None, Field(ge=-1, le=2**53, description="For repeatable results; random when left out.")]
Size = Annotated[str | None, Field(pattern=r"^\s*\d{2,5}\s*[x*×]\s*\d{2,5}\s*$", description="Pixels, e.g. 1024x768.")]
AspectRatio = Annotated[
    str | None, Field(pattern=r"^\d{1,2}:\d{1,2}$", description="E.g. 16:9. Not together with size.")
]
Options = Annotated[
    dict[str, Any] | None,
    Field(description='What only this model has, by its native names, e.g. {"steps": 8}; see describe_media_model.'),
]
SaveTo = Annotated[
    str | None,
    Field(max_length=1_000, description="Folder or file name inside the allowed folders; default Downloads/novita."),
]
WaitSeconds = Annotated[
    float | None,
    Field(ge=0, le=3_600, description="Longest wait in seconds; default 45, 0 returns the task id at once."),
]
