# features ─ competitors: other methods that need no labels, on the frames that ours sees. 150,000
# frames take at most an hour, projected from Ped2.


rule hidden:
    input:
        model=lambda w: run_of(w).each("model.safetensors")[-1],
        index=lambda w: run_of(w).initial,
        rows=lambda w: run_of(w).rows,
        weights=lambda w: run_of(w).weights,
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
        **growing(mem_mb=4000, runtime=120),
        gpu=NETWORK_GPUS,
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.saliency"),
            "versions": versions_of("torch", "torchvision"),
            "trainable": METHODS[w.variant].training.trainable,
            "compute": COMPUTE,
        },
    script:
        "../scripts/hidden.py"


rule del_giorno:
    input:
        lambda w: run_of(w).features() if w.kind == "1" else f"{RUN}/hidden.parquet",
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
        **growing(mem_mb=8000, runtime=120),
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
        grey=lambda w: motion_frames(
            SCENES[w.scene], STUDY.frames, masks=not w.view.endswith("-unmasked")
        ).values(),
    output:
        **{
            channel: f"results/{{scene}}/competitors/{{backbone}}-{{view}}/unmasking-{channel}.parquet"
            for channel in CHANNELS
        },
    log:
        "results/logs/{scene}/competitors/{backbone}-{view}/unmasking.log",
    benchmark:
        "results/benchmarks/{scene}/competitors/{backbone}-{view}/unmasking.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=4000, runtime=120),
    params:
        stage=lambda w: {
            "code": code_of("sdor.competitors.unmasking"),
            "versions": versions_of("numpy", "scikit-learn", "scipy"),
            "method": "unmasking",
        },
    script:
        "../scripts/unmasking.py"


use rule unmasking as two_sample_test with:
    input:
        bins=lambda w: run_of(w).bins,
        grey=lambda w: motion_frames(
            SCENES[w.scene], STUDY.frames, masks=METHODS[w.variant].masks
        ).values(),
    output:
        **{channel: f"{RUN}/competitors/two_sample_test-{channel}.parquet" for channel in CHANNELS},
    log:
        f"{RUN_LOG}/competitors/two_sample_test.log",
    benchmark:
        f"{RUN_TIME}/competitors/two_sample_test.tsv"
    params:
        stage={
            "code": code_of("sdor.competitors.two_sample_test"),
            "versions": versions_of("numpy", "scikit-learn", "scipy"),
            "method": "two_sample_test",
        },
