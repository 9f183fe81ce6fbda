from sdor.reporting.tables import write_tables
from sdor.running.jobs import job

with job(snakemake, "tables"):
    write_tables(
        snakemake.input,
        snakemake.params.stage["not_run"],
        snakemake.output.csv,
        snakemake.output.md,
        snakemake.output.tex,
        title="Frame-level AUC",
    )
