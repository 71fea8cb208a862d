"""The audio area: speech (synchronous, streamed or as a task), voices, music, lyrics and recognition."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from starlette.responses import Response, StreamingResponse

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from ..core.facts import check_body
from ..core.prices import usd_each
from .hearing import Hearing
from .inputs import InputLimits, check_sound, take_sound
from .packed import unpacked
from .sound import SoundFormat, encode, play, spoken_length
from .speech import (
    GLM_VOICES,
    MINIMAX_VOICES,
    Reading,
    VoiceState,
    charge_text,
    in_parts,
    invisible_share,
    minimax_problem,
    minimax_reading,
    record,
)
from .tasks import TaskOutput, TaskStore

DAY: Final = 86_400
_GENERATIONS: Final = ("02", "2.5", "2.6", "2.8")
_TTS_MODELS: Final = frozenset(
    f"speech-{generation}-{kind}{'-preview' if generation == '2.5' else ''}"
    for generation in _GENERATIONS
    for kind in ("hd", "turbo")
)
_FISH_RATES: Final = {
    "wav": (8000, 16000, 24000, 32000, 44100),
    "pcm": (8000, 16000, 24000, 32000, 44100),
    "mp3": (32000, 44100),
    "opus": (48000,),
}
_PART: Final = 16_000  # Bytes of sound in one streamed piece.


# MiniMax speech


async def minimax_speech(call: Call) -> Response:
    """Speech 02, 2.5 and 2.6: the answer is a flat {audio}, and errors are those of every media route."""
    body = call.body
    if problem := minimax_problem(call, body):
        raise call.invalid(problem[1])
    charge_text(call, body["text"])
    reading = minimax_reading(body)
    sound = await record(call, reading)
    if body.get("stream"):
        return _events(_flat_events(sound))
    if body.get("output_format") == "url":
        return answer({"audio": _keep(call, sound, reading.form)})
    return answer({"audio": sound.hex()})


async def minimax_speech_28(call: Call) -> Response:
    """Speech 2.8: the answer is {data: {audio}}. MiniMax's own errors come with status 200, in base_resp."""
    body = call.body
    trace = call.world.new_id("trace-")
    if problem := minimax_problem(call, body):
        return answer({"data": None, "trace_id": trace, "base_resp": _base(*problem)})
    charge_text(call, body["text"])
    reading = minimax_reading(body)
    sound = await record(call, reading)
    end: Json = {"extra_info": _extra_info(reading, sound), "trace_id": trace, "base_resp": _base()}
    if body.get("stream"):
        options: Json = body.get("stream_options", {})
        whole = not options.get("exclude_aggregated_audio", False)
        return _events(_nested_events(sound, end, whole=whole))
    text = _keep(call, sound, reading.form) if body.get("output_format") == "url" else sound.hex()
    return answer({"data": {"audio": text, "status": 2}, **end})


async def minimax_speech_async(call: Call) -> Response:
    if problem := minimax_problem(call, call.body):
        raise call.invalid(problem[1])
    return answer({"task_id": _queue(call, [minimax_reading(call.body)])})


async def minimax_speech_28_async(call: Call) -> Response:
    problem = minimax_problem(call, call.body)
    if "text_file_id" in call.body and "text" not in call.body:
        problem = 2013, "invalid params, no such text_file_id"  # No documented route can upload one.
    if problem:
        return answer({"base_resp": _base(*problem)})
    reading = minimax_reading(call.body, channels=2)
    return answer(
        {
            "task_id": _queue(call, [reading]),
            "file_id": random.randrange(10**14, 10**15),
            "task_token": call.world.new_id("token-"),
            "usage_characters": len(reading.text),
            "base_resp": _base(),
        }
    )


async def txt2speech(call: Call) -> Response:
    request: Json = call.body["request"]
    extra: Json = call.body.get("extra", {})
    texts: list[str] = request["texts"]
    if not texts or not all(text.strip() for text in texts):
        raise call.invalid("request.texts: empty")
    form = SoundFormat(extra.get("response_audio_type", "wav"), 24000)
    voice = f"{request['voice_id']} {request['language']}"
    readings = [Reading(text, voice, form, request.get("speed", 1.0), request.get("volume", 1.0)) for text in texts]
    return answer({"task_id": _queue(call, readings, described=True, webhook=extra.get("webhook"))})


