# ensemble ─ feedback ─ fine-tuning: rounds of a human expert, who is simulated from the ground truth.


rule mark:
    input:
        scores=lambda w: run_of(w).round_before(int(w.round), "scores.parquet"),
        ground_truth="results/{scene}/ground_truth.parquet",
        earlier=lambda w: run_of(w).rounds("marks.csv", before=int(w.round)),
    output:
        f"{RUN}/feedback/round{{round}}/marks.csv",
    log:
        f"{RUN_LOG}/feedback/round{{round}}/mark.log",
    benchmark:
        f"{RUN_TIME}/feedback/round{{round}}/mark.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        stage={
            "code": code_of("sdor.evaluation.expert", "sdor.files"),
            "versions": versions_of("numpy"),
            "picks": STUDY.feedback.picks,
            "share": STUDY.feedback.share,
            "neighbours": STUDY.feedback.neighbours,
        },
    script:
        "../scripts/mark.py"


rule fine_tune:
    input:
        marks=lambda w: run_of(w).rounds("marks.csv", before=int(w.round) + 1),
        model=lambda w: run_of(w).round_before(int(w.round), "model.safetensors"),
        pseudo_labels=lambda w: run_of(w).each("pseudo_labels.parquet")[-1],
        index=lambda w: run_of(w).initial,
        rows=lambda w: run_of(w).rows,
        weights=lambda w: run_of(w).weights,
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
        **growing(mem_mb=training_memory, runtime=lambda w: training_time(w, STUDY.feedback.epochs)),
        gpu=NETWORK_GPUS,
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.feedback", "sdor.method.training"),
            **fine_tuning(w),
        },
    script:
        "../scripts/fine_tune.py"


rule evaluate_feedback:
    input:
        clips="results/{scene}/clips.parquet",
        ground_truth="results/{scene}/ground_truth.parquet",
        scores=lambda w: [
            run_of(w).round_before(1, "scores.parquet"),
            *run_of(w).rounds("scores.parquet"),
        ],
        marks=lambda w: run_of(w).rounds("marks.csv"),
    output:
        f"{RUN}/feedback.json",
    log:
        f"{RUN_LOG}/feedback/evaluate.log",
    benchmark:
        f"{RUN_TIME}/feedback/evaluate_feedback.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=2000, runtime=60),
    params:
        stage=lambda w: {
            "code": code_of("sdor.evaluation.feedback"),
            "draws": STUDY.evaluation.bootstrap_draws,
            "settings": STUDY.feedback.as_document(),
            "method": METHODS[w.variant].as_document(),
        },
    script:
        "../scripts/evaluate_feedback.py"
