"""The promotion benchmark end to end, without its peer: new versions are heard through the alias and no stream fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from asr.data.manifest import Utterance, write_manifest
from server.bench_command import CHECKOUT, environment


def test_streams_through_the_alias_are_heard_with_what_was_published(
    spoken_utterances: list[Utterance], tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.jsonl"
    write_manifest(manifest, spoken_utterances)
    options = ["--base", "bundled:tiny.en", "--rounds", "1", "--clients", "1", "--no-by-hand", "--json"]
    done = subprocess.run(
        [sys.executable, "benchmarks/promotion.py", "--manifest", str(manifest), *options],
        capture_output=True, text=True, cwd=CHECKOUT, env=environment(CHECKOUT), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    ours = document["ours"]
    assert (ours["failures"], "by_hand" in document) == ([], False)
    assert ours["streams"] >= 3  # that many were heard with the new version before the clients stopped
    assert 0.0 < ours["published_s"] < ours["served_s"] == ours["served_s_by_round"][0]
