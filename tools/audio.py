"""Audio tools: speech, voices, music, and writing down what is said."""

from typing import Annotated, Literal

from pydantic import Field

from .arguments import Confirm, DryRun, Model, Options, SaveTo, WaitSeconds
from .context import Call
from .making import How, make
from .media_results import MediaResult
from .toolset import SPENDS, Toolset

audio = Toolset("audio", "Speech, voices, music.")

AudioFormat = Annotated[Literal["mp3", "wav", "flac", "pcm", "opus"] | None, Field(description="File type.")]
Recording = Annotated[str, Field(min_length=1, description="URL, path, data URI or task:<id>/<n>.")]


@audio.tool("Generate speech", SPENDS)
async def generate_speech(
    call: Call,
    text: Annotated[str, Field(min_length=1, description="What to say.")],
    voice: Annotated[str | None, Field(description="Voice id; also from clone_voice or design_voice.")] = None,
    speed: Annotated[float | None, Field(gt=0, le=4, description="1 is normal.")] = None,
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
    """Read a text aloud; returns the sound file. Costs about $0.06 per 1,000 characters."""
    return await make(
        call,
        "generate_speech",
        ["text_to_speech"],
        {
            "text": text,
            "voice": voice,
            "speed": speed,
            "language": language,
            "format": format,
            "sample_rate": sample_rate,
        },
        How(model, options, save_to, wait_seconds, confirm, dry_run),
        title=text,
    )


@audio.tool("Transcribe audio", SPENDS)
async def transcribe_audio(
    call: Call,
    audio: Recording,
    prompt: Annotated[str | None, Field(description="Earlier text, as context.")] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Write down what a recording or video says, up to 30 s. Costs money."""
    return await make(
        call,
        "transcribe_audio",
        ["transcribe"],
        {"audio": audio, "prompt": prompt},
        How(confirm=confirm, dry_run=dry_run),
        title="transcript",
    )


@audio.tool("Clone a voice", SPENDS)
async def clone_voice(
    call: Call,
    audio: Recording,
    name: Annotated[str | None, Field(description="Name of the voice.")] = None,
    text: Annotated[str | None, Field(description="Try it out with this.")] = None,
    transcript: Annotated[str | None, Field(description="What the recording says.")] = None,
    model: Model = None,
    options: Options = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Make a voice from a recording, with the speaker's consent; returns its voice_id. Costs money."""
    return await make(
        call,
        "clone_voice",
        ["clone_voice"],
        {"audio": audio, "name": name, "text": text, "transcript": transcript},
        How(model, options, None, None, confirm, dry_run),
        title=name or "cloned voice",
    )


@audio.tool("Design a voice", SPENDS)
async def design_voice(
    call: Call,
    prompt: Annotated[str, Field(min_length=1, description="How it sounds.")],
    text: Annotated[str, Field(min_length=1, description="Try it out with this.")],
    name: Annotated[str | None, Field(description="Name of the voice.")] = None,
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
    lyrics: Annotated[str | None, Field(description="Text to sing; generate_lyrics writes one.")] = None,
    instrumental: Annotated[bool | None, Field(description="No singing.")] = None,
    format: AudioFormat = None,
    options: Options = None,
    save_to: SaveTo = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Make a song or piece of music; returns the sound file. Costs money. The model may be retired."""
    return await make(
        call,
        "generate_music",
        ["music"],
        {
            "prompt": prompt,
            "lyrics": lyrics,
            "instrumental": instrumental,
            "format": format,
        },
        How(None, options, save_to, None, confirm, dry_run),
        title=prompt or "music",
    )


@audio.tool("Generate lyrics", SPENDS)
async def generate_lyrics(
    call: Call,
    prompt: Annotated[str, Field(min_length=1, description="What the song is about.")],
    lyrics: Annotated[str | None, Field(description="Lyrics to go on from or change.")] = None,
    name: Annotated[str | None, Field(description="Title.")] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Write a song's lyrics, with title and style. Costs money. The model may be retired."""
    return await make(
        call,
        "generate_lyrics",
        ["lyrics"],
        {"prompt": prompt, "lyrics": lyrics, "name": name},
        How(confirm=confirm, dry_run=dry_run),
        title=name or prompt,
    )
