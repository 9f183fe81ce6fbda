import pandas as pd
import pytest

from sdor.errors import SdorError
from sdor.method.scores import mean_scores


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
