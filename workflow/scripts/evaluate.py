from sdor.evaluation.about import About
from sdor.evaluation.evaluate import evaluate_run
from sdor.evaluation.scores import RunTables
from sdor.files import read_about, read_parquet
from sdor.networks.provenance import read_provenance
from sdor.running.jobs import job
from sdor.study.plan import EvaluationSettings

w, stage, given = snakemake.wildcards, snakemake.params.stage, snakemake.input
names = ("clips", "ground_truth", "initial", "ensemble", "scores", "pseudo_labels", "subset")
with job(snakemake, f"evaluation of {w.scene}/{w.variant}/seed{w.seed}") as work:
    files = {name: given.get(name) for name in names}
    files["competitors"] = dict(zip(stage["competitors"], given.competitors, strict=True))
    about = {"scene": w.scene, "variant": w.variant, "seed": int(w.seed), **stage["about"]}
    about |= {"versions": stage["versions"], "weights": vars(read_provenance(given.weights))}
    about |= {"device": read_about(given.scores[0])["compute"]}
    measured = evaluate_run(
        RunTables.read(**files),
        EvaluationSettings.read(stage["evaluation"]),
        About.read(about),
        *snakemake.output,
        times=read_parquet(given.times),
        lead=stage["lead"],
    )
    work.summary = measured.rows["ours"]["merged"].in_words("merged AUC")
