from sdor.evaluation.about import About
from sdor.evaluation.evaluate import evaluate_pool
from sdor.evaluation.scores import RunTables
from sdor.files import read_json
from sdor.running.jobs import job
from sdor.study.plan import EvaluationSettings

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"evaluation of {w.pool}/{w.variant}/seed{w.seed}, {w.way}") as work:
    abouts = [About.read(read_json(path)["about"]) for path in snakemake.input.metrics]
    measured = evaluate_pool(
        [RunTables.read(**files) for files in stage["members"].values()],
        EvaluationSettings.read(stage["evaluation"]),
        About.of_pool(abouts, w.pool, w.way),
        snakemake.output[0],
    )
    work.summary = measured.rows["ours"]["merged"].in_words("merged AUC")
