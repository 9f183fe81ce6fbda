# The approach "motion": flow ─ initial scores ─ pseudo labels of places ⇄ heads ─ ensemble ─ heat.


rule flow:
    input:
        frames=lambda w: frame_files(w.scene, w.view),
        times=lambda w: time_files(w.scene, w.view),
    output:
        "results/{scene}/flow/{view}.parquet",
    log:
        "results/logs/{scene}/flow/{view}.log",
    benchmark:
        "results/benchmarks/{scene}/flow/{view}.tsv"
    conda:
        ENVIRONMENT
    threads: ALL_CORES
    resources:
        **growing(mem_mb=2000, runtime=120),
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.flow"),
            "versions": versions_of("numpy", "opencv-python-headless"),
            "rates": rates_of(w.scene),
        },
    script:
        "../scripts/flow.py"


rule maps:
    input:
        frames=lambda w: frame_files(w.scene, w.view),
        times=lambda w: time_files(w.scene, w.view),
        weights="results/weights/{backbone}.safetensors",
    output:
        maps="results/{scene}/maps/{backbone}-{view}/{looks}.npy",
        basis="results/{scene}/maps/{backbone}-{view}/{looks}.safetensors",
    log:
        "results/logs/{scene}/maps/{backbone}-{view}/{looks}.log",
    benchmark:
        "results/benchmarks/{scene}/maps/{backbone}-{view}/{looks}.tsv"
    conda:
        ENVIRONMENT
    threads: NETWORK_THREADS
    resources:
        **growing(mem_mb=4000, runtime=240),
        gpu=NETWORK_GPUS,
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.maps"),
            "versions": versions_of("numpy", "scikit-learn", "torch", "torchvision", *INT8),
            "rates": rates_of(w.scene),
            "weights": WEIGHTS[w.backbone],
            "compute": COMPUTE,
        },
    script:
        "../scripts/maps.py"


rule initial_motion:
    input:
        unpack(lambda w: run_of(w).subset),
        unpack(lambda w: run_of(w).seen_first),
        flow=lambda w: run_of(w).flow,
        times=lambda w: run_of(w).times.values(),
    output:
        table=f"{RUN}/initial.parquet",
        places=f"{RUN}/initial.npy",
    log:
        f"{RUN_LOG}/initial.log",
    benchmark:
        f"{RUN_TIME}/initial.tsv"
    wildcard_constraints:
        variant=of_approach("motion"),
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=4000, runtime=60),
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.motion"),
            "versions": versions_of("numpy", "scikit-learn", "scipy"),
            "method": METHODS[w.variant].start.as_document(),
            "fps": METHODS[w.variant].maps.fps,
            "rates": rates_of(w.scene),
        },
    script:
        "../scripts/initial_motion.py"


rule place_labels:
    input:
        index=lambda w: run_of(w).initial,
        scores=lambda w: run_of(w).scores_before(int(w.t)),
        places=lambda w: run_of(w).places_before(int(w.t)),
        initial_places=lambda w: run_of(w).places_before(1),
        times=lambda w: run_of(w).times.values(),
    output:
        f"{RUN}/iteration{{t}}/pseudo_labels.parquet",
    log:
        f"{RUN_LOG}/iteration{{t}}/pseudo_labels.log",
    benchmark:
        f"{RUN_TIME}/iteration{{t}}/pseudo_labels.tsv"
    wildcard_constraints:
        variant=of_approach("motion"),
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=2000, runtime=10),
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.place_labels"),
            "versions": versions_of("numpy"),
            "method": METHODS[w.variant].labels.as_document(),
            "fps": METHODS[w.variant].maps.fps,
            "rates": rates_of(w.scene),
        },
    script:
        "../scripts/place_labels.py"


rule train_places:
    input:
        index=lambda w: run_of(w).initial,
        rows=lambda w: run_of(w).rows,
        weights=lambda w: run_of(w).weights,
        pseudo_labels=f"{RUN}/iteration{{t}}/pseudo_labels.parquet",
        times=lambda w: run_of(w).times.values(),
    output:
        model=f"{RUN}/iteration{{t}}/model.safetensors",
        history=f"{RUN}/iteration{{t}}/history.parquet",
        places=f"{RUN}/iteration{{t}}/places.npy",
        scores=f"{RUN}/iteration{{t}}/scores.parquet",
    log:
        f"{RUN_LOG}/iteration{{t}}/train.log",
    benchmark:
        f"{RUN_TIME}/iteration{{t}}/train.tsv"
    wildcard_constraints:
        variant=of_approach("motion"),
    conda:
        ENVIRONMENT
    threads: network_threads
    resources:
        **growing(
            mem_mb=training_memory,
            runtime=lambda w: 60 if METHODS[w.variant].training.trainable == "head" else 480,
        ),
        gpu=NETWORK_GPUS,
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.places"),
            "versions": versions_of("numpy", "scipy", "torch", "torchvision"),
            "method": METHODS[w.variant].training.as_document(),
            "fps": METHODS[w.variant].maps.fps,
            "rates": rates_of(w.scene),
            "weights": WEIGHTS[METHODS[w.variant].backbone],
            "compute": COMPUTE,
        },
    script:
        "../scripts/train_places.py"


rule answer:
    input:
        index=lambda w: run_of(w).initial,
        flow=lambda w: run_of(w).flow,
        places=lambda w: run_of(w).each("places.npy"),
        times=lambda w: run_of(w).times.values(),
    output:
        f"{RUN}/ensemble.parquet",
    log:
        f"{RUN_LOG}/ensemble.log",
    benchmark:
        f"{RUN_TIME}/ensemble.tsv"
    wildcard_constraints:
        variant=of_approach("motion"),
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=4000, runtime=60),
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.answer"),
            "versions": versions_of("numpy", "scipy"),
            "method": METHODS[w.variant].start.as_document(),
            "places": METHODS[w.variant].labels.places,
            "fps": METHODS[w.variant].maps.fps,
            "rates": rates_of(w.scene),
        },
    script:
        "../scripts/answer.py"


use rule answer as heat with:
    input:
        index=lambda w: run_of(w).initial,
        flow=lambda w: run_of(w).flow,
        places=lambda w: run_of(w).each("places.npy"),
        times=lambda w: run_of(w).times.values(),
        ensemble=f"{RUN}/ensemble.parquet",
    output:
        f"{RUN}/saliency.npy",
    log:
        f"{RUN_LOG}/saliency.log",
    benchmark:
        f"{RUN_TIME}/saliency.tsv"
    resources:
        **growing(mem_mb=8000, runtime=60),  # 864 cells of all pairs, as float64, some times
