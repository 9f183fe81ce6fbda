import pytest
import yaml

from sdor.errors import SdorError
from sdor.study.config import SCHEMAS, complete, data_root, load_yaml, methods


def completed(**changes):
    return complete({"scenes": ["plaza"], **changes}, "c.yaml")


def method_of(**method):
    return methods(completed(method=method), "c.yaml")["paper"]


def test_defaults_are_the_papers_settings():
    method = method_of()
    assert method["backbone"] == "resnet50"
    assert (method["pca"], method["hidden_units"], method["batch_size"]) == (100, 100, 128)
    assert (method["anomalous_fraction"], method["normal_fraction"]) == (0.10, 0.20)
    assert (method["learning_rate"], method["epochs"], method["iterations"]) == (0.005, 50, 5)
    assert (method["loss"], method["c1"], method["c2"]) == ("l1", 1, 0)
    assert (method["trainable"], method["input_size"]) == ("all", 224)


def test_a_variant_lays_its_overrides_over_the_method():
    config = completed(method={"epochs": 3}, variants={"a": None, "b": {"epochs": 7, "pca": 5}})
    found = methods(config, "c.yaml")
    assert (found["a"]["epochs"], found["a"]["pca"]) == (3, 100)
    assert (found["b"]["epochs"], found["b"]["pca"]) == (7, 5)


def test_a_variant_may_start_from_another_one():
    variants = {
        "small": {"base": "head", "pca": 5},
        "head": {"trainable": "head", "pca": 20},
        "smaller": {"base": "small", "epochs": 1},
    }
    found = methods(completed(variants=variants, method={"epochs": 3}), "c.yaml")
    assert [found["small"][key] for key in ("trainable", "pca", "epochs")] == ["head", 5, 3]
    assert [found["smaller"][key] for key in ("trainable", "pca", "epochs")] == ["head", 5, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"studies": {}},
            r"c\.yaml: studies: is now backbones, anomaly_rates and ablations, see config/README",
        ),
        ({"variants": {"v": {"base": "w"}}}, r"variants\.v\.base: w is not in this config"),
        ({"variants": {"v": {"base": "v"}}}, r"variants\.v\.base: v has v as its own base"),
        (
            {"variants": {"v": {"base": "w"}, "w": {"base": "x"}, "x": {"base": "w"}}},
            r"variants\.x\.base: w has x as its own base",
        ),
        ({"variants": {"v": {"base": 3}}}, r"variants\.v\.base: 3 is not text"),
        ({"method": {"epoch": 3}}, r"c\.yaml: method\.epoch: unknown key \(did you mean epochs\?"),
        ({"method": {"epochs": "many"}}, r"method\.epochs: 'many' is not a whole number"),
        ({"method": {"epochs": 0}}, r"method\.epochs: 0 must be at least 1"),
        ({"method": {"loss": "l3"}}, r"method\.loss: 'l3' is not one of l1, l2"),
        ({"method": {"steps_per_epoch": 0}}, r"method\.steps_per_epoch: 0 must be at least 1"),
        ({"variants": {"v": {"epoch": 1}}}, r"variants\.v\.epoch: unknown key"),
        ({"variants": {"v": {"c1": 0}}}, r"variants\.v: c1 is 0: it must be above c2"),
        ({"variants": {"frames": {}}}, r"variants: 'frames' is not a usable name"),
        ({"variants": {"a b": {}}}, r"variants: 'a b' is not a usable name"),
        ({"variants": {}}, r"variants: "),
        ({"seeds": 3}, r"seeds: 3 is not a list"),
        ({"seeds": [-1]}, r"seeds\.0: -1 must be at least 0"),
        ({"seed": [1]}, r"seed: unknown key \(did you mean seeds\?\)"),
        ({"device": "tpu"}, r"device: 'tpu' is not one of auto, cpu, cuda"),
        ({"weights": {"resnet": "auto"}}, r"weights\.resnet: unknown key"),
        ({"scenes": []}, r"scenes: "),
        (
            {"method": {"anomalous_fraction": 0.6, "normal_fraction": 0.5}},
            r"anomalous_fraction \+ normal_fraction is 1\.1; .*at most 1",
        ),
    ],
)
def test_a_fault_is_told_in_words(changes, message):
    with pytest.raises(SdorError, match=message) as caught:
        methods(completed(**changes), "c.yaml")
    assert "\n" not in str(caught.value)


def test_scenes_are_required():
    with pytest.raises(SdorError, match=r"c\.yaml: the key scenes is missing"):
        complete({}, "c.yaml")


def test_every_key_has_a_default_and_words():
    method = yaml.safe_load((SCHEMAS / "method.schema.yaml").read_text())["properties"]
    config = yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text())["properties"]
    assert all("default" in rule and rule["description"] for rule in method.values())
    assert all(rule["description"] for rule in config.values())


def test_the_variable_overrides_the_file_but_not_the_command_line(monkeypatch):
    monkeypatch.setenv("SDOR_DATA_ROOT", "/from/variable")
    assert str(data_root({"data_root": "file"}, False)) == "/from/variable"
    assert str(data_root({"data_root": "command"}, True)) == "command"


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "", "\x00"])
def test_a_file_that_is_no_mapping_is_named(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(SdorError, match=r"x\.yaml: "):
        load_yaml(path)
