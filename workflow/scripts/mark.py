from pathlib import Path

import numpy as np

from sdor.evaluation.expert import simulated_expert
from sdor.files import atomic, read_parquet
from sdor.method.marks import HEADER, csv_of, lengths_of, read_marks, widened
from sdor.running.jobs import job

w, stage, read = snakemake.wildcards, snakemake.params.stage, snakemake.input
with job(snakemake, f"expert's marks in {w.scene}/{w.variant}/seed{w.seed}, round {w.round}"):
    scores = read_parquet(read.scores, ["clip", "frame", "score"])
    earlier = read_marks([Path(path) for path in read.earlier], lengths_of(scores))
    marks = simulated_expert(
        scores,
        read_parquet(read.ground_truth),
        touched=widened(earlier, scores, stage["neighbours"]),
        picks=stage["picks"],
        share=stage["share"],
        neighbours=stage["neighbours"],
        rng=np.random.default_rng([int(w.seed), int(w.round)]),
    )
    with atomic(snakemake.output[0]) as temporary:
        temporary.write_text(HEADER + csv_of(marks), encoding="utf-8")
