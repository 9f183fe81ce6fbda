from sdor.files import read_json
from sdor.reporting import paper_figures
from sdor.running.jobs import job
from sdor.study.scenes import find_scene
from sdor.video.cuts import locate

stage, figure = snakemake.params.stage, snakemake.wildcards.figure
files, asked = stage["files"], stage["asked"]
outputs = list(snakemake.output)


def with_pictures(name, files):
    cuts = files.get("cuts")
    scene = locate(
        find_scene(name, snakemake.config["scene_folder"], snakemake.config["data_root"]),
        read_json(cuts) if cuts else [],
    )
    return {**files, **paper_figures.pictures_of(scene)}


with job(snakemake, figure):
    match figure:
        case "figure3":
            paper_figures.write_feedback_roc(files, outputs)
        case "figure4":
            scenes = {name: with_pictures(name, one) for name, one in files.items()}
            paper_figures.write_saliency(scenes, outputs)
        case "figure5":
            paper_figures.write_anomaly_rates(files, outputs)
        case "figure6":
            paper_figures.write_iterations(files, outputs)
        case "ablations":
            studies = {name: asked["studies"][name]["variants"] for name in stage["ablations"]}
            paper_figures.write_ablations(files, studies, asked["main"], outputs)
        case "localisation":
            paper_figures.write_localisation(files, outputs)
