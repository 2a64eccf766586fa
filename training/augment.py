"""Recordings as they sound in the field: level, room, noise and telephone, drawn per utterance from a seed.

Every stage keeps the length of the samples and the time of each word, so a reference stays right. Voices are the
synthesiser's, speed is its and ``training.copies``'s, masking features ``training.spec_augment``'s.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from asr.audio.pcm import Encoding, decode_pcm, encode_pcm, to_int16
from asr.audio.resample import resample
from asr.errors import OptionError
from asr.units import HOP_SAMPLES, SAMPLE_RATE_HZ, to_samples

TELEPHONE_RATE_HZ = 8_000
TELEPHONE_BAND_HZ = (300.0, 3400.0)
TELEPHONE_CODECS = ("mulaw", "gsm")
NOISES = ("white", "pink", "brown", "babble", "hum")
_ACTIVE_DB = 30.0  # frames this far below the loudest are pauses
_MAX_PEAK = 0.99
_MAX_ROOM_PREDELAY_S = 0.02

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class AugmentOptions:
    """How often each stage is applied, and within which limits its setting is drawn.

    Attributes:
        gain_probability: of a change of level.
        gain_db: of that change.
        room_probability: of a room.
        rt60_s: time in which the room's echo falls by 60 dB, within 0.05 to 2.
        direct_to_reverb_db: level of the direct path over the echo.
        noise_probability: of additive noise, of a kind out of ``NOISES``.
        noise_snr_db: speech over noise, measured on the speech's active frames.
        telephone_probability: of the telephone chain.
        codecs: of the telephone chain, out of ``TELEPHONE_CODECS``.
    """

    gain_probability: float = 0.8
    gain_db: Range = (-12.0, 3.0)
    room_probability: float = 0.4
    rt60_s: Range = (0.1, 0.5)
    direct_to_reverb_db: Range = (0.0, 15.0)
    noise_probability: float = 0.7
    noise_snr_db: Range = (8.0, 40.0)
    telephone_probability: float = 0.2
    codecs: tuple[str, ...] = TELEPHONE_CODECS

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            OptionError: a probability outside [0, 1], an empty range, an unknown codec.
        """
        for stage in ("gain", "room", "noise", "telephone"):
            name = f"{stage}_probability"
            probability = getattr(self, name)
            if not 0.0 <= probability <= 1.0:
                raise OptionError(f"{name} is {probability:g}; it must lie in [0, 1]", field=name)
        for name in ("gain_db", "rt60_s", "direct_to_reverb_db", "noise_snr_db"):
            low, high = getattr(self, name)
            if not low <= high:
                raise OptionError(
                    f"{name} is {low:g} to {high:g}; the first must not be above the second", field=name
                )
        if not (self.rt60_s[0] >= 0.05 and self.rt60_s[1] <= 2.0):
            raise OptionError(f"rt60_s is {self.rt60_s}; it must lie within 0.05 to 2 s", field="rt60_s")
        if not self.codecs or not set(self.codecs) <= set(TELEPHONE_CODECS):
            raise OptionError(f"codecs is {self.codecs}; use {', '.join(TELEPHONE_CODECS)}", field="codecs")


NO_AUGMENTATION = AugmentOptions(
    gain_probability=0.0, room_probability=0.0, noise_probability=0.0, telephone_probability=0.0
)


def augment(samples: NDArray[np.float32], seed: int, options: AugmentOptions) -> NDArray[np.float32]:
    """Room, noise, level and telephone, in the order in which they happen to a voice.

    Args:
        samples: (T,) at 16 kHz.
        seed: the same seed gives the same bytes; each stage draws from a stream of its own, so changing one
            probability changes nothing in the other stages.
        options: what to draw.

    Returns:
        (T,) at 16 kHz in [-1, 1]; a signal that would clip is made softer.
    """
    stages: tuple[tuple[float, _Stage], ...] = (
        (options.room_probability, _in_a_room),
        (options.noise_probability, _with_noise),
        (options.gain_probability, _at_another_level),
        (options.telephone_probability, _over_a_telephone),
    )
    for index, (probability, stage) in enumerate(stages):
        generator = np.random.default_rng([seed, index])
        if generator.random() < probability:
            samples = _within_full_scale(stage(samples, generator, options))
    return samples


_Stage = Callable[[NDArray[np.float32], np.random.Generator, AugmentOptions], NDArray[np.float32]]


def active_rms(samples: NDArray[np.float32]) -> float:
    """RMS over the 10 ms frames within 30 dB of the loudest; 0 for digital silence or no samples."""
    num_frames = samples.size // HOP_SAMPLES
    if not num_frames:
        return 0.0
    frames = samples[: num_frames * HOP_SAMPLES].reshape(num_frames, HOP_SAMPLES)
    powers = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return float(np.sqrt(np.mean(powers[powers >= powers.max() * 10 ** (-_ACTIVE_DB / 10)])))


