# initial scores ─ pseudo labels ⇄ training ─ ensemble: iteration t asks for iteration t - 1.


rule pseudo_labels:
    input:
        lambda w: run_of(w).scores_before(int(w.t)),
    output:
        f"{RUN}/iteration{{t}}/pseudo_labels.parquet",
    log:
        f"{RUN_LOG}/iteration{{t}}/pseudo_labels.log",
    benchmark:
        f"{RUN_TIME}/iteration{{t}}/pseudo_labels.tsv"
    wildcard_constraints:
        variant=of_approach("paper"),
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.pseudo_labels"),
            "method": METHODS[w.variant].labels.as_document(),
        },
    script:
        "../scripts/pseudo_labels.py"


rule train:
    input:
        pseudo_labels=f"{RUN}/iteration{{t}}/pseudo_labels.parquet",
        index=lambda w: run_of(w).initial,
        rows=lambda w: run_of(w).rows,
        weights=lambda w: run_of(w).weights,
        warm=lambda w: run_of(w).model_before(int(w.t)),
    output:
        model=f"{RUN}/iteration{{t}}/model.safetensors",
        history=f"{RUN}/iteration{{t}}/history.parquet",
        scores=f"{RUN}/iteration{{t}}/scores.parquet",
    log:
        f"{RUN_LOG}/iteration{{t}}/train.log",
    benchmark:
        f"{RUN_TIME}/iteration{{t}}/train.tsv"
    wildcard_constraints:
        variant=of_approach("paper"),
    conda:
        ENVIRONMENT
    threads: network_threads
    resources:
        **growing(
            mem_mb=training_memory,
            runtime=lambda w: training_time(w, METHODS[w.variant].training.epochs),
        ),
        gpu=NETWORK_GPUS,
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.training"),
            "versions": versions_of("numpy", "torch", "torchvision"),
            "method": METHODS[w.variant].training.as_document(),
            "clips": clip_names(w.scene),
            "weights": WEIGHTS[METHODS[w.variant].backbone],
            "compute": COMPUTE,
        },
    script:
        "../scripts/train.py"


rule ensemble:
    input:
        lambda w: run_of(w).each("scores.parquet"),
    output:
        f"{RUN}/ensemble.parquet",
    log:
        f"{RUN_LOG}/ensemble.log",
    benchmark:
        f"{RUN_TIME}/ensemble.tsv"
    wildcard_constraints:
        variant=of_approach("paper"),
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        stage={"code": code_of("sdor.method.scores")},
    script:
        "../scripts/ensemble.py"
