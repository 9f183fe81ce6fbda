# findings and curves ─ figures.

FIGURE_KINDS = {
    "timeline": "Final score over time, with the ground truth as bands and the last pseudo labels",
    "roc": "ROC curves of the initial detector, of the first iteration and of the final score",
    "iterations": "AUC per self-training iteration, of each model and of the running mean",
    "loss": "Training loss",
}
# Name of its files: its module and its caption.
STUDY_FIGURES = {
    "figure3": (
        "feedback",
        "ROC curves before the simulated expert's feedback and after each round (Figure 3)",
    ),
    "figure4": (
        "saliency",
        "Frames with the outline of the anomaly, and where the score comes from (Figure 4)",
    ),
    "figure5": ("anomaly_rates", "AUC against the rate of anomalous frames (Figure 5)"),
    "figure6": (
        "iterations",
        "AUC per self-training iteration, of the ensemble and of each model (Figure 6)",
    ),
    "ablations": (
        "ablations",
        "AUC of every variant of every ablation, with intervals from resampled clips",
    ),
    "localisation": ("localisation", "How well the saliency maps say where an anomaly is"),
}
SCENE_FIGURES = [
    f"results/figures/{scene}/{variant}-{kind}.{suffix}"
    for scene in SCENES
    for variant in STUDY.shown()
    for kind in FIGURE_KINDS
    for suffix in ("svg", "png")
]
FIGURES = SCENE_FIGURES + expand(
    "results/figures/{figure}.{suffix}", figure=STUDY_FIGURES, suffix=["svg", "png"]
)


rule figures:
    input:
        drawn_runs,
        clips="results/{scene}/clips.parquet",
        times="results/{scene}/times.parquet",
        ground_truth="results/{scene}/ground_truth.parquet",
    output:
        **{
            f"{kind}_{suffix}": f"results/figures/{{scene}}/{{variant}}-{kind}.{suffix}"
            for kind in FIGURE_KINDS
            for suffix in ("svg", "png")
        },
    log:
        "results/logs/{scene}/{variant}/figures.log",
    benchmark:
        "results/benchmarks/{scene}/{variant}/figures.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=2000, runtime=30),
    params:
        stage=lambda w: {
            "code": code_of(*[f"sdor.reporting.figures.{kind}" for kind in FIGURE_KINDS]),
            "reported": REPORTED,
            "versions": versions_of("matplotlib", "numpy", "pandas"),
            "seeds": STUDY.seeds,
            "iterations": METHODS[w.variant].iterations,
            # Heads of the approach "motion" have no other loss.
            "loss": getattr(METHODS[w.variant].training, "loss", "l1"),
        },
    script:
        "../scripts/figures.py"


rule paper_figures:
    input:
        figure_files,
    output:
        svg="results/figures/{figure}.svg",
        png="results/figures/{figure}.png",
    log:
        "results/logs/figures/{figure}.log",
    benchmark:
        "results/benchmarks/figures/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(STUDY_FIGURES),
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=2000, runtime=30),
    params:
        stage=lambda w: {
            "code": code_of(f"sdor.reporting.figures.{STUDY_FIGURES[w.figure][0]}"),
            "versions": versions_of("matplotlib", "numpy", "pandas", "scipy", "pillow"),
            "seeds": STUDY.seeds,
            "main": PLAN.main,
            **figure_settings(w.figure),
        },
    script:
        "../scripts/paper_figures.py"
