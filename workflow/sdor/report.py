"""The report: one offline page with tables, figures, moments to look at, and where it came from."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
import pandas as pd

from sdor.errors import SdorError
from sdor.files import atomic, damaged, read_parquet
from sdor.tables import (
    EXPLANATION,
    Metrics,
    Table,
    comparison_table,
    count_of,
    detector_row,
    groups,
    is_measured,
    pseudo_label_table,
    read_metrics,
    reported_notes,
    scene_table,
    skipped_table,
    variants_table,
)

TEMPLATES = Path(__file__).resolve().parent.parent / "report"
MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
# Where a scene's clips have no frame rate, moments are separated as at this one.
USUAL_FRAME_RATE = 25.0


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Attributes
    ----------
    scene, variant : where it stands; `caption` also tells readers who cannot see it what it shows.
    """

    scene: str
    variant: str
    path: str | Path
    caption: str


@dataclass(frozen=True)
class Moments:
    """Files from which the highest-ranked moments of a scene are read."""

    scene: str
    variant: str
    clips_path: str | Path
    ensemble_path: str | Path
    ground_truth_path: str | Path | None = None


def write_report(
    metrics_paths: Sequence[str | Path],
    skipped: Mapping[str, str],
    output: str | Path,
    *,
    title: str,
    pictures: Sequence[Picture] = (),
    moments: Sequence[Moments] = (),
    configuration: str = "",
    benchmark_paths: Sequence[str | Path] = (),
    moments_shown: int = 10,
) -> None:
    """Write the report as one self-contained HTML page that needs no network and no script.

    Parameters
    ----------
    skipped : scene: why it was not run.
    pictures : figures to embed; those of one scene and variant stand together, in this order.
    moments : scenes whose highest-ranked moments are listed.
    configuration : the YAML that the run was made with.
    benchmark_paths : Snakemake's benchmark files (TSV with the columns s, h:m:s, max_rss, …).
    moments_shown : how many moments are listed per scene.

    Raises
    ------
    SdorError : a file is missing or damaged.
    """
    runs = [read_metrics(path) for path in metrics_paths]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    listed = {
        (source.scene, source.variant): _moment_table(source, moments_shown) for source in moments
    }
    sections = [
        {
            "anchor": f"scene-{number}",
            "description": group[0]["about"].get("description", ""),
            "table": scene_table(group),
            "pseudo_labels": pseudo_label_table(group),
            "moments": listed.get(key),
            "pictures": [
                {"source": data_uri(picture.path), "caption": picture.caption}
                for picture in pictures
                if (picture.scene, picture.variant) == key
            ],
        }
        for number, (key, group) in enumerate(groups(runs).items(), start=1)
    ]
    times, total = run_times(benchmark_paths)
    compared = (variants_table(runs), comparison_table(runs, skipped))
    page = environment.get_template("report.html.j2").render(
        title=title,
        facts=_facts(runs),
        explanation=EXPLANATION,
        headline=headline_table(runs),
        overview=[table for table in compared if table.rows],
        skipped=skipped_table(skipped),
        sections=sections,
        configuration=configuration.strip(),
        provenance=provenance_table(runs),
        times=times,
        jobs=count_of(len(times.rows), "job"),
        total=total,
    )
    with atomic(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def headline_table(runs: Sequence[Metrics]) -> Table:
    """The final score and the initial scores of every scene and variant, one line each."""
    rows: list[tuple[str, ...]] = []
    grouped = groups(runs)
    for (scene, variant), group in grouped.items():
        if is_measured(group):
            rows += [(scene, variant, *detector_row(group, row)) for row in ("sp_iforest", "ours")]
        else:
            rows.append((scene, variant, "ranked, not measured: no ground truth", *[""] * 6))
    header = ("scene", "variant", "detector", "merged", "train-side", "test-only", "within-clip")
    notes = reported_notes(list(grouped.values()))
    return Table("Results", (*header, "AP", "reported"), tuple(rows), notes=notes)


def provenance_table(runs: Sequence[Metrics]) -> Table:
    """Weights, device, versions and code fingerprints behind every scene and variant."""
    rows = []
    for (scene, variant), group in groups(runs).items():
        about = group[0]["about"]
        weights = about.get("weights") or {}
        facts = {
            "seeds": ", ".join(str(run["about"]["seed"]) for run in group),
            "device": about.get("device"),
            "backbone": about["method"]["backbone"],
            "weights": weights.get("source"),
            "weights sha256": weights.get("sha256"),
            "versions": _pairs(about.get("versions")),
            "fingerprints": _pairs(about.get("fingerprints")),
            "clip bootstrap": _pairs(group[0]["settings"]),
        }
        rows += [
            (scene, variant, name, str(value) if value else "not stated")
            for name, value in facts.items()
        ]
    return Table("Provenance", ("scene", "variant", "what", "value"), tuple(rows))


def run_times(benchmark_paths: Sequence[str | Path]) -> tuple[Table, str]:
    """Time and memory of every benchmarked job, longest first, and the sum of the times.

    Raises
    ------
    SdorError : a file is no Snakemake benchmark.
    """
    jobs = []
    for path in benchmark_paths:
        try:
            lines = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
            seconds = float(lines["s"].mean())
            memory = float(lines["max_rss"].max()) if "max_rss" in lines else np.nan
        except (OSError, ValueError, KeyError) as error:
            raise SdorError(damaged(path, error)) from error
        jobs.append((seconds, memory, Path(path)))
    jobs.sort(key=lambda job: -job[0])
    rows = tuple(
        (_job_name(path), duration(seconds), "" if np.isnan(memory) else f"{memory:,.0f}")
        for seconds, memory, path in jobs
    )
    table = Table("Run times", ("job", "time", "peak memory (MB)"), rows)
    return table, duration(sum(job[0] for job in jobs))


def top_moments(
    clips: pd.DataFrame,
    ensemble: pd.DataFrame,
    *,
    count: int = 10,
    separation: float = 2.0,
    share: float = 0.1,
) -> pd.DataFrame:
    """The highest-ranked stretches of a scene, for a person to look at first.

    A moment is a stretch of one clip whose frames are among the `share` of highest scores; dips
    shorter than `separation` seconds do not end it. It is ranked by its highest score.

    Parameters
    ----------
    clips : clip, fps, frames.
    ensemble : clip, frame, score of every frame.

    Returns
    -------
    clip, first, last, peak (frames), score, fps; at most `count` rows, highest score first.
    """
    columns = ["clip", "first", "last", "peak", "score", "fps"]
    if ensemble.empty:
        return pd.DataFrame(columns=columns)
    scores = ensemble["score"].to_numpy(dtype=float)
    high = np.flatnonzero(scores >= np.quantile(scores, 1 - share))
    names = ensemble["clip"].to_numpy(dtype=object)
    frames = ensemble["frame"].to_numpy(dtype=np.int64)
    rates = dict(zip(clips["clip"], clips["fps"].astype(float), strict=True))
    gap = np.array([separation * _rate(rates[name]) for name in names[high]])
    parted = (names[high][1:] != names[high][:-1]) | (np.diff(frames[high]) > gap[1:])
    records = []
    for stretch in np.split(high, np.flatnonzero(parted) + 1):
        peak = stretch[int(np.argmax(scores[stretch]))]
        records.append(
            {
                "clip": names[peak],
                "first": frames[stretch[0]],
                "last": frames[stretch[-1]],
                "peak": frames[peak],
                "score": scores[peak],
                "fps": rates[names[peak]],
            }
        )
    found = pd.DataFrame.from_records(records, columns=columns)
    return found.sort_values("score", ascending=False, kind="stable").head(count)


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


def duration(seconds: float) -> str:
    """Seconds in words such as "4.2 s", "3 min 20 s" or "2 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _facts(runs: Sequence[Metrics]) -> list[tuple[str, str]]:
    """What was run, for the head of the page."""

    def distinct(values: Sequence[Any]) -> str:
        return ", ".join(dict.fromkeys(str(value) for value in values if value)) or "not stated"

    abouts = [run["about"] for run in runs]
    weights = [about.get("weights") or {} for about in abouts]
    texts = [
        f"{one.get('source', 'not stated')} (sha256 {one['sha256'][:12]})"
        if one.get("sha256")
        else one.get("source")
        for one in weights
    ]
    seeds = [str(about["seed"]) for about in abouts]
    return [
        ("Scenes", distinct([about["scene"] for about in abouts])),
        ("Variants", distinct([about["variant"] for about in abouts])),
        ("Seeds", distinct(seeds)),
        ("Weights", distinct(texts)),
        ("Device", distinct([about.get("device") for about in abouts])),
    ]


def _moment_table(source: Moments, count: int) -> Table:
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
    for number, moment in enumerate(found.to_dict("records"), start=1):
        first, last, peak = (int(moment[name]) for name in ("first", "last", "peak"))
        rows.append(
            (
                str(number),
                str(moment["clip"]),
                f"{first:,} to {last:,}",
                _times(first, last, float(moment["fps"])),
                f"{peak:,}",
                f"{moment['score']:.3f}",
                words[truth.get((moment["clip"], peak))],
            )
        )
    return Table(
        title="Moments to look at first",
        header=("rank", "clip", "frames", "time", "peak frame", "score", "ground truth at peak"),
        rows=tuple(rows),
        caption=(
            "Stretches among the tenth of highest final scores of the first seed, ranked by their "
            "peak; dips of less than 2 seconds do not end a stretch."
        ),
    )


def _times(first: int, last: int, fps: float) -> str:
    """Begin and end of a stretch in minutes and seconds; nothing without a frame rate."""
    if not np.isfinite(fps) or fps <= 0:
        return ""
    # Tenths of a second are rounded before minutes are split off: 59.97 is 1:00.0, not 0:60.0.
    tenths = [round(10 * at) for at in ((first - 1) / fps, last / fps)]
    return " to ".join(f"{at // 600}:{at % 600 / 10:04.1f}" for at in tenths)


def _rate(fps: float | npt.ArrayLike) -> float:
    rate = float(np.asarray(fps))
    return rate if np.isfinite(rate) and rate > 0 else USUAL_FRAME_RATE


def _pairs(values: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (values or {}).items())


def _job_name(path: Path) -> str:
    """The file's name with the folders that say which scene, variant and seed it is of."""
    parts = [part for part in path.with_suffix("").parts if part not in ("/", "..", ".")]
    known = [place for place, part in enumerate(parts) if part in ("benchmarks", "results")]
    return "/".join(parts[known[-1] + 1 :] if known else parts[-1:])
