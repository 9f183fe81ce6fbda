# The operator's way: video ─ look ─ rank ─ moments ─ watchlist. Frames are not stored.

WATCH = "results/{scene}/watch"
WATCH_LOG = "results/logs/{scene}/watch"
WATCH_TIME = "results/benchmarks/{scene}/watch"


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
            "versions": versions_of("numpy", "scikit-learn", "torch", "torchvision"),
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
                "numpy", "av", "opencv-python-headless", "torch", "torchvision"
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


rule moments:
    input:
        looks=rules.look.output[0],
        model=rules.rank.output.model,
        scores=rules.rank.output.scores,
    output:
        events=f"{WATCH}/events.parquet",
        heat=f"{WATCH}/heat.npy",
    log:
        f"{WATCH_LOG}/events.log",
    benchmark:
        f"{WATCH_TIME}/events.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=4000, runtime=30),
    params:
        stage=lambda w: {
            "code": code_of("sdor.operator.moments"),
            "versions": versions_of("numpy", "scipy", "torch"),
            "events": STUDY.events.as_document(),
        },
    script:
        "../scripts/moments.py"


rule previews:
    input:
        rendered_video,
        rules.moments.output,
        scores=rules.rank.output.scores,
    output:
        directory(f"{WATCH}/previews"),
    log:
        f"{WATCH_LOG}/previews.log",
    benchmark:
        f"{WATCH_TIME}/previews.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=2000, runtime=30),
    params:
        stage=lambda w: {
            "code": code_of("sdor.operator.watchlist", "sdor.study.cameras"),
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
            "lead": STUDY.events.lead,
            "left": [one[:2] for one in STUDY.left if one.camera == w.scene],
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
            "lead": STUDY.events.lead,
            "left": [one[:2] for one in STUDY.left],
            "home": "",
            "settings": SETTINGS_SHOWN,
        },


rule watchlist:
    input:
        "results/watchlist.html",
        "results/watchlist.csv",
    localrule: True
