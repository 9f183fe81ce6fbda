"""What a round of marks moved in a list."""

import pandas as pd
import pytest

from sdor.files import write_parquet
from sdor.operator.rounds import changed_ranks, changes_since


def events(*rows, **more):
    """Of event, rank, first and last frame."""
    table = pd.DataFrame(rows, columns=["event", "rank", "first", "last"])
    table = table.assign(clip="a", begin=table["first"] / 10, end=table["last"] / 10)
    return table.assign(kind="moment", mark="", **more)


BEFORE = events(("p", 1, 1, 9), ("q", 2, 21, 29), ("r", 3, 41, 49), ("s", 4, 61, 69))


def moved(table):
    return {
        event: (change, None if pd.isna(a) else a, None if pd.isna(b) else b)
        for event, change, a, b in table[["event", "change", "before", "now"]].to_numpy()
    }


def test_moments_are_known_by_their_frames_and_not_by_their_names():
    now = events(("r2", 1, 44, 55), ("p", 2, 1, 9), ("new", 3, 80, 90), ("q2", 4, 29, 40))
    assert moved(changed_ranks(BEFORE, now)) == {
        "r2": ("rose", 3, 1),
        "p": ("fell", 1, 2),
        "new": ("new", None, 3),
        "q2": ("fell", 2, 4),
        "s": ("left", 4, None),
    }


def test_one_that_was_two_is_the_one_that_it_shares_most_with():
    now = events(("both", 1, 8, 29))
    assert moved(changed_ranks(BEFORE[:2], now)) == {"both": ("rose", 2, 1), "p": ("left", 1, None)}


def test_what_was_marked_moves_nothing():
    now = events(("r", 1, 41, 49), ("s", 2, 61, 69), ("q", 0, 21, 29))
    now.loc[2, "mark"] = "anomaly"
    found = changed_ranks(BEFORE.drop(columns="mark"), now, [("a", 1, 9)])
    assert moved(found) == {"r": ("same", 1, 1), "s": ("same", 2, 2)}


def test_changes_of_the_picture_are_in_no_order():
    both = pd.concat([BEFORE, events(("dark", 0, 1, 1)).assign(kind="picture changed")])
    assert "dark" not in moved(changed_ranks(both, both.iloc[1:]))


@pytest.mark.parametrize(
    ("folder", "count"), [("watch", 0), ("watch/round1", 3), ("watch/round3", 4)]
)
def test_a_list_is_held_against_the_last_before_that_is_there(tmp_path, folder, count):
    for name, table in {
        "watch": BEFORE[:3],
        "watch/round1": BEFORE,
        "watch/round3": BEFORE,
    }.items():
        write_parquet(tmp_path / name / "events.parquet", table, {"dismissed": []})
    assert len(changes_since(tmp_path / folder)) == (4 if count else 0)
    first = moved(changes_since(tmp_path / folder)).get("s")
    assert first == {0: None, 3: ("new", None, 4), 4: ("same", 4, 4)}[count]
