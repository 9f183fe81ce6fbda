from pathlib import Path

from sdor.operator.learn import learn_round
from sdor.running.jobs import job
from sdor.running.run import say_line

w, read, output = snakemake.wildcards, snakemake.input, snakemake.output
with job(snakemake, f"round {w.round} of {w.scene}") as work:
    work.summary = learn_round(
        [*map(Path, read.marks)],
        Path(read.looks),
        (Path(read.model), Path(read.scores)),
        (Path(output.model), Path(output.scores)),
        about=snakemake.params.stage,
        say=say_line,
    )
