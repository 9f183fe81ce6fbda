# frames ─ features: trained weights, one feature a frame, and the frozen trunk's maps.


rule weights:
    output:
        "results/weights/{backbone}.safetensors",
    log:
        "results/logs/weights/{backbone}.log",
    benchmark:
        "results/benchmarks/weights/{backbone}.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        stage=lambda w: {
            "code": code_of("sdor.networks.fetch"),
            "versions": versions_of("torch", "torchvision"),
            **WEIGHTS[w.backbone],
        },
    script:
        "../scripts/weights.py"


# One look at the frames gives the features of the whole frame and of its quarters.
rule features:
    input:
        frames=lambda w: frame_files(w.scene, w.view),
        weights="results/weights/{backbone}.safetensors",
    output:
        features="results/{scene}/features/{backbone}-pool-{view}.parquet",
        bins="results/{scene}/features/{backbone}-bins-{view}.npy",
    log:
        "results/logs/{scene}/features/{backbone}-pool-{view}.log",
    benchmark:
        "results/benchmarks/{scene}/features/{backbone}-pool-{view}.tsv"
    conda:
        ENVIRONMENT
    threads: NETWORK_THREADS
    resources:
        **growing(mem_mb=4000, runtime=240),
        gpu=NETWORK_GPUS,
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.features"),
            "versions": versions_of("torch", "torchvision", *INT8),
            "clips": clip_names(w.scene),
            "weights": WEIGHTS[w.backbone],
            "compute": COMPUTE,
        },
    script:
        "../scripts/features.py"


# Most classifiers start from the pooled features: no second look at the frames.
rule classify:
    input:
        features="results/{scene}/features/{backbone}-pool-{view}.parquet",
        weights="results/weights/{backbone}.safetensors",
    output:
        "results/{scene}/features/{backbone}-{layer}-{view}.parquet",
    log:
        "results/logs/{scene}/features/{backbone}-{layer}-{view}.log",
    benchmark:
        "results/benchmarks/{scene}/features/{backbone}-{layer}-{view}.tsv"
    wildcard_constraints:
        backbone="|".join(name for name, one in ARCHITECTURES.items() if not one.classifies_maps),
        layer="logits|softmax",
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=4000, runtime=60),
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.features"),
            "versions": versions_of("torch", "torchvision"),
            "layer": w.layer,
            "weights": WEIGHTS[w.backbone],
        },
    script:
        "../scripts/classify.py"


# The classifiers of VGG-16 and I3D look at the last maps.
rule classify_frames:
    input:
        frames=lambda w: frame_files(w.scene, w.view),
        weights="results/weights/{backbone}.safetensors",
    output:
        "results/{scene}/features/{backbone}-{layer}-{view}.parquet",
    log:
        "results/logs/{scene}/features/{backbone}-{layer}-{view}.log",
    benchmark:
        "results/benchmarks/{scene}/features/{backbone}-{layer}-{view}.tsv"
    wildcard_constraints:
        backbone="|".join(name for name, one in ARCHITECTURES.items() if one.classifies_maps),
        layer="logits|softmax",
    conda:
        ENVIRONMENT
    threads: NETWORK_THREADS
    resources:
        **growing(mem_mb=4000, runtime=240),
        gpu=NETWORK_GPUS,
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.features"),
            "versions": versions_of("torch", "torchvision"),
            "layer": w.layer,
            "clips": clip_names(w.scene),
            "weights": WEIGHTS[w.backbone],
            "compute": COMPUTE,
        },
    script:
        "../scripts/classify_frames.py"


rule trunk:
    input:
        frames=lambda w: frame_files(w.scene, w.view),
        weights="results/weights/{backbone}.safetensors",
    output:
        "results/{scene}/trunk/{backbone}-{view}.npy",
    log:
        "results/logs/{scene}/trunk/{backbone}-{view}.log",
    benchmark:
        "results/benchmarks/{scene}/trunk/{backbone}-{view}.tsv"
    conda:
        ENVIRONMENT
    threads: NETWORK_THREADS
    resources:
        **growing(mem_mb=4000, runtime=240),
        gpu=NETWORK_GPUS,
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.features"),
            "versions": versions_of("torch", "torchvision"),
            "clips": clip_names(w.scene),
            "weights": WEIGHTS[w.backbone],
            "compute": COMPUTE,
        },
    script:
        "../scripts/trunk.py"
