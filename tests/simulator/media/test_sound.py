"""The sounds the simulator makes: the asked format, a plausible length, and speech that can be heard again."""

import io
import wave
from array import array

import av
import pytest
from novita_mcp.simulator.media.sound import (
    NotSoundError,
    SoundFormat,
    call_sign,
    decode,
    encode,
    listen,
    mix,
    play,
    speak,
    spoken_length,
)

TEXT = "The red fox runs over the snow at dawn. Nobody sees it, but everyone hears the snow."


@pytest.mark.parametrize("kind", ["mp3", "wav", "flac"])
@pytest.mark.parametrize("rate", [8000, 22050, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_has_the_format_rate_and_channels_asked_for(kind: str, rate: int, channels: int) -> None:
    data = encode(speak(TEXT, rate=rate), SoundFormat(kind, rate, channels))

    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.audio[0]
        assert file.format.name.startswith(kind)
        assert (stream.rate, stream.channels) == (rate, channels)


def test_opus_comes_in_ogg_and_pcm_is_nothing_but_samples() -> None:
    opus = encode(speak(TEXT, rate=48000), SoundFormat("opus", 48000))
    pcm = encode(speak(TEXT, rate=24000), SoundFormat("pcm", 24000, 2))

    assert opus[:4] == b"OggS"
    assert len(pcm) == round(spoken_length(TEXT) * 24000) * 4


def test_a_wav_holds_the_very_samples() -> None:
    samples = speak(TEXT, rate=16000)

    with wave.open(io.BytesIO(encode(samples, SoundFormat("wav", 16000)))) as file:
        assert file.readframes(file.getnframes()) == samples.tobytes()


@pytest.mark.parametrize(("speed", "seconds"), [(0.5, 12.0), (1.0, 6.0), (2.0, 3.0)])
def test_speech_takes_a_second_for_fourteen_characters_at_normal_speed(speed: float, seconds: float) -> None:
    data = encode(speak(TEXT, speed=speed), SoundFormat())

    assert listen(data).seconds == pytest.approx(seconds, abs=0.15)


def test_a_written_pause_makes_the_speech_longer() -> None:
    assert len(speak("Wait for it<#2.5#>now you may look at it", rate=8000)) == pytest.approx(
        len(speak("Wait for it now you may look at it", rate=8000)) + 20_000, abs=1
    )


def test_the_same_request_gives_the_same_bytes_and_another_text_or_voice_others() -> None:
    first, again = speak(TEXT, voice="Abbess"), speak(TEXT, voice="Abbess")

    assert first == again
    assert first != speak(TEXT, voice="Elegant_Man")
    assert first != speak(TEXT.upper(), voice="Abbess")


@pytest.mark.parametrize("text", ["Hi", "Yo. Ok. No.", "你好，世界。今天天气很好", TEXT])
@pytest.mark.parametrize("volume", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_speech_is_heard_again_from_a_poor_mp3(text: str, volume: float, speed: float) -> None:
    data = encode(speak(text, voice="x", volume=volume, speed=speed, rate=8000), SoundFormat("mp3", 8000, 1, 32000))

    assert listen(data).signs == (call_sign(text),)


@pytest.mark.parametrize(("codec", "rate"), [("mp3", 16000), ("opus", 48000)])
def test_speech_is_heard_again_after_recoding(codec: str, rate: int) -> None:
    spoken = encode(speak(TEXT, rate=44100), SoundFormat("mp3", 44100))

    assert listen(encode(decode(spoken, rate), SoundFormat(codec, rate, 1, 32000))).signs == (call_sign(TEXT),)


def test_speech_is_heard_over_music_and_from_the_middle_of_a_cut() -> None:
    laid = mix(play("a tune", 6, rate=16000), speak(TEXT, rate=16000))

    assert listen(encode(laid[20_000:60_000], SoundFormat("mp3", 16000))).signs == (call_sign(TEXT),)


def test_music_and_silence_say_nothing() -> None:
    tune = encode(play("a tune", 5, rate=16000), SoundFormat("wav", 16000))
    silence = encode(array("h", bytes(64_000)), SoundFormat("wav", 16000))

    assert listen(tune).signs == ()
    assert listen(silence).signs == ()


def test_a_sung_song_can_be_heard() -> None:
    song = encode(play("folk", 5, words="la la la", rate=44100), SoundFormat("mp3", 44100, 2))

    assert listen(song).signs == (call_sign("la la la"),)


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"RIFF\x00\x00\x00\x00WAVE", bytes(1000)])
def test_what_is_no_sound_is_refused(data: bytes) -> None:
    with pytest.raises(NotSoundError):
        decode(data, 8000)