def _queue(call: Call, readings: list[Reading], *, described: bool = False, webhook: Json | None = None) -> str:
    """Start a task with one file for each reading, and return its id."""
    for reading in readings:
        call.world.area(Hearing).note(reading.text)

    def outputs() -> list[TaskOutput]:
        made: list[TaskOutput] = []
        for number, reading in enumerate(readings):
            kind = reading.form.kind
            file = call.world.files.add(f"{number}.{kind}", reading.form.media_type, reading.record)
            more: Json = {}
            if described:
                length = spoken_length(reading.text, reading.speed)
                more["audio_metadata"] = {"text": reading.text, "start_time": 0, "end_time": round(length, 2)}
            made.append(TaskOutput(file, kind, more))
        return made

    characters = sum(len(reading.text) for reading in readings)
    usd = usd_each(call.operation.id, call.body, letters=characters)
    task = call.world.area(TaskStore).submit(
        call, outputs, kind="audio", usd=usd, units=1, ttl=None if described else "0", webhook=webhook
    )
    return task.id


def _flat_events(sound: bytes) -> list[Json]:
    parts = [sound[start : start + _PART] for start in range(0, len(sound), _PART)]
    return [*({"audio": part.hex(), "status": 1} for part in parts), {"status": 2}]


def _nested_events(sound: bytes, end: Json, *, whole: bool) -> list[Json]:
    parts = [sound[start : start + _PART] for start in range(0, len(sound), _PART)]
    head = {"trace_id": end["trace_id"], "base_resp": end["base_resp"]}
    last: Json = {"data": {"audio": sound.hex() if whole else "", "status": 2}, **end}
    return [*({"data": {"audio": part.hex(), "status": 1}, **head} for part in parts), last]


def _events(events: list[Json]) -> Response:
    async def lines() -> AsyncIterator[bytes]:
        for event in events:
            yield f"data: {json.dumps(event)}\n\n".encode()
            await asyncio.sleep(0)

    return StreamingResponse(lines(), media_type="text/event-stream")


def _extra_info(reading: Reading, sound: bytes) -> Json:
    return {
        "audio_length": round(spoken_length(reading.text, reading.speed) * 1000),
        "audio_sample_rate": reading.form.rate,
        "audio_size": len(sound),
        "bitrate": reading.form.bitrate,
        "word_count": len(reading.text.split()),
        "invisible_character_ratio": invisible_share(reading.text),
        "usage_characters": len(reading.text),
        "audio_format": reading.form.kind,
        "audio_channel": reading.form.channels,
    }


def _base(code: int = 0, message: str = "success") -> Json:
    return {"status_code": code, "status_msg": message}


def _keep(call: Call, sound: bytes, form: SoundFormat) -> str:
    """Keep a sound, and return a link that works for a day."""
    file = call.world.files.add(f"speech.{form.kind}", form.media_type, sound)
    return call.world.files.link(file, call.base_url, DAY)


# Voices, music, lyrics of MiniMax


async def minimax_voice_cloning(call: Call) -> Response:
    body = call.body
    source = InputLimits("u", 20, seconds=(10, 300), types=frozenset({"mp3", "mp4", "wav"}))
    await asyncio.to_thread(take_sound, call, body["audio_url"], "audio_url", source)
    if sample := body.get("clone_prompt"):
        short = InputLimits("u", 20, seconds=(0, 8), types=source.types)
        field = "clone_prompt.prompt_audio_url"
        await asyncio.to_thread(take_sound, call, sample["prompt_audio_url"], field, short)
        if not sample["prompt_text"].rstrip().endswith(tuple(".!?;,。！？；，…")):
            raise call.invalid("clone_prompt.prompt_text: must end with punctuation")
    if body.get("text") and body.get("model") not in _TTS_MODELS:
        raise call.invalid(f"model: required with text, one of {', '.join(sorted(_TTS_MODELS))}")
    voice = call.world.new_id("voice_")
    result: Json = {"voice_id": voice}
    call.charge(usd_each(call.operation.id, body, letters=len(body.get("text", ""))), note="voice cloning")
    call.world.area(VoiceState).add("minimax", call.account, voice)
    if body.get("text"):
        form = SoundFormat()
        result["demo_audio_url"] = _keep(call, await record(call, Reading(body["text"], voice, form)), form)
    return answer(result)


