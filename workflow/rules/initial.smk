# features ─ initial scores: PCA, Sp and isolation forest.


rule initial:
    input:
        unpack(lambda w: run_of(w).subset),
        features=lambda w: run_of(w).features(),
    output:
        f"{RUN}/initial.parquet",
    log:
        f"{RUN_LOG}/initial.log",
    benchmark:
        f"{RUN_TIME}/initial.tsv"
    wildcard_constraints:
        variant=of_approach("paper"),
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        **growing(mem_mb=8000, runtime=60),  # 150,000 features of 2,048 numbers, as float64, twice
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.initial"),
            "versions": versions_of("numpy", "scikit-learn", "scipy"),
            "method": METHODS[w.variant].initial.as_document(),
        },
    script:
        "../scripts/initial.py"
