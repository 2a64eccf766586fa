"""The commands that need only the core: data, models, evaluate, transcribe, stream, doctor.

Each module has ``register(app)``; ``server.cli`` puts them together with those of training and the server. Heavy
imports stay inside the commands, so that ``--help`` is quick.
"""
