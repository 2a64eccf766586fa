"""`lexitune evaluate --report` on speech made here: the page is beside the figures and agrees with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from asr.audio.files import write_audio
from server.cli import app


def test_the_page_lies_beside_the_figures(tmp_path: Path, spoken: Any) -> None:
    rows = []
    for number, (text, samples) in enumerate(spoken.items()):
        write_audio(tmp_path / f"call{number}.wav", samples)
        said = text.replace("aspirin", "ibuprofen")  # one word that the model must get wrong
        rows.append({"audio_filepath": f"call{number}.wav", "duration": len(samples) / 16_000, "text": said})
    manifest = tmp_path / "calls.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    terms = tmp_path / "terms.txt"
    terms.write_text("ibuprofen\nlibrary\n")
    arguments = [
        "evaluate",
        str(manifest),
        "--terms",
        str(terms),
        "--json",
        "--report",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(app, [*arguments, "--beam-size", "1"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["terms"]["library"] == {"said": 1, "found": 1, "inserted": 0}
    assert document["terms"]["ibuprofen"] == {"said": 1, "found": 0, "inserted": 0}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.html", "report.json", "rows.jsonl",
    ]  # fmt: skip
    page = (tmp_path / "out" / "index.html").read_text()
    assert f"{100 * document['wer']:.2f}\N{NARROW NO-BREAK SPACE}%" in page
    assert page.count("data:audio/ogg;base64,") == 1
    assert "ibuprofen" in page and str(tmp_path / "out" / "index.html") in result.stderr
