"""Audio tools: speech, voices, music, and writing down what is said."""

from typing import Annotated, Literal

from pydantic import Field

from ..kit.arguments import Confirm, DryRun, Model, Options, SaveTo, WaitSeconds
from ..kit.context import Call
from ..kit.toolset import SPENDS, Toolset
from .media_request import How, make
from .results import MediaResult
from .speaking import read_voice

audio = Toolset("audio", "Speech, voices, music.")

AudioFormat = Annotated[Literal["mp3", "wav", "flac", "pcm", "opus"] | None, Field(description="File type.")]
Recording = Annotated[str, Field(min_length=1, description="URL, path or task:<id>/<n>.")]


@audio.tool("Generate speech", SPENDS)
async def generate_speech(
    call: Call,
    text: Annotated[str, Field(min_length=1, description="What to say.")],
    voice: Annotated[str | None, Field(description="Id, or words: calm female.")] = None,
    speed: Annotated[float | None, Field(ge=0.25, le=4, description="1 is normal.")] = None,
    language: Annotated[str | None, Field(description="E.g. English.")] = None,
    format: AudioFormat = None,
    sample_rate: Annotated[int | None, Field(ge=8_000, le=48_000, description="Hz.")] = None,
    model: Model = None,
    options: Options = None,
    save_to: SaveTo = None,
    wait_seconds: WaitSeconds = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Read a text aloud. Costs about $0.06 per 1,000 characters."""
    spoken = await read_voice(call, voice, language=language, model=model)
    return await make(
        call,
        "generate_speech",
        ["text_to_speech"],
        {
            "text": text,
            "voice": spoken.voice,
            "speed": speed,
            "language": language,
            "format": format,
            "sample_rate": sample_rate,
        },
        How(model, options, save_to, wait_seconds, confirm, dry_run),
        title=text,
        among=spoken.among,
        remark=spoken.remark,
    )


@audio.tool("Transcribe audio", SPENDS)
async def transcribe_audio(
    call: Call,
    audio: Recording,
    model: Model = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Write down what a sound or video of up to half an hour says. Costs money."""
    return await make(
        call,
        "transcribe_audio",
        ["transcribe"],
        {"audio": audio},
        How(model, confirm=confirm, dry_run=dry_run),
        title="transcript",
    )


@audio.tool("Clone a voice", SPENDS)
async def clone_voice(
    call: Call,
    audio: Recording,
    name: Annotated[str | None, Field(description="Its name.")] = None,
    text: Annotated[str | None, Field(description="Sample to say.")] = None,
    transcript: Annotated[str | None, Field(description="What it says.")] = None,
    model: Model = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Make a voice from a recording, with its speaker's consent. Returns a voice_id. Costs money."""
    return await make(
        call,
        "clone_voice",
        ["clone_voice"],
        {"audio": audio, "name": name, "text": text, "transcript": transcript},
        How(model, None, None, None, confirm, dry_run),
        title=name or "cloned voice",
    )


@audio.tool("Design a voice", SPENDS)
async def design_voice(
    call: Call,
    prompt: Annotated[str, Field(min_length=1, description="How it sounds.")],
    text: Annotated[str, Field(min_length=1, description="Sample to say.")],
    name: Annotated[str | None, Field(description="Its name.")] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Make a new voice from a description; returns its voice_id and a sample. Costs money."""
    return await make(
        call,
        "design_voice",
        ["design_voice"],
        {"prompt": prompt, "text": text, "name": name},
        How(confirm=confirm, dry_run=dry_run),
        title=name or prompt,
    )


@audio.tool("Generate music", SPENDS)
async def generate_music(
    call: Call,
    prompt: Annotated[str | None, Field(description="Style, mood, instruments.")] = None,
    lyrics: Annotated[str | None, Field(description="Text to sing.")] = None,
    instrumental: Annotated[bool | None, Field(description="No singing.")] = None,
    model: Model = None,
    save_to: SaveTo = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Make a song or a piece of music. Costs money. No living model is known."""
    return await make(
        call,
        "generate_music",
        ["music"],
        {
            "prompt": prompt,
            "lyrics": lyrics,
            "instrumental": instrumental,
        },
        How(model, None, save_to, None, confirm, dry_run),
        title=prompt or "music",
    )


@audio.tool("Generate lyrics", SPENDS)
async def generate_lyrics(
    call: Call,
    prompt: Annotated[str, Field(min_length=1, description="What the song is about.")],
    lyrics: Annotated[str | None, Field(description="To go on from.")] = None,
    name: Annotated[str | None, Field(description="Title.")] = None,
    model: Model = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Write lyrics. A chat model does it. Costs money."""
    return await make(
        call,
        "generate_lyrics",
        ["lyrics"],
        {"prompt": prompt, "lyrics": lyrics, "name": name},
        How(model, confirm=confirm, dry_run=dry_run),
        title=name or prompt,
    )
