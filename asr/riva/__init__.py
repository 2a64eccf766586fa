"""The wire of clients that were written for NVIDIA Riva."""
