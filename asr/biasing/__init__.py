"""Vocabulary at request time: phrases, which of them an utterance may hold, and whether its audio says so.

No model is known here: an engine gives a first text and a score for any other (``asr.models``).
"""
