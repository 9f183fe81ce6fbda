import pytest
import yaml

from sdor.errors import SdorError
from sdor.study.config import SCHEMAS, load_yaml
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


def test_a_variant_lays_its_overrides_over_the_method():
    variants = {"a": None, "b": {"epochs": 7, "pca": 5}}
    found = read(main="a", method={"epochs": 3}, variants=variants)
    a, b = found.methods.values()
    assert (a.training.epochs, a.initial.pca) == (3, 100)
    assert (b.training.epochs, b.initial.pca) == (7, 5)
    assert found.overrides == {"a": {}, "b": {"epochs": 7, "pca": 5}}


def test_a_variant_may_start_from_another_one():
    variants = {
        "small": {"base": "head", "pca": 5},
        "head": {"trainable": "head", "pca": 20},
        "smaller": {"base": "small", "epochs": 1},
    }
    found = read(main="head", variants=variants, method={"epochs": 3})
    assert found.overrides["small"] == {"trainable": "head", "pca": 5}
    assert found.overrides["smaller"] == {"trainable": "head", "pca": 5, "epochs": 1}
    assert found.methods["small"].training.epochs == 3


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
        read(**changes)
    assert "\n" not in str(caught.value)


def test_scenes_are_required():
    with pytest.raises(SdorError, match=r"c\.yaml: the key scenes is missing"):
        read_study({}, "c.yaml", data_root_given=False)


def test_every_key_has_a_default_and_words():
    method = yaml.safe_load((SCHEMAS / "method.schema.yaml").read_text())["properties"]
    config = yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text())["properties"]
    assert all("default" in rule and rule["description"] for rule in method.values())
    assert all(rule["description"] for rule in config.values())


def test_every_key_is_in_the_readme():
    words = (SCHEMAS.parents[1] / "config" / "README.md").read_text()
    config = yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text())["properties"]
    method = yaml.safe_load((SCHEMAS / "method.schema.yaml").read_text())["properties"]
    sections = [name for name, rule in config.items() if "properties" in rule]
    keys = {*config, *method} - set(sections)
    keys |= {f"{name}.{key}" for name in sections for key in config[name]["properties"]}
    assert [key for key in sorted(keys) if f"`{key}`" not in words] == []


def test_the_variable_overrides_the_file_but_not_the_command_line(monkeypatch):
    monkeypatch.setenv("SDOR_DATA_ROOT", "/from/variable")
    assert read(data_root="file").data_root == "/from/variable"
    assert read(data_root="command", data_root_given=True).data_root == "command"


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "", "\x00"])
def test_a_file_that_is_no_mapping_is_named(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(SdorError, match=r"x\.yaml: "):
        load_yaml(path)