async def minimax_voice_design(call: Call) -> Response:
    body = call.body
    if not body["prompt"].strip() or not body["preview_text"].strip():
        raise call.invalid("prompt and preview_text must not be empty")
    voice = body.get("voice_id") or call.world.new_id("voice_")
    voices = call.world.area(VoiceState)
    if voice in MINIMAX_VOICES or voices.has("minimax", call.account, voice):
        raise call.invalid(f"voice_id: {voice} exists already")
    call.charge(note="voice design")
    voices.add("minimax", call.account, voice)
    sound = await record(call, Reading(body["preview_text"], voice, SoundFormat()))
    # Novita's page promises this sound but does not name the field. MiniMax calls it so.
    return answer({"voice_id": voice, "trial_audio": sound.hex()})


async def minimax_music(call: Call) -> Response:
    body = call.body
    lyrics, prompt, model = body.get("lyrics", ""), body.get("prompt", ""), body["model"]
    instrumental, optimizer = body.get("is_instrumental", False), body.get("lyrics_optimizer", False)
    if instrumental and (model != "music-2.5+" or not prompt):
        raise call.invalid("is_instrumental: needs prompt, and music-2.5+")
    if optimizer and model == "music-2.0":
        raise call.invalid("lyrics_optimizer: music-2.5 and music-2.5+ only")
    if not instrumental and not lyrics.strip():
        if not optimizer:
            raise call.invalid("lyrics: required without is_instrumental and lyrics_optimizer")
        lyrics = _song(prompt)[1]
    call.charge(note=model)
    setting: Json = body.get("audio_setting", {})
    form = SoundFormat(
        setting.get("format", "mp3"), setting.get("sample_rate", 44100), 2, setting.get("bitrate", 256000)
    )
    words = "" if instrumental else call.world.area(Hearing).note(lyrics)
    seconds = min(90.0, max(20.0, spoken_length(lyrics) * 1.5))
    sound = await asyncio.to_thread(
        lambda: encode(play(f"{model}|{prompt}|{lyrics}", seconds, words=words, rate=form.rate), form)
    )
    return answer({"audios": [_keep(call, sound, form)]})


async def minimax_music_lyrics(call: Call) -> Response:
    body = call.body
    if body["mode"] == "edit" and not body.get("lyrics", "").strip():
        raise call.invalid("lyrics: required with mode edit")
    if body["mode"] != "edit" and body.get("lyrics"):
        raise call.invalid("lyrics: for mode edit only")
    title, song, tags = _song(body.get("prompt", ""))
    if body["mode"] == "edit":
        song = f"{body['lyrics'].rstrip()}\n\n{song.split('[Chorus]')[0].strip()}"
    call.charge(note=body["mode"])
    return answer({"song_title": body.get("title") or title, "style_tags": tags, "lyrics": song})


def _song(prompt: str) -> tuple[str, str, str]:
    """Title, lyrics with structure tags, style tags."""
    rng = random.Random(prompt)
    theme = " ".join(prompt.split()[:6]).strip(".,") or rng.choice(("the river", "the last train", "morning light"))
    verses = [f"{rng.choice(('I saw', 'We found', 'You kept'))} {theme} {rng.choice(('tonight', 'again', 'at dawn'))}"]
    verses.append(rng.choice(("and nobody told us why", "and the city held its breath", "while the windows hummed")))
    chorus = [f"Oh, {theme}", rng.choice(("stay a little longer", "carry me over", "sing it slowly"))]
    parts = (("Verse", verses), ("Chorus", chorus), ("Verse", verses[::-1]), ("Chorus", chorus), ("Outro", chorus[:1]))
    song = "\n\n".join(f"[{name}]\n" + "\n".join(lines) for name, lines in parts)
    tags = ", ".join(rng.sample(["pop", "folk", "soul", "ballad", "electronic", "acoustic", "mellow", "bright"], 3))
    return theme.title(), song, tags


# GLM


