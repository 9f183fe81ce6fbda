# evaluation ─ tables, figures, report.

FIGURE_KINDS = {
    "timeline": "Final score over time, with the ground truth as bands and the last pseudo labels",
    "roc": "ROC curves of the initial detector, of the first iteration and of the final score",
    "iterations": "AUC per self-training iteration (Figure 6 of the paper)",
    "loss": "Training loss",
}
TABLES = expand("results/tables/auc.{suffix}", suffix=["csv", "md", "tex"])
FIGURES = expand(
    "results/figures/{scene}/{variant}-{kind}.{suffix}",
    scene=SCENES,
    variant=METHODS,
    kind=FIGURE_KINDS,
    suffix=["svg", "png"],
)
# The paper's own figures, and the settings that they stand beside.
REPORTED = [
    file_sha256(PROJECT / "workflow" / name)
    for name in ("report/reported.csv", "schemas/method.schema.yaml")
]
METRICS = [f"{RUN}/metrics.json".format(**run) for run in RUNS]


rule tables:
    input:
        METRICS,
    output:
        csv="results/tables/auc.csv",
        md="results/tables/auc.md",
        tex="results/tables/auc.tex",
    log:
        "results/logs/tables.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        stage={
            "code": code_of("sdor.tables"),
            "reported": REPORTED,
            "not_run": STUDY.not_run,
        },
    script:
        "../scripts/tables.py"


rule figures:
    input:
        drawn_runs,
        clips="results/{scene}/clips.parquet",
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
    params:
        stage={
            "code": code_of("sdor.figures"),
            "reported": REPORTED,
            "versions": versions_of("matplotlib"),
            "kinds": list(FIGURE_KINDS),
            "seeds": SETTINGS["seeds"],
        },
    script:
        "../scripts/figures.py"


rule report:
    input:
        metrics=METRICS,
        figures=[path for path in FIGURES if path.endswith(".svg")],
        clips=expand("results/{scene}/clips.parquet", scene=SCENES),
        ground_truth=expand("results/{scene}/ground_truth.parquet", scene=SCENES),
        ensembles=[f"{RUN}/ensemble.parquet".format(**run) for run in RUNS],
    output:
        "results/report.html",
    log:
        "results/logs/report.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        stage={
            "code": code_of("sdor.report"),
            "reported": REPORTED,
            "template": file_sha256(PROJECT / "workflow/report/report.html.j2"),
            "not_run": STUDY.not_run,
            "scenes": list(SCENES),
            "variants": list(METHODS),
            "seeds": SETTINGS["seeds"],
            "captions": FIGURE_KINDS,
            "config": {
                key: SETTINGS[key] for key in SETTINGS if not key.endswith(("_root", "_folder"))
            },
        },
    script:
        "../scripts/report.py"