def noise(kind: str, num_samples: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """(T,) of noise with an RMS of 1.

    Args:
        kind: out of ``NOISES``: white, pink (-3 dB an octave), brown (-6), babble (the long-term spectrum of
            speech, its level moving at syllable rate), hum (mains and its harmonics with some white noise).
        num_samples: T.
        generator: the only source of chance.

    Raises:
        OptionError: an unknown kind.
    """
    if kind not in NOISES:
        raise OptionError(f"there is no noise {kind!r}; use {', '.join(NOISES)}", field="noise")
    sound = (_hum if kind == "hum" else partial(_shaped_noise, kind))(num_samples, generator)
    rms = float(np.sqrt(np.mean(np.square(sound)))) if num_samples else 0.0
    return np.asarray(sound / rms if rms else sound, np.float32)


def _shaped_noise(kind: str, num_samples: int, generator: np.random.Generator) -> NDArray[np.float64]:
    from scipy import fft

    length = fft.next_fast_len(max(num_samples, 1), real=True)
    spectrum = fft.rfft(generator.standard_normal(length))
    frequency_hz = np.maximum(np.arange(spectrum.size) * SAMPLE_RATE_HZ / length, 20.0)
    match kind:
        case "pink":
            spectrum *= frequency_hz**-0.5
        case "brown":
            spectrum *= frequency_hz**-1.0
        case "babble":  # flat to 500 Hz, then -9 dB an octave (Byrne et al. 1994, the average over languages)
            spectrum *= np.minimum(1.0, (frequency_hz / 500.0) ** -1.5) * (frequency_hz > 80.0)
    sound = np.asarray(fft.irfft(spectrum, length)[:num_samples])
    if kind == "babble":
        sound *= 1.0 + 0.5 * np.sin(
            2 * np.pi * generator.uniform(3, 5) * np.arange(num_samples) / SAMPLE_RATE_HZ
        )
    return sound


def _hum(num_samples: int, generator: np.random.Generator) -> NDArray[np.float64]:
    times_s = np.arange(num_samples) / SAMPLE_RATE_HZ
    mains_hz = generator.choice([50.0, 60.0]) * generator.uniform(0.995, 1.005)
    sound = 0.1 * generator.standard_normal(num_samples)
    for harmonic in range(1, 9):
        level, phase = generator.uniform(0.1, 1.0) / harmonic, generator.uniform(0, 2 * np.pi)
        sound += level * np.sin(2 * np.pi * mains_hz * harmonic * times_s + phase)
    return sound


def room_response(
    rt60_s: float, direct_to_reverb_db: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """(N,) impulse response: the direct path at once, then noise that decays by 60 dB in ``rt60_s``."""
    times_s = np.arange(to_samples(rt60_s)) / SAMPLE_RATE_HZ
    echo = generator.standard_normal(times_s.size) * 10 ** (-3 * times_s / rt60_s)
    echo[times_s < generator.uniform(0.002, _MAX_ROOM_PREDELAY_S)] = 0.0
    energy = float(np.sum(np.square(echo)))
    echo *= np.sqrt(10 ** (-direct_to_reverb_db / 10) / energy)
    echo[0] = 1.0
    return np.asarray(echo, np.float32)


def telephone(samples: NDArray[np.float32], codec: str) -> NDArray[np.float32]:
    """A call: 8 kHz, 300 to 3400 Hz, the codec, and back to 16 kHz; the length is kept.

    Args:
        samples: (T,) at 16 kHz.
        codec: "mulaw" (G.711) or "gsm" (06.10).

    Raises:
        OptionError: an unknown codec.
    """
    import soxr
    from scipy import signal

    if codec not in TELEPHONE_CODECS:
        raise OptionError(f"there is no codec {codec!r}; use {', '.join(TELEPHONE_CODECS)}", field="codecs")
    if not samples.size:
        return samples
    narrow = soxr.resample(samples, SAMPLE_RATE_HZ, TELEPHONE_RATE_HZ)
    band = signal.butter(4, TELEPHONE_BAND_HZ, "bandpass", fs=TELEPHONE_RATE_HZ, output="sos")
    narrow = np.clip(signal.sosfilt(band, narrow), -1.0, 1.0).astype(np.float32)
    coded = _gsm(narrow) if codec == "gsm" else decode_pcm(encode_pcm(narrow, Encoding.MULAW), Encoding.MULAW)
    wide = resample(coded, TELEPHONE_RATE_HZ)[: samples.size]
    return np.clip(np.pad(wide, (0, samples.size - wide.size)), -1.0, 1.0)


def _gsm(narrow: NDArray[np.float32]) -> NDArray[np.float32]:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, to_int16(narrow), TELEPHONE_RATE_HZ, format="WAV", subtype="GSM610")
    buffer.seek(0)
    coded, _ = soundfile.read(buffer, dtype="float32")
    return np.asarray(coded[: narrow.size], np.float32)


def _in_a_room(
    samples: NDArray[np.float32], generator: np.random.Generator, options: AugmentOptions
) -> NDArray[np.float32]:
    from scipy import signal

    response = room_response(
        generator.uniform(*options.rt60_s), generator.uniform(*options.direct_to_reverb_db), generator
    )
    before = active_rms(samples)
    wet = np.asarray(signal.fftconvolve(samples, response)[: samples.size], np.float32)
    after = active_rms(wet)
    return wet * np.float32(before / after) if after else wet


def _with_noise(
    samples: NDArray[np.float32], generator: np.random.Generator, options: AugmentOptions
) -> NDArray[np.float32]:
    kind, snr_db = str(generator.choice(NOISES)), generator.uniform(*options.noise_snr_db)
    level = np.float32(active_rms(samples) * 10 ** (-snr_db / 20))
    return samples + level * noise(kind, samples.size, generator)


def _at_another_level(
    samples: NDArray[np.float32], generator: np.random.Generator, options: AugmentOptions
) -> NDArray[np.float32]:
    return samples * np.float32(10 ** (generator.uniform(*options.gain_db) / 20))


def _over_a_telephone(
    samples: NDArray[np.float32], generator: np.random.Generator, options: AugmentOptions
) -> NDArray[np.float32]:
    return telephone(samples, str(generator.choice(options.codecs)))


def _within_full_scale(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    peak = float(np.max(np.abs(samples), initial=0.0))
    return samples * np.float32(_MAX_PEAK / peak) if peak > _MAX_PEAK else samples
