"""Any two headline rows are compared, and the page says what holds and what does not."""

import pytest
from synthetic_study import DRAWS, blind, change, gathered, write_study

from sdor.reporting.comparisons import HOW_TO_READ, page, passages, sentence
from sdor.reporting.findings import Cell, Key, right_side
from sdor.study.plan import Plan

MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    """Two scenes, three variants (one on a part of the frames), two seeds."""
    variants = {
        "paper": ({}, 1.4),
        "vgg16": ({"backbone": "vgg16"}, 0.9),
        "rate05": ({"anomaly_rate": 0.05}, 1.5),
    }
    folder = tmp_path_factory.mktemp("study")
    competitors = ("del_giorno_1_w100", "unmasking")
    scenes = {"ped2": (6, 12), "yard": (2, 3)}
    files = write_study(folder, scenes, variants, competitors=competitors)
    return gathered(files, Plan("paper"), folder)


def test_all_pairs_of_headline_rows_are_compared(findings):
    headline = ["ours", "sp", "iforest", "sp_iforest", "del_giorno_1_w100", "unmasking"]
    headline += ["iteration_2", "ours_smoothed"]
    cells = passages(findings)[0].cells
    # 8 rows of the main variant and 1 of vgg16 in pairs, and the part of the frames on its own.
    assert len(cells) == 9 * 8 // 2 + 1
    sides = [((cell.key.variant, cell.key.row), right_side(cell.key)) for cell in cells]
    pairs = {frozenset((left, right)) for left, right in sides}
    assert len(pairs) == len(cells)
    rows = {row for pair in pairs for variant, row in pair if variant == "paper"}
    assert rows == set(headline)
    assert [pair for pair in sides if pair[0][0] == "rate05"] == [
        (("rate05", "ours"), ("rate05", "sp_iforest"))
    ]
    for cell in cells:
        assert cell.draws <= DRAWS
        assert cell.holds == (cell.low > 0 or cell.high < 0)


def test_the_page_says_what_holds_group_by_group(findings):
    found = passages(findings)
    titles = [passage.title for passage in found]
    assert titles == ["ped2, merged", "ped2, test-only", "yard, merged", "yard, test-only"]
    first = found[0]
    assert [heading for heading, _ in first.groups] == [
        "Our method against every other row",
        "The initial scores against the competitors",
        "Variants",
        "With fewer anomalies, each variant on frames of its own",
    ]
    sentences = [text for _, texts in first.groups for text in texts]
    assert len(sentences) == 7 + 2 + 1 + 1
    assert first.lead == sentences[2]
    assert first.lead.startswith("On ped2 (merged), our method is ")
    assert first.lead.endswith("]: holds.")
    assert sentences[8].startswith("On ped2 (merged), Sp + iForest is ")
    assert "our method (vgg16)" in sentences[9]
    assert "our method (rate05) is" in sentences[10]
    holding = sum(cell.holds for cell in first.cells)
    assert first.opening == [
        "The unit is the clip: 18 labelled, 12 of them with anomalies.",
        f"Of 37 pairs {holding} hold; if no two rows differed, about 2 would by chance.",
    ]
    assert found[3].opening[0] == (
        "The unit is the clip: 3 test clips; in the scene 3 clips with anomalies."
    )
    # Three clips can all agree by chance; no sentence is to be taken for more.
    assert found[3].opening[-1].startswith("Caution: 3 clips cannot show that any difference")


def test_counts_of_seeds_with_frames_of_their_own_are_said_to_be_of_the_first(tmp_path):
    variants = {"rate05": ({"anomaly_rate": 0.05}, 1.5)}
    files = write_study(tmp_path, {"ped2": (6, 12)}, variants)
    found = passages(gathered(files, Plan("paper"), tmp_path))
    assert [passage.opening[0] for passage in found] == [
        "The unit is the clip: 18 labelled, 12 of them with anomalies (counts of the first seed).",
        "The unit is the clip: 12 test clips; in the scene 12 clips with anomalies (counts of the "
        "first seed).",
    ]
    assert found[0].lead == ""


@pytest.mark.parametrize(
    ("cell", "against", "words"),
    [
        (
            (10.27, 4.51, 16.5),
            "sp_iforest",
            "our method is 10.3 points above Sp + iForest [4.5, 16.5]: holds.",
        ),
        (
            (-1.0, -3.04, 0.04),
            "sp_iforest",
            f"our method is 1.0 points below Sp + iForest [{MINUS}3.0, 0.04]: does not hold.",
        ),
        (
            (0.04, -0.04, 0.5),
            "sp_iforest",
            f"our method is level with Sp + iForest [{MINUS}0.04, 0.5]: does not hold.",
        ),
        (
            (2.0, None, None),
            "sp_iforest",
            "our method is 2.0 points above Sp + iForest; no interval: fewer than 2 clips.",
        ),
        (
            (3.0, 1.0, 5.0),
            "b/ours",
            "our method is 3.0 points above our method (b) [1.0, 5.0]: holds.",
        ),
        (
            (3.0, 1.0, 5.0),
            "two_sample_test",
            "our method is 3.0 points above two-sample test, both fused [1.0, 5.0]: holds.",
        ),
    ],
)
def test_sentences(cell, against, words):
    mean, low, high = cell
    key = Key("ped2", "paper", against=against)
    found = Cell(key, {}, mean=mean, low=low, high=high, reason="fewer than 2 clips")
    assert sentence(found, "paper") == f"On ped2 (merged), {words}"


def test_pairs_of_other_variants_are_counted_and_told_where_they_hold(tmp_path):
    variants = {name: ({}, strength) for name, strength in (("a", 4), ("b", 0.1), ("c", 0.1))}
    files = write_study(tmp_path, {"ped2": (6, 12)}, variants, competitors=())
    found = passages(gathered(files, Plan("none of them"), tmp_path))
    ((heading, sentences),) = found[0].groups
    assert heading == "Variants"
    assert sentences[0] == "Among the other variants 2 of 3 pairs hold:"
    assert [text.partition(" is ")[0] for text in sentences[1:]] == [
        "On ped2 (merged), our method (a)"
    ] * 2


def test_markdown_has_every_sentence_and_escapes_names(findings):
    found = passages(findings)
    text = page(found)
    assert text.startswith("# Which differences hold\n")
    assert HOW_TO_READ in text
    bullets = [line for line in text.splitlines() if line.startswith("- On ")]
    assert len(bullets) == sum(len(texts) for one in found for _, texts in one.groups)
    assert page([]) == (
        "# Which differences hold\n\nnot run: no scene has ground truth to compare by.\n"
    )


def test_scenes_without_ground_truth_have_no_pairs(tmp_path):
    files = write_study(tmp_path, {"yard": (2, 2)}, {"paper": ({}, 1.4)})
    for path in files.metrics:
        change(path, blind)
    assert passages(gathered(files, Plan("paper"), tmp_path)) == []
