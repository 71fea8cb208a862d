"""The audio area over real HTTP: every operation, each form of sound in an answer, voices, and transcription."""

import base64
import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from novita_mcp.simulator import serving
from novita_mcp.simulator.core import facts
from novita_mcp.simulator.core.world import World, WorldSettings
from novita_mcp.simulator.media.audio import HANDLERS
from novita_mcp.simulator.media.film import SOUND_RATE
from novita_mcp.simulator.media.inputs import sniff
from novita_mcp.simulator.media.sound import SoundFormat, decode, encode, listen, play, speak

msgpack: Any = pytest.importorskip("msgpack")

Json = dict[str, Any]
TEXT = "The red fox runs over the snow at dawn. Nobody sees it."
SECONDS = len(TEXT) / 14
MODELS = ("02_hd", "02_turbo", "2_5_hd_preview", "2_5_turbo_preview", "2_6_hd", "2_6_turbo")
VOICE: Json = {"voice_id": "Wise_Woman"}


class AudioApi:
    """The routes of one simulator, with the right key, and a world where every look moves a task."""

    def __init__(self, running: serving.Running) -> None:
        self.world = running.world
        self.url = running.url
        self.http = httpx.Client(base_url=running.url, headers={"Authorization": "Bearer sk-simulated"}, timeout=60)

    def send(self, operation: str, body: Json | None = None, **more: Any) -> httpx.Response:
        return self.http.post(
            facts.operations()[operation].path, **({"json": body} if body is not None else {}), **more
        )

    def post(self, operation: str, **body: Any) -> Json:
        """The JSON answer, which must be 200 and as documented."""
        response = self.send(operation, body)
        assert response.status_code == 200, response.text
        assert facts.answer_problems(facts.operations()[operation], response.json()) == []
        return response.json()

    def refusal(self, operation: str, **body: Any) -> tuple[int, str, str]:
        response = self.send(operation, body)
        return response.status_code, response.json()["reason"], response.json()["message"]

    def finish(self, task_id: str) -> Json:
        while True:
            result = self.http.get("/v3/async/task-result", params={"task_id": task_id}).json()
            if result["task"]["status"] == "TASK_STATUS_SUCCEED":
                return result

    def heard(self, data: bytes) -> str:
        return self.post("glm_asr", file=f"data:audio/mpeg;base64,{base64.b64encode(data).decode()}")["text"]

    def link(self, data: bytes, name: str = "a.wav") -> str:
        return self.world.files.link(self.world.files.add(name, "audio/wav", data), self.url)


@pytest.fixture
def api() -> Iterator[AudioApi]:
    with serving.serve(World(WorldSettings(manual=True, old_models=True))) as running:
        api = AudioApi(running)
        with api.http:
            yield api


def recording(seconds: float, kind: str = "wav") -> bytes:
    return encode(play("somebody", seconds, rate=16000), SoundFormat(kind, 16000))


def test_every_audio_operation_is_handled() -> None:
    assert set(HANDLERS) == {name for name, operation in facts.operations().items() if operation.area == "audio"}
    assert len(HANDLERS) == 28


@pytest.mark.parametrize("model", MODELS)
def test_minimax_speech_comes_as_hex_at_the_top(api: AudioApi, model: str) -> None:
    answer = api.post(f"minimax_speech_{model}", text=TEXT, voice_setting=VOICE)

    sound = bytes.fromhex(answer["audio"])
    assert sniff(sound) == "mp3"
    assert listen(sound).seconds == pytest.approx(SECONDS, abs=0.2)
    assert api.heard(sound) == TEXT


