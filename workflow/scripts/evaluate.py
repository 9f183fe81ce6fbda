from sdor.evaluation.about import About
from sdor.evaluation.evaluate import evaluate_run
from sdor.evaluation.scores import RunFiles
from sdor.files import read_about
from sdor.networks.provenance import read_provenance
from sdor.running.jobs import job
from sdor.study.plan import EvaluationSettings
from sdor.study.settings import Method

w, stage, given = snakemake.wildcards, snakemake.params.stage, snakemake.input
with job(snakemake, f"evaluation of {w.scene}/{w.variant}/seed{w.seed}") as work:
    names = ("clips", "ground_truth", "initial", "ensemble", "scores", "pseudo_labels", "subset")
    competitors = dict(zip(stage["competitors"], given.competitors, strict=True))
    about = About(
        *(w.scene, w.variant, int(w.seed), Method.read(stage["method"])),
        **{key: stage[key] for key in ("overrides", "description", "versions")},
        weights=read_provenance(given.weights),
        device=read_about(given.scores[0])["compute"],
        fingerprints=stage["fingerprints"] | {"evaluation's code": stage["code"]},
    )
    measured = evaluate_run(
        RunFiles(**{name: given.get(name) for name in names}, competitors=competitors),
        EvaluationSettings.read(stage["evaluation"]),
        about,
        snakemake.output.metrics,
        snakemake.output.draws,
    )
    work.figure = measured.rows["ours"]["merged"].in_words("merged AUC")
