"""Generated stubs of the ``asr.v1`` wire protocol; written by ``proto/generate.py``, never by hand."""
