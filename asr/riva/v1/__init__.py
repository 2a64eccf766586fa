"""Generated from ``proto/asr/riva/v1``: messages with Riva's field numbers."""
