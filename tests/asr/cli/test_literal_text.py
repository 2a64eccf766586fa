"""What models and users write is shown as it is: brackets are no markup of the terminal's."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from asr.cli import console, stream
from asr.cli.models import _table
from asr.cli.stream import Screen
from asr.registry import ModelSummary, VersionSummary
from asr.results import Hypothesis
from asr.streaming import FinalReason
from asr.streaming.messages import Progress, RecognitionResult, StreamUpdate

TEXT = "[noise] and [/b] [red]red[/red]"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the program writes to a terminal of 200 columns."""
    shown = io.StringIO()
    screen = Console(file=shown, force_terminal=True, width=200, highlight=False, color_system=None)
    monkeypatch.setattr(console, "stderr", screen)
    monkeypatch.setattr(stream, "stderr", screen)
    return shown


def _update(*, is_final: bool) -> StreamUpdate:
    result = RecognitionResult(
        utterance_id=1,
        is_final=is_final,
        stability=1.0,
        start_s=0.0,
        end_s=1.0,
        alternatives=(Hypothesis(text=TEXT),),
        final_reason=FinalReason.CLIENT if is_final else None,
    )
    return StreamUpdate(event=result, progress=Progress(received_s=1.0))


def test_results_of_a_stream(terminal: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(is_quiet=False)
    screen.show(_update(is_final=False))
    assert TEXT in terminal.getvalue()
    screen.show(_update(is_final=True))
    assert capsys.readouterr().out == f"[00:00.00] {TEXT}\n"


def test_notes_beside_a_progress_bar(terminal: io.StringIO) -> None:
    with console.reporting() as reporter, reporter.stage("transcribing", 1) as stage:
        stage.advance(TEXT)
    assert TEXT in terminal.getvalue()


def test_bases_of_listed_models() -> None:
    made_at = datetime(2026, 1, 2, tzinfo=UTC)
    version = VersionSummary(
        version="1", aliases=(), created_at=made_at, gate_passed=None, base="/models/[old]/whisper"
    )
    shown = io.StringIO()
    Console(file=shown, width=200).print(
        _table([], [ModelSummary(name="a", versions=(version,), aliases={})])
    )
    assert "/models/[old]/whisper" in shown.getvalue()
