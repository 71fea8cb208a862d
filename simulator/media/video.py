"""The video area: one handler for all models, the upload of assets, and the unified endpoint."""

from __future__ import annotations

import asyncio
import io
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from starlette.responses import Response

from ..core.answers import answer, envelope
from ..core.bounds import Kept
from ..core.calls import Call, Handler, Json
from ..core.facts import Invalid, Operation, check_body, operations, request_schema
from ..core.faults import Fault
from ..core.prices import usd_each
from ..core.world import World
from .film import SOUND_RATE, Clip, Film, NotAFilmError, look_at, make_film, make_gif, open_picture, stills
from .hearing import Hearing
from .inputs import TakenInput, take_clip, take_picture, take_sound
from .sound import Samples, decode, mix, play, speak
from .tasks import TaskOutput, TaskStore
from .video_plan import EDITS, Fields, FilmPlan, frame_size, plan
from .video_rules import CLIP_LIMITS, SOUND_LIMITS, broken_rule, limits_of, picture_limits

if TYPE_CHECKING:
    from PIL.Image import Image

ASSET_MOST: Final = (3840, 100_000_000)  # Pixels of the longer side, and bytes.
# The operation that does the same, by its id in the unified endpoint.
UNIFIED: Final = {
    "kling2.5_turbo_pro_t2v": "kling_2_5_turbo_t2v",
    "kling2.5_turbo_pro_i2v": "kling_2_5_turbo_i2v",
    "kling2.1_master_t2v": "kling_v2_1_t2v_master",
    "kling2.1_master_i2v": "kling_v2_1_i2v_master",
    "seedance_v1.5_pro_t2v": "seedance_v1_5_pro_t2v",
    "seedance_v1.5_pro_i2v": "seedance_v1_5_pro_i2v",
    "wan2.2_t2v": "wan_2_2_t2v",
    "wan2.5_preview_t2v": "wan_2_5_t2v_preview",
    "minimax_hailuo2.3_t2v": "minimax_hailuo_2_3_t2v",
    "seedance_v1_lite_t2v": "seedance_v1_lite_t2v",
    "seedance_v1_pro_t2v": "seedance_v1_pro_t2v",
    "wan2.6_t2v": "wan2_6_t2v",
    "wan2.6_i2v": "wan2_6_i2v",
    "wan2.6_v2v": "wan2_6_v2v",
}
# Field names for Seedance in the unified endpoint, and in the model's own endpoint.
_UNIFIED_NAMES: Final = {"add_audio": "generate_audio", "aspect_ratio": "ratio", "end_image": "last_image"}


class VideoState:
    """Uploaded assets by id."""

    def __init__(self, world: World) -> None:
        self.assets: Kept[str, bytes] = Kept(world.bounds.records, most_bytes=world.bounds.upload_bytes, size=len)


@dataclass(frozen=True)
class VideoInputs:
    """The files of a request, read and checked.

    `keys` are frames of the film, and `references` only show what it should contain.
    """

    keys: tuple[bytes, ...]
    references: tuple[bytes, ...]
    clip: bytes | None
    clip_link: str
    """The link of a clip outside of this simulator, whose content was invented; "" for any other clip."""
    sound: TakenInput | None


async def make_video(call: Call) -> Response:
    """Check and charge a request to any of the models, and start its task."""
    return await _submit(call, call.operation, call.body, _webhook(call.body))


async def create_unified_video(call: Call) -> Response:
    body = dict(call.body)
    model, callback = body.pop("model"), body.pop("callback_url", None)
    if model not in UNIFIED:
        raise call.invalid(f"model: {model!r} is not one of the models of the config route")
    operation = operations()[UNIFIED[model]]
    if not call.world.offers(operation.id):
        raise Fault.named("llm", "MODEL_NOT_FOUND", "model not found")
    try:
        native = check_body(operation, _native(operation, body))
    except Invalid as error:
        raise call.invalid(str(error)) from None
    return await _submit(call, operation, native, {"url": callback} if callback else None)


