import string
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sdor.errors import SdorError
from sdor.study.config import SCHEMAS, load_yaml, named, typed
from sdor.study.settings import Method
from sdor.study.study import read_study


def read(*, data_root_given=False, **changes):
    return read_study({"scenes": ["plaza"], **changes}, "c.yaml", data_root_given=data_root_given)


def test_defaults_are_the_papers_settings():
    study = read(feedback={"picks": 3})
    method = study.methods["paper"]
    assert (method.backbone, method.input_size, method.iterations) == ("resnet50", 224, 5)
    assert method.initial.pca == 100
    assert (method.labels.anomalous_fraction, method.labels.normal_fraction) == (0.10, 0.20)
    training = method.training
    assert (training.hidden_units, training.batch_size, training.trainable) == (100, 128, "all")
    assert (training.learning_rate, training.epochs) == (0.005, 50)
    assert (training.loss, training.c1, training.c2) == ("l1", 1, 0)
    assert Method.read(method.as_document()) == method
    assert (study.feedback.picks, study.feedback.rounds) == (3, 5)


def test_a_variant_lays_its_overrides_over_the_method_or_another_one():
    variants = {
        "none": None,
        "small": {"base": "head", "pca": 5},
        "head": {"trainable": "head", "pca": 20},
        "smaller": {"base": "small", "epochs": 1},
    }
    found = read(main="head", variants=variants, method={"epochs": 3})
    assert found.overrides["none"] == {}
    assert found.overrides["small"] == {"trainable": "head", "pca": 5}
    assert found.overrides["smaller"] == {"trainable": "head", "pca": 5, "epochs": 1}
    assert [one.training.epochs for one in found.methods.values()] == [3, 3, 3, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"studies": {}},
            r"c\.yaml: studies: is now backbones, .* and ablations, see config/README",
        ),
        ({"variants": {"v": {"base": "w"}}}, r"variants\.v\.base: w is not in this config"),
        (
            {"variants": {"v": {"base": "w"}, "w": {"base": "x"}, "x": {"base": "w"}}},
            r"variants\.x\.base: w has x as its own base",
        ),
        ({"method": {"epoch": 3}}, r"c\.yaml: method\.epoch: unknown key \(did you mean epochs\?"),
        ({"variants": {"v": {"c1": 0}}}, r"variants\.v: c1 is 0: it must be above c2"),
        ({"variants": {"frames": {}}}, r"variants: 'frames' is not a usable name"),
        ({"seed": [1]}, r"seed: unknown key \(did you mean seeds\?\)"),
        (
            {"method": {"anomalous_fraction": 0.9}},
            r"fraction \+ normal_fraction is 1\.1; .*at most 1",
        ),
    ],
)
def test_a_fault_is_told_in_words(changes, message):
    with pytest.raises(SdorError, match=message) as caught:
        read(**changes)
    assert "\n" not in str(caught.value)


def test_what_was_given_on_the_command_line_is_not_said_to_be_in_the_file():
    def fault(given, **of_file):
        with pytest.raises(SdorError) as caught, named("c.yaml", given):
            read(**{**of_file, **given})
        return str(caught.value)

    assert fault({"approach": "no"}).startswith("--config: approach: 'no' is not one of motion")
    assert fault({"epoch": 3}).startswith("--config: epoch: unknown key")
    method = {"epochs": 2, "epoch": 3}
    assert fault({"method": method}).startswith("--config: method.epoch: unknown key")
    assert fault({"seeds": [1]}, approach="no").startswith("c.yaml: approach: 'no' is not one of")
    given = {"method": {"epochs": 2}}
    with pytest.raises(SdorError, match=r"^c\.yaml: method\.epoch: "), named("c.yaml", given):
        read(method=method)


def test_a_key_of_scene_files_is_said_to_be_one():
    words = r"c\.yaml: sample_fps: belongs in a scene file: sdor scene FOLDER > .*NAME\.yaml writes"
    with pytest.raises(SdorError, match=words):
        read(sample_fps=5)


def test_every_key_has_a_default_and_words_and_is_in_the_readme():
    words = (SCHEMAS.parents[1] / "config" / "README.md").read_text()
    config = yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text())["properties"]
    method = yaml.safe_load((SCHEMAS / "method.schema.yaml").read_text())["properties"]
    assert all("default" in rule and rule["description"] for rule in method.values())
    assert all(rule["description"] for rule in config.values())
    sections = [name for name, rule in config.items() if "properties" in rule]
    keys = {*config, *method} - set(sections)
    keys |= {f"{name}.{key}" for name in sections for key in config[name]["properties"]}
    assert [key for key in sorted(keys) if f"`{key}`" not in words] == []


