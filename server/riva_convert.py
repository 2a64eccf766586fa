"""Between the messages of Riva's clients and plain values; what they ask for and do not get is named.

Clients differ in what they leave out: no encoding, no rate, a RIFF header in front of the audio instead. So a call's
config is known only with its first audio. Times are int32 ms there, finals end with one space.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asr.audio.containers import Container
from asr.audio.pcm import Encoding
from asr.biasing.phrases import DEFAULT_BOOST, MAX_BOOST, Phrase, PhraseState, phrase_set
from asr.errors import OptionError, ProtocolError
from asr.results import Hypothesis
from asr.riva.v1 import riva_pb2
from asr.streaming.messages import (
    MAX_ALTERNATIVES,
    MAX_CHANNELS,
    Finalize,
    Limits,
    RecognitionResult,
    StreamConfig,
    Vocabulary,
)
from server.convert_config import check_size, unknown_numbers
from server.vocabulary import ServedInput

FORCE_EOU = "force_eou"
MAX_IGNORED = 50  # metadata is limited
BOOST_SCALE, MIN_BOOST = 4.0, 1.0  # Riva's 20 is our default, its 80 and more the most
_ENCODINGS = {
    riva_pb2.AUDIO_ENCODING_UNSPECIFIED: Encoding.LINEAR16,
    riva_pb2.AUDIO_ENCODING_LINEAR_PCM: Encoding.LINEAR16,
    riva_pb2.AUDIO_ENCODING_MULAW: Encoding.MULAW,
    riva_pb2.AUDIO_ENCODING_ALAW: Encoding.ALAW,
}
_CONTAINERS = {
    riva_pb2.AUDIO_ENCODING_FLAC: Container.FLAC,
    riva_pb2.AUDIO_ENCODING_OGGOPUS: Container.OGG_OPUS,
}
_ANY_LANGUAGE = ("multi", "auto")
_MIN_SILENCE_S, _MAX_SILENCE_S = 0.1, 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RivaCall:
    """What a call asks for, before its audio is seen.

    Attributes:
        config: what a header states counts more; the rate is 0 where the client leaves it to one.
        ignored: paths of what was asked for and will not be used.
    """

    config: StreamConfig
    ignored: tuple[str, ...]


def unary_call(request: riva_pb2.RecognizeRequest, models: Mapping[str, str], limits: Limits) -> RivaCall:
    """What a unary request asks for.

    Raises:
        ProtocolError: the config is too large.
        OptionError: as for :func:`call_of`.
    """
    check_size(request.config, limits.max_message_bytes)
    return call_of(request.config, models, limits, interim_results=False)


def stream_call(
    request: riva_pb2.StreamingRecognizeRequest, models: Mapping[str, str], limits: Limits
) -> RivaCall:
    """What a stream asks for with its first message.

    Raises:
        ProtocolError: the message holds no config, or is too large.
        OptionError: as for :func:`call_of`.
    """
    check_size(request, limits.max_message_bytes)
    kind = request.WhichOneof("streaming_request")
    if kind != "streaming_config":
        message = f"the first message holds {kind or 'nothing'}; it must hold streaming_config"
        raise ProtocolError(message, field="streaming_config")
    streaming = request.streaming_config
    return call_of(streaming.config, models, limits, interim_results=streaming.interim_results)


def call_of(
    config: riva_pb2.RecognitionConfig, models: Mapping[str, str], limits: Limits, *, interim_results: bool
) -> RivaCall:
    """A config, checked.

    Args:
        config: as it came.
        models: selectors by the names that clients write.
        limits: of its phrases.
        interim_results: whether it asks for them.

    Raises:
        OptionError: an encoding or a number of channels that is not served.
    """
    if config.encoding not in _ENCODINGS and config.encoding not in _CONTAINERS:
        served = ", ".join(riva_pb2.AudioEncoding.Name(one) for one in (*_ENCODINGS, *_CONTAINERS))
        raise OptionError(
            f"encoding {config.encoding} is not served; send one of {served}",
            field="config.encoding",
        )
    channels = config.audio_channel_count or 1
    if not 1 <= channels <= MAX_CHANNELS:
        raise OptionError(
            f"{channels} channels; give 1 to {MAX_CHANNELS}", field="config.audio_channel_count"
        )
    container = _CONTAINERS.get(config.encoding)
    phrases, unused = _phrases(config, limits)
    checked = StreamConfig(
        model=models.get(config.model, config.model),
        container=container or Container.WAV_OR_RAW,
        encoding=_ENCODINGS.get(config.encoding, Encoding.LINEAR16),
        sample_rate_hz=0 if container else config.sample_rate_hertz,
        channel_count=0 if container else channels,
        separate_channels=config.enable_separate_recognition_per_channel,
        language="" if config.language_code in _ANY_LANGUAGE else config.language_code,
        word_times=config.enable_word_time_offsets,
        max_alternatives=min(max(config.max_alternatives, 1), MAX_ALTERNATIVES),
        interim_results=interim_results,
        end_silence_s=_end_silence_s(config),
        vocabulary=Vocabulary(phrases=phrases) if phrases else None,
    )
    checked.session_options()
    ignored = tuple(dict.fromkeys([*_ignored(config), *unused]))
    return RivaCall(config=checked, ignored=ignored[:MAX_IGNORED])


def stream_inputs(request: riva_pb2.StreamingRecognizeRequest, limits: Limits) -> list[ServedInput]:
    """A message after the first one: audio, and behind it what its settings ask for.

    Raises:
        ProtocolError: a second config, or too much audio.
    """
    kind = request.WhichOneof("streaming_request")
    if kind == "streaming_config":
        message = "a second config; a stream has one, its first message"
        raise ProtocolError(message, field="streaming_config")
    if len(request.audio_content) > limits.max_message_bytes:
        raise ProtocolError(
            f"an audio message of {len(request.audio_content)} bytes; at most {limits.max_message_bytes} are allowed: "
            "send smaller chunks, 20 to 100 ms each",
            field="audio_content",
        )
    inputs: list[ServedInput] = [request.audio_content] if request.audio_content else []
    if request.runtime_config.get(FORCE_EOU, "").lower() == "true":
        inputs.append(Finalize())
    return inputs


def stream_response(result: RecognitionResult, processed_s: float) -> riva_pb2.StreamingRecognizeResponse:
    """A message with one result."""
    found = riva_pb2.StreamingRecognitionResult(
        alternatives=_alternatives(result),
        is_final=result.is_final,
        stability=result.stability,
        channel_tag=result.channel + 1,
        audio_processed=processed_s,
    )
    return riva_pb2.StreamingRecognizeResponse(results=[found])


def recognize_response(results: Iterable[RecognitionResult], duration_s: float) -> riva_pb2.RecognizeResponse:
    """The finals of a recording in which something was said."""
    found = [
        riva_pb2.SpeechRecognitionResult(
            alternatives=_alternatives(result), channel_tag=result.channel + 1, audio_processed=duration_s
        )
        for result in results
        if result.text
    ]
    return riva_pb2.RecognizeResponse(results=found)


def models_response(models: Mapping[str, str], asked: str) -> riva_pb2.RivaSpeechRecognitionConfigResponse:
    """Every model as streaming and as offline; ``models`` are languages by name."""
    configs = [
        riva_pb2.RivaSpeechRecognitionConfigResponse.Config(
            model_name=name,
            parameters={"type": kind, "language_code": language, "streaming": str(kind == "online")},
        )
        for name, language in models.items()
        if asked in ("", name)
        for kind in ("online", "offline")
    ]
    return riva_pb2.RivaSpeechRecognitionConfigResponse(model_config=configs)


def riva_language(languages: Sequence[str]) -> str:
    """A model's languages as its one ``language_code``."""
    return "en-US" if tuple(languages) == ("en",) else "multi" if len(languages) > 1 else languages[0]


