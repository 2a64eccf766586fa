"""The curve of an adaptation job as its clients see it."""

from __future__ import annotations

from server.jobs.adaptation_work import _Progress


def test_a_plan_that_begins_anew_has_a_curve_of_its_own_and_an_attempt_that_goes_on_has_not() -> None:
    progress = _Progress({})
    for step in (0, 5, 10):
        progress.take({"step": step, "values": {"dev_wer": 0.3}})
    begun = _Progress(progress.as_document())
    begun.take({"step": 15, "values": {"dev_wer": 0.2}})
    assert [point["step"] for point in begun.as_document()["points"]] == [0, 5, 10, 15]
    for step in (0, 5):
        begun.take({"step": step, "values": {"dev_wer": 0.1}})
    points = begun.as_document()["points"]
    assert [(point["step"], point["values"]["dev_wer"]) for point in points] == [(0, 0.1), (5, 0.1)]
