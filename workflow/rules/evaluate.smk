# ensemble ─ evaluation: the only room that reads the ground truth.

EVALUATION = SETTINGS["evaluation"]


rule evaluate:
    input:
        clips="results/{scene}/clips.parquet",
        ground_truth="results/{scene}/ground_truth.parquet",
        initial=f"{RUN}/initial.parquet",
        scores=lambda w: of_iterations("scores.parquet", iterations_of(w)),
        pseudo_labels=lambda w: of_iterations("pseudo_labels.parquet", iterations_of(w)),
        ensemble=f"{RUN}/ensemble.parquet",
        weights=weights_file,
    output:
        f"{RUN}/metrics.json",
    log:
        f"{RUN_LOG}/evaluate.log",
    benchmark:
        f"{RUN_TIME}/evaluate.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        stage=lambda w: {
            "code": code_of("sdor.evaluate"),
            "versions": versions_of("numpy", "scikit-learn", "scipy", "torch", "torchvision"),
            "evaluation": EVALUATION,
            "method": METHODS[w.variant],
            "overrides": SETTINGS["variants"][w.variant] or {},
            "description": SCENES[w.scene].description,
            "fingerprints": {
                "method's code": code_of("sdor.ensemble", "sdor.training", "sdor.initial"),
                "video": digest_of([SOURCES[w.scene, name] for name in clip_names(w.scene)]),
            },
        },
    script:
        "../scripts/evaluate.py"
