# tables, figures ─ MLflow: a view of the results, imported by one process.


rule track:
    input:
        list(dict.fromkeys(tracked_files())),
        tables=[path for path in TABLES if path.endswith((".md", ".csv"))],
        figures=[f"results/figures/{figure}.png" for figure in STUDY_FIGURES],
    output:
        RECEIPT,
    log:
        "results/logs/track.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        stage={
            "code": code_of("sdor.tracking.record"),
            "versions": versions_of("mlflow"),
            "store": STORE,
            "experiment": TRACKING.experiment,
            "runs": TRACKED_RUNS,
        },
    script:
        "../scripts/track.py"
