# ensemble ─ saliency ─ localisation: where in the frame the score comes from.


rule saliency:
    input:
        models=lambda w: run_of(w).each("model.safetensors"),
        index=lambda w: run_of(w).initial,
        rows=lambda w: run_of(w).mapped_rows,
        weights=lambda w: run_of(w).weights,
    output:
        f"{RUN}/saliency.npy",
    log:
        f"{RUN_LOG}/saliency.log",
    benchmark:
        f"{RUN_TIME}/saliency.tsv"
    wildcard_constraints:
        variant=of_approach("paper"),
    conda:
        ENVIRONMENT
    threads: NETWORK_THREADS
    resources:
        **growing(mem_mb=4000, runtime=240),
        gpu=NETWORK_GPUS,
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.saliency"),
            "versions": versions_of("torch", "torchvision"),
            "trainable": METHODS[w.variant].training.trainable,
            "clips": clip_names(w.scene),
            "compute": COMPUTE,
        },
    script:
        "../scripts/saliency.py"


rule localise:
    input:
        unpack(lambda w: cuts(SCENES[w.scene])),
        clips="results/{scene}/clips.parquet",
        times="results/{scene}/times.parquet",
        saliency=f"{RUN}/saliency.npy",
        masks=lambda w: [
            rendered(SCENES[w.scene], clip)["pixels"]
            for clip in clip_names(w.scene)
            if SCENES[w.scene].demo is not None
        ],
    output:
        f"{RUN}/localisation.json",
    log:
        f"{RUN_LOG}/localise.log",
    benchmark:
        f"{RUN_TIME}/localise.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=2000, runtime=240),
    params:
        stage=lambda w: {
            "code": code_of("sdor.evaluation.localisation", "sdor.video.cuts"),
            "versions": versions_of("numpy", "scipy", "pillow"),
            "labels": LABELS[w.scene],
            "draws": STUDY.evaluation.bootstrap_draws,
            "about": {"method": METHODS[w.variant].as_document()},
        },
    script:
        "../scripts/localise.py"