@pytest.mark.parametrize("kind", ["mp3", "wav", "flac", "pcm"])
def test_minimax_speech_28_comes_as_hex_in_data_with_what_it_is(api: AudioApi, kind: str) -> None:
    setting = {"format": kind, "sample_rate": 24000, "channel": 2}

    answer = api.post("minimax_speech_2_8_hd", text=TEXT, voice_setting=VOICE | {"speed": 2}, audio_setting=setting)

    sound = bytes.fromhex(answer["data"]["audio"])
    info = answer["extra_info"]
    assert answer["base_resp"]["status_code"] == 0
    assert sniff(sound) == ("" if kind == "pcm" else kind)
    assert (info["audio_size"], info["usage_characters"]) == (len(sound), len(TEXT))
    assert info["audio_length"] == pytest.approx(SECONDS * 500, abs=10)
    if kind == "pcm":
        assert len(sound) == pytest.approx(SECONDS / 2 * 24000 * 4, abs=8)


def test_a_url_is_answered_when_asked_for_and_lives_a_day(api: AudioApi) -> None:
    flat = api.post("minimax_speech_02_hd", text=TEXT, voice_setting=VOICE, output_format="url")["audio"]
    nested = api.post("minimax_speech_2_8_hd", text=TEXT, voice_setting=VOICE, output_format="url")["data"]["audio"]
    api.world.advance(80_000)

    assert all(sniff(httpx.get(link).content) == "mp3" for link in (flat, nested))
    assert api.post("glm_asr", file=flat)["text"] == TEXT
    api.world.advance(10_000)
    assert httpx.get(flat).status_code == 403


def test_a_stream_is_events_of_hex_pieces_that_end_with_status_2(api: AudioApi) -> None:
    body: Json = {"text": TEXT, "voice_setting": VOICE, "stream": True}

    response = api.send("minimax_speech_02_turbo", body)

    events = [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert events[-1] == {"status": 2}
    assert len(events) > 3
    assert api.heard(b"".join(bytes.fromhex(event["audio"]) for event in events[:-1])) == TEXT


@pytest.mark.parametrize("excluded", [False, True])
def test_the_last_event_of_28_repeats_the_whole_sound_unless_told_not_to(api: AudioApi, *, excluded: bool) -> None:
    body: Json = {"text": TEXT, "voice_setting": VOICE, "stream": True}

    response = api.send("minimax_speech_2_8_turbo", body | {"stream_options": {"exclude_aggregated_audio": excluded}})

    events = [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line]
    pieces = "".join(event["data"]["audio"] for event in events if event["data"]["status"] == 1)
    assert events[-1]["data"] == {"audio": "" if excluded else pieces, "status": 2}
    assert events[-1]["extra_info"]["audio_size"] == len(pieces) // 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"voice_setting": {"voice_id": "Nobody"}}, 2013),
        ({"text": "  "}, 2013),
        ({"text": "abc\x00\x01\x02"}, 1042),
        ({"stream": True, "audio_setting": {"format": "wav"}}, 2013),
    ],
)
def test_28_puts_its_errors_into_base_resp_of_a_200_and_the_others_answer_400(
    api: AudioApi, change: Json, code: int
) -> None:
    body: Json = {"text": TEXT, "voice_setting": VOICE} | change

    answer = api.post("minimax_speech_2_8_turbo", **body)

    assert (answer["data"], answer["base_resp"]["status_code"]) == (None, code)
    assert api.refusal("minimax_speech_02_turbo", **body)[:2] == (400, "INVALID_REQUEST_BODY")
    assert api.world.charges == []


@pytest.mark.parametrize("model", MODELS)
def test_long_texts_are_queued_and_come_out_as_audios_with_a_ttl_of_0(api: AudioApi, model: str) -> None:
    task = api.post(f"minimax_speech_{model}_async", text=TEXT, voice_setting=VOICE, audio_setting={"format": "flac"})

    result = api.finish(task["task_id"])

    [audio] = result["audios"]
    assert (audio["audio_type"], audio["audio_url_ttl"], audio["audio_metadata"]) == ("flac", "0", None)
    assert result["images"] == result["videos"] == []
    assert listen(httpx.get(audio["audio_url"]).content).seconds == pytest.approx(SECONDS, abs=0.1)


