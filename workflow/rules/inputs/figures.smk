# What the rules of figures.smk ask for.

from dataclasses import replace

ABLATIONS = list(PLAN.ablations)


def drawn_runs(wildcards):
    """All that the figures of a scene and variant show, of every seed."""
    names = ["metrics.json", "initial.parquet", "ensemble.parquet"]
    for t in range(1, METHODS[wildcards.variant].iterations + 1):
        files = ("scores", "pseudo_labels", "history")
        names += [f"iteration{t}/{file}.parquet" for file in files]
    return [path for name in names for path in runs_of(wildcards, name)]


def figure_files(figure):
    """What a figure of the whole study is drawn from: paths, by what they are."""
    runs = [(run["scene"], run["variant"]) for run in RUNS if run["seed"] == STUDY.seeds[0]]
    if figure == "figure3":
        return {scene: feedback_files(scene) for scene in STUDY.feedback_scenes if scene in SCENES}
    if figure == "figure4":
        return {scene: saliency_files(scene) for scene in SCENES if with_saliency(scene)}
    if figure == "localisation":
        return STUDY_FILES["localisation"]
    if figure == "figure5":
        wanted = {(s, v) for s in SCENES for v in PLAN.anomaly_rates.on(s)}
        wanted |= {
            (s, v)
            for s, r in set(wanted)
            for v in METHODS
            if METHODS[v] == replace(METHODS[r], anomaly_rate=None)
        }
    elif figure == "figure6":
        wanted = {(scene, PLAN.main) for scene in SCENES}
    else:
        wanted = {(s, v) for one in PLAN.ablations.values() for s in SCENES for v in one.on(s)}
    return [path for key in runs if key in wanted for path in seeds_of(*key, "metrics.json")]


def feedback_files(scene):
    """Labels, scores and marks of all rounds of feedback."""
    rounds = range(1, STUDY.feedback.rounds + 1)
    last = METHODS[PLAN.main].iterations
    files = {
        "scores": [f"iteration{last}/scores.parquet"]
        + [f"feedback/round{r}/scores.parquet" for r in rounds],
        "marks": [f"feedback/round{r}/marks.parquet" for r in rounds],
    }
    runs = seeds_of(scene, PLAN.main, "")
    seeds = [{key: [run + name for name in files[key]] for key in files} for run in runs]
    return {**labels_of(scene), "seeds": seeds}


def saliency_files(scene):
    """Labels, frames, and the maps of every backbone, of the first seed."""
    paths = frame_files(scene, METHODS[PLAN.main].view)
    variants = {}
    for variant in with_saliency(scene):
        run = seeds_of(scene, variant, "")[0]
        files = {"saliency": f"{run}saliency.npy", "ensemble": f"{run}ensemble.parquet"}
        backbone = METHODS[variant].backbone
        name = BACKBONE_NAMES.get(backbone, backbone)
        variants[f"{name}, {variant}"] = files
    frames = dict(zip(clip_names(scene), paths, strict=True))
    return {**labels_of(scene), "frames": frames, "variants": variants, **cuts(SCENES[scene])}


def labels_of(scene):
    return {
        "clips": f"results/{scene}/clips.parquet",
        "ground_truth": f"results/{scene}/ground_truth.parquet",
    }