async def glm_tts(call: Call) -> Response:
    body = call.body
    if body["voice"] not in GLM_VOICES and not call.world.area(VoiceState).use("glm", call.account, body["voice"]):
        raise call.invalid(f"voice: {body['voice']} does not exist")
    if not body["input"].strip():
        raise call.invalid("input: empty")
    charge_text(call, body["input"])
    form = SoundFormat(body.get("response_format", "pcm"), 24000)
    reading = Reading(body["input"], body["voice"], form, body.get("speed", 1.0), body.get("volume", 1.0))
    return Response(await record(call, reading), media_type=form.media_type)


async def glm_tts_voice_clone(call: Call) -> Response:
    body = call.body
    source = InputLimits("u", 10, types=frozenset({"wav", "mp3", "mp4", "flac"}))
    await asyncio.to_thread(take_sound, call, body["audio_url"], "audio_url", source)
    if not body["input"].strip():
        raise call.invalid("input: empty")
    name: str = body["voice_name"]
    voices = call.world.area(VoiceState)
    if name in GLM_VOICES or voices.has("glm", call.account, name):
        raise call.invalid(f"voice_name: {name} exists already")
    charge_text(call, body["input"])
    voices.add("glm", call.account, name)
    form = SoundFormat("wav", 24000)
    sound = await record(call, Reading(body["input"], name, form))
    return answer({"voice": name, "audio_url": _keep(call, sound, form)})


async def glm_asr(call: Call) -> Response:
    limits = InputLimits("udb", 25, seconds=(0, 30), types=frozenset({"wav", "mp3"}))
    given = await asyncio.to_thread(take_sound, call, call.body["file"], "file", limits)
    hearing = call.world.area(Hearing)
    if given.data is None:
        text = hearing.made_up(given.link.encode())
    else:
        text = await asyncio.to_thread(hearing.transcribe, given.data)
    call.charge(note="transcription")
    return answer({"text": text})


# Fish Audio and MOSS


async def fish_speech(call: Call) -> Response:
    """Both Fish endpoints. They differ in the unit of opus_bitrate and in the form of references."""
    body = call.body
    older = call.operation.id == "fish_audio_text_to_speech"
    if older and call.request.headers.get("model", "s1") != "s1":
        raise call.invalid("header model: must be s1")
    if not body["text"].strip():
        raise call.invalid("text: empty")
    references: list[Json] = body.get("references") or []
    for number, reference in enumerate(references):
        recording = reference.get("audio")
        field = f"references.{number}.audio"
        if older and not isinstance(recording, bytes):
            raise call.invalid(f"{field}: must be bytes, which takes a MessagePack body")
        if isinstance(recording, bytes):
            await asyncio.to_thread(check_sound, call, recording, field, InputLimits())
        elif isinstance(recording, str):
            await asyncio.to_thread(take_sound, call, recording, field, InputLimits())
    asked: str | list[str] = body.get("reference_id") or []
    voices = [asked] if isinstance(asked, str) else asked
    for voice in voices:
        if not call.world.area(VoiceState).use("fish", call.account, voice):
            raise call.invalid(f"reference_id: no voice model {voice}")
    charge_text(call, body["text"])
    prosody: Json = body.get("prosody", {})
    speaker = "+".join(voices) or "fish"
    # Fish gives the volume as a change in decibels.
    loudness: float = 10 ** (prosody.get("volume", 0) / 20)
    reading = Reading(body["text"], speaker, _fish_format(call, older=older), prosody.get("speed") or 1.0, loudness)
    sound = await record(call, reading)
    return StreamingResponse(in_parts(sound, _PART), media_type=reading.form.media_type)


def _fish_format(call: Call, *, older: bool) -> SoundFormat:
    body = call.body
    kind: str = body.get("format", "mp3")
    rates = _FISH_RATES[kind]
    rate = body.get("sample_rate") or rates[-1]
    if rate not in rates:
        raise call.invalid(f"sample_rate: {kind} takes {', '.join(map(str, rates))}")
    if kind == "opus":
        asked = body.get("opus_bitrate", 32 if older else -1000)
        return SoundFormat(kind, rate, 1, 32000 if asked < 0 else asked * (1000 if older else 1))
    return SoundFormat(kind, rate, 1, body.get("mp3_bitrate", 128) * 1000)


