"""Search algorithms that are our own business: CTC, greedy and by beam, and its alignment.

Whisper's search is its engine's (``asr.models``).
"""
