from pathlib import Path

from sdor.reporting.paper_tables import StudyFiles, write_paper_tables
from sdor.running.jobs import job

stage = snakemake.params.stage
with job(snakemake, "the paper's tables"):
    write_paper_tables(
        StudyFiles(**stage["files"], **stage["asked"]), Path(snakemake.output[0]).parent
    )
