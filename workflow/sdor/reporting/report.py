"""The report: one offline page with tables, figures, moments to look at, and where it came from."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from sdor.errors import SdorError
from sdor.evaluation.about import About
from sdor.files import atomic, damaged, read_parquet
from sdor.reporting import comparisons
from sdor.reporting.findings import OURS, Findings, read_findings
from sdor.reporting.moments import top_moments
from sdor.reporting.reported import differing_settings
from sdor.reporting.stage_times import run_times
from sdor.reporting.tables import (
    EXPLANATION,
    IN_PARENTHESES,
    glance_table,
    not_run_table,
    paper_pages,
    pseudo_label_table,
    scene_table,
)
from sdor.reporting.typeset import Row, Table

TEMPLATES = Path(__file__).resolve().parents[2] / "report"
MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
THUMBNAIL = 192  # pixels


@dataclass(frozen=True)
class Picture:
    """A figure of one scene and variant.

    Attributes
    ----------
    scene, variant : where it stands; `caption` also tells readers who cannot see it what it shows.
    needs_truth : it shows nothing of a scene without ground truth, and is left out there.
    """

    scene: str
    variant: str
    path: str | Path
    caption: str
    needs_truth: bool = False


@dataclass(frozen=True)
class Moments:
    """Files from which the highest-ranked moments of a scene are read.

    Attributes
    ----------
    frame_paths : clip: its stored frames (`.npy`), of which each moment's peak is shown.
    """

    scene: str
    variant: str
    clips_path: str | Path
    ensemble_path: str | Path
    ground_truth_path: str | Path | None = None
    frame_paths: Mapping[str, str | Path] = field(default_factory=dict)


def write_report(
    findings_path: str | Path,
    output: str | Path,
    *,
    title: str,
    pictures: Sequence[Picture] = (),
    study_pictures: Sequence[tuple[str | Path, str]] = (),
    moments: Sequence[Moments] = (),
    configuration: str = "",
    benchmarks: Mapping[Path, str] | None = None,
    moments_shown: int = 10,
) -> None:
    """Write the report as one self-contained HTML page that needs no network and no script.

    Parameters
    ----------
    pictures : figures of one scene and variant each, which stand together in this order. A scene
        and variant has a section of its own if there is a picture or a list of moments of it.
    study_pictures : (path, caption) of figures that are of the whole study.
    moments : scenes whose highest-ranked moments are listed.
    configuration : the YAML that the run was made with.
    benchmarks : the stage of each of Snakemake's benchmark files.
    moments_shown : how many moments are listed per scene.

    Raises
    ------
    SdorError : a file is missing or damaged.
    """
    findings = read_findings(findings_path)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = {(picture.scene, picture.variant) for picture in pictures}
    own |= {(source.scene, source.variant) for source in moments}
    shown = [key for key in findings.grouped if key in own]
    listed = {(source.scene, source.variant): source for source in moments}
    made = paper_pages(findings)
    times = run_times(benchmarks or {})
    page = environment.get_template("report.html.j2").render(
        title=title,
        facts=_facts(findings),
        explanation=EXPLANATION,
        glance=glance_table(findings, shown),
        paper_tables=[table for table in made if table.tables],
        missing=[(table.title, table.nothing) for table in made if not table.tables],
        comparisons_title=comparisons.TITLE,
        how_to_compare=comparisons.HOW_TO_READ,
        passages=comparisons.passages(findings),
        skipped=not_run_table(findings),
        study_pictures=[_shown(path, caption) for path, caption in study_pictures],
        sections=[
            _section(
                findings,
                f"scene-{number}",
                key,
                [one for one in pictures if (one.scene, one.variant) == key],
                listed.get(key),
                moments_shown,
            )
            for number, key in enumerate(shown, start=1)
        ],
        configuration=configuration.strip(),
        provenance=provenance_table(findings),
        times=times,
    )
    with atomic(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def provenance_table(findings: Findings) -> Table:
    """Weights, device, versions and code fingerprints, and the runs that each is behind."""
    behind: dict[tuple[str, str], dict[tuple[str, str], None]] = {}
    for run in findings.runs:
        for fact in _origins(findings, run).items():
            behind.setdefault(fact, {})[run.scene, run.variant] = None
    names = list(dict.fromkeys(name for name, _ in behind))
    rows = [
        Row((name, value, _runs_text(keys, findings)))
        for wanted in names
        for (name, value), keys in behind.items()
        if name == wanted
    ]
    return Table.of("Provenance", ("what", "value", "runs"), rows)


def data_uri(path: str | Path) -> str:
    """A picture as a data URI: embedded as an image it shares no ids with the page.

    Raises
    ------
    SdorError : the picture is missing, or neither SVG nor PNG.
    """
    media_type = MEDIA_TYPES.get(Path(path).suffix)
    if media_type is None:
        raise SdorError(f"{path}: not a picture for the report (only .svg and .png are)")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SdorError(damaged(path, error)) from error
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def thumbnail(path: str | Path, frame: int) -> str:
    """One stored frame as a small JPEG in a data URI.

    Parameters
    ----------
    path : frames of a clip, uint8 (frames, height, width, channels).
    frame : its number, from 1.

    Raises
    ------
    SdorError : the file is missing or damaged, or has no such frame.
    """
    try:
        pixels = np.load(path, mmap_mode="r")[frame - 1]
    except (OSError, ValueError, IndexError) as error:
        raise SdorError(damaged(path, error)) from error
    picture = Image.fromarray(
        np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    )
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    memory = io.BytesIO()
    picture.save(memory, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(memory.getvalue()).decode()}"


def _facts(findings: Findings) -> list[tuple[str, str]]:
    """What was run, for the head of the page."""

    def distinct(values: Iterable[Any]) -> str:
        return ", ".join(dict.fromkeys(str(value) for value in values if value)) or "not stated"

    runs, main = findings.runs, findings.plan.main
    weights = [
        f"{one.source}{f' (sha256 {one.sha256[:12]})' if one.sha256 else ''}"
        for one in (run.weights for run in runs)
        if one is not None
    ]
    about, settings = findings.about(main), ""
    if about is not None:
        differing = differing_settings(about, OURS, with_backbone=True)
        settings = "the paper's, and this project's defaults where the paper states none"
        if differing:
            settings = f"not the paper's in: {differing}; {IN_PARENTHESES}"
    others = dict.fromkeys(run.variant for run in runs if run.variant != main)
    facts = [
        ("Scenes", distinct(run.scene for run in runs)),
        ("Not run", ", ".join(findings.plan.not_run)),
        ("Our method", f"variant {main}"),
        ("Its settings", settings),
        ("Other variants", ", ".join(others)),
        ("Seeds", distinct(str(run.seed) for run in runs)),
        ("Weights", distinct(weights)),
        ("Device", distinct(run.device for run in runs)),
    ]
    return [fact for fact in facts if fact[1]]


def _section(
    findings: Findings,
    anchor: str,
    key: tuple[str, str],
    pictures: Sequence[Picture],
    moments: Moments | None,
    moments_shown: int,
) -> dict[str, Any]:
    """All that the page shows of one scene and variant."""
    measured = findings.is_measured(*key)
    drawn = [picture for picture in pictures if measured or not picture.needs_truth]
    left_out = [picture.caption for picture in pictures if picture not in drawn]
    return {
        "anchor": anchor,
        "description": findings.grouped[key][0].description,
        "measured": measured,
        "table": scene_table(findings, *key),
        "pseudo_labels": pseudo_label_table(findings, *key) if measured else None,
        "moments": None if moments is None else _moments(moments, moments_shown),
        "pictures": [_shown(picture.path, picture.caption) for picture in drawn],
        "left_out": left_out,
    }


def _shown(path: str | Path, caption: str) -> dict[str, str]:
    return {"source": data_uri(path), "caption": caption}


def _moments(source: Moments, count: int) -> dict[str, Any]:
    """The moments as a table, and as thumbnails where the frames are given."""
    clips = read_parquet(source.clips_path)
    found = top_moments(clips, read_parquet(source.ensemble_path), count=count)
    truth: dict[tuple[str, int], bool] = {}
    if source.ground_truth_path is not None:
        labels = read_parquet(source.ground_truth_path)
        wanted = labels["clip"].isin(found["clip"]) & labels["frame"].isin(found["peak"])
        chosen = labels[wanted]
        keys = zip(chosen["clip"], chosen["frame"].astype(int), strict=True)
        truth = dict(zip(keys, chosen["anomalous"] > 0, strict=True))
    words = {True: "anomalous", False: "normal", None: "not labelled"}
    rows = []
    thumbnails = []
    for number, moment in enumerate(found.to_dict("records"), start=1):
        clip = str(moment["clip"])
        first, last, peak = (int(moment[name]) for name in ("first", "last", "peak"))
        when = _times(first, last, float(moment["fps"]))
        judged = words[truth.get((clip, peak))] if truth else ""
        frames = f"{first:,} to {last:,}"
        score = f"{moment['score']:.3f}"
        rows.append(Row((str(number), clip, frames, when, f"{peak:,}", score, judged)))
        if clip in source.frame_paths:
            caption = ", ".join(filter(None, [f"{number}. {clip}", when or f"frames {frames}"]))
            picture = thumbnail(source.frame_paths[clip], peak)
            thumbnails.append({"source": picture, "caption": caption, "judged": judged})
    header = ("rank", "clip", "frames", "time", "peak frame", "score", "ground truth at peak")
    table = Table.of(
        "Moments to look at first",
        header,
        rows,
        caption=(
            "Stretches among the tenth of highest final scores of the first seed, ranked by their "
            "peak; dips of less than 2 seconds do not end a stretch."
        ),
    )
    return {"table": table, "thumbnails": thumbnails}


def _times(first: int, last: int, fps: float) -> str:
    """Begin and end of a stretch in minutes and seconds; nothing without a frame rate."""
    if not np.isfinite(fps) or fps <= 0:
        return ""
    # Tenths of a second are rounded before minutes are split off: 59.97 is 1:00.0, not 0:60.0.
    tenths = [round(10 * at) for at in ((first - 1) / fps, last / fps)]
    return " to ".join(f"{at // 600}:{at % 600 / 10:04.1f}" for at in tenths)


def _origins(findings: Findings, run: About) -> dict[str, str]:
    """What a run came from, fact by fact."""
    weights = run.weights
    draws = findings.count(run.scene, run.variant, "draws")
    facts = {
        "device": run.device,
        "backbone": run.method.backbone,
        "weights": weights.source if weights else "",
        "weights sha256": weights.sha256 if weights else "",
        "versions": _pairs(run.versions),
        "clip bootstrap": f"{draws:,.0f} draws",
    }
    facts |= {f"fingerprint: {name}": value for name, value in run.fingerprints.items()}
    return {name: value or "not stated" for name, value in facts.items()}


def _runs_text(keys: Iterable[tuple[str, str]], findings: Findings) -> str:
    """Which scenes and variants, in few words."""
    scenes: dict[str, list[str]] = {}
    for scene, variant in keys:
        scenes.setdefault(scene, []).append(variant)
    every: dict[str, list[str]] = {}
    for scene, variant in findings.grouped:
        every.setdefault(scene, []).append(variant)
    if scenes == every:
        return "all runs"
    together: dict[str, list[str]] = {}
    for scene, variants in scenes.items():
        words = "all variants" if variants == every[scene] else ", ".join(variants)
        together.setdefault(words, []).append(scene)
    return "; ".join(f"{', '.join(names)}: {words}" for words, names in together.items())


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
