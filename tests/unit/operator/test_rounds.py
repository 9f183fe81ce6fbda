"""What a round of marks moved in a list."""

import pandas as pd
import pytest

from sdor.files import write_parquet
from sdor.operator.rounds import changed_ranks, changes_since, remarks_on


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


def test_moments_of_files_that_came_move_nothing_and_push_nothing_out():
    now = events(("n1", 1, 1, 9), ("n2", 2, 21, 29), ("q", 3, 21, 29), ("p", 4, 1, 9))
    now.loc[:1, "clip"] = "new"
    found = changed_ranks(BEFORE, now, clips=({"a"}, {"a", "new"}))
    # What stood 1st and 2nd would stand 3rd and 4th now; the two last had to make room.
    assert moved(found) == {"q": ("rose", 4, 3), "p": ("fell", 3, 4)}
    now.loc[2:, "event"] = ["r", "q"]
    now.loc[2:, ["first", "last"]] = [[41, 49], [21, 29]]
    found = moved(changed_ranks(BEFORE, now, clips=({"a"}, {"a", "new"})))
    assert found == {"r": ("rose", 5, 3), "q": ("same", 4, 4), "p": ("left", 3, None)}


def test_more_moments_of_files_that_came_than_were_listed_push_nothing_out():
    now = events(*((f"n{n}", n, n, n) for n in range(1, 7)))
    now["clip"] = "new"
    assert moved(changed_ranks(BEFORE[:3], now, clips=({"a"}, {"a", "new"}))) == {}
    assert moved(changed_ranks(now, BEFORE[:3], clips=({"a", "new"}, {"a"}))) == {}


def test_moments_of_files_that_are_gone_did_not_leave_and_others_did_not_come():
    before = BEFORE.assign(clip=["old", "a", "a", "a"])
    now = events(("q", 1, 21, 29), ("s", 2, 61, 69), ("r", 3, 41, 49), ("new", 4, 80, 90))
    assert moved(changed_ranks(before, now, clips=({"old", "a"}, {"a"}))) == {
        "q": ("same", 1, 1),
        "s": ("rose", 3, 2),
        "r": ("fell", 2, 3),
    }


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (["a"], ["a"], []),
        (None, ["a"], []),  # of an earlier version
        (["a"], ["a", "b", "c"], ["2 files came since the list before: what moved is not by the"]),
        (["a", "b"], ["b", "c"], ["1 file came and 1 file is gone since the list before: what"]),
    ],
)
def test_an_archive_that_grew_is_said(tmp_path, before, now, words):
    for name, clips in {"watch": before, "watch/round1": now}.items():
        about = {} if clips is None else {"clips": clips}
        write_parquet(tmp_path / name / "events.parquet", BEFORE, {"gone": 0, **about})
    found = remarks_on(tmp_path / "watch/round1")
    assert len(found) == len(words)
    assert all(map(str.startswith, found, words))
    assert remarks_on(tmp_path / "watch") == []


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


def test_a_list_before_that_is_damaged_is_none_and_said(tmp_path):
    damaged = tmp_path / "watch/events.parquet"
    for folder in (damaged.parent, tmp_path / "watch/round1"):
        write_parquet(folder / "events.parquet", BEFORE, {"gone": 0})
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert changes_since(tmp_path / "watch/round1").empty
    (words,) = remarks_on(tmp_path / "watch/round1")
    assert words == f"{damaged}: the list before cannot be read: what moved since is not told"
