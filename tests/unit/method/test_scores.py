import numpy as np
import pandas as pd
import pytest

from sdor.errors import SdorError
from sdor.method.scores import LEAST_SIZE, all_alike, first_alike, mean_scores, write_scores


def scores(path, values, clip="a"):
    frames = {"clip": clip, "frame": range(1, len(values) + 1), "score": values}
    pd.DataFrame(frames).to_parquet(path)
    return path


def test_the_answer_is_the_mean(tmp_path):
    paths = [scores(tmp_path / "1", [0.0, 1.0, -2.0]), scores(tmp_path / "2", [1.0, 1.0, 4.0])]
    table = mean_scores(paths)
    assert table["score"].tolist() == [0.5, 1.0, 1.0]
    assert table["frame"].tolist() == [1, 2, 3]


def test_scores_of_other_frames_are_refused(tmp_path):
    paths = [scores(tmp_path / "1", [0.0, 1.0]), scores(tmp_path / "2", [0.0, 1.0], clip="b")]
    with pytest.raises(SdorError, match="not of the same frames"):
        mean_scores(paths)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_never_written(tmp_path, value):
    frames = {"clip": "a", "frame": [1, 2], "score": [0.0, 1.0], "sp": [0.0, value]}
    with pytest.raises(SdorError, match="clip a, frame 2: sp is not finite"):
        write_scores(tmp_path / "initial.parquet", pd.DataFrame(frames), {})
    assert not list(tmp_path.iterdir())


def test_rows_are_alike_up_to_rounding_and_no_further():
    assert first_alike(np.array([2.0, 2 + 1e-6, 2 - 1e-6, 3, 2, 2])).tolist() == [0, 0, 0, 3, 4, 4]
    # Small steps do not add up.
    slow = 1 + 9e-6 * np.arange(5)
    assert first_alike(slow).tolist() == [0, 0, 2, 2, 4]
    assert first_alike(np.array([[1.0, 5.0], [1.0, 5.1], [1.0, 5.1]])).tolist() == [0, 1, 1]
    assert first_alike(np.empty(0)).tolist() == []
    assert all_alike(np.array([-7.0, -7 + 1e-6]))
    assert all_alike(np.zeros(3))
    assert all_alike(np.array([0, 1e-7]), LEAST_SIZE)
    # Features may be small.
    assert not all_alike(np.array([0, 1e-7]))
    assert first_alike(1e-9 * np.arange(3)).tolist() == [0, 1, 2]
    assert not all_alike(slow)
