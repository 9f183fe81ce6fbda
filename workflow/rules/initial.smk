# features ─ initial scores: PCA, Sp and isolation forest.

INITIAL_KEYS = (
    "pca",
    "sp_bags",
    "sp_bag_size",
    "iforest_trees",
    "iforest_samples",
    "rescale",
)


rule initial:
    input:
        lambda w: features_file(w.scene, METHODS[w.variant]),
    output:
        f"{RUN}/initial.parquet",
    log:
        f"{RUN_LOG}/initial.log",
    benchmark:
        f"{RUN_TIME}/initial.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        stage=lambda w: {
            "code": code_of("sdor.initial"),
            "versions": versions_of("numpy", "scikit-learn", "scipy"),
            "method": method_of(w, *INITIAL_KEYS),
        },
    script:
        "../scripts/initial.py"
