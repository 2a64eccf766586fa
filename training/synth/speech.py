"""Engines that speak a text: hibari-tts, whose voice ships in its wheel, and espeak-ng where it is installed.

hibari speaks English; espeak-ng a hundred languages, robotically. Further engines implement ``SpeechEngine``. Noise,
rooms and telephones are ``training.augment``.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from asr.audio.files import read_audio_bytes
from asr.audio.resample import resample
from asr.errors import AudioError, InputError, MissingDependencyError, OptionError
from asr.text.languages import ENGLISH, language_code

MIN_SPEED, MAX_SPEED = 0.5, 2.0
MIN_PITCH, MAX_PITCH = 0.5, 2.0
_MAX_PEAK = 0.95


class SpeechEngine(Protocol):
    """Speaks a text. Implementations may be called by several threads at once."""

    @property
    def name(self) -> str:
        """Short name, the first part of a speaker's."""

    @property
    def voices(self) -> tuple[str, ...]:
        """The voices to choose from; at least one."""

    def synthesize(
        self, text: str, *, voice: str, speed: float, pitch: float, seed: int
    ) -> NDArray[np.float32]:
        """Speak ``text``: (T,) at 16 kHz. The same arguments give the same samples.

        Args:
            text: one utterance.
            voice: out of ``voices``.
            speed: 1 is the voice's own pace, 2 twice as fast; 0.5 to 2.
            pitch: factor on the voice's fundamental frequency; 0.5 to 2.
            seed: of whatever the engine draws.

        Raises:
            InputError: the engine has no sounds for the text.
            OptionError: an unknown voice, or a speed or pitch outside its range.
        """


@dataclass(frozen=True, kw_only=True)
class VoiceShape:
    """How a voice differs from the one in the wheel: factors on the fundamental and on the formants."""

    f0: float
    formants: float


# Adult ranges: a man's fundamental is about 0.55 of a woman's, his formants about 0.85 (Peterson and Barney
# 1952).
HIBARI_VOICES: Final[Mapping[str, VoiceShape]] = {
    "heart": VoiceShape(f0=1.0, formants=1.0),
    "bright": VoiceShape(f0=1.12, formants=1.06),
    "light": VoiceShape(f0=1.25, formants=1.13),
    "warm": VoiceShape(f0=0.88, formants=0.95),
    "low": VoiceShape(f0=0.76, formants=0.91),
    "man": VoiceShape(f0=0.64, formants=0.87),
    "deep": VoiceShape(f0=0.54, formants=0.83),
}


BRITISH_SUFFIX: Final = "-gb"
# The wheel's network has only learned American sounds; these are the nearest to the British ones that it lacks.
_TO_AMERICAN: Final = str.maketrans({"Q": "O", "ɒ": "ɑ", "a": "æ", "ː": None})


class HibariEngine:
    """hibari-tts with the one voice of its wheel, and more made from it; downloads nothing.

    The network gives a fundamental and a spectral envelope per frame. Scaling the first and stretching the
    second along frequency makes other speakers out of one, at an unchanged pace. Each shape speaks with the
    American readings of words and, under its name with ``BRITISH_SUFFIX``, with the British ones: two readings
    of a word that no dictionary has.
    """

    name = "hibari"

    def __init__(self, shapes: Mapping[str, VoiceShape] | None = None) -> None:
        """Speak with ``HIBARI_VOICES``, or with other shapes under names of your own."""
        self._shapes = dict(HIBARI_VOICES if shapes is None else shapes)

    @property
    def voices(self) -> tuple[str, ...]:
        """The names of the shapes, with American and with British readings."""
        return (*self._shapes, *(f"{name}{BRITISH_SUFFIX}" for name in self._shapes))

    def synthesize(
        self, text: str, *, voice: str, speed: float, pitch: float, seed: int
    ) -> NDArray[np.float32]:
        """As ``SpeechEngine.synthesize`` says."""
        _check_settings(self, voice, speed, pitch)
        hibari = _hibari()
        # Punctuation is a phoneme to hibari, a pause; a text of nothing else is not speech.
        sentences = [
            hibari.ids(phonemes)
            for phonemes in _phonemes(hibari, text, british=voice.endswith(BRITISH_SUFFIX))
            if any(sign.isalpha() and sign in hibari.vocab for sign in phonemes)
        ]
        if not sentences:
            raise _unspeakable(self.name, text)
        shape, generator = self._shapes[voice.removesuffix(BRITISH_SUFFIX)], np.random.default_rng(seed)
        shape = VoiceShape(f0=shape.f0 * pitch, formants=shape.formants)
        spoken = [_speak_ids(hibari, ids, speed, shape, generator) for ids in sentences]
        return _within_full_scale(resample(np.concatenate(spoken), hibari.sample_rate))


