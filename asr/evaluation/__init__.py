"""Evaluation: error counts, terms, and what differences mean. Rates come from counts; imports nothing by "
"itself."""
