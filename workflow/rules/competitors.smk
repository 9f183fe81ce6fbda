# features ─ competitors: other methods that need no labels, on the frames that ours sees. 150,000
# frames take at most an hour, projected from Ped2.


rule hidden:
    input:
        model=lambda w: last_iteration(w, "model.safetensors"),
        index=initial_file,
        rows=training_rows,
        weights=weights_file,
    output:
        f"{RUN}/hidden.parquet",
    log:
        f"{RUN_LOG}/hidden.log",
    benchmark:
        f"{RUN_TIME}/hidden.tsv"
    conda:
        ENVIRONMENT
    threads: network_threads
    resources:
        gpu=NETWORK_GPUS,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.saliency"),
            "versions": versions_of("torch", "torchvision"),
            "method": METHODS[w.variant].training.as_document(),
            "compute": COMPUTE,
        },
    script:
        "../scripts/hidden.py"


rule del_giorno:
    input:
        lambda w: (
            features_file(w.scene, METHODS[w.variant])
            if w.kind == "1"
            else f"{RUN}/hidden.parquet"
        ),
    output:
        f"{RUN}/competitors/del_giorno_{{kind}}_{{setting}}.parquet",
    log:
        f"{RUN_LOG}/competitors/del_giorno_{{kind}}_{{setting}}.log",
    benchmark:
        f"{RUN_TIME}/competitors/del_giorno_{{kind}}_{{setting}}.tsv"
    wildcard_constraints:
        kind="1|2",
        setting="|".join(DEL_GIORNO),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        stage=lambda w: {
            "code": code_of("sdor.competitors.del_giorno"),
            "versions": versions_of("numpy", "scikit-learn", "scipy"),
            "components": METHODS[w.variant].initial.pca if w.kind == "1" else None,
        },
    script:
        "../scripts/del_giorno.py"


rule unmasking:
    input:
        bins="results/{scene}/features/{backbone}-bins-{view}.npy",
        grey=lambda w: grey_frames(w.scene, not w.view.endswith("-unmasked")),
    output:
        appearance=f"{UNMASKING}/unmasking-appearance.parquet",
        motion=f"{UNMASKING}/unmasking-motion.parquet",
        fused=f"{UNMASKING}/unmasking-fused.parquet",
    log:
        "results/logs/{scene}/competitors/{backbone}-{view}/unmasking.log",
    benchmark:
        "results/benchmarks/{scene}/competitors/{backbone}-{view}/unmasking.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        stage=lambda w: {
            "code": code_of("sdor.competitors.unmasking"),
            "versions": versions_of("numpy", "scikit-learn", "scipy"),
            "method": "unmasking",
        },
    script:
        "../scripts/unmasking.py"


rule two_sample_test:
    input:
        bins=lambda w: "results/{scene}/features/{backbone}-bins-{view}.npy".format(
            scene=w.scene, **named_files(w.variant)
        ),
        grey=lambda w: grey_frames(w.scene, METHODS[w.variant].masks),
    output:
        appearance=f"{RUN}/competitors/two_sample_test-appearance.parquet",
        motion=f"{RUN}/competitors/two_sample_test-motion.parquet",
        fused=f"{RUN}/competitors/two_sample_test-fused.parquet",
    log:
        f"{RUN_LOG}/competitors/two_sample_test.log",
    benchmark:
        f"{RUN_TIME}/competitors/two_sample_test.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        stage={
            "code": code_of("sdor.competitors.unmasking"),
            "versions": versions_of("numpy", "scikit-learn", "scipy"),
            "method": "two_sample_test",
        },
    script:
        "../scripts/unmasking.py"
