"""Audio in: PCM payloads, files, resampling and voice activity.

Everything that leaves this package is ``samples``: float32, 16 kHz, in [-1, 1], mono unless a name says
channels. Import the modules themselves; this package imports nothing, so that asking for one costs only that
one.
"""
