"""What is learnt beside an expert's marks, by hand."""

import pandas as pd
import pytest

from sdor.method.feedback import replayed


def labels(*rows):
    return pd.DataFrame(rows, columns=["clip", "frame", "label", "weight"])


LAST = labels(("a", 1, 0, 0.5), ("a", 2, 0, 0.5), ("a", 8, 1, 0.75), ("a", 9, 1, 0.25))


@pytest.fixture
def last(tmp_path):
    LAST.to_parquet(tmp_path / "pseudo_labels.parquet")
    return tmp_path / "pseudo_labels.parquet"


def test_the_paper_replays_nothing(tmp_path):
    marks = labels(("a", 5, 0, 1.0))
    assert replayed(marks, tmp_path / "none.parquet", 0) is marks


def test_pseudo_labels_stand_beside_marks_and_never_against_them(last):
    marks = labels(("a", 5, 0, 0.5), ("a", 8, 0, 0.5))
    found = replayed(marks, last, 0.5).set_index("frame")
    assert dict(found["label"]) == {5: 0, 8: 0, 1: 0, 2: 0, 9: 1}
    expected = {5: 1 / 3, 8: 1 / 3, 1: 1 / 6, 2: 1 / 6, 9: 1.0}
    assert dict(found["weight"]) == pytest.approx(expected)
