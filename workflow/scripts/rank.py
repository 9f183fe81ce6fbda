from pathlib import Path

from sdor.files import file_sha256
from sdor.networks.compute import choose_compute
from sdor.operator.basis import int8_of, read_basis
from sdor.operator.rank import rank
from sdor.running.jobs import job
from sdor.running.run import say_line
from sdor.study.settings import MotionMethod

stage, read, output = snakemake.params.stage, snakemake.input, snakemake.output
name = snakemake.wildcards.scene
with job(snakemake, f"ranking of {name}") as work:
    seen = {"weights": file_sha256(Path(read.weights)), "int8": int8_of(Path(read.basis))}
    scores = rank(
        (Path(read.looks), Path(read.looks).with_name("looks")),
        (Path(output.model), Path(output.scores)),
        MotionMethod.read(stage["method"]),
        read_basis(Path(read.basis)),
        seed=stage["seed"],
        compute=choose_compute(**stage["compute"], threads=snakemake.threads),
        about={**stage, **seen, "camera": name},
        say=say_line,
    )
    work.summary = f"{len(scores):,} frames scored"
