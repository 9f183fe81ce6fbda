from sdor.errors import say
from sdor.running.jobs import job
from sdor.tracking.record import track_study
from sdor.tracking.runs import RunFiles
from sdor.tracking.store import store_uri

stage = snakemake.params.stage
with job(snakemake, "tracking") as work:
    receipt = track_study(
        [RunFiles(**run) for run in stage["runs"]],
        snakemake.input.findings,
        [*snakemake.input.study, snakemake.input.findings],
        snakemake.output[0],
        uri=store_uri(),
        experiment=stage["experiment"],
        failures=stage["failures"],
    )
    work.summary = f"{len(receipt.runs)} runs, {receipt.new} new"
    if not receipt.complete:
        say(f"MLflow at {receipt.store} has not all runs: {receipt.reason}; run again")
