"""What a server's metrics say, read over HTTP as Prometheus does."""

from __future__ import annotations

import urllib.request
from typing import Any

OTHERS = (  # of models in memory and of jobs, which last beyond calls
    "lexitune_model_load_seconds",
    "lexitune_model_memory_bytes",
    "lexitune_jobs",
)


def gauges_of_calls(address: str) -> dict[str, float]:
    """All gauges of the server but those of models in memory and of jobs; a server without calls has each at 0."""
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sample.labels.items()): float(sample.value)
        for family in _families(address)
        if family.type == "gauge" and family.name.startswith("lexitune_")
        if family.name not in OTHERS and not family.name.endswith("_created")  # of counters: when they began
        for sample in family.samples
    }


def num_batches(address: str, *, above: int) -> tuple[int, int]:
    """Batches decoded so far, and those of more than ``above`` segments; ``above`` is a bucket's limit."""
    samples = [
        sample
        for family in _families(address)
        if family.name == "lexitune_batch_size"
        for sample in family.samples
    ]
    count = sum(sample.value for sample in samples if sample.name.endswith("_count"))
    below = sum(sample.value for sample in samples if sample.labels.get("le") == f"{above:.1f}")
    return int(count), int(count - below)


def _families(address: str) -> list[Any]:
    from prometheus_client.parser import text_string_to_metric_families

    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        return list(text_string_to_metric_families(page.read().decode()))
