"""The paper's own values, and in what a run differs from the paper's."""

import pytest
from synthetic_study import about

from sdor.networks.provenance import Provenance
from sdor.reporting.reported import differing_settings, reported, settings_text

SCENES = [
    *("ped1", "ped2", "subway-entrance", "subway-exit"),
    *("umn1", "umn2", "umn3", "umn"),
]


def test_the_papers_tables_are_typed_in_full():
    values = reported()
    counts = values.groupby("table").size().to_dict()
    # 39 cells of the upper block of Table 1 and 45 of the lower; 3 x 5 of Table 2.
    assert counts == {1: 39 + 45, 2: 15}
    assert values["auc"].between(50, 100).all()
    assert not values.duplicated(["table", "method", "scene"]).any()
    assert set(values["scene"]) == set(SCENES)
    table = values[values["table"] == 1].pivot_table(index="method", columns="scene", values="auc")
    assert table.shape == (18, 8)
    ours = [71.7, 83.2, 88.1, 92.7, 99.9, 99.9, 99.7, 97.4]
    assert table.loc["ours", SCENES].tolist() == ours
    initial = [56.3, 67.5, 80.5, 91.0, 87.3, 88.1, 91.5, 87.1]
    assert table.loc["initial", SCENES].tolist() == initial
    # The row of Ionescu et al. [16] is the Subway and UMN one: no value on UCSD.
    narrowed = table.loc["ionescu_narrowed_clusters", SCENES]
    assert narrowed.isna().tolist() == [True, True, *[False] * 6]
    assert narrowed["subway-entrance"] == 93.5
    assert table.loc["ionescu_object_centric"].dropna().to_dict() == {"ped2": 97.8, "umn": 99.6}
    # What the paper says of its best rows per block (boldface).
    blocks = values[values["table"] == 1].set_index("method")["block"].to_dict()
    lower = table[[blocks[method] == "no labelled data" for method in table.index]]
    assert lower.idxmax().to_dict() == {
        scene: "two_sample_test" if scene in ("ped2", "subway-exit") else "ours" for scene in SCENES
    }


@pytest.mark.parametrize(
    ("method", "initial", "ours"),
    [
        ({}, "", ""),
        ({"momentum": 0.0, "c1": 1.0}, "", ""),
        ({"epochs": 8, "trainable": "layer4"}, "", "trainable layer4 (all), epochs 8 (50)"),
        ({"pca": 20}, "pca 20 (100)", "pca 20 (100)"),
        # The paper says nothing about masks.
        ({"masks": False, "iterations": 3}, "", "iterations 3 (5)"),
        ({"masks": False}, "", ""),
        ({"backbone": "vgg16"}, "", ""),
        ({"backbone": "vgg16", "input_size": 64}, "input_size 64 (224)", "input_size 64 (224)"),
    ],
)
def test_settings_that_are_not_the_papers_are_told_where_they_reach(method, initial, ours):
    run = about(overrides=method)
    for row in ("sp", "iforest", "initial"):
        assert differing_settings(run, row) == initial
    for row in ("ours", "del_giorno_2_w10"):
        assert differing_settings(run, row) == ours
    assert settings_text(run, "ours") == (f"differ: {ours}" if ours else "same")


def test_another_approach_differs_as_a_whole_and_competitors_by_their_frames():
    run = about(overrides={"approach": "motion", "input_size": 64, "iterations": 2})
    for row in ("initial", "speed", "ours", "ours_smoothed"):
        assert settings_text(run, row) == "differ: approach motion (paper)"
    assert differing_settings(run, "unmasking") == "input_size 64 (224)"


def test_a_setting_reaches_the_competitors_that_use_what_it_changes():
    changed = {"pca": 20, "masks": False, "sp_bags": 9, "anomaly_rate": 0.05}
    run = about(overrides=changed)
    frames = "anomaly_rate 0.05 (null)"
    assert differing_settings(run, "del_giorno_1_w10") == f"{frames}, pca 20 (100)"
    assert differing_settings(run, "unmasking") == frames
    assert differing_settings(run, "two_sample_motion") == frames
    # Another protocol does not hide that the settings differ as well.
    assert settings_text(run, "unmasking") == f"other protocol: test data alone; differ: {frames}"


@pytest.mark.parametrize("backbone", ["i3d", "r3d_18"])
def test_networks_that_are_not_the_papers_3dconv_differ_from_it(backbone):
    # Its input size for C3D is not known: 112 is no difference to 224 of ResNet-50.
    run = about(overrides={"backbone": backbone, "input_size": 112, "epochs": 8})
    assert differing_settings(run, "ours") == f"backbone {backbone} (C3D), epochs 8 (50)"
    # In Table 1 it would be held against ResNet-50.
    assert differing_settings(run, "ours", with_backbone=True) == (
        f"backbone {backbone} (resnet50), input_size 112 (224), epochs 8 (50)"
    )


def test_weights_that_are_not_trained_differ_from_the_papers():
    run = about(overrides={"epochs": 8}, weights=Provenance("resnet50", "random", ""))
    assert differing_settings(run, "ours") == "epochs 8 (50), weights random (trained)"
    assert differing_settings(run, "unmasking") == "weights random (trained)"