async def get_unified_video_config(call: Call) -> Response:
    configs = [
        {"model": model, "description": f"{model}, simulated", "json_schema": json.dumps(_unified_schema(name))}
        for model, name in UNIFIED.items()
    ]
    return answer({"configs": configs})


async def upload_video_asset(call: Call) -> Response:
    try:
        clip = look_at(call.raw)
    except NotAFilmError as error:
        raise call.invalid(f"the body is no MP4 file: {error}") from error
    if len(call.raw) > ASSET_MOST[1] or max(clip.width, clip.height) > ASSET_MOST[0]:
        raise call.invalid("the video may have 3840x2160 px and 100 MB at most")
    asset = call.world.new_id("asset-")
    call.world.area(VideoState).assets[asset] = call.raw
    return answer({"assets_id": asset})


async def video_merge_face(call: Call) -> Response:
    fields = Fields(call.operation, call.body)
    data = call.world.area(VideoState).assets.get(fields["video_assets_id"])
    if data is None:
        raise call.invalid("request.video_assets_id: no such asset")
    field = "face_image_base64"
    face = take_picture(call, fields[field], field, picture_limits(call.operation.id, field)).picture()
    clip = look_at(data)
    wanted = plan(call.operation, fields)
    film = Film(clip.width, clip.height, clip.seconds, round(clip.fps) or 12, clip=data, face=face)
    usd = usd_each(call.operation.id, call.body, frames=clip.frames)
    if clip.sound:
        film = replace(film, sound=_sound_of(data, clip.seconds))
    return _queue(call, call.operation, [film], wanted.container, usd, {}, None)


_LONGEST_EDIT = 10


async def _submit(call: Call, operation: Operation, body: Json, webhook: Json | None) -> Response:
    fields = Fields(operation, body)
    if problem := broken_rule(operation.id, fields):
        raise call.invalid(problem)
    wanted = plan(operation, fields)
    # Reading pictures and clips takes time, and other requests should not wait for it.
    film, taken = await asyncio.to_thread(_compose, call, operation, fields, wanted)
    films = [replace(film, seed=film.seed + number) for number in range(wanted.count)]
    seconds = film.seconds
    if operation.id == "wan2_7_videoedit":  # Its price follows from the request: no length means the longest.
        seconds = fields["duration"] or _LONGEST_EDIT
    usd = usd_each(operation.id, body, seconds=seconds, taken=taken)
    return _queue(call, operation, films, wanted.container, usd, {"seed": str(film.seed)}, webhook)


def _compose(call: Call, operation: Operation, fields: Fields, wanted: FilmPlan) -> tuple[Film, float]:
    """Read the inputs, and return the film to make and the length of the clip that was sent.

    Raises a Fault when an input is not as documented.
    """
    inputs = _read(call, operation, wanted)
    clip = look_at(inputs.clip) if inputs.clip is not None else None
    seconds = wanted.seconds or (clip.seconds if clip else 5.0)
    if clip is not None and operation.id == "wan2_7_videoedit":
        seconds = min(seconds, clip.seconds)
    edits = inputs.clip is not None and operation.id in EDITS
    seed = random.randrange(2**31) if wanted.seed is None else wanted.seed
    pictures = _pictures(operation, inputs, edits=edits)
    if clip is not None and edits:
        shape = clip.width, clip.height
    else:
        shape = open_picture(pictures[0])[0].size if pictures else None
    width, height = _size(fields, shape) if operation.id == "img2video" and shape else frame_size(wanted, shape)
    film = Film(
        width,
        height,
        seconds,
        wanted.fps or 12,
        wanted.words,
        seed,
        pictures,
        inputs.clip if edits else None,
        sound=_track(call, operation, fields, wanted, inputs, clip, seconds, seed),
    )
    return film, clip.seconds if clip else 0.0


def _size(fields: Fields, shape: tuple[int, int]) -> tuple[int, int]:
    """The size for Stable Video Diffusion: that of the picture up to 1024x576, or else cut to that."""
    full = (1024, 576) if shape[0] >= shape[1] else (576, 1024)
    if fields["image_file_resize_mode"].startswith("ORIGINAL") and shape[0] <= full[0] and shape[1] <= full[1]:
        return shape
    return full


