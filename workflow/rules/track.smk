# tables, figures ─ MLflow: a view of the results, imported by one process.


rule track:
    input:
        lambda w: list(dict.fromkeys(tracked_files(w))),
        findings="results/findings.parquet",
        study=[
            *(path for path in TABLES if path.endswith((".md", ".csv"))),
            *expand("results/figures/{figure}.png", figure=STUDY_FIGURES),
        ],
    output:
        RECEIPT,
        [update(path) for path in STORE_FILE],
    log:
        "results/logs/track.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        stage=lambda w: {
            "code": code_of("sdor.tracking.record"),
            "versions": versions_of("mlflow"),
            "store": without_secrets(store_uri()),
            "experiment": STUDY.tracking.experiment,
            "runs": [
                {**run, "artefacts": kept_files(one), **kept_model(one)}
                for run, one in zip(RUNS, runs(STUDY), strict=True)
            ],
            "failures": FAILED_IMPORTS,
            "failed": failed_imports(Path(FAILED_IMPORTS)),
        },
    script:
        "../scripts/track.py"
