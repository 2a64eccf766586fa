"""Speech from text: terms to sentences, sentences to recordings with a manifest. Imports nothing by "
"itself."""
