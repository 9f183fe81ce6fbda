# initial scores ─ pseudo labels ⇄ training ─ ensemble: iteration t asks for iteration t - 1.


rule pseudo_labels:
    input:
        scores_before,
    output:
        f"{RUN}/iteration{{t}}/pseudo_labels.parquet",
    log:
        f"{RUN_LOG}/iteration{{t}}/pseudo_labels.log",
    benchmark:
        f"{RUN_TIME}/iteration{{t}}/pseudo_labels.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
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
        index=initial_file,
        rows=training_rows,
        weights=weights_file,
        warm=model_before,
    output:
        model=f"{RUN}/iteration{{t}}/model.safetensors",
        history=f"{RUN}/iteration{{t}}/history.parquet",
        scores=f"{RUN}/iteration{{t}}/scores.parquet",
    log:
        f"{RUN_LOG}/iteration{{t}}/train.log",
    benchmark:
        f"{RUN_TIME}/iteration{{t}}/train.tsv"
    conda:
        ENVIRONMENT
    threads: network_threads
    resources:
        gpu=NETWORK_GPUS,
        mem_mb=growing(training_memory),
        runtime=growing(lambda w: training_time(w, METHODS[w.variant].training.epochs)),
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
        lambda w: of_iterations("scores.parquet", range(1, METHODS[w.variant].iterations + 1)),
    output:
        f"{RUN}/ensemble.parquet",
    log:
        f"{RUN_LOG}/ensemble.log",
    benchmark:
        f"{RUN_TIME}/ensemble.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        stage={"code": code_of("sdor.method.ensemble")},
    script:
        "../scripts/ensemble.py"