def _alternatives(result: RecognitionResult) -> list[riva_pb2.SpeechRecognitionAlternative]:
    return [_alternative(one, is_final=result.is_final) for one in result.alternatives]


def _alternative(hypothesis: Hypothesis, *, is_final: bool) -> riva_pb2.SpeechRecognitionAlternative:
    words = [
        riva_pb2.WordInfo(
            word=word.text,
            start_time=round(1000 * word.start_s),
            end_time=round(1000 * word.end_s),
            confidence=word.confidence,
        )
        for word in hypothesis.words
    ]
    text = f"{hypothesis.text} " if is_final else hypothesis.text
    return riva_pb2.SpeechRecognitionAlternative(
        transcript=text, confidence=hypothesis.confidence, words=words
    )


def _end_silence_s(config: riva_pb2.RecognitionConfig) -> float | None:
    """Trailing silence that ends an utterance, within our limits; None where the client does not say."""
    stop_ms = config.endpointing_config.stop_history
    if stop_ms <= 0:
        return None
    return min(max(stop_ms / 1000, _MIN_SILENCE_S), _MAX_SILENCE_S)


def _phrases(config: riva_pb2.RecognitionConfig, limits: Limits) -> tuple[tuple[Phrase, ...], list[str]]:
    """The phrases of all contexts that can be used, no more than one vocabulary may have, and paths of the others."""
    usable: dict[str, Phrase] = {}
    unused: list[str] = []
    for number, context in enumerate(config.speech_contexts):
        boost = _boost(context.boost)
        for index, text in enumerate(context.phrases):
            phrase = _phrase(text, boost, limits)
            if phrase is None:
                unused.append(f"config.speech_contexts[{number}].phrases[{index}]")
            elif len(usable) < limits.max_phrases:
                usable.setdefault(phrase.text.casefold(), phrase)
            elif phrase.text.casefold() not in usable:
                unused.insert(0, "config.speech_contexts")  # more of them than the server takes
                return tuple(usable.values()), unused
    return tuple(usable.values()), unused


def _phrase(text: str, boost: float, limits: Limits) -> Phrase | None:
    """A phrase, if it can be used."""
    if len(text) > limits.max_phrase_characters:
        return None
    try:
        phrase = Phrase(text=text, boost=boost)
        (report,) = phrase_set([phrase])[1]
    except OptionError:
        return None
    return phrase if report.state is not PhraseState.REFUSED else None


def _boost(asked: float) -> float:
    """Of Riva's scale, on which clients send 20 to 100 and below 0 or nothing for the server's default."""
    if not asked > 0:
        return DEFAULT_BOOST
    return min(max(asked / BOOST_SCALE, MIN_BOOST), MAX_BOOST)


def _ignored(config: riva_pb2.RecognitionConfig) -> Iterable[str]:
    if config.max_alternatives > MAX_ALTERNATIVES:
        yield "config.max_alternatives"
    stop_ms = config.endpointing_config.stop_history
    if stop_ms > 0 and not _MIN_SILENCE_S <= stop_ms / 1000 <= _MAX_SILENCE_S:
        yield "config.endpointing_config.stop_history"
    for number in unknown_numbers(config):
        yield f"config.{number}"
    for number in unknown_numbers(config.endpointing_config):
        yield f"config.endpointing_config.{number}"
