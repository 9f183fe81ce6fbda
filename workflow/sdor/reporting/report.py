"""The report: one offline page with tables, figures, moments to look at, and where it came from."""

import base64
import io
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from sdor.errors import SdorError
from sdor.evaluation.about import About
from sdor.files import atomic, damaged
from sdor.method.events import find_events, of_clips
from sdor.method.units import TELLS_CLIPS
from sdor.reporting import tables
from sdor.reporting.findings import OURS, Findings, read_findings
from sdor.reporting.reported import INITIAL_ROWS, differing_settings, weights_text
from sdor.reporting.runs import Runs, read_scores
from sdor.reporting.stage_times import stages
from sdor.reporting.typeset import WORDS, Row, Table, printed, row_name
from sdor.study.settings import EventSettings

THUMBNAIL = 192  # pixels
MOMENTS = EventSettings(budget=10, per="scene", lead=0)
# Kinds of figures that show nothing of a scene without ground truth.
NEED_TRUTH = ("roc", "iterations")


def write_report(
    findings_path: Path,
    output: Path,
    *,
    sections: Sequence[Runs],
    captions: Mapping[str, str],
    study_captions: Mapping[str, str],
    frames: str,
    configuration: str,
    times: pd.DataFrame,
) -> None:
    """Write the report as one self-contained HTML page that needs no network and no script.

    Parameters
    ----------
    findings_path : beside it are the figures.
    sections : the scenes and variants that have a section of their own.
    captions : of each kind of figures of a section (`{variant}-{kind}.svg`).
    study_captions : of each file in `results/figures` that is of the whole study.
    frames : name of the stored frames that moments are shown by, see `Runs.frame`.
    configuration : the YAML that the run was made with.
    times : what each job took, as of `stage_times.job_times`.

    Raises
    ------
    SdorError : a file is missing or damaged.
    """
    findings = read_findings(findings_path)
    pages = tables.paper_pages(findings)
    # Without ground truth anywhere, the page begins with the moments: there is nothing to measure.
    measured = any(findings.is_measured(one.scene, one.variant) for one in sections)
    page = printed(
        "report.html.j2",
        title=f"Anomalies in {', '.join(findings.scenes)}",
        facts=_facts(findings),
        explanation=pages[0].explanation,
        glance=tables.glance_table(findings, [(one.scene, one.variant) for one in sections]),
        measured=measured,
        pages=[one for one in pages if one.tables and measured],
        missing=[one for one in pages if not one.tables and measured],
        not_run=tables.not_run_table(findings),
        study_figures=[
            (embedded(findings_path.parent / "figures" / name), caption)
            for name, caption in study_captions.items()
            if measured
        ],
        sections=[_section(findings, runs, captions, frames) for runs in sections],
        configuration=configuration.strip(),
        provenance=provenance_table(findings),
        times=stages(times),
    )
    with atomic(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def provenance_table(findings: Findings) -> Table:
    """Weights, device, versions and code fingerprints, with the scenes and variants behind each."""
    runs = [
        {"scene": run.scene, "variant": run.variant, **_origins(findings, run)}
        for run in findings.runs
    ]
    facts = pd.DataFrame(runs).melt(["scene", "variant"]).groupby(["variable", "value"], sort=False)
    rows = [
        Row((str(name), str(value), _distinct(behind["scene"]), _distinct(behind["variant"])))
        for (name, value), behind in facts
    ]
    return Table("Provenance", ("what", "value", "scenes", "variants"), rows)


def embedded(path: Path, content: bytes | None = None) -> str:
    """A picture, by default a file, as a data URI: so it shares no ids with the page.

    Raises
    ------
    SdorError : the file is missing.
    """
    try:
        encoded = base64.b64encode(path.read_bytes() if content is None else content).decode()
    except OSError as error:
        raise SdorError(damaged(path, error)) from error
    return f"data:{mimetypes.guess_type(path.name)[0]};base64,{encoded}"


def moments_of(runs: Runs, frames: str) -> list[tuple[str, str]]:
    """The highest-ranked moments of the first seed, for a person to look at first.

    Returns
    -------
    The peak frame of each (a small JPEG in a data URI), and what it is.
    """
    scores = read_scores(runs.folders[0] / "ensemble.parquet")
    truth = runs.ground_truth.set_index(["clip", "frame"])["anomalous"] > 0
    words = {True: ": anomalous", False: ": normal", None: ": not labelled"}
    moments = []
    for one in find_events(of_clips(scores, runs.times), MOMENTS).to_dict("records"):
        clip, first, last, peak = (one[name] for name in ("clip", "first", "last", "peak"))
        memory = io.BytesIO()
        picture = Image.fromarray(runs.frame(clip, peak, frames))
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        picture.save(memory, "JPEG", quality=82)
        parts = (clip, times_text(one["begin"], one["end"]), f"frames {first:,} to {last:,}")
        caption = f"{one['rank']}. {', '.join(filter(None, parts))}, score {one['score']:.3f} at "
        caption += f"{peak:,}{words[truth.get((clip, peak))] if len(truth) else ''}"
        moments.append((embedded(Path("peak.jpeg"), memory.getvalue()), caption))
    return moments


def warnings_of(findings: Findings, scene: str, variant: str) -> list[str]:
    """Detectors that training starts from and that may tell clips apart, a line each."""
    cells = [findings.cell(scene, variant, it, metric="between_clips") for it in INITIAL_ROWS]
    return [
        WORDS["tells_clips"].format(row=row_name(cell.key.row), share=f"{cell.mean:.0f}")
        for cell in cells
        if cell.mean is not None and cell.mean > 100 * TELLS_CLIPS
    ]


def times_text(begin: float, end: float) -> str:
    """Begin and end of a stretch (s) in minutes and seconds; nothing where they are not known."""
    if not np.isfinite(begin):
        return ""
    # Tenths of a second are rounded before minutes are split off: 59.97 is 1:00.0, not 0:60.0.
    tenths = [round(10 * at) for at in (begin, end)]
    return " to ".join(f"{at // 600}:{at % 600 / 10:04.1f}" for at in tenths)


def _section(
    findings: Findings, runs: Runs, captions: Mapping[str, str], frames: str
) -> dict[str, Any]:
    """All that the page shows of one scene and variant."""
    key = (runs.scene, runs.variant)
    measured = findings.is_measured(*key)
    left_out = () if measured else NEED_TRUTH
    start = runs.results / "figures" / runs.scene / runs.variant
    return {
        "description": findings.grouped[key][0].description,
        "remarks": [*runs.remarks, *warnings_of(findings, *key)],
        "measured": measured,
        "table": tables.scene_table(findings, *key),
        "pseudo_labels": tables.pseudo_label_table(findings, *key),
        "peaks": moments_of(runs, frames),
        "figures": [
            (embedded(start.with_name(f"{start.name}-{kind}.svg")), caption)
            for kind, caption in captions.items()
            if kind not in left_out
        ],
        "left_out": [caption for kind, caption in captions.items() if kind in left_out],
    }


def _facts(findings: Findings) -> dict[str, str]:
    """What was run, for the head of the page."""
    runs, plan = findings.runs, findings.plan
    settings = ""
    if about := findings.about(plan.main):
        differing = differing_settings(about, OURS, with_backbone=True)
        settings = "the paper's, and this project's defaults where the paper states none"
        if differing:
            settings = f"not the paper's in: {differing}; {WORDS['in_parentheses']}"
    facts = {
        "Scenes": _distinct(run.scene for run in runs),
        "Not run": ", ".join(plan.not_run),
        "Our method": f"variant {plan.main}",
        "Its settings": settings,
        "Other variants": _distinct(run.variant for run in runs if run.variant != plan.main),
        "Seeds": _distinct(str(run.seed) for run in runs),
        "Weights": _distinct(weights_text(run) for run in runs),
        "Device": _distinct(run.device for run in runs) or "not stated",
    }
    return {name: words for name, words in facts.items() if words}


def _distinct(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, words)))


def _origins(findings: Findings, run: About) -> dict[str, str]:
    """What a run came from, fact by fact."""
    facts = {
        "device": run.device or "not stated",
        "backbone": run.method.backbone,
        "weights": run.weights.source if run.weights else "not stated",
        "weights sha256": (run.weights and run.weights.sha256) or "not stated",
        "versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
        "clip bootstrap": f"{findings.counts[run.scene, run.variant]['draws']:,.0f} draws",
    }
    return facts | {f"fingerprint: {name}": value for name, value in run.fingerprints.items()}
