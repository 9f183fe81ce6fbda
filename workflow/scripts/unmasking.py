from pathlib import Path

from sdor.competitors.unmasking import competitor_scores
from sdor.running.jobs import job

stage = snakemake.params.stage
with job(snakemake, f"{stage['method']} of {snakemake.wildcards.scene}"):
    competitor_scores(
        stage["method"],
        Path(snakemake.input.bins),
        {Path(path).stem: Path(path) for path in snakemake.input.grey},
        {channel: Path(path) for channel, path in snakemake.output.items()},
        seed=int(snakemake.wildcards.get("seed", 0)),
        about=stage,
    )
