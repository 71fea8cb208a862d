"""Audio tools: speech, voices, music, and transcripts. They are built as in images.py."""

from typing import Annotated, Literal

from pydantic import Field

from ...novita.core.words import counted
from ..kit.arguments import SELDOM, Confirm, DryRun, Model, OneOrMany, Options, SaveTo, WaitSeconds
from ..kit.context import Call
from ..kit.toolset import SPENDS, Toolset
from .media_request import make
from .results import MediaResult
from .voice_choice import read_voice

audio = Toolset("audio", "Speech, voices, music.")

AudioFormat = Annotated[Literal["mp3", "wav", "flac", "pcm", "opus"] | None, Field(description="File type.")]
SampleRate = Annotated[int | None, Field(ge=8_000, le=48_000, description="Hz."), SELDOM]
Recording = Annotated[OneOrMany, Field(description="Path, URL or task:<id>/<n>.")]


@audio.tool("Generate speech", SPENDS)
async def generate_speech(
    call: Call,
    text: Annotated[str, Field(min_length=1, description="The words to speak.")],
    voice: Annotated[str | None, Field(description="voice_id, or in words: calm female.")] = None,
    speed: Annotated[float | None, Field(ge=0.5, le=3, description="1 is normal.")] = None,
    language: Annotated[str | None, Field(description="Such as English.")] = None,
    format: AudioFormat = None,
    sample_rate: SampleRate = None,
    model: Model = None,
    options: Annotated[Options, SELDOM] = None,
    save_to: SaveTo = None,
    wait_seconds: Annotated[WaitSeconds, SELDOM] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Text-to-speech: say or read a text, chapter or script aloud as an audio file: a voiceover, narration,
    audiobook or announcement, in many languages, male or female voices, or a cloned one. Costs about $0.06 per
    1,000 characters; the sound file is saved.
    """
    spoken = await read_voice(call, voice, language=language, model=model)
    return await make(
        call,
        ["text_to_speech"],
        title=text,
        among=spoken.among,
        remark=spoken.remark,
        voice=spoken.voice,
    )


@audio.tool("Transcribe audio", SPENDS)
async def transcribe_audio(
    call: Call,
    audio: Recording,
    model: Annotated[Model, SELDOM] = None,
    options: Annotated[Options, SELDOM] = None,
    confirm: Annotated[Confirm, SELDOM] = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Speech-to-text: what is said in an mp3, recording, voice note or voice memo (as WhatsApp, iPhone and Android
    make them), meeting, lecture, phone call, interview, podcast or video of up to half an hour, written down as a
    text transcript. Costs about a cent a minute or less; returns the transcript.
    """
    return await make(call, ["transcribe"], title="transcript")


@audio.tool("Clone a voice", SPENDS)
async def clone_voice(
    call: Call,
    audio: Recording,
    name: Annotated[str | None, Field(description="What to call the voice.")] = None,
    text: Annotated[str | None, Field(description="Sentence that the new voice speaks as a sample.")] = None,
    transcript: Annotated[str | None, Field(description="What is said in the recording, word for word.")] = None,
    model: Annotated[Model, SELDOM] = None,
    options: Annotated[Options, SELDOM] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Clone or copy a real person's voice, such as my own, from a recording or sample, with their consent, so that
    any text sounds like them. For an invented voice use design_voice. Costs about $0.1 to $1.5; returns a voice_id
    for generate_speech.
    """
    return await make(call, ["clone_voice"], title=name or "cloned voice")


@audio.tool("Design a voice", SPENDS)
async def design_voice(
    call: Call,
    prompt: Annotated[str, Field(min_length=1, description="How the voice sounds.")],
    text: Annotated[str, Field(min_length=1, description="Sentence that the new voice speaks as a sample.")],
    name: Annotated[str | None, Field(description="What to call the voice."), SELDOM] = None,
    options: Annotated[Options, SELDOM] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Invent a new voice from a description of its age, accent, character or mood, as for a game, narrator, trailer
    or mascot. To copy a real one use clone_voice. Costs about $3; returns a voice_id for generate_speech and a
    spoken sample.
    """
    return await make(call, ["design_voice"], title=name or prompt)


@audio.tool("Generate music", SPENDS)
async def generate_music(
    call: Call,
    prompt: Annotated[str | None, Field(description="Style, mood, instruments.")] = None,
    lyrics: Annotated[str | None, Field(description="Words to sing.")] = None,
    instrumental: Annotated[bool | None, Field(description="No singing."), SELDOM] = None,
    duration: Annotated[float | None, Field(ge=1, description="About how many seconds."), SELDOM] = None,
    model: Annotated[Model, SELDOM] = None,
    options: Annotated[Options, SELDOM] = None,
    save_to: Annotated[SaveTo, SELDOM] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Compose a song, jingle, soundtrack, beat, instrumental or background music, with or without singing. No living
    model is known now. For words alone use generate_lyrics. Costs money, the price is not known; the sound file is
    saved.
    """
    wished = prompt if duration is None else f"{prompt or 'A song'}, about {counted(duration, 'second')} long"
    return await make(
        call,
        ["music"],
        title=prompt or "music",
        remark="No model takes a length: it was asked for in words. combine_media cuts it to the second."
        if duration is not None
        else "",
        prompt=wished,
        duration=None,
    )


@audio.tool("Generate lyrics", SPENDS)
async def generate_lyrics(
    call: Call,
    prompt: Annotated[str, Field(min_length=1, description="What the song is about.")],
    lyrics: Annotated[str | None, Field(description="Words so far, to continue.")] = None,
    name: Annotated[str | None, Field(description="Title of the song."), SELDOM] = None,
    model: Annotated[Model, SELDOM] = None,
    options: Annotated[Options, SELDOM] = None,
    confirm: Annotated[Confirm, SELDOM] = False,
    dry_run: DryRun = False,
) -> MediaResult:
    """Write the words of a song, or continue them: lyrics, verses, chorus, rap. A chat model does it. To hear music use
    generate_music. Costs under $0.01; returns text.
    """
    return await make(call, ["lyrics"], title=name or prompt)
