"""Engines: the same seed gives the same bytes; speed and pitch do what they say; bad settings are named."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from asr.errors import InputError, MissingDependencyError, OptionError
from training.synth.speech import (
    HIBARI_VOICES,
    EspeakEngine,
    HibariEngine,
    SpeechEngine,
    VoiceShape,
    available_engines,
    engines_named,
    espeak_available,
)

TEXT = "Where were you all year? We are all away."  # voiced throughout: the fundamental can be measured
RATE = 16_000


def _speak(engine: SpeechEngine, voice: str = "heart", speed: float = 1.0, pitch: float = 1.0) -> np.ndarray:
    return engine.synthesize(TEXT, voice=voice, speed=speed, pitch=pitch, seed=7)


def _fundamental_hz(samples: np.ndarray) -> float:
    """Median over loud frames of the strongest frequency between 60 and 420 Hz."""
    frequency = np.fft.rfftfreq(8192, 1 / RATE)
    band = (frequency > 60) & (frequency < 420)
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[::512] * np.hanning(1024)
    spectra = np.abs(np.fft.rfft(frames, 8192))[:, band]
    loud = spectra.max(axis=1) > 0.1 * spectra.max()
    return float(np.median(frequency[band][spectra[loud].argmax(axis=1)]))


def _envelope_db(samples: np.ndarray) -> np.ndarray:
    """Long-term spectrum on a logarithmic axis from 400 to 7,200 Hz, smoothed over the harmonics."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 256)[::128] * np.hanning(256)
    power = np.mean(np.abs(np.fft.rfft(frames, 2048)) ** 2, axis=0)
    grid_hz = 400 * 18 ** np.linspace(0, 1, 400)
    return np.interp(grid_hz, np.fft.rfftfreq(2048, 1 / RATE), 10 * np.log10(power + 1e-12))


def test_all_engines_speak_and_repeat_themselves() -> None:
    for engine in available_engines():
        for voice in engine.voices:
            samples = engine.synthesize("Good morning.", voice=voice, speed=1.0, pitch=1.0, seed=1)
            assert samples.dtype == np.float32 and samples.ndim == 1
            assert 0.4 * RATE < samples.size < 3 * RATE
            assert 0.05 < np.max(np.abs(samples)) <= 1.0
            again = engine.synthesize("Good morning.", voice=voice, speed=1.0, pitch=1.0, seed=1)
            np.testing.assert_array_equal(samples, again)


def test_the_seed_changes_the_sound_and_not_the_length() -> None:
    first, second = (
        HibariEngine().synthesize(TEXT, voice="heart", speed=1.0, pitch=1.0, seed=seed) for seed in (1, 2)
    )
    assert first.size == second.size and not np.array_equal(first, second)


def test_speed_is_a_factor_on_the_pace() -> None:
    engine = HibariEngine()
    assert _speak(engine).size / _speak(engine, speed=1.5).size == pytest.approx(1.5, abs=0.25)
    assert _speak(engine).size / _speak(engine, speed=0.75).size == pytest.approx(0.75, abs=0.15)


def test_pitch_is_a_factor_on_the_fundamental_and_keeps_the_pace() -> None:
    engine = HibariEngine()
    plain, high = _speak(engine), _speak(engine, pitch=1.3)
    assert plain.size == high.size
    assert _fundamental_hz(high) / _fundamental_hz(plain) == pytest.approx(1.3, abs=0.12)


def test_made_voices_sound_different() -> None:
    engine = HibariEngine()
    assert len(engine.voices) == 2 * len(HIBARI_VOICES) >= 10
    assert len({_speak(engine, voice).tobytes() for voice in engine.voices}) == len(engine.voices)


def test_british_readings_lose_no_sound_of_the_network() -> None:
    from training.synth.speech import _hibari, _phonemes

    hibari = _hibari()
    american, british = (
        _phonemes(hibari, "A car, some water and a better bath.", british=british)
        for british in (False, True)
    )
    assert american != british
    assert all(sign in hibari.vocab for sentence in (*american, *british) for sign in sentence)


def test_the_formants_move_by_their_factor() -> None:
    engine = HibariEngine(
        {"plain": VoiceShape(f0=1.0, formants=1.0), "long tract": VoiceShape(f0=1.0, formants=0.85)}
    )
    plain, long_tract = (_envelope_db(_speak(engine, voice)) for voice in ("plain", "long tract"))
    shifts = range(-40, 41)
    fits = [np.corrcoef(plain[40:-40], long_tract[40 + shift : 360 + shift])[0, 1] for shift in shifts]
    factor = 18 ** (shifts[int(np.argmax(fits))] / 399)
    assert factor == pytest.approx(0.85, abs=0.04)