def test_the_variable_overrides_the_file_but_not_the_command_line(monkeypatch):
    monkeypatch.setenv("SDOR_DATA_ROOT", "/from/variable")
    assert read(data_root="file").data_root == "/from/variable"
    assert read(data_root="command", data_root_given=True).data_root == "command"


def loaded(content):
    """What `load_yaml` makes of a file of such content, or the one line that it refuses it with."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            return load_yaml(path)
        except SdorError as error:
            words = str(error).removeprefix(f"{path}: ")
            assert "\n" not in words
            return words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: 1\n---\nb: 2", "line 2: expected a single document"),
        ("a: !!bool 3", "no YAML in UTF-8"),
        ("[" * 5000, "no YAML in UTF-8"),
        ("\x00", "no YAML in UTF-8"),
        ("a: é".encode("latin-1"), "no YAML in UTF-8"),
        ("a: 1\nb: 2\na: 3\n", "line 3: a again, as in line 1; keep one"),
        ("a: {\n b: 1,\n 'b': 2}", "line 3: b again, as in line 2"),
        ("a: {<<: {b: 1}, <<: {c: 2}}", "line 1: << again"),
        ("a: 12:30", "line 1: 12:30 is no plain number; rewrite it, or quote it"),
        ("a: 2024_01", "line 1: 2024_01 is no plain number"),
        ("a: 0x10", "line 1: 0x10 is no plain number"),
        ("a: [1,\n 010]", "line 2: 010 is no plain number"),
        ("no: 1", "line 1: the key no is not read as text; put it in quotes"),
    ],
)
def test_a_file_that_may_be_meant_otherwise_is_refused_in_one_line(content, words):
    assert loaded(content).startswith(words)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_may_be_written_by_any_editor(encoding):
    assert loaded("a: é\r\nb: 2\r\n".encode(encoding)) == {"a": "é", "b": 2}


def test_numbers_are_read_and_a_merged_key_may_be_overridden():
    assert loaded("a: 1000\nb: '010'\nc: 1.0e-3") == {"a": 1000, "b": "010", "c": 0.001}
    # `a` is merged into `b` before it is built itself, one level further down.
    text = "z: {y: &a {<<: {k: 1, l: 1}, k: 2}}\nb: {<<: *a, k: 3}\n"
    assert loaded(text) == {"z": {"y": {"k": 2, "l": 1}}, "b": {"k": 3, "l": 1}}


def test_a_config_in_json_may_be_set_with_tabs(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{\n\t"a": [1, "\\t"],\n\t"b": 2\n}')
    assert load_yaml(path) == {"a": [1, "\t"], "b": 2}
    path.write_text('{\n\t"a": 1,\n\t"a": 2\n}')
    with pytest.raises(SdorError, match=r"x\.json: line 3: a again, as in line 2"):
        load_yaml(path)


NAMES = st.text(string.ascii_letters + string.digits + " :#-?'\"{}[],&*!|>%@`~=<é", max_size=6)
SCALARS = st.one_of(NAMES, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False))
DOCUMENTS = st.recursive(
    st.dictionaries(NAMES, SCALARS, min_size=1),
    lambda inner: st.dictionaries(NAMES, st.one_of(inner, st.lists(inner)), min_size=1),
    max_leaves=4,
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(DOCUMENTS, st.booleans())
def test_what_is_written_is_read_and_no_key_twice(document, flow):
    text = yaml.safe_dump(document, default_flow_style=flow, width=10**6, allow_unicode=True)
    assert loaded(text) == document
    twice = text + yaml.safe_dump({next(iter(document)): 1}, default_flow_style=False)
    if not flow:
        assert " again, as in line " in loaded(twice)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(st.sampled_from("ab01:-.?{}[],&*!|><%#~= \n\t'\"eé\0\ufeff"), max_size=20))
def test_no_text_ends_in_a_traceback(text):
    assert isinstance(loaded(text), dict | str)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"method": {"learning_rate": "1e-3"}}, "reads it as text: write it .* as 1.0e-3"),
        ({"evaluation": {"smoothing_sigma": "-2.e4"}}, "reads it as text"),
        ({"method": {"learning_rate": 10**400}}, "must be at most|is not a"),
        ({"scenes": [False]}, "False is not text; if it is meant as text, put it in quotes"),
        ({"scenes": [yaml.safe_load("2024-01-31")]}, "is not text; if it is meant as text, put it"),
    ],
)
def test_what_yaml_reads_otherwise_is_told_how_to_write(document, words):
    with pytest.raises(SdorError, match=words):
        read(**document)


def test_values_of_the_command_line_are_read_as_yaml_reads_them():
    given = {"budget": "3", "per": "day", "lead": "2.5", "all": ["1", "true", "a: b", "x"]}
    expected = {"budget": 3, "per": "day", "lead": 2.5, "all": [1, True, "a: b", "x"]}
    assert typed(given) == expected
    assert typed("[") == "["
