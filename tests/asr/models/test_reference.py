"""References parse and print back; what is none is refused with the forms that are allowed."""

from pathlib import Path

import pytest

from asr.errors import OptionError
from asr.models.reference import ReferenceKind, parse_reference


@pytest.mark.parametrize(
    ("reference", "kind"),
    [
        ("bundled:tiny.en", ReferenceKind.BUNDLED),
        ("models:/radiology/12", ReferenceKind.VERSION),
        ("models:/radiology@production", ReferenceKind.ALIAS),
        ("openai/whisper-small", ReferenceKind.HUB),
    ],
)
def test_a_reference_prints_back_as_it_was_written(reference: str, kind: ReferenceKind) -> None:
    parsed = parse_reference(reference)
    assert (str(parsed), parsed.kind) == (reference, kind)


def test_an_existing_directory_wins(tmp_path: Path) -> None:
    assert parse_reference(str(tmp_path)).kind is ReferenceKind.DIRECTORY


@pytest.mark.parametrize(
    "reference",
    [
        "", "tiny.en", "bundled:", "bundled:../x", "models:/x", "models:/x/0", "models:/x/1/2", "models:/../etc/1",
        "models:/x@", "models:/a b/1", "../../etc/passwd", "a/b/c", "models:/x\0/1", "http://host/model",
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused_with_the_forms(reference: str) -> None:
    with pytest.raises(OptionError, match="models:/NAME/VERSION"):
        parse_reference(reference)
