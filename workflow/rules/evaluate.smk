# ensemble ─ evaluation: every row of the tables against the ground truth.

EVALUATION = STUDY.evaluation.as_document()
METHOD_CODE = {
    Method: [f"sdor.method.{one}" for one in ("initial", "pseudo_labels", "training", "scores")],
    MotionMethod: [f"sdor.method.{one}" for one in ("maps", "places", "answer")],
}


rule evaluate:
    input:
        unpack(lambda w: run_of(w).subset),
        clips="results/{scene}/clips.parquet",
        ground_truth="results/{scene}/ground_truth.parquet",
        times="results/{scene}/times.parquet",
        initial=lambda w: run_of(w).initial,
        scores=lambda w: run_of(w).each("scores.parquet"),
        pseudo_labels=lambda w: run_of(w).each("pseudo_labels.parquet"),
        ensemble=f"{RUN}/ensemble.parquet",
        competitors=lambda w: run_of(w).competitors.values(),
        weights=lambda w: run_of(w).weights,
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
        **growing(mem_mb=2000, runtime=60),
    params:
        stage=lambda w: {
            "code": code_of("sdor.evaluation.evaluate"),
            "versions": versions_of("numpy", "scikit-learn", "scipy", "torch", "torchvision"),
            "evaluation": EVALUATION,
            "lead": STUDY.events.lead,
            "competitors": list(run_of(w).competitors),
            "about": {
                "method": METHODS[w.variant].as_document(),
                "overrides": STUDY.overrides[w.variant],
                "description": SCENES[w.scene].description,
                "fingerprints": {
                    "evaluation's code": code_of("sdor.evaluation.evaluate"),
                    "method's code": code_of(*METHOD_CODE[type(METHODS[w.variant])]),
                    "labels": digest_of(LABELS[w.scene]),
                    "video": digest_of([SOURCES[w.scene, one] for one in clip_names(w.scene)]),
                },
            },
        },
    script:
        "../scripts/evaluate.py"


rule pool:
    input:
        lambda w: paths_in(judged_files(run) for run in members_of(w)),
        metrics=lambda w: [f"{run.folder}/metrics.json" for run in members_of(w)],
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
        **growing(mem_mb=4000, runtime=60),
    params:
        stage=lambda w: {
            "code": code_of("sdor.evaluation.evaluate"),
            "evaluation": EVALUATION,
            "members": {run.scene: judged_files(run) for run in members_of(w)},
        },
    script:
        "../scripts/pool.py"
