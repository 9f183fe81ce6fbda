# video ─ frames: render the demo, find cuts, decode once, list the clips, audit the labels, and drop
# events where a variant asks for fewer anomalies.


rule render:
    output:
        video="results/{scene}/video/{clip}.avi",
        labels="results/{scene}/video/{clip}.csv",
        pixels=directory("results/{scene}/video/{clip}_gt"),
    log:
        "results/logs/{scene}/render/{clip}.log",
    benchmark:
        "results/benchmarks/{scene}/render/{clip}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=1000, runtime=30),
    params:
        stage=lambda w: {
            "code": code_of("sdor.demo.render"),
            "versions": versions_of("numpy", "pillow"),
            "demo": SCENES[w.scene].demo,
        },
    script:
        "../scripts/render.py"


rule cuts:
    output:
        "results/{scene}/cuts.json",
    log:
        "results/logs/{scene}/cuts.log",
    benchmark:
        "results/benchmarks/{scene}/cuts.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=1000, runtime=120),
    params:
        stage=lambda w: {
            "code": code_of("sdor.video.cuts"),
            "versions": versions_of(*DECODERS),
            "sequences": SCENES[w.scene].joined.sequences,
            "masks": masks_of(w.scene),
            "source": SOURCES[w.scene, SCENES[w.scene].clips[0].name],
        },
    script:
        "../scripts/cuts.py"


rule frames:
    input:
        unpack(source_of),
    output:
        frames=f"results/{{scene}}/frames/{STUDY.frames.named('{view}')}",
        times="results/{scene}/frames/{view}/{clip}.parquet",
    log:
        "results/logs/{scene}/frames/{view}/{clip}.log",
    benchmark:
        "results/benchmarks/{scene}/frames/{view}/{clip}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=1000, runtime=60),
    params:
        stage=lambda w: {
            "code": code_of("sdor.video.frames", "sdor.video.cuts"),
            "versions": versions_of(*DECODERS, *CODERS),
            "source": SOURCES[w.scene, w.clip],
            "coding": STUDY.frames.coding,
            # At which rate, is for the table of clips.
            "timed": FILMED[w.scene].clip(w.clip).fps is not None,
            **sampling_of(w.scene, w.clip),
            "masks": masks_of(w.scene, w.view),
        },
    script:
        "../scripts/frames.py"


# The list of clips and the audit of their labels come before all costly work. They do so by their
# priority, not as inputs of the features: labels must not be what a training depends on, and
# `ancient` inputs would hide changed settings whenever the audit runs again.
rule clips:
    input:
        unpack(lambda w: cuts(SCENES[w.scene])),
        times=lambda w: [
            Path(file).with_suffix(".parquet")
            for file in frame_files(w.scene, METHODS[PLAN.main].view)
        ],
    output:
        clips="results/{scene}/clips.parquet",
        times="results/{scene}/times.parquet",
    log:
        "results/logs/{scene}/clips.log",
    benchmark:
        "results/benchmarks/{scene}/clips.tsv"
    priority: 100
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        stage=lambda w: {
            "code": code_of("sdor.video.frames", "sdor.video.cuts"),
            "clips": [
                {
                    "name": clip.name,
                    "split": clip.split,
                    "fps": clip.fps,
                    "frames": clip.frames,
                    "damaged": clip.damaged,
                    "labelled": clip.ground_truth is not None,
                }
                for clip in SCENES[w.scene].clips
            ],
            "remarks": remarks_of(w.scene),
        },
    script:
        "../scripts/clips.py"


rule audit:
    input:
        unpack(lambda w: cuts(SCENES[w.scene])),
        clips="results/{scene}/clips.parquet",
        times="results/{scene}/times.parquet",
        rendered=lambda w: [
            file
            for clip in SCENES[w.scene].clips
            for file in rendered(SCENES[w.scene], clip.name).values()
        ],
    output:
        table="results/{scene}/ground_truth.parquet",
        summary="results/{scene}/audit.json",
    log:
        "results/logs/{scene}/audit.log",
    benchmark:
        "results/benchmarks/{scene}/audit.tsv"
    priority: 100
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=1000, runtime=30),
    params:
        stage=lambda w: {
            "code": code_of("sdor.video.audit", "sdor.video.cuts"),
            "labels": LABELS[w.scene],
            "masks": masks_of(w.scene),
        },
    script:
        "../scripts/audit.py"


rule subset:
    input:
        times="results/{scene}/times.parquet",
        ground_truth="results/{scene}/ground_truth.parquet",
    output:
        f"{RUN}/subset.parquet",
    log:
        f"{RUN_LOG}/subset.log",
    benchmark:
        f"{RUN_TIME}/subset.tsv"
    conda:
        ENVIRONMENT
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        stage=lambda w: {
            "code": code_of("sdor.study.subset"),
            "versions": versions_of("numpy"),
            "rate": METHODS[w.variant].anomaly_rate,
        },
    script:
        "../scripts/subset.py"
