# evaluation ─ tables, figures, report.

FIGURE_KINDS = {
    "timeline": "Final score over time, with the ground truth as bands and the last pseudo labels",
    "roc": "ROC curves of the initial detector, of the first iteration and of the final score",
    "iterations": "AUC per self-training iteration, of each model and of the running mean",
    "loss": "Training loss",
}
STUDY_FIGURES = {
    "figure3": "ROC curves before the simulated expert's feedback and after each round (Figure 3)",
    "figure4": "Frames with the outline of the anomaly, and where the score comes from (Figure 4)",
    "figure5": "AUC against the rate of anomalous frames (Figure 5)",
    "figure6": "AUC per self-training iteration, of the ensemble and of each model (Figure 6)",
    "ablations": "AUC of every variant of every ablation, with intervals from resampled clips",
    "localisation": "How well the saliency maps say where an anomaly is",
}
# Whose networks' saliency maps stand beside each other.
BACKBONE_NAMES = {
    "resnet50": "ResNet-50",
    "resnet18": "ResNet-18",
    "vgg16": "VGG-16",
    "mobilenet_v2": "MobileNetV2",
    "r3d_18": "R3D-18",
    "i3d": "I3D",
}
TABLE_NAMES = ("table1", "table2", "localisation", "feedback", "rates", "ablations")
PAPER_TABLES = [
    *expand("results/tables/{name}.{suffix}", name=TABLE_NAMES, suffix=["csv", "md", "tex"]),
    *expand("results/tables/comparisons.{suffix}", suffix=["csv", "md"]),
]
TABLES = [
    *PAPER_TABLES,
    *expand("results/tables/auc.{suffix}", suffix=["csv", "md", "tex"]),
    *expand("results/tables/stages.{suffix}", suffix=["csv", "md"]),
]
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
# The paper's own figures, and the settings that they stand beside.
REPORTED = [
    file_sha256(PROJECT / "workflow" / name)
    for name in ("report/reported.csv", "schemas/method.schema.yaml")
]
STUDY_FILES = study_files()
# What people ask a study for, beside tables and figures: missing ones are made again, even if what
# was made from them is there.
ANSWERS = [
    *paths_in(STUDY_FILES),
    *[f"{RUN}/ensemble.parquet".format(**run) for run in RUNS],
    *expand("results/{scene}/{name}.parquet", scene=SCENES, name=["clips", "ground_truth"]),
]


rule tables:
    input:
        STUDY_FILES["metrics"],
    output:
        csv="results/tables/auc.csv",
        md="results/tables/auc.md",
        tex="results/tables/auc.tex",
    log:
        "results/logs/tables.log",
    benchmark:
        "results/benchmarks/tables.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        stage={
            "code": code_of("sdor.reporting.tables"),
            "reported": REPORTED,
            "not_run": STUDY.not_run,
        },
    script:
        "../scripts/tables.py"


rule paper_tables:
    input:
        paths_in(STUDY_FILES),
    output:
        PAPER_TABLES,
    log:
        "results/logs/paper_tables.log",
    benchmark:
        "results/benchmarks/paper_tables.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        stage={
            "code": code_of("sdor.reporting.paper_tables"),
            "versions": versions_of("numpy", "pandas"),
            "reported": REPORTED,
            "files": STUDY_FILES,
            "asked": ASKED,
        },
    script:
        "../scripts/paper_tables.py"


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
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        stage={
            "code": code_of("sdor.reporting.figures"),
            "reported": REPORTED,
            "versions": versions_of("matplotlib"),
            "kinds": list(FIGURE_KINDS),
            "seeds": SETTINGS["seeds"],
        },
    script:
        "../scripts/figures.py"


rule paper_figures:
    input:
        lambda w: paths_in(figure_files(w.figure)),
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
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        stage=lambda w: {
            "code": code_of("sdor.reporting.paper_figures", "sdor.video.cuts"),
            "reported": REPORTED,
            "versions": versions_of("matplotlib", "numpy", "scipy", "pillow"),
            "files": figure_files(w.figure),
            "asked": ASKED,
            "ablations": ABLATIONS,
        },
    script:
        "../scripts/paper_figures.py"


# Benchmarks are by-products: they are gathered when all that is shown has been made.
BENCHMARKS = {
    one.name: one.benchmark.regex().pattern for one in workflow.rules if one.benchmark is not None
}


rule stage_times:
    input:
        paths_in(STUDY_FILES),
        FIGURES,
        "results/tables/auc.csv",
        "results/tables/table1.csv",
    output:
        csv="results/tables/stages.csv",
        md="results/tables/stages.md",
    log:
        "results/logs/stage_times.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        stage={
            "code": code_of("sdor.reporting.stage_times"),
            "benchmarks": BENCHMARKS,
            "seeds": SETTINGS["seeds"],
        },
    script:
        "../scripts/stage_times.py"


rule report:
    input:
        paths_in(STUDY_FILES),
        figures=[
            *(path for path in FIGURES if path.endswith(".svg")),
            "results/figures/figure4.png",
        ],
        clips=expand("results/{scene}/clips.parquet", scene=SCENES),
        ground_truth=expand("results/{scene}/ground_truth.parquet", scene=SCENES),
        ensembles=[
            f"{RUN}/ensemble.parquet".format(**run)
            for run in RUNS
            if run["variant"] in STUDY.shown()
        ],
        frames=[
            path for scene in SCENES for path in frame_files(scene, view_of(METHODS[STUDY.main]))
        ],
    output:
        "results/report.html",
    log:
        "results/logs/report.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        stage={
            "code": code_of("sdor.reporting.report"),
            "reported": REPORTED,
            "template": file_sha256(PROJECT / "workflow/report/report.html.j2"),
            "files": STUDY_FILES,
            "asked": ASKED,
            "scenes": list(SCENES),
            "shown": STUDY.shown(),
            "benchmarks": BENCHMARKS,
            "seeds": SETTINGS["seeds"],
            "view": view_of(METHODS[STUDY.main]),
            "captions": FIGURE_KINDS,
            "study_captions": STUDY_FIGURES,
            "config": {
                key: SETTINGS[key] for key in SETTINGS if not key.endswith(("_root", "_folder"))
            },
        },
    script:
        "../scripts/report.py"
