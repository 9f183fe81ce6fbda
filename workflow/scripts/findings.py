from sdor.reporting.findings import write_findings
from sdor.running.jobs import job
from sdor.study.plan import Plan

stage = snakemake.params.stage
with job(snakemake, "findings"):
    write_findings(stage["files"], Plan.read(stage["plan"]), snakemake.output[0])
