import numpy as np
import pandas as pd

from sdor.evaluation.expert import no_marks, simulated_expert
from sdor.files import read_parquet, write_parquet
from sdor.running.jobs import job

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"expert's marks in {w.scene}/{w.variant}/seed{w.seed}, round {w.round}"):
    marks = simulated_expert(
        read_parquet(snakemake.input.scores, ["clip", "frame", "score"]),
        read_parquet(snakemake.input.ground_truth),
        touched=pd.concat([no_marks(), *map(read_parquet, snakemake.input.earlier)]),
        picks=stage["picks"],
        share=stage["share"],
        neighbours=stage["neighbours"],
        rng=np.random.default_rng([int(w.seed), int(w.round)]),
    )
    units = {"label": "1 anomalous, 0 normal"}
    write_parquet(snakemake.output[0], marks.assign(round=int(w.round)), units)
