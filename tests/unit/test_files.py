import os

import pandas as pd
import pytest

from sdor.errors import SdorError
from sdor.files import atomic, read_about, read_json, read_parquet, write_json, write_parquet


def test_a_failing_writer_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_file_appears_whole_with_usual_rights(tmp_path):
    with atomic(tmp_path / "new" / "a.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "new" / "a.txt").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_folder_that_cannot_be_written_is_one_line():
    with pytest.raises(SdorError, match=r"/proc/nothing/a\.txt: cannot write here"):
        write_json("/proc/nothing/a.txt", {})


def test_parquet_carries_what_it_is_about(tmp_path):
    table = pd.DataFrame({"clip": ["a"], "score": [0.5]})
    write_parquet(tmp_path / "t.parquet", table, {"score": "higher", "code": "1f"})
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "t.parquet"), table)
    assert read_about(tmp_path / "t.parquet") == {"score": "higher", "code": "1f"}


def test_damaged_files_are_named_with_the_next_step(tmp_path):
    write_parquet(tmp_path / "t.parquet", pd.DataFrame({"a": range(1000)}), {})
    content = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(content[:-20])
    with pytest.raises(SdorError, match=r"t\.parquet: damaged .*delete it and run the same"):
        read_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.json").write_text('{"a": ')
    with pytest.raises(SdorError, match=r"t\.json: damaged"):
        read_json(tmp_path / "t.json")


def test_json_refuses_what_is_not_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "t.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())