async def fish_audio_voice_cloning(call: Call) -> Response:
    body, files = call.body, call.files
    voices = [upload for name, upload in files.items() if name.split(".")[0] == "voices"]
    if not voices:
        raise call.invalid("voices: must be files")
    for upload in voices:
        await asyncio.to_thread(check_sound, call, upload.data, "voices", InputLimits())
    visibility = body.get("visibility", "public")
    cover = files.get("cover_image")
    if visibility == "public" and cover is None:
        raise call.invalid("cover_image: required for a public model")
    picture = call.world.files.add("cover", cover.content_type, cover.data) if cover else None
    call.charge(note="voice cloning")
    voice = call.world.new_id()
    call.world.area(VoiceState).add("fish", call.account, voice)
    now = datetime.fromtimestamp(call.world.clock.now(), UTC).isoformat()
    texts: list[str] = body.get("texts") or []
    hearing = call.world.area(Hearing)
    samples = [
        {
            "title": upload.filename,
            "text": texts[number] if number < len(texts) else await asyncio.to_thread(hearing.transcribe, upload.data),
            "task_id": call.world.new_id(),
            "audio": call.link(call.world.files.add(upload.filename, upload.content_type, upload.data)),
        }
        for number, upload in enumerate(voices)
    ]
    return answer(
        {
            "_id": voice,
            "type": body["type"],
            "title": body["title"],
            "description": body.get("description") or "",
            "cover_image": call.link(picture) if picture else "",
            "train_mode": body["train_mode"],
            "state": "trained",
            "tags": body.get("tags") or [],
            "samples": samples,
            "created_at": now,
            "updated_at": now,
            "languages": ["en"],
            "visibility": visibility,
            "lock_visibility": False,
            "like_count": 0,
            "mark_count": 0,
            "shared_count": 0,
            "task_count": 0,
            "unliked": False,
            "liked": False,
            "marked": False,
            "author": {"_id": call.account.id, "nickname": call.account.name, "avatar": ""},
        }
    )


async def moss_tts_speech(call: Call) -> Response:
    body = call.body
    if "request_json" in body:
        if sample := call.files.get("ref_audio"):
            limits = InputLimits(types=frozenset({"wav", "mp3"}))
            await asyncio.to_thread(check_sound, call, sample.data, "ref_audio", limits)
        try:
            body = check_body(call.operation, json.loads(body["request_json"]))
        except ValueError as error:  # Invalid is a ValueError too.
            raise call.invalid(f"request_json: {error}") from error
    stream = body.get("stream", False)
    asked = body.get("response_format")
    if (asked == "pcm" and not stream) or (asked == "wav" and stream):
        raise call.invalid("response_format: wav without stream, pcm with stream")
    if not body["input"].strip():
        raise call.invalid("input: empty")
    charge_text(call, body["input"])
    form = SoundFormat("pcm" if stream else "wav", 48000)
    voice = "reference" if "ref_audio" in call.files else "moss"
    sound = await record(call, Reading(body["input"], voice, form))
    if stream:
        return StreamingResponse(in_parts(sound, _PART), media_type=form.media_type)
    return Response(sound, media_type=form.media_type)


DECODERS: Final = {"application/msgpack": unpacked}
_FLAT: Final = ("02_hd", "02_turbo", "2_5_hd_preview", "2_5_turbo_preview", "2_6_hd", "2_6_turbo")
HANDLERS: Final[dict[str, Handler]] = {
    **{f"minimax_speech_{model}": minimax_speech for model in _FLAT},
    **{f"minimax_speech_{model}_async": minimax_speech_async for model in _FLAT},
    "minimax_speech_2_8_hd": minimax_speech_28,
    "minimax_speech_2_8_turbo": minimax_speech_28,
    "minimax_speech_2_8_hd_async": minimax_speech_28_async,
    "minimax_speech_2_8_turbo_async": minimax_speech_28_async,
    "minimax_voice_cloning": minimax_voice_cloning,
    "minimax_voice_design": minimax_voice_design,
    "minimax_music": minimax_music,
    "minimax_music_lyrics": minimax_music_lyrics,
    "txt2speech": txt2speech,
    "glm_tts": glm_tts,
    "glm_tts_voice_clone": glm_tts_voice_clone,
    "glm_asr": glm_asr,
    "fish_audio_text_to_speech": fish_speech,
    "fish_audio_s2_pro_text_to_speech": fish_speech,
    "fish_audio_voice_cloning": fish_audio_voice_cloning,
    "moss_tts_speech": moss_tts_speech,
}
