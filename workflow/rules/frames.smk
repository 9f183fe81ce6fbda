# video ─ frames: render the demo, find cuts, decode once, list the clips, audit the labels.


def clip_of(wildcards):
    return SCENES[wildcards.scene].clip(wildcards.clip)


def masks_of(wildcards):
    if wildcards.view.endswith("-unmasked"):
        return []
    return [vars(mask) for mask in SCENES[wildcards.scene].masks]


def rendered(scene, clip):
    """Files of a clip that the project renders itself; none for other clips."""
    if SCENES[scene].demo is None:
        return {}
    folder = f"results/{scene}/video/{clip}"
    return {"video": f"{folder}.avi", "labels": f"{folder}.csv", "pixels": f"{folder}_gt"}


def cuts_of(scene):
    """The sequences found in a joined video; none for scenes with files of their own."""
    return {} if SCENES[scene].joined is None else {"cuts": f"results/{scene}/cuts.json"}


def source_of(wildcards):
    """What a clip is decoded from, where the workflow itself makes it."""
    video = {
        key: path
        for key, path in rendered(wildcards.scene, wildcards.clip).items()
        if key == "video"
    }
    return video | cuts_of(wildcards.scene)


rule render:
    output:
        video="results/{scene}/video/{clip}.avi",
        labels="results/{scene}/video/{clip}.csv",
        pixels=directory("results/{scene}/video/{clip}_gt"),
    log:
        "results/logs/{scene}/render/{clip}.log",
    benchmark:
        "results/benchmarks/{scene}/render/{clip}.tsv"
    params:
        stage=lambda w: {
            "code": code_of("sdor.demo"),
            "versions": versions_of("numpy", "pillow"),
            "demo": SCENES[w.scene].demo,
        },
    conda:
        ENVIRONMENT
    script:
        "../scripts/render.py"


rule cuts:
    output:
        "results/{scene}/cuts.json",
    log:
        "results/logs/{scene}/cuts.log",
    benchmark:
        "results/benchmarks/{scene}/cuts.tsv"
    params:
        stage=lambda w: {
            "code": code_of("sdor.cuts"),
            "joined": SCENES[w.scene].joined.path.name,
            "sequences": SCENES[w.scene].joined.sequences,
            "source": fingerprint(SCENES[w.scene].clips[0]),
        },
        video=lambda w: str(SCENES[w.scene].joined.path),
    conda:
        ENVIRONMENT
    script:
        "../scripts/cuts.py"
