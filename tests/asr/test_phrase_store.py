"""Kept phrases: in the registry's database beside MLflow's tables, each tenant's its own, told apart by name."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.biasing.kept import KeptPhrases
from asr.biasing.phrases import MAX_BOOST, Phrase
from asr.errors import AlreadyExistsError, LimitError, OptionError, PhraseSetNotFoundError, UnavailableError
from asr.phrase_store import TABLE, PhraseStore
from asr.registry import Registry

texts = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=10)
phrases = st.builds(
    Phrase,
    text=texts,
    boost=st.floats(0, MAX_BOOST, exclude_min=True),
    sounds_like=st.lists(texts, max_size=3).map(tuple),
    critical=st.booleans(),
)
sets = st.builds(
    KeptPhrases,
    name=st.just("a"),
    phrases=st.lists(phrases, max_size=5).map(tuple),
    classes=st.dictionaries(st.sampled_from(["A", "b"]), st.lists(texts, max_size=3).map(tuple)),
)
ONE = KeptPhrases(name="one", phrases=(Phrase(text="apixaban"),))


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'kept.db'}"


@pytest.fixture
def store(tmp_path: Path) -> PhraseStore:
    return PhraseStore(f"sqlite:///{tmp_path / 'kept.db'}")


@settings(deadline=None)
@given(sets)
def test_what_is_kept_is_what_was_given(uri: str, asked: KeptPhrases) -> None:
    store = PhraseStore(uri)
    kept = store.create("t", asked, max_sets=1)
    assert store.get("t", "a") == kept
    assert (kept.phrases, kept.classes) == (asked.phrases, asked.classes)
    store.delete("t", "a")


def test_tenants_are_apart(store: PhraseStore) -> None:
    for tenant in ("", "a", "A", "%", "a' OR '1'='1"):
        assert store.summaries(tenant) == []
        store.create(tenant, KeptPhrases(name="one", phrases=(Phrase(text=f"of {tenant!r}"),)), max_sets=1)
    for tenant in ("", "a", "A", "%", "a' OR '1'='1"):
        assert [one.name for one in store.summaries(tenant)] == ["one"]
        assert store.get(tenant, "one").phrases == (Phrase(text=f"of {tenant!r}"),)
    store.delete("a", "one")
    assert store.get("A", "one") and store.get("", "one")
    with pytest.raises(PhraseSetNotFoundError, match="there is none yet"):
        store.get("a", "one")


def test_near_names_are_told(store: PhraseStore) -> None:
    for name in ("cardiology", "oncology", "orders"):
        store.create("t", KeptPhrases(name=name, phrases=ONE.phrases), max_sets=9)
    with pytest.raises(PhraseSetNotFoundError, match="'cardiologie' is kept; there is cardiology"):
        store.get("t", "cardiologie")


def test_names_limits_and_second_creations_are_refused(store: PhraseStore) -> None:
    store.create("t", ONE, max_sets=2)
    with pytest.raises(AlreadyExistsError):
        store.create("t", ONE, max_sets=2)
    with pytest.raises(OptionError, match="not allowed"):
        store.create("t", KeptPhrases(name="no/name"), max_sets=2)
    with pytest.raises(LimitError, match="1 phrase sets are kept, and 1 are the limit"):
        store.create("t", KeptPhrases(name="two"), max_sets=1)
    assert store.update("t", KeptPhrases(name="one")).created_at == store.get("t", "one").created_at


def test_of_many_that_create_at_once_no_more_than_the_limit_succeed(store: PhraseStore) -> None:
    refused: list[LimitError] = []

    def create(number: int) -> None:
        try:
            store.create("t", KeptPhrases(name=f"set-{number}"), max_sets=5)
        except LimitError as error:
            refused.append(error)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(store.summaries("t")), len(refused)) == (5, 7)


@pytest.mark.parametrize("is_first", [True, False], ids=["before MLflow", "after MLflow"])
def test_the_registry_and_kept_sets_share_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    import sqlite3

    path = tmp_path / "team.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    if is_first:
        PhraseStore.open().create("t", ONE, max_sets=1)
    assert Registry.open().list_models() == []
    if not is_first:
        PhraseStore.open().create("t", ONE, max_sets=1)
    assert Registry(f"sqlite:///{path}").list_models() == []
    assert PhraseStore(f"sqlite:///{path}").get("t", "one").phrases == ONE.phrases
    connection = sqlite3.connect(path)
    assert connection.execute(f"SELECT tenant, name FROM {TABLE}").fetchall() == [("t", "one")]
    connection.close()


def test_beside_a_registry_on_a_server_sets_are_kept_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("LEXITUNE_HOME", str(tmp_path))
    PhraseStore.open().create("t", ONE, max_sets=1)
    assert (tmp_path / "phrase_sets.db").is_file()


def test_a_database_that_cannot_be_used_is_named_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no database, not by far")
    with pytest.raises(UnavailableError, match="file cannot be used"):
        PhraseStore(f"sqlite:///{tmp_path / 'file'}")
    with pytest.raises(UnavailableError) as refused:
        PhraseStore(f"sqlite://user:secret@host{tmp_path / 'none' / 'file'}")
    assert "secret" not in str(refused.value)


def test_importing_it_loads_no_database_library() -> None:
    code = "import sys, asr.phrase_store; sys.exit('sqlalchemy' in sys.modules or 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
