from sdor import paper_figures
from sdor.cuts import locate
from sdor.files import read_json
from sdor.jobs import job
from sdor.study import find_scene
from sdor.video import picture_size

stage, figure = snakemake.params.stage, snakemake.wildcards.figure
files, asked = stage["files"], stage["asked"]
outputs = list(snakemake.output)


def with_pictures(name, files):
    """Files of a scene, its pixel masks, and the shape of its pictures."""
    cuts = files.pop("cuts", None)
    scene = locate(find_scene(snakemake.config, name), read_json(cuts) if cuts else [])
    width, height = picture_size(scene.clips[0])
    truths = {clip.name: clip.ground_truth for clip in scene.clips}
    masks = {clip: truth.pixel_masks for clip, truth in truths.items() if truth is not None}
    masks = {clip: folder for clip, folder in masks.items() if folder is not None}
    return {**files, "pixel_masks": masks, "aspect": width / height}


with job(snakemake.log[0], figure):
    match figure:
        case "figure3":
            paper_figures.write_feedback_roc(files, outputs)
        case "figure4":
            scenes = {name: with_pictures(name, dict(one)) for name, one in files.items()}
            paper_figures.write_saliency(scenes, outputs, count=3 if len(scenes) < 3 else 1)
        case "figure5":
            paper_figures.write_anomaly_rates(files, outputs)
        case "figure6":
            paper_figures.write_iterations(files, outputs)
        case "ablations":
            studies = {name: asked["studies"][name]["variants"] for name in stage["ablations"]}
            paper_figures.write_ablations(files, studies, asked["main"], outputs)
        case "localisation":
            paper_figures.write_localisation(files, outputs)
