from functools import partial
from pathlib import Path

from sdor.competitors.two_sample_test import two_sample_scores
from sdor.competitors.unmasking import unmasking_scores, write_channel_scores
from sdor.running.jobs import job

w, stage = snakemake.wildcards, snakemake.params.stage
with_history = stage["method"] == "two_sample_test"
with job(snakemake, f"{stage['method']} of {w.scene}"):
    write_channel_scores(
        partial(two_sample_scores, seed=int(w.seed)) if with_history else unmasking_scores,
        Path(snakemake.input.bins),
        {Path(path).stem: Path(path) for path in snakemake.input.grey},
        {channel: Path(path) for channel, path in snakemake.output.items()},
        about=stage,
    )
