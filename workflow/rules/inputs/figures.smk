# What the rules of figures.smk ask for, and what they tell their scripts.


def drawn_runs(wildcards):
    """All that the figures of a scene and variant show, of every seed."""
    for seed in STUDY.seeds:
        run = Run(STUDY, wildcards.scene, wildcards.variant, seed)
        for name in ("metrics.json", "draws.parquet", "initial.parquet", "ensemble.parquet"):
            yield f"{run.folder}/{name}"
        for name in ("scores.parquet", "pseudo_labels.parquet", "history.parquet"):
            yield from run.each(name)


def figure_files(wildcards):
    """What a figure of the whole study is drawn from."""
    match wildcards.figure:
        case "figure3":
            return [path for scene in judged_scenes() for path in feedback_files(scene)]
        case "figure4":
            return [path for scene in SCENES for path in saliency_files(scene)]
        case "localisation":
            return STUDY_FILES["localisation"]
    return "results/findings.parquet"


def figure_settings(figure):
    """What a script has to know of the study, beside the findings."""
    match figure:
        case "figure3":
            shown = {"last": METHODS[PLAN.main].iterations, "rounds": STUDY.feedback.rounds}
            return {"scenes": judged_scenes(), **shown, "neighbours": STUDY.feedback.neighbours}
        case "figure4":
            columns = {scene: columns_of(scene) for scene in SCENES if STUDY.with_saliency(scene)}
            return {"columns": columns, "frames": STUDY.frames.named(METHODS[PLAN.main].view)}
    return {}


def columns_of(scene):
    """The variants whose maps stand beside each other, by the title of their column."""
    names = {name: METHODS[name].backbone for name in STUDY.with_saliency(scene)}
    return {f"{ARCHITECTURES[its].title}, {name}": name for name, its in names.items()}


def judged_scenes():
    return [scene for scene in STUDY.feedback_scenes if scene in SCENES]


def feedback_files(scene):
    """Labels, scores and marks of all rounds of feedback."""
    yield from labels_of(scene)
    for seed in STUDY.seeds:
        run = Run(STUDY, scene, PLAN.main, seed)
        yield from (run.each("scores.parquet")[-1], *run.rounds("scores.parquet"))
        yield from run.rounds("marks.csv")


def saliency_files(scene):
    """Labels, frames, and the maps of every backbone, of the first seed."""
    runs = [Run(STUDY, scene, variant, STUDY.seeds[0]) for variant in STUDY.with_saliency(scene)]
    for run in runs:
        yield from (f"{run.folder}/saliency.npy", f"{run.folder}/ensemble.parquet")
    if runs:
        yield from (*labels_of(scene), *runs[0].frames.values())


def labels_of(scene):
    return [f"results/{scene}/{name}.parquet" for name in ("clips", "times", "ground_truth")]
