from pathlib import Path

from sdor.reporting.tables import write_tables
from sdor.running.jobs import job

with job(snakemake, "tables"):
    write_tables(snakemake.input[0], Path(snakemake.output[0]).parent)
