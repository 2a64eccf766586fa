"""Transcripts as text, json, jsonl, srt, vtt and ctm.

One function a format, each from an id and a :class:`~asr.results.Transcript` to a string.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from asr.results import Segment, Transcript

MAX_CUE_WORDS = 12  # about two lines of subtitles


def as_document(recording_id: str, transcript: Transcript) -> dict[str, Any]:
    """Everything that is known, JSON-ready; times in seconds. Merged legs are named in words and segments."""
    document: dict[str, Any] = {
        "id": recording_id,
        "duration": round(transcript.duration_s, 3),
        "text": transcript.text,
        "confidence": round(transcript.confidence, 4),
        "words": _words(transcript),
        "segments": [
            {
                "start": round(segment.start_s, 3),
                "end": round(segment.end_s, 3),
                "text": segment.text,
                "confidence": round(segment.confidence, 4),
                **_leg(segment),
            }
            for segment in transcript.segments
        ],
        "guarded": [
            {"start": round(one.start_s, 3), "end": round(one.end_s, 3), "guard": one.guard}
            for one in transcript.guarded
        ],
    }
    return document | _extras(transcript)


def as_row(recording_id: str, audio_filepath: str, model: str, transcript: Transcript) -> dict[str, Any]:
    """One line of ``jsonl``: id, audio_filepath, model (its immutable reference), duration, text, words, confidence."""
    row: dict[str, Any] = {
        "id": recording_id,
        "audio_filepath": audio_filepath,
        "model": model,
        "duration": round(transcript.duration_s, 3),
        "text": transcript.text,
        "words": _words(transcript),
        "confidence": round(transcript.confidence, 4),
    }
    return row | _extras(transcript)


def _words(transcript: Transcript) -> list[dict[str, Any]]:
    return [
        {
            "text": word.text,
            "start": round(word.start_s, 3),
            "end": round(word.end_s, 3),
            "confidence": round(word.confidence, 4),
            **_leg(segment),
        }
        for segment in transcript.segments
        for word in segment.words
    ]


def _leg(segment: Segment) -> dict[str, str]:
    return {"leg": segment.leg} if segment.leg else {}


def _extras(transcript: Transcript) -> dict[str, Any]:
    """What is written only where it was asked for."""
    redactions = [
        {"start": round(one.start_s, 3), "end": round(one.end_s, 3), "kind": one.kind}
        | ({"leg": one.leg} if one.leg else {})
        for one in transcript.redactions
    ]
    extras: dict[str, Any] = {"legs": list(transcript.legs), "steps": list(transcript.steps)}
    return {key: value for key, value in (extras | {"redactions": redactions}).items() if value}


def to_text(recording_id: str, transcript: Transcript) -> str:
    """The text alone, one line; of merged legs, a line for each segment behind the name of its leg."""
    if transcript.legs:
        return "".join(f"{segment.leg}: {segment.text}\n" for segment in transcript.segments)
    return transcript.text + "\n"


def to_json(recording_id: str, transcript: Transcript) -> str:
    """One JSON document."""
    return json.dumps(as_document(recording_id, transcript), indent=2, ensure_ascii=False) + "\n"


def to_srt(recording_id: str, transcript: Transcript) -> str:
    """SubRip subtitles."""
    cues = [
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{leg and f'{leg}: '}{text}\n"
        for number, (start, end, text, leg) in enumerate(_cues(transcript), 1)
    ]
    return "\n".join(cues)


def to_vtt(recording_id: str, transcript: Transcript) -> str:
    """WebVTT subtitles; a leg is the cue's voice."""
    cues = [
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{leg and f'<v {leg}>'}{text}\n"
        for start, end, text, leg in _cues(transcript)
    ]
    return "WEBVTT\n\n" + "\n".join(cues)


def to_ctm(recording_id: str, transcript: Transcript) -> str:
    """NIST CTM: recording, channel, start, duration, word, confidence; one line a word, merged legs one after another."""
    name = "_".join(recording_id.split())
    return "".join(
        f"{name} {channel} {word.start_s:.2f} {max(0.0, word.end_s - word.start_s):.2f} {word.text} "
        f"{word.confidence:.4f}\n"
        for channel, leg in enumerate(transcript.legs or ("",), 1)
        for segment in transcript.segments
        if segment.leg == leg
        for word in segment.words
    )


FORMATS: dict[str, Callable[[str, Transcript], str]] = {
    "text": to_text,
    "json": to_json,
    "srt": to_srt,
    "vtt": to_vtt,
    "ctm": to_ctm,
}
SUFFIXES = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt", "ctm": ".ctm", "jsonl": ".jsonl"}


def _cues(transcript: Transcript) -> list[tuple[float, float, str, str]]:
    cues = []
    for segment in transcript.segments:
        words = segment.words
        if not words:
            cues.append((segment.start_s, segment.end_s, segment.text, segment.leg))
        for first in range(0, len(words), MAX_CUE_WORDS):
            part = words[first : first + MAX_CUE_WORDS]
            text = " ".join(word.text for word in part)
            cues.append((part[0].start_s, part[-1].end_s, text, segment.leg))
    return cues


def _clock(seconds: float, separator: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{separator}{rest % 1000:03d}"
