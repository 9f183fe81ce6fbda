"""Rounds of marks: which are finished, and what was learnt from them."""

import pytest

from sdor.errors import SdorError
from sdor.study.rounds import archive_of, finished_rounds, newest


def rounds(folder, *names):
    (folder / "gate").mkdir(parents=True)
    for name in names:
        (folder / "gate" / name).touch()
    return [path.name for path in finished_rounds("gate", folder)]


def test_rounds_are_in_the_order_of_their_numbers_and_an_open_one_is_none(tmp_path):
    names = [f"round{number}.csv" for number in range(1, 12)]
    assert rounds(tmp_path, "open.csv", ".lock", *reversed(names)) == names
    assert finished_rounds("yard", tmp_path) == []


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["round1.csv", "round3.csv"], r"gate/round3\.csv: there is no round2\.csv"),
        (["round2.csv"], r"gate/round2\.csv: there is no round1\.csv"),
        (["round1.csv", "round02.csv"], r"gate/round02\.csv: rounds are called round1\.csv"),
        (["round1.csv", "round1 (copy).csv"], r"round1 \(copy\)\.csv: rounds are called"),
    ],
)
def test_a_gap_or_an_odd_name_is_one_line(tmp_path, names, words):
    with pytest.raises(SdorError, match=words):
        rounds(tmp_path, *names)


def test_the_newest_round_is_the_last_that_has_the_file(tmp_path):
    watch = tmp_path / "watch"
    for name in ("round2", "round10", "round11", "rounds"):
        (watch / name).mkdir(parents=True)
    assert newest(watch) == watch
    for name in ("round2", "round10"):
        (watch / name / "model.safetensors").touch()
    assert newest(watch) == watch / "round10"
    assert newest(watch, rounds=9) == watch / "round2"
    assert newest(watch, rounds=0) == watch
    assert {archive_of(watch), archive_of(watch / "round10")} == {watch}
