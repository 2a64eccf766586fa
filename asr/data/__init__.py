"""Data sets: manifests of utterances, their validation and their splits. Imports nothing by itself."""
