# initial scores ─ pseudo labels ⇄ training ─ ensemble: iteration t asks for iteration t - 1.

LABEL_KEYS = ("anomalous_fraction", "normal_fraction", "sampling")
TRAINING_KEYS = (
    "c1",
    "c2",
    "hidden_units",
    "trainable",
    "loss",
    "learning_rate",
    "momentum",
    "weight_decay",
    "batch_size",
    "batch",
    "steps_per_epoch",
    "epochs",
    "batchnorm",
    "restart",
)


def of_iterations(name, iterations):
    return [f"{RUN}/iteration{t}/{name}" for t in iterations]


def scores_before(wildcards):
    """The scores that the pseudo labels of iteration t are chosen by."""
    t = int(wildcards.t)
    if t == 1:
        return [f"{RUN}/initial.parquet"]
    earlier = range(1, t) if METHODS[wildcards.variant]["labels_from"] == "ensemble" else [t - 1]
    return of_iterations("scores.parquet", earlier)


def training_rows(wildcards):
    """What the trainable part starts from: frames, the trunk's maps, or pooled features."""
    method = METHODS[wildcards.variant]
    if method["trainable"] == "head":
        return [features_file(wildcards.scene, method, "pool")]
    if method["trainable"] == "layer4":
        return [f"results/{wildcards.scene}/trunk/{method['backbone']}-{view_of(method)}.npy"]
    return frame_files(wildcards.scene, view_of(method))


def model_before(wildcards):
    """The model that a warm restart goes on from; none for a restart from the backbone."""
    t = int(wildcards.t)
    if t == 1 or METHODS[wildcards.variant]["restart"] == "imagenet":
        return []
    return of_iterations("model.safetensors", [t - 1])


rule pseudo_labels:
    input:
        scores_before,
    output:
        f"{RUN}/iteration{{t}}/pseudo_labels.parquet",
    log:
        f"{RUN_LOG}/iteration{{t}}/pseudo_labels.log",
    params:
        stage=lambda w: {
            "code": code_of("sdor.pseudo_labels"),
            "method": method_of(w, *LABEL_KEYS),
        },
    resources:
        mem_mb=1000,
        runtime=10,
    conda:
        ENVIRONMENT
    script:
        "../scripts/pseudo_labels.py"


rule train:
    input:
        pseudo_labels=f"{RUN}/iteration{{t}}/pseudo_labels.parquet",
        index=f"{RUN}/initial.parquet",
        rows=training_rows,
        weights=lambda w: f"results/weights/{METHODS[w.variant]['backbone']}.safetensors",
        warm=model_before,
    output:
        model=f"{RUN}/iteration{{t}}/model.safetensors",
        history=f"{RUN}/iteration{{t}}/history.parquet",
        scores=f"{RUN}/iteration{{t}}/scores.parquet",
    log:
        f"{RUN_LOG}/iteration{{t}}/train.log",
    benchmark:
        f"{RUN_TIME}/iteration{{t}}/train.tsv"
    params:
        stage=lambda w: {
            "code": code_of("sdor.training"),
            "versions": versions_of("numpy", "torch", "torchvision"),
            "method": method_of(w, *TRAINING_KEYS),
        },
        compute=COMPUTE,
    threads: NETWORK_THREADS
    resources:
        gpu=NETWORK_GPUS,
        mem_mb=8000,
        runtime=480,
    conda:
        ENVIRONMENT
    script:
        "../scripts/train.py"


rule ensemble:
    input:
        lambda w: of_iterations(
            "scores.parquet", range(1, METHODS[w.variant]["iterations"] + 1)
        ),
    output:
        f"{RUN}/ensemble.parquet",
    log:
        f"{RUN_LOG}/ensemble.log",
    params:
        stage={"code": code_of("sdor.ensemble")},
    resources:
        mem_mb=1000,
        runtime=10,
    conda:
        ENVIRONMENT
    script:
        "../scripts/ensemble.py"
