from sdor.evaluation.about import About
from sdor.evaluation.evaluate import evaluate_run
from sdor.evaluation.scores import RunTables
from sdor.files import read_about
from sdor.networks.provenance import read_provenance
from sdor.running.jobs import job
from sdor.study.plan import EvaluationSettings

w, stage, given = snakemake.wildcards, snakemake.params.stage, snakemake.input
names = ("clips", "ground_truth", "initial", "ensemble", "scores", "pseudo_labels", "subset")
with job(snakemake, f"evaluation of {w.scene}/{w.variant}/seed{w.seed}") as work:
    competitors = dict(zip(stage["competitors"], given.competitors, strict=True))
    tables = RunTables.read(**{name: given.get(name) for name in names}, competitors=competitors)
    about = {"scene": w.scene, "variant": w.variant, "seed": int(w.seed), **stage["about"]}
    about |= {"versions": stage["versions"], "weights": vars(read_provenance(given.weights))}
    about |= {"device": read_about(given.scores[0])["compute"]}
    settings = EvaluationSettings.read(stage["evaluation"])
    measured = evaluate_run(tables, settings, About.read(about), *snakemake.output)
    work.summary = measured.rows["ours"]["merged"].in_words("merged AUC")
