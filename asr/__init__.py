"""Lexitune's core: audio, models, recognition, streaming, evaluation, data and the registry.

Importing this package is cheap and silent: no torch, no transformers, no grpc. Models load through
``asr.recognizer``; gRPC lives in ``asr.client`` and ``server``.
"""

from asr.errors import LexituneError
from asr.results import Hypothesis, Segment, Transcript, Word

__version__ = "0.1.0"

__all__ = ["Hypothesis", "LexituneError", "Segment", "Transcript", "Word", "__version__"]