@pytest.mark.parametrize("text", ["", "   ", "...", "東京", "★"])
def test_text_without_sounds_is_named(text: str) -> None:
    with pytest.raises(InputError, match="no sounds for"):
        HibariEngine().synthesize(text, voice="heart", speed=1.0, pitch=1.0, seed=0)


@pytest.mark.parametrize(
    ("voice", "speed", "pitch", "field"),
    [("emma", 1.0, 1.0, "voice"), ("heart", 2.1, 1.0, "speed"), ("heart", 1.0, 0.4, "pitch")],
)
def test_settings_outside_their_range(voice: str, speed: float, pitch: float, field: str) -> None:
    with pytest.raises(OptionError) as caught:
        HibariEngine().synthesize("a", voice=voice, speed=speed, pitch=pitch, seed=0)
    assert caught.value.field == field


def test_engines_are_chosen_by_name() -> None:
    assert [engine.name for engine in engines_named(("hibari",))] == ["hibari"]
    assert [engine.name for engine in engines_named(())] == [engine.name for engine in available_engines()]
    with pytest.raises(OptionError, match="use hibari, espeak"):
        engines_named(("festival",))


STAND_IN = f"""#!{sys.executable}
import struct, sys
text = sys.stdin.read()
if "fail" in text:
    sys.exit("no such voice")
print(sys.argv[1:], file=open(__file__ + ".log", "w"))
form = struct.pack("<IHHIIHH", 16, 1, 1, 22050, 44100, 2, 16)
head = b"RIFF" + struct.pack("<I", 0x7ffff024) + b"WAVEfmt " + form
sound = b"" if not text.strip() else struct.pack("<h", 9000) * 22050
sys.stdout.buffer.write(head + b"data" + struct.pack("<I", 0x7ffff000) + sound)
"""


def test_espeak_is_called_as_its_manual_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is an outside one: a stand-in writes the stream that espeak-ng writes, unknown length "
    "included."""
    program = tmp_path / "espeak-ng"
    program.write_text(STAND_IN)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = EspeakEngine()
    samples = engine.synthesize("-v hello", voice="en-gb", speed=2.0, pitch=1.1, seed=0)
    assert samples.size == RATE
    log = (tmp_path / "espeak-ng.log").read_text()
    assert log.strip() == "['-v', 'en-gb', '-s', '330', '-p', '55', '--stdin', '--stdout']"
    with pytest.raises(InputError, match="no sounds"):
        engine.synthesize(" ", voice="en-gb", speed=1.0, pitch=1.0, seed=0)
    with pytest.raises(InputError, match="no such voice"):
        engine.synthesize("fail", voice="en-gb", speed=1.0, pitch=1.0, seed=0)


def test_without_espeak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not espeak_available()
    assert [engine.name for engine in available_engines()] == ["hibari"]
    with pytest.raises(MissingDependencyError, match="apt-get install espeak-ng"):
        EspeakEngine()


def test_another_language_without_espeak_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        MissingDependencyError, match=r"speaking 'cy' needs espeak-ng.*apt-get install espeak-ng"
    ):
        engines_named((), "cy")


def test_hibari_speaks_english_alone() -> None:
    with pytest.raises(OptionError, match="hibari speaks English alone, not 'de'; use espeak"):
        engines_named(("hibari",), "de")


@pytest.mark.skipif(not espeak_available(), reason="espeak-ng is not installed")
@pytest.mark.parametrize(
    ("language", "first", "text"),
    [
        ("de", "de", "Guten Morgen."),
        ("cy", "cy", "Bore da."),
        ("zh", "cmn", "早上好。"),
        ("no", "nb", "God morgen."),
    ],
)
def test_espeak_has_several_speakers_of_a_language(language: str, first: str, text: str) -> None:
    (engine,) = engines_named((), language)
    assert engine.voices[0] == first and len(engine.voices) >= 9
    assert {voice.partition("+")[0].partition("-")[0] for voice in engine.voices} == {first}
    spoken = {
        engine.synthesize(text, voice=voice, speed=1.0, pitch=1.0, seed=0).tobytes()
        for voice in engine.voices[:9]
    }
    assert len(spoken) == 9


@pytest.mark.skipif(not espeak_available(), reason="espeak-ng is not installed")
def test_a_language_without_a_voice_is_refused() -> None:
    with pytest.raises(OptionError, match="no voice for 'ln'; give recordings"):
        EspeakEngine("ln")


@pytest.mark.skipif(not espeak_available(), reason="espeak-ng is not installed")
def test_espeak_says_its_version() -> None:
    assert EspeakEngine().version[0].isdigit()