@functools.cache
def _hibari() -> Any:
    try:
        from hibari import Hibari
    except ImportError as error:
        raise MissingDependencyError(
            "speaking needs the package hibari-tts, which is not installed: pip install 'hibari-tts>=0.2.1'"
        ) from error
    engine = Hibari(voice="heart")  # the only voice that is in the wheel; others would be downloaded
    engine.phonemize("ready")  # load the pronunciation rules now, before threads ask for them
    return engine


@functools.cache
def _british_rules() -> Any:
    from hibari.g2p import G2P

    rules = G2P(british=True)
    rules("ready")
    return rules


def _phonemes(hibari: Any, text: str, *, british: bool) -> list[str]:
    """One string of phonemes for each sentence."""
    if not british:
        return list(hibari.phonemize(text))
    read = (_british_rules()(sentence) or "" for sentence in hibari.split_sentences(text))
    return [phonemes.translate(_TO_AMERICAN) for phonemes in read if phonemes]


def _speak_ids(
    hibari: Any, ids: list[int], speed: float, shape: VoiceShape, generator: np.random.Generator
) -> NDArray[np.float32]:
    """One sentence at hibari's own rate; the outputs are (601, F) by bin and frame, the fundamental (F,)."""
    from hibari import dsp

    inputs = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)}
    harmonic, angle, noise, free, phase, f0 = (output[0] for output in hibari.sess.run(None, inputs))
    if shape.formants != 1.0:
        bins = np.arange(len(harmonic))
        source = np.minimum(np.rint(bins / shape.formants).astype(np.int64), len(bins) - 1)
        harmonic, angle, noise, free = harmonic[source], angle[source], noise[source], free[source]
        # A moved bin turns by its new frequency from frame to frame.
        turn = 2 * np.pi * dsp.HOP / dsp.N_FFT * (bins - source)[:, None] * np.arange(phase.shape[1])
        phase = np.mod(phase[source] + turn, 2 * np.pi).astype(np.float32)
    f0 = (f0 * shape.f0).astype(np.float32)
    return np.asarray(dsp.synth(harmonic, angle, noise, free, phase, f0, generator), np.float32)


