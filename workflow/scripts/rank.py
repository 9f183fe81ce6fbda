from pathlib import Path

from sdor.networks.compute import choose_compute
from sdor.operator.basis import read_basis
from sdor.operator.rank import rank
from sdor.running.jobs import job
from sdor.study.settings import MotionMethod

stage, read, output = snakemake.params.stage, snakemake.input, snakemake.output
with job(snakemake, f"ranking of {snakemake.wildcards.scene}") as work:
    scores = rank(
        Path(read.looks),
        Path(read.looks).with_name("looks"),
        (Path(output.model), Path(output.scores)),
        MotionMethod.read(stage["method"]),
        read_basis(Path(read.basis)),
        seed=stage["seed"],
        compute=choose_compute(**stage["compute"], threads=snakemake.threads),
        about=stage,
    )
    work.summary = f"{len(scores):,} moments scored"
