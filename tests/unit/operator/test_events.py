"""The table of events for other programs: its columns, and names that are no formulas."""

import numpy as np
import pandas as pd

from sdor.method.events import find_events
from sdor.operator.events import events_csv
from sdor.study.settings import EventSettings


def test_events_are_listed_for_other_programs():
    frames = pd.DataFrame({"clip": ["=a", "=a", "b", "b", "b"], "frame": [1, 2, 1, 2, 3]})
    seconds = np.array([0.0, 5, 0, 5, 10])
    frames = frames.assign(time=seconds + 100, stretch=frames["clip"], seconds=seconds)
    # The median is 1, and the distances from it are 1, 8, 1, 4 and 0.
    found = find_events(frames.assign(score=[0, 9, 0, 5, 1]), EventSettings(2, "scene", 3))
    found = found.assign(camera=["@gate", "yard, west"], source=["-in/=a.avi", "b.avi"])
    found = found.assign(path=["=/in/a.avi", "/in/b.avi"])
    found = found.assign(clock=[pd.Timestamp("2026-11-26 13:01:01.1"), pd.NaT])
    found = found.assign(x0=[0.25, np.nan], y0=[0, np.nan], x1=[0.5, np.nan], y1=[1, np.nan])
    header, first, second, end = events_csv(found.assign(preview=["p/1.mp4", ""])).split("\n")
    assert header == (
        "event,rank,camera,clip,source,path,begin,end,peak,clock,first,last,peak_frame,score,unusual,"
        "percentile,box,preview,kind,mark"
    )
    assert first == (
        f"{found['event'][0]},1,'@gate,'=a,'-in/=a.avi,'=/in/a.avi,105.000,105.000,105.000,"
        "2026-11-26T13:01:01.100,2,2,2,9.000,5.396,100.000,0.250 0.000 0.500 1.000,p/1.mp4,moment,"
    )
    assert second == (
        f'{found["event"][1]},2,"yard, west",b,b.avi,/in/b.avi,105.000,105.000,105.000,'
        ",2,2,2,5.000,2.698,80.000,,,moment,"
    )
    assert end == ""
