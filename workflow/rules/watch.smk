# The operator's way: video ─ look ─ rank (─ learn) ─ moments ─ watchlist. Frames are not stored, but
# by the paper's approach, whose moments follow from a run's ensemble.

WATCH = "results/{scene}/watch"
WATCH_LOG = "results/logs/{scene}/watch"
WATCH_TIME = "results/benchmarks/{scene}/watch"
AT_LOG = "results/logs/{scene}/{at}"
AT_TIME = "results/benchmarks/{scene}/{at}"


rule basis:
    input:
        rendered_video,
        weights=lambda w: f"results/weights/{WATCHING.backbone}.safetensors",
    output:
        f"{WATCH}/basis.safetensors",
    log:
        f"{WATCH_LOG}/basis.log",
    benchmark:
        f"{WATCH_TIME}/basis.tsv"
    conda:
        ENVIRONMENT
    threads: NETWORK_THREADS
    resources:
        **growing(mem_mb=4000, runtime=30),
        gpu=NETWORK_GPUS,
    params:
        # Not the list of files: what was fitted once stays, so that a new day costs its own only.
        stage=lambda w: {
            "code": code_of("sdor.operator.basis", "sdor.study.cameras"),
            "versions": versions_of("numpy", "scikit-learn", "torch", "torchvision", *INT8),
            "weights": WEIGHTS[WATCHING.backbone],
            "maps": WATCHING.maps.as_document(),
            "size": WATCHING.input_size,
            "masks": [vars(mask) for mask in CAMERAS[w.scene].masks],
            "compute": COMPUTE,
        },
    script:
        "../scripts/basis.py"


rule look:
    input:
        rendered_video,
        weights=rules.basis.input.weights,
        basis=rules.basis.output[0],
    output:
        f"{WATCH}/looks.parquet",
    log:
        f"{WATCH_LOG}/looks.log",
    benchmark:
        f"{WATCH_TIME}/looks.tsv"
    conda:
        ENVIRONMENT
    threads: NETWORK_THREADS
    resources:
        **growing(mem_mb=4000, runtime=1440),
        gpu=NETWORK_GPUS,
    params:
        stage=lambda w: {
            "code": code_of("sdor.operator.archive", "sdor.operator.basis", "sdor.study.cameras"),
            # What was looked at by other code is looked at again.
            "look": code_of("sdor.operator.look", "sdor.method.maps"),
            "versions": versions_of(
                "numpy", "av", "opencv-python-headless", "torch", "torchvision", *INT8
            ),
            "weights": WEIGHTS[WATCHING.backbone],
            "maps": WATCHING.maps.as_document(),
            "size": WATCHING.input_size,
            "masks": [vars(mask) for mask in CAMERAS[w.scene].masks],
            "compute": COMPUTE,
            "files": listing_of(CAMERAS[w.scene]),
        },
    script:
        "../scripts/look.py"


rule rank:
    input:
        looks=rules.look.output[0],
        basis=rules.basis.output[0],
        weights=rules.basis.input.weights,
    output:
        model=f"{WATCH}/model.safetensors",
        scores=f"{WATCH}/scores.parquet",
    log:
        f"{WATCH_LOG}/rank.log",
    benchmark:
        f"{WATCH_TIME}/rank.tsv"
    conda:
        ENVIRONMENT
    threads: NETWORK_THREADS
    resources:
        **growing(mem_mb=6000, runtime=60),
        gpu=NETWORK_GPUS,
    params:
        stage=lambda w: {
            "code": code_of("sdor.operator.rank", "sdor.operator.basis"),
            "versions": versions_of("numpy", "scipy", "torch"),
            "method": WATCHING.as_document(),
            "seed": STUDY.seeds[0],
            "masks": [vars(mask) for mask in CAMERAS[w.scene].masks],
            "compute": COMPUTE,
        },
    script:
        "../scripts/rank.py"


# From the marks of all rounds so far, always with the model without marks to start from: the answer
# does not depend on how often it was learnt from.
rule learn:
    input:
        marks=lambda w: rounds_of(w.scene, f"watch/round{w.round}"),
        looks=rules.look.output[0],
        model=rules.rank.output.model,
        scores=rules.rank.output.scores,
    output:
        model=f"{WATCH}/round{{round}}/model.safetensors",
        scores=f"{WATCH}/round{{round}}/scores.parquet",
    log:
        f"{WATCH_LOG}/round{{round}}/learn.log",
    benchmark:
        f"{WATCH_TIME}/round{{round}}/learn.tsv"
    wildcard_constraints:
        round="[1-9][0-9]*",
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=6000, runtime=60),
    params:
        stage={
            "code": code_of("sdor.operator.learn"),
            "versions": versions_of("numpy", "scipy"),
        },
    script:
        "../scripts/learn.py"


rule moments:
    input:
        looks=rules.look.output[0],
        model=f"{AT}/model.safetensors",
        scores=f"{AT}/scores.parquet",
        marks=lambda w: rounds_of(w.scene, w.at),
    output:
        events=f"{AT}/events.parquet",
        heat=f"{AT}/heat.npy",
        looks=f"{AT}/looks.npy",
    log:
        f"{AT_LOG}/events.log",
    benchmark:
        f"{AT_TIME}/events.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=4000, runtime=30),
    params:
        stage=lambda w: {
            "code": code_of("sdor.operator.moments", "sdor.method.marks"),
            "versions": versions_of("numpy", "scipy", "torch"),
            "events": STUDY.events.as_document(),
            "root": root_of(w.scene),
        },
    script:
        "../scripts/moments.py"


