"""Model tools: which media models there are, and what one of them takes."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ..novita.catalog import Capability, MediaModel, media_model, media_models
from ..novita.errors import InputError
from .context import Call
from .toolset import READS, ToolResult, Toolset

models = Toolset("models", "Which media models there are, and what they take.")

Makes = Literal["image", "video", "audio", "text", "voice"]


class ModelLine(BaseModel):
    """One model in a list."""

    id: str = Field(description="Give it as `model`.")
    title: str = Field(description="Its name.")
    does: tuple[str, ...] = Field(description="What it can do.")
    takes: tuple[str, ...] = Field(description="Common arguments it honours.")
    price: str = Field(description="As documented, or unknown.")
    state: str = Field(description="listed, unlisted (works, not in the newest docs), unconfirmed, or retired.")


class ModelList(ToolResult):
    """Media models, best choice first."""

    models: tuple[ModelLine, ...] = Field(description="Best choice first.")
    total: int = Field(description="How many fit the filter.")
    more: bool = Field(description="Whether more follow; ask with a larger offset.")

    def headline(self) -> str:
        return f"{len(self.models)} of {self.total} models."


@models.tool("List media models", READS)
async def list_media_models(
    call: Call,
    makes: Annotated[Makes | None, Field(description="Only makers of this.")] = None,
    does: Annotated[str | None, Field(description="Only for this, e.g. text_to_image, image_to_video.")] = None,
    search: Annotated[str | None, Field(description="Words in id or summary.")] = None,
    retired: Annotated[bool, Field(description="Also retired and unconfirmed ones.")] = False,
    limit: Annotated[int, Field(ge=1, le=60, description="How many.")] = 20,
    offset: Annotated[int, Field(ge=0, description="Skip so many.")] = 0,
) -> ModelList:
    """Image, video and audio models: what they do, take and cost. Free. Language models: list_models."""
    capability = _capability(does) if does else None
    words = (search or "").casefold().split()
    found = [
        model
        for model in media_models()
        if (makes is None or model.makes == makes)
        and (capability is None or capability in model.does)
        and (retired or model.live)
        and all(word in f"{model.id} {model.title} {model.summary}".casefold() for word in words)
    ]
    found.sort(key=lambda model: _STATES.index(model.state))
    page = found[offset : offset + limit]
    return ModelList(
        models=tuple(_line(model) for model in page), total=len(found), more=offset + len(page) < len(found)
    )


def _capability(name: str) -> Capability:
    try:
        return Capability(name.strip().lower().replace(" ", "_").replace("-", "_"))
    except ValueError as error:
        raise InputError(
            f"No model does {name[:40]!r}", next_step=f"Models do: {', '.join(sorted(Capability))}."
        ) from error


_STATES = ("listed", "unlisted", "unconfirmed", "retired")


def _line(model: MediaModel) -> ModelLine:
    return ModelLine(
        id=model.id,
        title=model.title,
        does=tuple(model.does),
        takes=tuple(model.arguments),
        price=_price(model),
        state=model.state,
    )


def _price(model: MediaModel) -> str:
    """The price rows in one line; formulas and conditions stay in `estimate_cost`."""
    rows = [f"${row.usd} per {row.per.replace('_', ' ')}" for row in model.price if not row.extra]
    if not rows:
        return "unknown"
    more = f" and {len(rows) - 3} more, by its settings" if len(rows) > 3 else ""
    return "; ".join(dict.fromkeys(rows[:3])) + more


class ModelDetails(ToolResult):
    """One media model."""

    id: str = Field(description="Give it as `model`.")
    title: str = Field(description="Its name.")
    summary: str = Field(description="What it is for.")
    makes: Makes = Field(description="What comes out.")
    does: tuple[str, ...] = Field(description="What it can do.")
    state: str = Field(description="listed, unlisted, unconfirmed or retired.")
    state_note: str | None = Field(default=None, description="Why it is in that state.")
    price: str = Field(description="As documented, or unknown.")
    answers: Literal["at once", "after a wait"] = Field(description="Whether it is slow.")
    arguments: dict[str, str] = Field(description="Common argument: the native field it becomes.")
    always: dict[str, Any] = Field(description="Native fields that are sent unless options say otherwise.")
    native_schema: dict[str, Any] = Field(description="JSON schema of its own input, for options and run_media_model.")
    source: str = Field(description="Where these facts come from.")
    checked: str = Field(description="When they were last checked, YYYY-MM-DD.")

    def headline(self) -> str:
        return f"{self.title}: {self.summary}"


@models.tool("Describe a media model", READS)
async def describe_media_model(
    call: Call,
    model: Annotated[str, Field(min_length=2, max_length=100, description="An id from list_media_models.")],
) -> ModelDetails:
    """One media model in full: native input schema, how common arguments map to it, price, state. Free.

    Read it before using options.
    """
    found = media_model(model)
    return ModelDetails(
        id=found.id,
        title=found.title,
        summary=found.summary,
        makes=found.makes,
        does=tuple(found.does),
        state=found.state,
        state_note=found.state_note or None,
        price=_price(found),
        answers="at once" if found.mode == "sync" else "after a wait",
        arguments={name: " + ".join(argument.paths) or name for name, argument in found.arguments.items()},
        always=dict(found.constants),
        native_schema=found.input,
        source=found.source,
        checked=found.checked,
    )
