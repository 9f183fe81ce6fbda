import pytest
import yaml

from sdor.errors import SdorError
from sdor.study import find_scene, load_study


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
