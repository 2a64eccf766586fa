"""Phrase sets in each database that servers share: kept as given, and no more of a tenant than the limit."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from asr.biasing.kept import KeptPhrases
from asr.biasing.phrases import Phrase
from asr.errors import AlreadyExistsError, LimitError, UnavailableError
from asr.phrase_store import PhraseStore


def test_servers_that_keep_sets_at_once_never_keep_more_than_the_limit(database_uri: str) -> None:
    """Each has a store of its own on one database, as processes have."""
    servers = [PhraseStore(database_uri) for _ in range(12)]
    ready = threading.Barrier(len(servers))
    answers: list[str] = []

    def create(number: int, store: PhraseStore) -> None:
        ready.wait()
        try:
            store.create("t", KeptPhrases(name=f"set-{number}"), max_sets=3)
            answers.append(f"set-{number}")
        except (LimitError, UnavailableError):  # the second where the database itself finds that two met
            return

    threads = [threading.Thread(target=create, args=one) for one in enumerate(servers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [summary.name for summary in servers[0].summaries("t")]
    assert kept == sorted(answers)  # who was told that a set is kept has it
    assert 1 <= len(kept) <= 3


def test_a_set_is_kept_changed_and_forgotten(database_uri: str) -> None:
    store = PhraseStore(database_uri)
    many = tuple(Phrase(text=f"phrase {number}" + "é" * 60, boost=2.5) for number in range(1000))
    asked = KeptPhrases(name="many", phrases=many, classes={"SIZE": ("small", "large")})
    assert store.create("t", asked, max_sets=1) == store.get("t", "many")
    with pytest.raises(AlreadyExistsError):
        store.create("t", asked, max_sets=2)
    assert store.update("t", replace(asked, phrases=many[:1])).phrases == many[:1]
    assert [(one.name, one.num_phrases) for one in store.summaries("t")] == [("many", 1)]
    store.delete("t", "many")
    assert store.summaries("t") == []