def test_28_queues_with_more_in_its_answer_or_a_base_resp_alone(api: AudioApi) -> None:
    setting = {"audio_sample_rate": 16000, "format": "pcm"}
    good = api.post("minimax_speech_2_8_hd_async", text=TEXT, voice_setting=VOICE, audio_setting=setting)
    bad = api.post("minimax_speech_2_8_turbo_async", text_file_id=7, voice_setting=VOICE)

    [audio] = api.finish(good["task_id"])["audios"]
    assert good["usage_characters"] == len(TEXT)
    assert len(httpx.get(audio["audio_url"]).content) == pytest.approx(SECONDS * 16000 * 4, abs=8)  # stereo by default
    assert set(bad) == {"base_resp"}
    assert bad["base_resp"]["status_code"] == 2013


def test_several_short_texts_are_several_files_that_say_which_is_which(api: AudioApi) -> None:
    request = {"voice_id": "Emily", "language": "en-US", "texts": ["Hello there", "And good bye"]}

    audios = api.finish(api.post("txt2speech", request=request)["task_id"])["audios"]

    assert [audio["audio_metadata"]["text"] for audio in audios] == request["texts"]
    assert [api.heard(httpx.get(audio["audio_url"]).content) for audio in audios] == request["texts"]
    assert {audio["audio_type"] for audio in audios} == {"wav"}


def test_glm_answers_raw_pcm_unless_wav_is_asked_for(api: AudioApi) -> None:
    pcm = api.send("glm_tts", {"input": TEXT, "voice": "tongtong"})
    wav = api.send("glm_tts", {"input": TEXT, "voice": "jam", "response_format": "wav"})

    assert pcm.headers["content-type"] == "audio/pcm"
    assert len(pcm.content) == pytest.approx(SECONDS * 24000 * 2, abs=4)
    assert wav.headers["content-type"] == "audio/wav"
    assert api.heard(wav.content) == TEXT


@pytest.mark.parametrize(("kind", "start"), [("wav", b"RIFF"), ("mp3", b"ID3"), ("opus", b"OggS"), ("pcm", b"")])
def test_fish_answers_the_bytes_of_the_format(api: AudioApi, kind: str, start: bytes) -> None:
    for operation in ("fish_audio_text_to_speech", "fish_audio_s2_pro_text_to_speech"):
        response = api.send(operation, {"text": TEXT, "format": kind})

        assert response.content.startswith(start)
        assert response.headers["content-type"].startswith("audio/")


def test_fish_takes_references_in_messagepack_only(api: AudioApi) -> None:
    sample = recording(2)
    packed: bytes = msgpack.packb({"text": "hello", "references": [{"audio": sample, "text": "abc"}]})
    as_json = api.refusal("fish_audio_text_to_speech", text="hello", references=[{"audio": "abc", "text": "abc"}])

    headers = {"Content-Type": "application/msgpack"}
    assert api.send("fish_audio_text_to_speech", content=packed, headers=headers).status_code == 200
    for wrong in (packed[:-1], packed + b"\xc0", msgpack.packb(msgpack.ExtType(5, b"x")), b"\x91" * 5_000, b"\xc1"):
        answer = api.send("fish_audio_text_to_speech", content=wrong, headers=headers)
        assert (answer.status_code, "MessagePack" in answer.text) == (400, True)
    assert "MessagePack" in as_json[2]


def test_without_its_package_messagepack_is_a_type_that_is_not_taken(
    api: AudioApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)  # as if it were not installed
    packed: bytes = msgpack.packb({"text": "hello"})
    answer = api.send("fish_audio_text_to_speech", content=packed, headers={"Content-Type": "application/msgpack"})
    assert answer.status_code == 415
    assert "novita-mcp[simulator]" in answer.text
    assert api.send("fish_audio_text_to_speech", {"text": "hello"}).status_code == 200


