"""Model tools: which media models there are, and what one of them takes."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, JsonValue

from ...novita.core.errors import InputError
from ...novita.core.words import counted
from ...novita.journal.gone import GoneModel
from ...novita.media.checkpoints import CheckpointType, search_library
from ...novita.media.lookup import Capability, MediaModel, media_models
from ...novita.media.mapping import plan_native
from ...novita.media.native_files import measured, with_files
from ...novita.media.price_rows import price_line, priced_on
from ...novita.media.voices import KnownVoice, like, speakers, spread
from ..kit.arguments import SELDOM, Confirm, DryRun, Offset, SaveTo, WaitSeconds
from ..kit.context import Call
from ..kit.pages import page_of
from ..kit.toolset import READS, SPENDS, ToolResult, Toolset
from ..kit.ways import what_is_gone
from .freshness import up_to_date
from .media_request import run
from .named_models import known_or_offered
from .no_match import what_would_fit
from .results import MediaResult
from .taken import taken_by_tools

models = Toolset("models", "Which media models there are, and what they take.")

Makes = Literal["image", "video", "audio", "text", "voice"]


class MediaModelLine(BaseModel):
    """One model in a list."""

    id: str = Field(description="Give it as `model`.")
    title: str = Field(description="Its name.")
    does: tuple[str, ...] = Field(description="What it can do.")
    takes: tuple[str, ...] = Field(description="Common arguments it honours.")
    price: str = Field(description="Novita's own; \"about\": somebody else's figure for it; or unknown.")
    state: str = Field(
        description="live, unlisted (in no notice, not in the newest docs), unknown, retired; gone: seen."
    )


def _living_abilities() -> JsonValue:
    """What at least one living model can do. Only these are listed as choices; other capabilities are accepted too."""
    return [one.value for one in Capability if any(one in model.does for model in media_models() if model.live)]


class MediaModelList(ToolResult):
    """Media models, best choice first."""

    models: tuple[MediaModelLine, ...] = Field(description="Best choice first.")
    voices: tuple[str, ...] | None = Field(default=None, description="Voices like that, the nearest first: id (what).")
    total: int = Field(description="How many fit the filter.")
    more: bool = Field(description="Whether more follow; ask with a larger offset.")
    next_step: str | None = Field(default=None, description="What would fit, where nothing does.")

    def headline(self) -> str:
        if self.voices and not self.models:
            return f"{counted(len(self.voices), 'voice')}, the nearest first."
        return f"{len(self.models)} of {counted(self.total, 'model')}."


@models.tool("List media models", READS)
async def list_media_models(
    call: Call,
    does: Annotated[
        str | None, Field(description="Only models that can do this.", json_schema_extra={"enum": _living_abilities()})
    ] = None,
    search: Annotated[str | None, Field(description="Words in its name or summary.")] = None,
    voice: Annotated[str | None, Field(description="Also show voices like: calm female Korean.")] = None,
    retired: Annotated[bool, Field(description="Those switched off too."), SELDOM] = False,
    offset: Offset = 0,
) -> MediaModelList:
    """Which models, generators or makers of pictures, images, videos, speech and music there are, what each can do
    and costs, such as text-to-video; is there one for what I want; also which voices there are. Settings of one:
    describe_media_model; language models: list_models. Free; returns ids, abilities and prices.
    """
    gone = await up_to_date(call)
    near = (
        spread([one for one, misses in like(voice) if not misses] or [one for one, _ in like(voice)]) if voice else []
    )
    capability = _capability(does) if does else Capability.TEXT_TO_SPEECH if voice else None
    words = (search or "").casefold().split()
    found = [
        model
        for model in media_models()
        if (does or search or not voice)
        and (capability is None or capability in model.does)
        and (retired or model.live)
        and all(word in f"{model.id} {model.title} {model.summary}".casefold() for word in words)
    ]
    found.sort(key=lambda model: model.doubt)
    page = page_of(found, offset, _PAGE)
    return MediaModelList(
        models=tuple(_line(model, gone.get(model.id)) for model in page.rows),
        total=page.total,
        more=page.next_offset is not None,
        voices=tuple(one.words for one in near[:_VOICES]) or None,
        next_step=_how_to_speak(near) if near else None if found else what_would_fit(capability, search or ""),
    )


def _how_to_speak(near: Sequence[KnownVoice]) -> str:
    """How the voices that were found can be used."""
    speak = {model.id for voice in near for model in speakers(voice.family)[:2]}
    return f"Give an id to generate_speech as voice; it is spoken by {' or '.join(sorted(speak))}."


def _capability(name: str) -> Capability:
    try:
        return Capability(name.strip().lower().replace(" ", "_").replace("-", "_"))
    except ValueError as error:
        raise InputError(
            f"No model does {name[:40]!r}", next_step=f"Models do: {', '.join(sorted(Capability))}."
        ) from error


_PAGE, _VOICES = 40, 20


def _line(model: MediaModel, gone: GoneModel | None) -> MediaModelLine:
    return MediaModelLine(
        id=model.id,
        title=model.title,
        does=tuple(model.does),
        takes=tuple(model.arguments),
        price=price_line(model),
        state=gone.words if gone else model.state,
    )


class ModelDetails(ToolResult):
    """One media model."""

    id: str = Field(description="Give it as `model`.")
    title: str = Field(description="Its name.")
    summary: str = Field(description="What it is for.")
    makes: Makes = Field(description="What comes out.")
    does: tuple[str, ...] = Field(description="What it can do.")
    state: str = Field(description="live, unlisted, unknown, retired; gone: this server was told so.")
    state_note: str | None = Field(default=None, description="Since when and why, and what to take instead.")
    price: str = Field(description="Novita's own; \"about\": somebody else's figure for it; or unknown.")
    answers: Literal["at once", "after a wait"] = Field(description="Whether it is slow.")
    tools: dict[str, tuple[str, ...]] = Field(
        description="Tool: what it takes for this model, in its words; options.x is given as x in its options."
    )
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
    model: Annotated[str, Field(max_length=100, description="Id from list_media_models.")],
) -> ModelDetails:
    """Settings and limits of one image, video or audio model, such as Kling, Wan, Seedance or Flux: which
    parameters, sizes, durations, resolutions and formats it takes or accepts, and its price. Read it before using
    options. Free; returns its native input schema.
    """
    found = await known_or_offered(call, model)
    gone = (await what_is_gone(call)).get(found.id)
    return ModelDetails(
        id=found.id,
        title=found.title,
        summary=found.summary,
        makes=found.makes,
        does=tuple(found.does),
        state=gone.words if gone else found.state,
        state_note=found.state_note or None,
        price=_price_of(found),
        answers="at once" if found.mode == "sync" else "after a wait",
        tools=taken_by_tools(found),
        arguments={name: " + ".join(argument.paths) or name for name, argument in found.arguments.items()},
        always=dict(found.constants),
        native_schema=found.input,
        source=found.source,
        checked=found.checked,
    )


def _price_of(model: MediaModel) -> str:
    """The price in words, with the day on which it was read."""
    day = priced_on(model)
    return f"{price_line(model)}, seen {day}" if day and model.tariff is None else price_line(model)


class CheckpointLine(BaseModel):
    """One file of the Stable Diffusion library."""

    name: str = Field(description='Give it as options={"model_name": ...}, or in loras and embeddings.')
    title: str = Field(description="Its name.")
    type: str = Field(description="checkpoint, lora, vae, controlnet, upscaler or textualinversion.")
    base: str | None = Field(default=None, description="What it builds on, such as SDXL 1.0.")
    sdxl: bool | None = Field(default=None, description="Whether it is for SDXL.")
    inpainting: bool | None = Field(default=None, description="Whether it is for inpainting.")
    tags: str | None = Field(default=None, description="What it is filed under.")


class CheckpointList(ToolResult):
    """Files of the Stable Diffusion library."""

    checkpoints: tuple[CheckpointLine, ...] = Field(description="In Novita's order.")
    next_cursor: str | None = Field(default=None, description="Give it as cursor for the next page.")

    def headline(self) -> str:
        return f"{len(self.checkpoints)} found."


@models.tool("Search checkpoints", READS)
async def search_checkpoints(
    call: Call,
    query: Annotated[str | None, Field(description="Words in name or tags.")] = None,
    type: Annotated[CheckpointType | None, Field(description="Kind of file."), SELDOM] = None,
    cursor: Annotated[str | None, Field(description="For the next page: next_cursor.")] = None,
) -> CheckpointList:
    """Find Stable Diffusion checkpoints, LoRAs and VAEs by style or name, such as anime, realistic or SDXL, as on
    Civitai. Free; returns names for generate_image's checkpoint.
    """
    page = await search_library(call.novita, query=query, kind=type, limit=20, cursor=cursor)
    return CheckpointList(
        checkpoints=tuple(CheckpointLine(**file.model_dump()) for file in page.files), next_cursor=page.next_cursor
    )


@models.tool("Run a media model", SPENDS)
async def run_media_model(
    call: Call,
    model: Annotated[str, Field(description="Id from list_media_models.")],
    input: Annotated[dict[str, Any], Field(description="Fields as describe_media_model shows them.")],
    save_to: SaveTo = None,
    wait_seconds: Annotated[WaitSeconds, SELDOM] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Run or call one named image, video or audio model with exactly my own raw JSON or native parameters, for
    settings that other tools lack. Otherwise use generate_image, generate_video and the like. Costs what the model
    costs; the files are saved.
    """
    chosen = await known_or_offered(call, model)
    planned = await measured(await with_files(plan_native(chosen, input), call.inputs), call.inputs)
    title = str(input.get("prompt") or input.get("text") or chosen.id)
    return await run(call, planned, title=title)
