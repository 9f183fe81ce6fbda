from sdor.evaluation.about import About
from sdor.evaluation.bootstrap import Measure
from sdor.evaluation.feedback import evaluate_feedback
from sdor.files import forget_checkpoint
from sdor.running.jobs import job
from sdor.study.plan import FeedbackSettings
from sdor.study.settings import Method

w, stage, given = snakemake.wildcards, snakemake.params.stage, snakemake.input
with job(snakemake, f"evaluation of the feedback in {w.scene}/{w.variant}/seed{w.seed}") as work:
    rounds = evaluate_feedback(
        *(given.clips, given.ground_truth, given.scores, given.marks),
        snakemake.output[0],
        settings=FeedbackSettings.read(stage["settings"]),
        draws=stage["draws"],
        about=About(w.scene, w.variant, int(w.seed), Method.read(stage["method"])),
    )
    for path in given.scores:
        forget_checkpoint(path)
    words = f"merged AUC after {len(rounds) - 1} rounds"
    work.summary = Measure(**rounds[-1]["all"]["merged"]).in_words(words)
