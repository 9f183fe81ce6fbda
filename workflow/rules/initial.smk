# features ─ initial scores: PCA, Sp and isolation forest.


rule initial:
    input:
        unpack(subset_of),
        features=lambda w: features_file(w.scene, METHODS[w.variant]),
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
        mem_mb=growing(8000),  # 150,000 features of 2,048 numbers, as float64, twice
        runtime=growing(60),
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.initial"),
            "versions": versions_of("numpy", "scikit-learn", "scipy"),
            "method": METHODS[w.variant].initial.as_document(),
        },
    script:
        "../scripts/initial.py"