# As after a round of the simulated expert, but from all marks at once, and the ensemble's last model.
use rule fine_tune as paper_learn with:
    input:
        marks=lambda w: rounds_of(w.scene, f"watch/round{w.round}"),
        model=lambda w: run_of(w).each("model.safetensors")[-1],
        pseudo_labels=lambda w: run_of(w).each("pseudo_labels.parquet")[-1],
        index=lambda w: run_of(w).initial,
        rows=lambda w: run_of(w).rows,
        weights=lambda w: run_of(w).weights,
    output:
        model=f"{RUN}/learnt/round{{round}}/model.safetensors",
        history=f"{RUN}/learnt/round{{round}}/history.parquet",
        scores=f"{RUN}/learnt/round{{round}}/scores.parquet",
    log:
        f"{RUN_LOG}/learnt/round{{round}}/learn.log",
    benchmark:
        f"{RUN_TIME}/learnt/round{{round}}/learn.tsv"
    wildcard_constraints:
        variant=of_approach("paper"),
        round="[1-9][0-9]*",
    params:
        stage=lambda w: {
            "code": code_of("sdor.method.feedback", "sdor.method.training"),
            **fine_tuning(w),
            "begins": {clip.name: clip.first for clip in FILMED[w.scene].clips},
        },


# The same files of the paper's approach, from its final scores, or those after a round of marks.
rule paper_moments:
    input:
        unpack(lambda w: cuts(FILMED[w.scene])),
        unpack(lambda w: run_watched(w.scene, w.variant, w.seed, w.at)),
        times=lambda w: time_files(w.scene, METHODS[w.variant].view),
        marks=lambda w: rounds_of(w.scene, w.at),
    output:
        looks=f"{RUN}/{{at}}/looks.parquet",
        scores=f"{RUN}/{{at}}/scores.parquet",
        events=f"{RUN}/{{at}}/events.parquet",
        heat=f"{RUN}/{{at}}/heat.npy",
        seen=f"{RUN}/{{at}}/looks.npy",
    log:
        f"{RUN_LOG}/{{at}}/moments.log",
    benchmark:
        f"{RUN_TIME}/{{at}}/moments.tsv"
    wildcard_constraints:
        variant=of_approach("paper"),
    conda:
        ENVIRONMENT
    threads: NETWORK_THREADS
    resources:
        **growing(mem_mb=4000, runtime=60),
        gpu=NETWORK_GPUS,
    params:
        stage=lambda w: {
            "code": code_of("sdor.operator.paper", "sdor.video.cuts"),
            "versions": versions_of("numpy", "scipy", "av", "torch", "torchvision"),
            "trainable": METHODS[w.variant].training.trainable,
            "events": STUDY.events.as_document(),
            "clips": [
                [one.name, one.source, one.first, one.last, one.fps]
                for one in FILMED[w.scene].clips
            ],
            "root": root_of(w.scene),
            "compute": COMPUTE,
        },
    script:
        "../scripts/paper_moments.py"


rule previews:
    input:
        unpack(lambda w: cuts(CAMERAS[w.scene])),
        rendered_video,
        events=f"{PAGE}/events.parquet",
        heat=f"{PAGE}/heat.npy",
        scores=f"{PAGE}/scores.parquet",
    output:
        directory(f"{PAGE}/previews"),
    log:
        f"{AT_LOG}/previews.log",
    benchmark:
        f"{AT_TIME}/previews.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=2000, runtime=30),
    params:
        stage=lambda w: {
            "code": code_of("sdor.operator.watchlist", "sdor.video.cuts"),
            "versions": versions_of("numpy", "av", "pillow"),
            "lead": STUDY.events.lead,
        },
    script:
        "../scripts/previews.py"


rule camera_page:
    input:
        lambda w: page_files(w.scene),
    output:
        page="results/{scene}/watchlist.html",
        table="results/{scene}/watchlist.csv",
    log:
        f"{WATCH_LOG}/page.log",
    benchmark:
        f"{WATCH_TIME}/page.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        stage=lambda w: {
            "code": code_of("sdor.operator.watchlist", "sdor.study.cameras"),
            "template": file_sha256(PROJECT / "workflow/report/watchlist.html.j2"),
            "cameras": [w.scene],
            "folders": [newest_of(w.scene)],
            "roots": [root_of(w.scene)],
            "lead": STUDY.events.lead,
            "left": left_of(w.scene),
            "home": "../watchlist.html",
            "settings": SETTINGS_SHOWN,
        },
    script:
        "../scripts/watchlist.py"


use rule camera_page as all_cameras_page with:
    input:
        [page_files(name) for name in CAMERAS],
        [f"results/{name}/watchlist.html" for name in CAMERAS],
    output:
        page="results/watchlist.html",
        table="results/watchlist.csv",
    log:
        "results/logs/watchlist.log",
    benchmark:
        "results/benchmarks/watchlist.tsv"
    params:
        stage=lambda w: {
            "code": code_of("sdor.operator.watchlist", "sdor.study.cameras"),
            "template": file_sha256(PROJECT / "workflow/report/watchlist.html.j2"),
            "cameras": list(CAMERAS),
            "folders": [newest_of(name) for name in CAMERAS],
            "roots": [root_of(name) for name in CAMERAS],
            "lead": STUDY.events.lead,
            "left": left_of(),
            "home": "",
            "settings": SETTINGS_SHOWN,
        },


rule watchlist:
    input:
        "results/watchlist.html",
        "results/watchlist.csv",
    localrule: True
