from pathlib import Path

import pytest

import sdor.study.fingerprint
from sdor.files import digest_of
from sdor.study.fingerprint import code_of, versions_of


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three modules: right imports middle, middle imports left."""
    (tmp_path / "left.py").write_text("ONE = 1\n")
    (tmp_path / "middle.py").write_text("from sdor.left import ONE\nTWO = ONE + 1\n")
    (tmp_path / "right.py").write_text("from sdor import middle\nTHREE = middle.TWO + 1\n")
    monkeypatch.setattr(sdor.study.fingerprint, "PACKAGE", tmp_path)

    def edit(name, text):
        (tmp_path / name).write_text(text)
        sdor.study.fingerprint._parsed.cache_clear()

    sdor.study.fingerprint._parsed.cache_clear()
    yield edit
    sdor.study.fingerprint._parsed.cache_clear()


def all_codes():
    return [code_of(f"sdor.{name}") for name in ("left", "middle", "right")]


def test_a_changed_line_reaches_every_module_to_the_right(package):
    before = all_codes()
    package("middle.py", "from sdor.left import ONE\nTWO = ONE + 2\n")
    after = all_codes()
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert after[2] != before[2]


def test_comments_docstrings_and_layout_change_nothing_and_undoing_gives_the_hash_back(package):
    before = all_codes()
    package("left.py", '"""Numbers."""\n\n# the first\nONE   =  1\n')
    assert all_codes() == before
    package("left.py", "ONE = 11\n")
    assert all(new != old for new, old in zip(all_codes(), before, strict=True))
    package("left.py", "ONE = 1\n")
    assert all_codes() == before


@pytest.mark.usefixtures("package")
def test_an_unknown_module_is_an_error():
    with pytest.raises(ValueError, match=r"sdor\.nowhere"):
        code_of("sdor.nowhere")


def test_every_module_of_the_package_has_a_hash():
    names = [path.stem for path in Path(sdor.study.fingerprint.PACKAGE).glob("*.py")]
    codes = {code_of(f"sdor.{name}") for name in names if name != "__init__"}
    assert len(codes) == len(names) - 1


def test_key_order_does_not_matter():
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


def test_versions_leave_out_the_build():
    assert "+" not in versions_of("torch")["torch"]
