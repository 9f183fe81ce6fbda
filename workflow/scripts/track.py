from sdor.errors import say
from sdor.running.jobs import job
from sdor.tracking.record import track_study
from sdor.tracking.store import store_uri

stage = snakemake.params.stage
with job(snakemake, "tracking") as work:
    receipt = track_study(
        stage["runs"],
        snakemake.output[0],
        uri=store_uri(),
        experiment=stage["experiment"],
        tables=snakemake.input.tables,
        figures=snakemake.input.figures,
    )
    runs, reason = len(receipt["runs"]), receipt["reason"]
    work.figure = f"{runs} runs, {receipt['new']} new" if receipt["complete"] else "pending"
    if not receipt["complete"]:
        line = f"MLflow at {receipt['store']} has not all runs: {reason}"
        say(f"{line}; the same command makes up for it")
