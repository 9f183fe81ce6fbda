# ensemble ─ saliency ─ localisation: where in the frame the score comes from.


rule saliency:
    input:
        models=lambda w: of_iterations("model.safetensors", iterations_of(w)),
        index=initial_file,
        rows=mapped_rows,
        weights=weights_file,
    output:
        f"{RUN}/saliency.npy",
    log:
        f"{RUN_LOG}/saliency.log",
    benchmark:
        f"{RUN_TIME}/saliency.tsv"
    conda:
        ENVIRONMENT
    threads: NETWORK_THREADS
    resources:
        gpu=NETWORK_GPUS,
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.saliency"),
            "versions": versions_of("torch", "torchvision"),
            "method": METHODS[w.variant].training.as_document(),
            "clips": clip_names(w.scene),
            "compute": COMPUTE,
        },
    script:
        "../scripts/saliency.py"


rule localise:
    input:
        unpack(lambda w: cuts_of(w.scene)),
        clips="results/{scene}/clips.parquet",
        saliency=f"{RUN}/saliency.npy",
        masks=lambda w: [
            rendered(w.scene, clip)["pixels"]
            for clip in clip_names(w.scene)
            if rendered(w.scene, clip)
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
        mem_mb=growing(2000),
        runtime=growing(240),
    params:
        stage=lambda w: {
            "code": code_of("sdor.evaluation.localisation", "sdor.video.cuts"),
            "versions": versions_of("numpy", "scipy", "pillow"),
            "labels": LABELS[w.scene],
            "draws": STUDY.evaluation.bootstrap_draws,
            "method": METHODS[w.variant].as_document(),
        },
    script:
        "../scripts/localise.py"
