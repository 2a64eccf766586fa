"""Models: naming them, finding them on disk, and running them behind one protocol.

``reference`` parses names, ``resolve`` turns a name into folders, ``bundled`` unpacks the embedded models,
``whisper_ct2`` and ``whisper_torch`` are the engines, ``export`` goes from one to the other.
"""
