"""What JPEG frames, or a network in int8, cost in AUC: the workflow run both ways.

Of each scene and approach, a row: AUC in per cent, the mean of the seeds and their spread, from
frames kept raw and the network in `precision: auto` to the same with one setting changed. Each way
is a folder of its own, where a second call finds what is made.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

SNAKEFILE = Path(__file__).resolve().parents[1] / "Snakefile"
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "jpeg": {"frames": {"store": "jpeg"}},
    "int8": {"precision": "int8"},
}
VARIANTS = {
    "paper": {"trainable": "head", "iterations": 3, "epochs": 8},
    "motion": {"approach": "motion"},
}
COLUMNS = {"merged": "merged", "test_only": "test-only", "within_clip": "within clips"}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=[one for one in WAYS if one != "plain"])
    parser.add_argument("--folder", type=Path, default=Path("shortcuts"), help="of what is kept")
    parser.add_argument("--data-root", default=os.environ.get("SDOR_DATA_ROOT", "data"))
    parser.add_argument("--scenes", nargs="+", default=["ped2", "umn1", "umn2", "umn3"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    options = parser.parse_args()
    os.environ["SDOR_DATA_ROOT"] = str(Path(options.data_root).expanduser().resolve())
    ways = ("plain", options.way)
    for way in ways:
        run(options.folder / way, WAYS[way], options)
    columns = " | ".join(COLUMNS.values())
    print(f"| scene | approach | {columns} | rank correlation |\n|---|---|{'---|' * 4}")
    for scene in options.scenes:
        for name in VARIANTS:
            both = [options.folder / way / f"results/{scene}/{name}" for way in ways]
            print(f"| {scene} | `{name}` | {row(both, options.seeds)} |")


def run(folder: Path, changes: dict[str, Any], options: argparse.Namespace) -> None:
    """All runs of all scenes, where they are not there yet."""
    document = {"scenes": options.scenes, "seeds": options.seeds, "variants": VARIANTS, **changes}
    document |= {"main": "paper", "tracking": {"enabled": False}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(json.dumps(document), encoding="utf-8")
    files = [
        f"results/{scene}/{variant}/seed{seed}/metrics.json"
        for scene in options.scenes
        for variant in VARIANTS
        for seed in options.seeds
    ]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--cores"]
    command += [str(options.cores), "--directory", str(folder), "--configfile"]
    command += [str(folder / "config.yaml"), "--quiet", "all", "--", *files]
    if status := subprocess.run(command, stdout=sys.stderr).returncode:
        sys.exit(status)  # it has said why


def row(ways: Sequence[Path], seeds: Sequence[int]) -> str:
    """What it was and what it is, and how much alike the scores order the frames."""
    cells = []
    files = [[one / f"seed{seed}" for seed in seeds] for one in ways]
    read = [[json.loads((one / "metrics.json").read_text()) for one in each] for each in files]
    for column in COLUMNS:
        found = [[one["rows"]["ours"][column]["value"] for one in each] for each in read]
        if None in found[0]:
            cells.append("none")  # the scene has no test clips
            continue
        spreads = [100 * statistics.stdev(one) if len(one) > 1 else 0 for one in found]
        means = [100 * statistics.mean(one) for one in found]
        pairs = zip(means, spreads, strict=True)
        cells.append(" → ".join(f"{mean:.1f} ± {spread:.1f}" for mean, spread in pairs))
    alike = []
    for one, other in zip(*files, strict=True):
        scores = [pd.read_parquet(it / "ensemble.parquet")["score"] for it in (one, other)]
        alike.append(scores[0].corr(scores[1], method="spearman"))
    return " | ".join([*cells, f"{statistics.mean(alike):.3f}"])


if __name__ == "__main__":
    main()