def test_moss_speaks_wav_or_streams_pcm_and_takes_a_form_with_a_sample(api: AudioApi) -> None:
    body: Json = {"input": TEXT, "model": "MOSS-TTS"}

    whole, stream = api.send("moss_tts_speech", body), api.send("moss_tts_speech", body | {"stream": True})
    files = {"ref_audio": ("a.wav", recording(3), "audio/wav")}
    form = api.send("moss_tts_speech", data={"request_json": json.dumps(body)}, files=files)

    assert api.heard(whole.content) == TEXT
    assert len(stream.content) == pytest.approx(SECONDS * 48000 * 2, abs=4)
    assert form.content[:4] == b"RIFF"
    assert form.content != whole.content  # another voice
    assert api.refusal("moss_tts_speech", **body, response_format="pcm")[0] == 400


def test_a_cloned_minimax_voice_speaks_until_a_week_passes_unused(api: AudioApi) -> None:
    source = api.link(recording(12))
    cloned = api.post("minimax_voice_cloning", audio_url=source, text="It is me", model="speech-2.8-hd")
    unused = api.post("minimax_voice_cloning", audio_url=source)

    assert api.heard(httpx.get(cloned["demo_audio_url"]).content) == "It is me"
    api.post("minimax_speech_02_hd", text=TEXT, voice_setting={"voice_id": cloned["voice_id"]})
    api.world.advance(169 * 3600)
    api.post("minimax_speech_02_hd", text=TEXT, voice_setting={"voice_id": cloned["voice_id"]})
    assert api.refusal("minimax_speech_02_hd", text=TEXT, voice_setting={"voice_id": unused["voice_id"]})[0] == 400


def test_another_account_cannot_use_a_voice(api: AudioApi) -> None:
    voice = api.post("minimax_voice_design", prompt="an old man", preview_text="Good evening")
    api.world.add_account("sk-other")
    body = {"text": TEXT, "voice_setting": {"voice_id": voice["voice_id"]}}

    assert api.heard(bytes.fromhex(voice["trial_audio"])) == "Good evening"
    assert api.send("minimax_speech_02_hd", body, headers={"Authorization": "Bearer sk-other"}).status_code == 400


@pytest.mark.parametrize(("seconds", "kind"), [(5, "wav"), (12, "flac")])
def test_a_recording_too_short_or_of_a_wrong_kind_cannot_be_cloned(api: AudioApi, seconds: float, kind: str) -> None:
    refusal = api.refusal("minimax_voice_cloning", audio_url=api.link(recording(seconds, kind)))

    assert refusal[:2] == (400, "INVALID_AUDIO_FILE")


def test_glm_and_fish_voices_can_be_cloned_and_used(api: AudioApi) -> None:
    glm = api.post("glm_tts_voice_clone", input="hello there", audio_url=api.link(recording(5)), voice_name="mine")
    again = api.refusal("glm_tts_voice_clone", input="hello", audio_url=api.link(recording(5)), voice_name="mine")
    data = {"type": "tts", "title": "me", "train_mode": "fast", "visibility": "private"}
    files = [("voices", (name, recording(5), "audio/wav")) for name in ("a.wav", "b.wav")]
    fish = api.send("fish_audio_voice_cloning", data=data, files=files).json()
    public = api.send("fish_audio_voice_cloning", data=data | {"visibility": "public"}, files=files)

    assert api.heard(httpx.get(glm["audio_url"]).content) == "hello there"
    assert "exists" in again[2]
    assert api.send("glm_tts", {"input": "x", "voice": "mine"}).status_code == 200
    assert facts.answer_problems(facts.operations()["fish_audio_voice_cloning"], fish) == []
    assert [sample["title"] for sample in fish["samples"]] == ["a.wav", "b.wav"]
    assert api.send("fish_audio_text_to_speech", {"text": "x", "reference_id": fish["_id"]}).status_code == 200
    assert api.send("fish_audio_text_to_speech", {"text": "x", "reference_id": "nobody"}).status_code == 400
    assert public.status_code == 400  # a public model needs a cover