def _queue(
    call: Call,
    operation: Operation,
    films: list[Film],
    container: str,
    usd: float | None,
    extra: Json,
    webhook: Json | None,
) -> Response:
    maker, media_type = (make_gif, "image/gif") if container == "gif" else (make_film, "video/mp4")

    def outputs() -> list[TaskOutput]:
        files = call.world.files
        return [
            TaskOutput(files.add(f"{number}.{container}", media_type, lambda film=film: maker(film)), container)
            for number, film in enumerate(films)
        ]

    task = call.world.area(TaskStore).submit(
        call,
        outputs,
        kind="video",
        usd=usd,
        units=len(films),
        task_type=operation.facts.get("task_type") or operation.id.upper(),
        seconds_factor=1.5,
        extra=extra,
        shows_progress=True,
        webhook=webhook,
    )
    body: Json = {"task_id": task.id}
    if operation.facts["responses"]["200"]["application/json"]["$ref"].endswith("TaskSubmitWithProviderResponse"):
        body["provider_request_id"] = call.world.new_id("vidu-")
    return answer(body)


def _read(call: Call, operation: Operation, wanted: FilmPlan) -> VideoInputs:
    read = [
        (wish, take_picture(call, wish.value, wish.field, picture_limits(operation.id, wish.field)))
        for wish in wanted.pictures
    ]
    if "startend" in operation.id:
        _check_alike(call, [given for _, given in read])
    clips = [take_clip(call, wish.value, wish.field, limits_of(CLIP_LIMITS, operation.id)) for wish in wanted.clips]
    sound = wanted.sound
    return VideoInputs(
        keys=tuple(given.picture() for wish, given in read if wish.role != "reference"),
        references=tuple(given.picture() for wish, given in read if wish.role == "reference"),
        clip=clips[0].clip() if clips else None,
        clip_link=clips[0].link if clips else "",
        sound=take_sound(call, sound.value, sound.field, limits_of(SOUND_LIMITS, operation.id)) if sound else None,
    )


def _check_alike(call: Call, frames: list[TakenInput]) -> None:
    """Check the first and last frame for Vidu: the ratio of their sizes must be between 0.8 and 1.25."""
    sizes = [open_picture(given.data)[0].size for given in frames if given.data is not None]
    if len(sizes) == 2 and not all(0.8 <= one / other <= 1.25 for one, other in zip(*sizes, strict=True)):
        raise call.fault("INVALID_IMAGE_SIZE", "images: the sizes of first and last frame differ too much")


def _pictures(operation: Operation, inputs: VideoInputs, *, edits: bool) -> tuple[bytes, ...]:
    """The pictures to show: key frames, or else references. A clip that is not edited gives one frame."""
    if edits:
        return (*inputs.keys, *inputs.references)
    if inputs.clip is not None and operation.id == "wan2_7_i2v":
        return (_png(stills(inputs.clip, 2)[-1]), *inputs.keys)  # The film goes on where the clip ends.
    pictures = inputs.keys or inputs.references
    return (_png(stills(inputs.clip, 1)[0]),) if inputs.clip is not None and not pictures else pictures


