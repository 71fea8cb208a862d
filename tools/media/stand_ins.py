"""Stand-ins: what is used if no model made for a task is known to be alive, and how the result then differs.

A model that edits by words redraws pictures. A chat model describes pictures, transcribes recordings and writes lyrics.
The order and the reasons follow `safe_defaults` of the API facts.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...novita.files.kinds import Form
from ...novita.media.catalog_entry import Capability
from ...novita.media.lookup import MediaModel, able, media_model, option_paths, settled
from ...novita.media.values import Frame, fit_in, parse_size

_EDITORS = ("seedream-5.0-lite", "seedream-4.5", "seedream-4.0", "gpt-image-2-edit", "gemini-3.1-flash-image")
"""Models that change a picture by words; the preferred one comes first."""


@dataclass(frozen=True)
class StandIn:
    """How another model takes over a task.

    Args:
        models: Ids of the models that can do it; the preferred one comes first.
        prompt: The prompt for the model; `{prompt}` is replaced by the caller's prompt.
        differs: How the result differs from what the caller asked for.
        needs: Arguments that must be given.
        drops: Arguments that are not passed on.
        options: Native fields that are added.
        sized: `scaled` asks for a multiple of the picture's size, `asked` for the size in the call; both are changed
            to the nearest size that the model makes. Empty leaves the size to the model.
    """

    models: tuple[str, ...]
    prompt: str
    differs: str
    needs: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()
    options: Mapping[str, Any] | None = None
    sized: Literal["", "scaled", "asked"] = ""

    def arguments(self, given: Mapping[str, object]) -> dict[str, object]:
        """The arguments for the stand-in. `size_for` adds the size."""
        kept = {name: value for name, value in given.items() if name not in (*self.drops, "prompt", "scale")}
        if self.sized:
            kept.pop("size", None)
        said = str(given.get("prompt") or "")
        return {**kept, "prompt": self.prompt.format(prompt=said).strip()}


_PLAIN = StandIn(
    _EDITORS[:3],
    "Keep the main subject exactly as it is and make everything behind it plain white.",
    "No cut-out model is known to live: {model} puts the subject on plain white, nothing is transparent.",
)
STAND_INS: Mapping[Capability, tuple[StandIn, ...]] = {
    Capability.UPSCALE: (
        StandIn(
            _EDITORS,
            "Redraw this very picture, sharper and in finer detail. Change nothing else: the same things, colours, "
            "framing and text.",
            "No upscaler is known to live: {model} re-draws the picture larger, so details change. Only an upscaler on "
            "a rented GPU or endpoint keeps them.",
            sized="scaled",
        ),
    ),
    Capability.REMOVE_BACKGROUND: (
        StandIn(
            ("ming-image-0.1-design-layer",),
            "Part the picture into 2 layers: the main subject, cut out, and everything behind it.",
            "No cut-out model is known to live: {model} parts the picture into layers with transparency, made for "
            "designs; the subject is one of the files.",
        ),
        StandIn(
            ("gpt-image-2-edit",),
            "Cut out the main subject, exactly as it is, on transparency.",
            "No cut-out model is known to live: {model} re-draws the subject on transparency, so details may change.",
            options={"background": "transparent", "output_format": "png"},
        ),
        _PLAIN,
    ),
    Capability.REPLACE_BACKGROUND: (
        StandIn(
            _EDITORS,
            "Keep the main subject exactly as it is, and put it before this background: {prompt}",
            "No model for backgrounds is known to live: {model} re-draws the picture by words, so details of the "
            "subject may change.",
        ),
    ),
    Capability.INPAINT: (
        StandIn(
            (*_EDITORS[:3], _EDITORS[4]),
            "{prompt}",
            "No model that takes a mask is known to live: {model} changes what the words say, anywhere in the picture. "
            "Say in the prompt where.",
            needs=frozenset({"prompt"}),
            drops=frozenset({"mask"}),
        ),
    ),
    Capability.ERASE: (
        StandIn(
            ("gpt-image-2-edit",),
            "Remove what is there, and go on with what surrounds it.",
            "No eraser is known to live: {model} re-draws the masked part.",
            needs=frozenset({"mask"}),
        ),
    ),
    Capability.OUTPAINT: (
        StandIn(
            _EDITORS[:3],
            "Extend this picture beyond its borders to fill the new shape, and keep what is there. {prompt}",
            "No outpainting model is known to live: {model} re-draws the whole picture in the new shape, perhaps "
            "larger, so details change.",
            sized="asked",
        ),
    ),
    Capability.REMOVE_TEXT: (
        StandIn(
            _EDITORS,
            "Remove all text from this picture and fill in what is behind it. Change nothing else. {prompt}",
            "No model for removing text is known to live: {model} re-draws the picture without it, so details may "
            "change.",
        ),
    ),
    Capability.REIMAGINE: (
        StandIn(
            _EDITORS,
            "Make another version of this picture: the same subject and mood, drawn anew. {prompt}",
            "No model for variations is known to live: {model} re-draws the picture by words.",
        ),
    ),
    Capability.IMAGE_TO_IMAGE: (
        StandIn(
            _EDITORS,
            "{prompt}",
            "Stable Diffusion is not known to live: {model} re-draws the picture by words.",
            needs=frozenset({"prompt"}),
        ),
    ),
}


@dataclass(frozen=True)
class Chosen:
    """A model that was chosen as the stand-in for a call."""

    model: MediaModel
    how: StandIn

    @property
    def differs(self) -> str:
        return self.how.differs.format(model=self.model.id)

    def can(
        self,
        given: Mapping[str, object],
        options: Mapping[str, object],
        forms: Mapping[str, Collection[Form]] | None = None,
    ) -> bool:
        """Whether the model takes all arguments and options. `forms` is explained in `choose`."""
        arguments, native = settled(self.model, self.how.arguments(given), options)
        return not able(self.model, arguments, forms=forms) and all(option_paths(self.model, key) for key in native)


def stand_ins(does: Collection[str], given: Mapping[str, object], without: Collection[str]) -> list[Chosen]:
    """Stand-ins for these capabilities, the best first. Models that no longer exist are left out."""
    found = [
        Chosen(media_model(name), how)
        for one in does
        for how in STAND_INS.get(Capability(one), ())
        if how.needs <= set(given)
        for name in how.models
    ]
    return [one for one in found if one.model.id not in without and one.model.state != "retired"]


def size_for(
    chosen: Chosen, given: Mapping[str, object], picture: tuple[int, int] | None, larger: tuple[float, float] | None
) -> dict[str, str]:
    """The size argument for a stand-in, within the sizes that the model makes; empty leaves the size to the model.

    Args:
        picture: Width and height of the picture, if they are known.
        larger: Width and height that the picture is to be enlarged to, if the call asks for that.
    """
    how, frame = chosen.how, _frame_of(chosen)
    if not how.sized:
        return {}
    if frame is None:
        return {"resolution": "4K"} if how.sized == "scaled" and "resolution" in chosen.model.arguments else {}
    wanted = larger
    if wanted is None and picture is not None:
        wanted = (picture[0] * _USUAL_TIMES, picture[1] * _USUAL_TIMES)
    if how.sized == "asked":
        asked = parse_size(str(given.get("size") or ""))
        wanted = (float(asked[0]), float(asked[1])) if asked else None
    if wanted is None:
        return {}
    width, height = fit_in(frame, *wanted)
    return {"size": f"{width}x{height}"}


_USUAL_TIMES = 2


def _frame_of(chosen: Chosen) -> Frame | None:
    size = chosen.model.arguments.get("size")
    return Frame.of(chosen.model) if size is not None and size.sizes is not None else None


def falls_short(chosen: Chosen, larger: tuple[float, float] | None) -> str:
    """A sentence that says that the result will be smaller than asked for; empty if it will be large enough."""
    if larger is None or _frame_of(chosen) is None or chosen.how.sized != "scaled" or reach(chosen, larger) == 1:
        return ""
    width, height = size_for(chosen, {}, None, larger)["size"].split("x")
    return f"It becomes {width}x{height} pixels, the most {chosen.model.id} makes, not {larger[0]:.0f}x{larger[1]:.0f}."


def reach(chosen: Chosen, larger: tuple[float, float] | None) -> float:
    """The share of the wanted pixels that the model makes: 1 means nearly all of them, 0 means that it is unknown."""
    frame = _frame_of(chosen)
    if larger is None or frame is None:
        return 0
    width, height = fit_in(frame, *larger)
    share = width * height / (larger[0] * larger[1])
    return 1 if share >= 0.98 else share


_ELSE: Mapping[Capability, str] = {
    Capability.MUSIC: "What else there is: an open music model on a rented GPU (create_gpu_instance) or an endpoint.",
    Capability.ERASE: "What else there is: edit_image, told in words what to take away.",
    Capability.MERGE_FACE: "What else there is: edit_image with both pictures, told in words.",
    Capability.MULTI_FRAME: "What else there is: generate_video with image and end_image, one clip per pair of frames.",
    Capability.TEMPLATE_VIDEO: "What else there is: generate_video with image and a prompt.",
    Capability.REFERENCE_TO_VIDEO: "What else there is: generate_video with image and a prompt.",
    Capability.EXTEND_VIDEO: "What else there is: generate_video with the last frame of the clip as image.",
    Capability.EDIT_VIDEO: "What else there is: generate_video from a frame of the clip that edit_image has changed.",
    Capability.VIDEO_TO_VIDEO: "What else there is: generate_video from a frame that edit_image has changed.",
    Capability.TRANSLATE_VIDEO: "What else there is: transcribe_audio, chat to translate, and generate_speech.",
    Capability.VIDEO_MERGE_FACE: "What else there is: edit_video with edit=motion, from a picture with the face.",
}
"""What a user can do if no model is alive and no stand-in exists."""


def otherwise(does: Collection[str]) -> str:
    """A sentence that says what else a user can do; empty if nothing is known."""
    return next((_ELSE[one] for one in map(Capability, does) if one in _ELSE), "")


# Through a chat model ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A question to a chat model that takes the place of a media model."""

    kind: str
    """The argument whose file the chat model gets; empty if it gets none."""
    prompt: str
    differs: str


ASKED: Mapping[Capability, Asked] = {
    Capability.DESCRIBE_IMAGE: Asked(
        "image",
        "Write a prompt with which a picture generator would make this picture: subject, setting, composition, style, "
        "light, colours. Answer with the prompt alone.",
        "No captioning model is known to live: a chat model that sees described it.",
    ),
    Capability.TRANSCRIBE: Asked(
        "audio",
        "Write down word for word what is said in this recording, in its own language. Answer with these words alone.",
        "No speech recognition is known to live: a chat model that hears wrote it down, and may get words wrong.",
    ),
    Capability.LYRICS: Asked(
        "",
        "Write the lyrics of a song, with marks such as [verse] and [chorus]. Answer with the lyrics alone.\n"
        "It is about: {prompt}\n{name}{lyrics}",
        "No lyrics model is known to live: a chat model wrote them.",
    ),
}


def question_for(does: Collection[str]) -> Asked | None:
    """What a chat model is asked instead of a media model; None if it cannot do this."""
    return next((ASKED[one] for one in map(Capability, does) if one in ASKED), None)
