"""The promotion benchmark, without its peer: who counts as served, what ends it, and versions that streams are told."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from asr.client import AsyncSpeechClient
from asr.data.manifest import Utterance, load_samples, write_manifest
from asr.errors import MissingDependencyError, UnavailableError
from benchmarks.measure.server_process import free_address
from benchmarks.promotion import SETTLED, ByHand, Streamed, Streams, parser_of, stream_on
from server.bench_command import CHECKOUT, environment


def _streamed(version: str, ended_s: float, failure: str = "") -> Streamed:
    return Streamed(version=version, ended_s=ended_s, failure=failure)


def test_the_clock_stops_at_the_first_stream_of_the_version_once_enough_came() -> None:
    async def follow() -> float:
        streams = Streams()
        first = asyncio.create_task(streams.first_of("2"))
        for ended_s, version in enumerate(["1", "2", "1", *["2"] * (SETTLED - 1)]):
            assert not first.done()
            await streams.note(_streamed(version, ended_s))
            await asyncio.sleep(0)
        return await first

    assert asyncio.run(follow()) == 1


def test_a_stream_that_failed_ends_it_and_is_not_served() -> None:
    async def follow() -> None:
        streams = Streams()
        for ended_s in range(SETTLED):
            await streams.note(_streamed("2", ended_s, "no words came" if ended_s == SETTLED - 1 else ""))
        await streams.first_of("2")

    with pytest.raises(UnavailableError, match="no words came"):
        asyncio.run(follow())


def test_a_client_whose_server_is_gone_notes_it_and_stops(spoken_utterances: list[Utterance]) -> None:
    async def follow() -> list[Streamed]:
        streams = Streams()
        async with AsyncSpeechClient(free_address()) as client:
            samples = [load_samples(spoken_utterances[0])]
            await asyncio.wait_for(stream_on(client, samples, streams, asyncio.Event()), 60)
        return streams.done

    (failed,) = asyncio.run(follow())
    assert failed.version == ""
    assert "Unavailable" in failed.failure


def test_by_hand_says_what_is_missing_or_what_a_command_said(tmp_path: Path) -> None:
    options = parser_of().parse_args(["--manifest", "m.jsonl"])
    if importlib.util.find_spec("faster_whisper") is None:
        with pytest.raises(MissingDependencyError, match=r"lexitune\[bench\]"):
            ByHand(tmp_path / "x.wav", options.language)
        return
    with pytest.raises(UnavailableError, match="ct2-transformers-converter ended with 1: "):
        ByHand(tmp_path / "x.wav", options.language).served_s(tmp_path)


def test_streams_through_the_alias_are_told_each_version_that_was_published(
    spoken_utterances: list[Utterance], tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.jsonl"
    write_manifest(manifest, spoken_utterances)
    options = ["--base", "bundled:tiny.en", "--rounds", "1", "--clients", "1", "--no-by-hand", "--json"]
    done = subprocess.run(
        [sys.executable, "benchmarks/promotion.py", "--manifest", str(manifest), *options],
        capture_output=True, text=True, cwd=CHECKOUT, env=environment(CHECKOUT), check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (len(document["published_s"]), document["by_hand_s"], document["over_ours"]) == (1, [], None)
    assert all(
        0.0 < published < served
        for published, served in zip(document["published_s"], document["served_s"], strict=True)
    )
    assert document["streams"] >= SETTLED
