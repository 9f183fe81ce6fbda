# ensemble ─ feedback ─ fine-tuning: rounds of a human expert, who is simulated from the ground truth.


rule mark:
    input:
        scores=lambda w: round_before(w, "scores.parquet"),
        ground_truth="results/{scene}/ground_truth.parquet",
        earlier=marked_before,
    output:
        f"{RUN}/feedback/round{{round}}/marks.parquet",
    log:
        f"{RUN_LOG}/feedback/round{{round}}/mark.log",
    benchmark:
        f"{RUN_TIME}/feedback/round{{round}}/mark.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        stage={
            "code": code_of("sdor.method.mark"),
            "versions": versions_of("numpy"),
            "picks": FEEDBACK.picks,
            "share": FEEDBACK.share,
            "neighbours": FEEDBACK.neighbours,
        },
    script:
        "../scripts/mark.py"


rule fine_tune:
    input:
        marks=lambda w: [*marked_before(w), f"{RUN}/feedback/round{{round}}/marks.parquet"],
        model=lambda w: round_before(w, "model.safetensors"),
        index=initial_file,
        rows=training_rows,
        weights=weights_file,
    output:
        model=f"{RUN}/feedback/round{{round}}/model.safetensors",
        history=f"{RUN}/feedback/round{{round}}/history.parquet",
        scores=f"{RUN}/feedback/round{{round}}/scores.parquet",
    log:
        f"{RUN_LOG}/feedback/round{{round}}/fine_tune.log",
    benchmark:
        f"{RUN_TIME}/feedback/round{{round}}/fine_tune.tsv"
    conda:
        ENVIRONMENT
    threads: network_threads
    resources:
        gpu=NETWORK_GPUS,
        mem_mb=growing(training_memory),
        runtime=growing(lambda w: training_time(w, FEEDBACK.epochs)),
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.fine_tuning"),
            "versions": versions_of("numpy", "torch", "torchvision"),
            "method": METHODS[w.variant].training.as_document(),
            "epochs": FEEDBACK.epochs,
            "clips": clip_names(w.scene),
            "weights": WEIGHTS[METHODS[w.variant].backbone],
            "compute": COMPUTE,
        },
    script:
        "../scripts/fine_tune.py"


rule evaluate_feedback:
    input:
        clips="results/{scene}/clips.parquet",
        ground_truth="results/{scene}/ground_truth.parquet",
        scores=lambda w: [last_iteration(w, "scores.parquet"), *rounds_of("scores.parquet")],
        marks=lambda w: rounds_of("marks.parquet"),
    output:
        f"{RUN}/feedback.json",
    log:
        f"{RUN_LOG}/feedback/evaluate.log",
    benchmark:
        f"{RUN_TIME}/feedback/evaluate_feedback.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        stage=lambda w: {
            "code": code_of("sdor.evaluation.feedback"),
            "draws": STUDY.evaluation.bootstrap_draws,
            "settings": FEEDBACK.as_document(),
            "method": METHODS[w.variant].as_document(),
        },
    script:
        "../scripts/evaluate_feedback.py"
