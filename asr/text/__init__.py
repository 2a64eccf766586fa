"""Text: the normalisers that every figure names. Imports nothing by itself."""
