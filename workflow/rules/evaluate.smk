# ensemble ─ evaluation: every row of the tables against the ground truth.

EVALUATION = STUDY.evaluation.as_document()


rule evaluate:
    input:
        unpack(subset_of),
        clips="results/{scene}/clips.parquet",
        ground_truth="results/{scene}/ground_truth.parquet",
        initial=initial_file,
        scores=lambda w: of_iterations("scores.parquet", iterations_of(w)),
        pseudo_labels=lambda w: of_iterations("pseudo_labels.parquet", iterations_of(w)),
        ensemble=f"{RUN}/ensemble.parquet",
        competitors=lambda w: list(competitor_files(w).values()),
        weights=weights_file,
    output:
        metrics=f"{RUN}/metrics.json",
        draws=f"{RUN}/draws.parquet",
    log:
        f"{RUN_LOG}/evaluate.log",
    benchmark:
        f"{RUN_TIME}/evaluate.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        stage=lambda w: {
            "code": code_of("sdor.evaluation.evaluate"),
            "versions": versions_of("numpy", "scikit-learn", "scipy", "torch", "torchvision"),
            "evaluation": EVALUATION,
            "competitors": list(competitor_files(w)),
            "method": METHODS[w.variant].as_document(),
            "overrides": STUDY.overrides[w.variant],
            "description": SCENES[w.scene].description,
            "fingerprints": {
                "method's code": code_of(
                    *(
                        "sdor.method.initial",
                        "sdor.method.pseudo_labels",
                        "sdor.method.training",
                        "sdor.method.ensemble",
                    )
                ),
                "labels": digest_of(LABELS[w.scene]),
                "video": digest_of([SOURCES[w.scene, name] for name in clip_names(w.scene)]),
            },
        },
    script:
        "../scripts/evaluate.py"


rule pool:
    input:
        lambda w: paths_in(pooled(w)),
        metrics=lambda w: pool_files(w, "metrics.json"),
    output:
        "results/pools/{pool}/{variant}/seed{seed}/{way}.json",
    log:
        "results/logs/pools/{pool}/{variant}/seed{seed}/{way}.log",
    benchmark:
        "results/benchmarks/pools/{pool}/{variant}/seed{seed}/{way}.tsv"
    wildcard_constraints:
        way="raw|ranks",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        stage=lambda w: {
            "code": code_of("sdor.evaluation.evaluate"),
            "evaluation": EVALUATION,
            "members": pooled(w),
        },
    script:
        "../scripts/pool.py"