def _png(image: Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _track(
    call: Call,
    operation: Operation,
    fields: Fields,
    wanted: FilmPlan,
    inputs: VideoInputs,
    clip: Clip | None,
    seconds: float,
    seed: int,
) -> Callable[[], Samples] | None:
    """Makes the sound: the one that was sent, that of the clip, or an invented one. None for a silent film."""
    hearing = call.world.area(Hearing)
    if inputs.sound is not None:
        if (data := inputs.sound.data) is not None:
            return lambda: decode(data, SOUND_RATE, seconds)
        return _speaking(hearing.note(inputs.sound.link))
    if clip is not None and inputs.clip is not None:
        if operation.id == "heygen_video_translate":
            said = hearing.transcribe(inputs.clip) if clip.sound else inputs.clip_link
            return _speaking(hearing.note(f"[{fields['output_language']}] {said}"))
        if wanted.keeps_sound:
            return _sound_of(inputs.clip, seconds) if clip.sound else None
    if not wanted.makes_sound:
        return None
    words = "" if wanted.music_only else hearing.note(spoken_words(wanted.words))

    def made_up() -> Samples:
        tune = play(f"{wanted.words}|{seed}", seconds, rate=SOUND_RATE)
        return mix(tune, speak(words, rate=SOUND_RATE)) if words else tune

    return made_up


def _speaking(text: str) -> Callable[[], Samples]:
    return lambda: speak(text, rate=SOUND_RATE)


def _sound_of(clip: bytes, seconds: float) -> Callable[[], Samples]:
    return lambda: decode(clip, SOUND_RATE, seconds)


def spoken_words(prompt: str) -> str:
    """The words spoken in the film: those in quotation marks in the prompt, or else the whole prompt."""
    return " ".join(re.findall(r'["“”「]([^"“”」]+)["“”」]', prompt)) or prompt


def _webhook(body: Json) -> Json | None:
    extra = body.get("extra")
    return cast("Json", extra).get("webhook") if isinstance(extra, dict) else None


def _unified_schema(name: str) -> Json:
    """The model's own schema in the form of the unified endpoint: flat, and with the duration as text."""
    operation = operations()[name]
    own = request_schema(operation)
    flat: Json = {}
    required: list[str] = []
    for layer in (own, *(own["properties"].get(nest, {}) for nest in ("input", "parameters"))):
        flat |= {key: value for key, value in layer.get("properties", {}).items() if key not in ("input", "parameters")}
        required += [key for key in layer.get("required", []) if key not in ("input", "parameters")]
    if "seedance_v1_5" in name:
        for unified, native in _UNIFIED_NAMES.items():
            if native in flat:
                flat[unified] = flat.pop(native)
    if "duration" in flat:
        duration = flat["duration"]
        lengths = duration.get("enum") or range(duration["minimum"], duration["maximum"] + 1)
        flat["duration"] = {
            "type": "string",
            "enum": [str(length) for length in lengths],
            "default": str(duration.get("default", 5)),
        }
    return {"type": "object", "properties": flat, "required": required, "additionalProperties": False}


def _native(operation: Operation, body: Json) -> Json:
    """A body of the unified endpoint in the form of the model's own endpoint."""
    schema = request_schema(operation)
    renamed = {_UNIFIED_NAMES.get(k, k) if "seedance_v1_5" in operation.id else k: v for k, v in body.items()}
    native: Json = {}
    for name, value in renamed.items():
        nest = next(
            (n for n in ("input", "parameters") if name in schema["properties"].get(n, {}).get("properties", {})), None
        )
        place = schema["properties"][nest] if nest else schema
        target = native.setdefault(nest, {}) if nest else native
        kind = place["properties"].get(name, {}).get("type")
        target[name] = int(value) if kind == "integer" and isinstance(value, str) and value.isdigit() else value
    return native


def _bytes(raw: bytes) -> Json:
    return {}


def _wan_r2v_fault(fault: Fault) -> Response:
    """The error answer of this route. It answers a wrong type in `media` with 500 instead of 400."""
    if re.match(r"media\.\d+\.type", fault.message):
        fault = Fault.named("media", "CREATE_TASK_FAILED", "failed to exec task")
    return envelope("media", fault)


ENVELOPES: Final = {"wan2_7_r2v": _wan_r2v_fault}
DECODERS: Final = {"application/octet-stream": _bytes, "video/mp4": _bytes}
_ODD: Final[dict[str, Handler]] = {
    "create_unified_video": create_unified_video,
    "get_unified_video_config": get_unified_video_config,
    "upload_video_asset": upload_video_asset,
    "video_merge_face": video_merge_face,
}
HANDLERS: Final[dict[str, Handler]] = {
    name: _ODD.get(name, make_video) for name, operation in operations().items() if operation.area == "video"
}