def _within_full_scale(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softer if need be: clipping would add sounds."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    return samples * np.float32(_MAX_PEAK / peak) if peak > _MAX_PEAK else samples


ESPEAK_ENGLISH: Final = (
    "en-us",
    "en-us+m3",
    "en-us+f2",
    "en-us+f4",
    "en-gb",
    "en-gb+m7",
    "en-gb-scotland+m1",
    "en-029+f3",
)
# The voice as it is, then other speakers made from it: men and women of espeak-ng's own "variants".
ESPEAK_VARIANTS: Final = ("", "+m1", "+m3", "+m5", "+m7", "+f1", "+f2", "+f3", "+f4")
# Where espeak-ng's code is another than Whisper's.
_ESPEAK_CODES: Final = {"zh": "cmn", "no": "nb"}


class EspeakEngine:
    """espeak-ng, as a program; robotic, but it speaks many languages, and its rules for unknown words are its own."""

    name = "espeak"
    _WORDS_PER_MINUTE = 165
    _TIMEOUT_S = 60

    def __init__(self, language: str = ENGLISH) -> None:
        """Speak ``language``.

        Raises:
            MissingDependencyError: espeak-ng is not installed.
            OptionError: it has no voice of the language.
        """
        program = shutil.which("espeak-ng")
        if program is None:
            raise MissingDependencyError("espeak-ng is not installed: apt-get install espeak-ng")
        self._program = program
        self._voices = ESPEAK_ENGLISH if language == ENGLISH else _espeak_voices(program, language)

    @property
    def voices(self) -> tuple[str, ...]:
        """espeak-ng's voices of the language, each as several speakers."""
        return self._voices

    @functools.cached_property
    def version(self) -> str:
        """The program's version: other versions say things differently."""
        shown = subprocess.run(
            [self._program, "--version"], capture_output=True, timeout=self._TIMEOUT_S, check=False
        ).stdout.decode(errors="replace")
        return shown.partition(":")[2].split()[0] if ":" in shown else "unknown"

    def synthesize(
        self, text: str, *, voice: str, speed: float, pitch: float, seed: int
    ) -> NDArray[np.float32]:
        """As ``SpeechEngine.synthesize`` says; espeak-ng draws nothing, so the seed is not used."""
        del seed
        _check_settings(self, voice, speed, pitch)
        arguments = [
            "-v",
            voice,
            "-s",
            f"{speed * self._WORDS_PER_MINUTE:.0f}",
            "-p",
            f"{min(99, 50 * pitch):.0f}",
        ]
        done = subprocess.run(
            [self._program, *arguments, "--stdin", "--stdout"],
            input=text.encode(),
            capture_output=True,
            timeout=self._TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise InputError(f"espeak-ng failed on {text!r}: {done.stderr.decode(errors='replace').strip()}")
        try:
            samples = read_audio_bytes(done.stdout, "espeak-ng's output")
        except AudioError as error:
            raise _unspeakable(self.name, text) from error
        if not np.any(samples):
            raise _unspeakable(self.name, text)
        return samples


@functools.cache
def _espeak_voices(program: str, language: str) -> tuple[str, ...]:
    """The voices of a language that need no other program, each in ``ESPEAK_VARIANTS``.

    Raises:
        OptionError: there is none.
    """
    code = _ESPEAK_CODES.get(language_code(language), language_code(language))
    listed = subprocess.run([program, "--voices"], capture_output=True, timeout=60, check=False).stdout
    # priority, language, age and gender, name, file, other languages
    rows = [line.split() for line in listed.decode(errors="replace").splitlines()[1:]]
    named = [(row[1], row[4]) for row in rows if len(row) > 4]
    own = [
        name
        for name, file in named
        # "mb/" are MBROLA's, another program; romanised spellings are not what people write
        if name.partition("-")[0] == code and "latn" not in name.lower() and not file.startswith("mb/")
    ]
    if not own:
        raise OptionError(
            f"espeak-ng has no voice for {language!r}; give recordings of the language (--train and --dev), or speech "
            "that you synthesised elsewhere",
            field="language",
        )
    return tuple(f"{name}{variant}" for name in dict.fromkeys(own) for variant in ESPEAK_VARIANTS)


def espeak_available() -> bool:
    """Whether espeak-ng is installed."""
    return shutil.which("espeak-ng") is not None


def available_engines(language: str = ENGLISH) -> list[SpeechEngine]:
    """The engines of this machine that speak a language, the best first.

    Raises:
        MissingDependencyError: only espeak-ng could, and it is not installed.
        OptionError: it could not either.
    """
    if language != ENGLISH:
        return [_espeak(language)]
    engines: list[SpeechEngine] = [HibariEngine()]
    if espeak_available():
        engines.append(EspeakEngine())
    return engines


def engines_named(names: tuple[str, ...], language: str = ENGLISH) -> list[SpeechEngine]:
    """The engines with these names, for a language; all that are available for ().

    Raises:
        OptionError: an unknown name, or an engine that does not speak the language.
        MissingDependencyError: an engine that is not installed.
    """
    known: dict[str, Callable[[str], SpeechEngine]] = {"hibari": _hibari_for, "espeak": _espeak}
    for name in names:
        if name not in known:
            raise OptionError(f"there is no speech engine {name!r}; use {', '.join(known)}", field="engines")
    return [known[name](language) for name in names] if names else available_engines(language)


def _hibari_for(language: str) -> SpeechEngine:
    if language != ENGLISH:
        raise OptionError(f"hibari speaks English alone, not {language!r}; use espeak", field="engines")
    return HibariEngine()


def _espeak(language: str) -> SpeechEngine:
    try:
        return EspeakEngine(language)
    except MissingDependencyError as error:
        if language == ENGLISH:
            raise
        raise MissingDependencyError(
            f"speaking {language!r} needs espeak-ng, which is not installed: apt-get install espeak-ng, or give "
            "recordings (--train and --dev)"
        ) from error


def _check_settings(engine: SpeechEngine, voice: str, speed: float, pitch: float) -> None:
    if voice not in engine.voices:
        raise OptionError(
            f"{engine.name} has no voice {voice!r}; use {', '.join(engine.voices)}", field="voice"
        )
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise OptionError(f"a speed of {speed:g} is outside {MIN_SPEED} to {MAX_SPEED}", field="speed")
    if not MIN_PITCH <= pitch <= MAX_PITCH:
        raise OptionError(f"a pitch of {pitch:g} is outside {MIN_PITCH} to {MAX_PITCH}", field="pitch")


def _unspeakable(engine: str, text: str) -> InputError:
    return InputError(f"{engine} has no sounds for {text!r}; write it in letters and words of its language")
