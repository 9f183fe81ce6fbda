# tables and figures ─ report.

# What people ask a study for, beside tables and figures: missing ones are made again, even if what
# was made from them is there.
ANSWERS = [
    *paths_in(STUDY_FILES),
    *[f"{RUN}/ensemble.parquet".format(**run) for run in RUNS],
    *expand(
        "results/{scene}/{name}.parquet", scene=SCENES, name=["clips", "times", "ground_truth"]
    ),
]


# Scenes and variants with a section of their own, and the figures there.
SECTIONS = [[scene, variant] for scene in SCENES for variant in STUDY.shown()]
SECTION_FIGURES = [
    f"{scene}/{variant}-{kind}.svg" for scene, variant in SECTIONS for kind in FIGURE_KINDS
]
# Of the whole study, with their captions; photographs are smaller as PNG.
PAGE_FIGURES = {
    f"{name}.{'png' if module == 'saliency' else 'svg'}": caption
    for name, (module, caption) in STUDY_FIGURES.items()
}
# Benchmarks are by-products: they are gathered when all that is shown has been made.
BENCHMARKS = {
    one.name: one.benchmark.regex().pattern for one in workflow.rules if one.benchmark is not None
}


rule stage_times:
    input:
        paths_in(STUDY_FILES),
        FIGURES,
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
            "layout": LAYOUT,
            "benchmarks": BENCHMARKS,
            "seeds": STUDY.seeds,
        },
    script:
        "../scripts/stage_times.py"


rule report:
    input:
        findings="results/findings.parquet",
        figures=[f"results/figures/{name}" for name in (*PAGE_FIGURES, *SECTION_FIGURES)],
        clips=expand("results/{scene}/clips.parquet", scene=SCENES),
        ground_truth=expand("results/{scene}/ground_truth.parquet", scene=SCENES),
        ensembles=[
            f"{RUN}/ensemble.parquet".format(**run)
            for run in RUNS
            if run["variant"] in STUDY.shown()
        ],
        frames=[path for scene in SCENES for path in frame_files(scene, METHODS[PLAN.main].view)],
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
            "layout": LAYOUT,
            "template": file_sha256(PROJECT / "workflow/report/report.html.j2"),
            "sections": SECTIONS,
            "benchmarks": BENCHMARKS,
            "seeds": STUDY.seeds,
            "frames": STUDY.frames.named(METHODS[PLAN.main].view),
            "captions": FIGURE_KINDS,
            "study_captions": PAGE_FIGURES,
            "config": {
                key: value
                for key, value in STUDY.document.items()
                if not key.endswith(("_root", "_folder", "videos"))
            },
        },
    script:
        "../scripts/report.py"
