"""Long recordings with one transcript each, aligned by a CTC model and cut into rows that can be trained on."""
