"""The report a person shows a colleague: one HTML page that needs no network and no other file.

:func:`render` gives the page of a :class:`Report`, :func:`write` puts it into a folder as ``index.html``. What was
measured comes in as evaluations; nothing is decoded or judged here. Importing it loads no template engine.
"""

from __future__ import annotations

from asr.evaluation.report.model import Curve, GateCheck, Report, Series, SetResult
from asr.evaluation.report.page import render, write

__all__ = ["Curve", "GateCheck", "Report", "Series", "SetResult", "render", "write"]