def test_music_is_a_link_to_a_song_and_lyrics_have_structure_tags(api: AudioApi) -> None:
    written = api.post("minimax_music_lyrics", mode="write_full_song", prompt="a fox in the snow", title="Snow")
    lyrics = written["lyrics"]

    [song] = api.post("minimax_music", model="music-2.0", lyrics=lyrics, prompt="folk")["audios"]

    assert written["song_title"] == "Snow"
    assert "[Chorus]" in lyrics
    assert listen(httpx.get(song).content, 300).seconds > 20
    assert api.refusal("minimax_music", model="music-2.0")[0] == 400
    assert api.refusal("minimax_music", model="music-2.0", is_instrumental=True, prompt="x")[0] == 400
    assert api.refusal("minimax_music_lyrics", mode="edit")[0] == 400


def test_speech_in_a_film_is_heard_after_its_track_is_cut_out(api: AudioApi) -> None:
    body = {"prompt": 'A boy says "snow is falling again"', "sound": True, "duration": 5}
    task = api.http.post("/v3/async/kling-v3.0-std-t2v", json=body).json()["task_id"]
    film = httpx.get(api.finish(task)["videos"][0]["video_url"]).content

    track = encode(decode(film, SOUND_RATE), SoundFormat("mp3", SOUND_RATE))

    assert api.heard(track) == "snow is falling again"
    assert api.send("glm_asr", {"file": base64.b64encode(film).decode()}).json()["reason"] == "INVALID_AUDIO_FILE"


def test_a_translated_film_says_so_in_the_other_language(api: AudioApi) -> None:
    body = {"prompt": 'A boy says "snow is falling"', "sound": True, "duration": 4}
    first = api.http.post("/v3/async/kling-v3.0-std-t2v", json=body).json()["task_id"]
    video = api.finish(first)["videos"][0]["video_url"]

    answer = api.http.post("/v3/async/heygen-video-translate", json={"video": video, "output_language": "French"})

    film = httpx.get(api.finish(answer.json()["task_id"])["videos"][0]["video_url"]).content
    track = encode(decode(film, SOUND_RATE), SoundFormat("wav", SOUND_RATE))
    assert api.heard(track) == "[French] snow is falling"


def test_a_foreign_recording_gets_a_sentence_that_stays_the_same(api: AudioApi) -> None:
    stranger = encode(speak("never said here", rate=16000), SoundFormat("wav", 16000))

    assert api.heard(stranger) == api.heard(stranger)
    assert api.heard(stranger) != "never said here"
    assert api.post("glm_asr", file="https://example.com/a.wav")["text"]


@pytest.mark.parametrize(
    "data", [b"<html></html>", recording(31), recording(3, "flac"), b"RIFF\x00\x00\x00\x00WAVE" + bytes(26_000_000)]
)
def test_what_cannot_be_transcribed_is_an_invalid_audio_file_and_free(api: AudioApi, data: bytes) -> None:
    assert api.refusal("glm_asr", file=base64.b64encode(data).decode())[:2] == (400, "INVALID_AUDIO_FILE")
    assert api.world.charges == []


@pytest.mark.parametrize(
    ("operation", "usd"),
    [("minimax_speech_2_8_hd", 100 / 1e6), ("minimax_speech_2_8_turbo", 60 / 1e6), ("glm_tts", None)],
)
def test_speech_is_paid_by_the_character_where_a_price_is_listed(
    api: AudioApi, operation: str, usd: float | None
) -> None:
    if usd is None:
        api.send(operation, {"input": TEXT, "voice": "tongtong"})
    else:
        api.post(operation, text=TEXT, voice_setting=VOICE)

    listed = api.world.settings.unlisted_price_usd if usd is None else usd * len(TEXT)
    assert api.world.balance_usd() == pytest.approx(100 - listed)


def test_without_money_nothing_is_spoken(api: AudioApi) -> None:
    api.world.add_account("sk-simulated", 0.001)

    assert api.refusal("minimax_speech_02_hd", text=TEXT, voice_setting=VOICE)[1] == "BILLING_BALANCE_NOT_ENOUGH"
