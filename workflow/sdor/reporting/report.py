"""The report: one offline page with tables, figures, moments to look at, and where it came from."""

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from sdor.errors import SdorError
from sdor.evaluation.about import About
from sdor.files import atomic, damaged
from sdor.reporting import comparisons, tables
from sdor.reporting.findings import OURS, Findings, read_findings
from sdor.reporting.moments import top_moments
from sdor.reporting.reported import differing_settings
from sdor.reporting.runs import Runs, read_scores
from sdor.reporting.stage_times import jobs_table, stages_table
from sdor.reporting.typeset import Row, Table, printed

MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
THUMBNAIL = 192  # pixels
MOMENTS = 10  # of a scene
# Kinds of figures that show nothing of a scene without ground truth.
NEED_TRUTH = ("roc", "iterations")


@dataclass(frozen=True)
class Figures:
    """The figures of a study: files of the same names, and their captions.

    Attributes
    ----------
    of_runs : kind: caption, of those that each scene and variant has (`{variant}-{kind}.svg`).
    of_study : name of the file, in `results/figures`: caption.
    """

    of_runs: Mapping[str, str]
    of_study: Mapping[str, str]


def write_report(
    findings_path: Path,
    output: Path,
    *,
    sections: Sequence[Runs],
    figures: Figures,
    view: str,
    configuration: str,
    times: pd.DataFrame,
) -> None:
    """Write the report as one self-contained HTML page that needs no network and no script.

    Parameters
    ----------
    findings_path : beside it are the figures.
    sections : the scenes and variants that have a section of their own.
    view : name of the stored frames that moments are shown by.
    configuration : the YAML that the run was made with.
    times : what each job took, as of `stage_times.job_times`.

    Raises
    ------
    SdorError : a file is missing or damaged.
    """
    findings = read_findings(findings_path)
    pages = tables.paper_pages(findings)
    page = printed(
        "report.html.j2",
        title=f"Anomalies in {', '.join(findings.scenes)}",
        facts=_facts(findings),
        explanation=pages[0].explanation,
        glance=tables.glance_table(findings, [(one.scene, one.variant) for one in sections]),
        pages=[one for one in pages if one.tables],
        missing=[one for one in pages if not one.tables],
        not_run=tables.not_run_table(findings),
        comparisons=comparisons,
        passages=comparisons.passages(findings),
        study_figures=[
            (data_uri(findings_path.parent / "figures" / name), caption)
            for name, caption in figures.of_study.items()
        ],
        sections=[_section(findings, runs, figures.of_runs, view) for runs in sections],
        configuration=configuration.strip(),
        provenance=provenance_table(findings),
        times=[stages_table(times), jobs_table(times)] if len(times) else [],
    )
    with atomic(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def provenance_table(findings: Findings) -> Table:
    """Weights, device, versions and code fingerprints, and the runs that each is behind."""
    behind: dict[tuple[str, str], list[About]] = {}
    for run in findings.runs:
        for fact in _origins(findings, run).items():
            behind.setdefault(fact, []).append(run)
    names = list(dict.fromkeys(name for name, _ in behind))
    facts = sorted(behind.items(), key=lambda one: names.index(one[0][0]))
    rows = [Row((*fact, _runs_text(runs, findings))) for fact, runs in facts]
    return Table("Provenance", ("what", "value", "runs"), rows)


def data_uri(path: Path) -> str:
    """A picture file as a data URI; a missing one is an `SdorError`.

    Embedded as an image it shares no ids with the page.
    """
    try:
        return embedded(path.read_bytes(), MEDIA_TYPES[path.suffix])
    except OSError as error:
        raise SdorError(damaged(path, error)) from error


def embedded(content: bytes, media_type: str) -> str:
    """Bytes as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def moments_of(runs: Runs, view: str) -> tuple[Table, list[dict[str, str]]]:
    """The highest-ranked moments of the first seed, for a person to look at first.

    Returns
    -------
    They as a table; and of each its peak: picture (a small JPEG in a data URI), caption, judged.
    """
    scores = read_scores(runs.folders[0] / "ensemble.parquet")
    truth = runs.ground_truth.set_index(["clip", "frame"])["anomalous"] > 0
    words = {True: "anomalous", False: "normal", None: "not labelled"}
    found = top_moments(runs.clips, scores, count=MOMENTS).to_dict("records")
    rows, peaks = [], []
    for number, one in enumerate(found, start=1):
        clip, first, last, peak = (one[name] for name in ("clip", "first", "last", "peak"))
        judged = words[truth.get((clip, peak))] if len(truth) else ""
        when, frames = times_text(first, last, one["fps"]), f"{first:,} to {last:,}"
        cells = (str(number), clip, frames, when, f"{peak:,}", f"{one['score']:.3f}", judged)
        rows.append(Row(cells))
        memory = io.BytesIO()
        picture = Image.fromarray(runs.frame(clip, peak, view))
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        picture.save(memory, "JPEG", quality=82)
        source = embedded(memory.getvalue(), "image/jpeg")
        caption = f"{number}. {clip}, {when or f'frames {frames}'}"
        peaks.append({"picture": source, "caption": caption, "judged": judged})
    header = ("rank", "clip", "frames", "time", "peak frame", "score", "ground truth at peak")
    return Table("Moments to look at first", header, rows).compact(), peaks


def times_text(first: int, last: int, fps: float) -> str:
    """Begin and end of a stretch in minutes and seconds; nothing without a frame rate."""
    if not np.isfinite(fps) or fps <= 0:
        return ""
    # Tenths of a second are rounded before minutes are split off: 59.97 is 1:00.0, not 0:60.0.
    tenths = [round(10 * at) for at in ((first - 1) / fps, last / fps)]
    return " to ".join(f"{at // 600}:{at % 600 / 10:04.1f}" for at in tenths)


def _section(
    findings: Findings, runs: Runs, captions: Mapping[str, str], view: str
) -> dict[str, Any]:
    """All that the page shows of one scene and variant."""
    key = (runs.scene, runs.variant)
    measured = findings.is_measured(*key)
    drawn = {kind: words for kind, words in captions.items() if measured or kind not in NEED_TRUTH}
    folder = runs.results / "figures" / runs.scene
    moments, peaks = moments_of(runs, view)
    return {
        "description": findings.grouped[key][0].description,
        "measured": measured,
        "table": tables.scene_table(findings, *key),
        "pseudo_labels": tables.pseudo_label_table(findings, *key),
        "moments": moments,
        "peaks": peaks,
        "figures": [
            (data_uri(folder / f"{runs.variant}-{kind}.svg"), caption)
            for kind, caption in drawn.items()
        ],
        "left_out": [caption for kind, caption in captions.items() if kind not in drawn],
    }


def _facts(findings: Findings) -> dict[str, str]:
    """What was run, for the head of the page."""
    runs, plan = findings.runs, findings.plan
    settings = ""
    if about := findings.about(plan.main):
        differing = differing_settings(about, OURS, with_backbone=True)
        settings = "the paper's, and this project's defaults where the paper states none"
        if differing:
            settings = f"not the paper's in: {differing}; {tables.WORDS['in_parentheses']}"

    def distinct(tell: Callable[[About], str]) -> str:
        return ", ".join(dict.fromkeys(filter(None, map(tell, runs)))) or "not stated"

    facts = {
        "Scenes": distinct(lambda run: run.scene),
        "Not run": ", ".join(plan.not_run),
        "Our method": f"variant {plan.main}",
        "Its settings": settings,
        "Other variants": ", ".join(
            dict.fromkeys(run.variant for run in runs if run.variant != plan.main)
        ),
        "Seeds": distinct(lambda run: str(run.seed)),
        "Weights": distinct(_weights),
        "Device": distinct(lambda run: run.device),
    }
    return {name: words for name, words in facts.items() if words}


def _weights(run: About) -> str:
    if run.weights is None:
        return ""
    digest = f" (sha256 {run.weights.sha256[:12]})" if run.weights.sha256 else ""
    return f"{run.weights.source}{digest}"


def _origins(findings: Findings, run: About) -> dict[str, str]:
    """What a run came from, fact by fact."""
    facts = {
        "device": run.device,
        "backbone": run.method.backbone,
        "weights": run.weights.source if run.weights else "",
        "weights sha256": run.weights.sha256 if run.weights else "",
        "versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
        "clip bootstrap": f"{findings.counts[run.scene, run.variant]['draws']:,.0f} draws",
    }
    facts |= {f"fingerprint: {name}": value for name, value in run.fingerprints.items()}
    return {name: value or "not stated" for name, value in facts.items()}


def _runs_text(runs: Iterable[About], findings: Findings) -> str:
    """Which scenes and variants, in few words."""
    scenes: dict[str, list[str]] = {}
    for scene, variant in dict.fromkeys((run.scene, run.variant) for run in runs):
        scenes.setdefault(scene, []).append(variant)
    alike: dict[str, list[str]] = {}
    for scene, variants in scenes.items():
        every = variants == findings.variants(scene)
        alike.setdefault("all variants" if every else ", ".join(variants), []).append(scene)
    if list(alike) == ["all variants"] and list(scenes) == findings.scenes:
        return "all runs"
    return "; ".join(f"{', '.join(names)}: {words}" for words, names in alike.items())
