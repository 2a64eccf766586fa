"""Adaptation: from a glossary, text or transcribed audio to a gated, published model version.

``spec`` describes a job without torch; ``adapt`` runs it; the server starts it only as a child process.
"""
