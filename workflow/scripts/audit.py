from sdor.files import read_json, read_parquet, write_json, write_parquet
from sdor.running.jobs import job, logger
from sdor.study.scenes import find_scene
from sdor.video.audit import audit
from sdor.video.cuts import locate

with job(snakemake, f"label audit of {snakemake.wildcards.scene}") as work:
    cuts = snakemake.input.get("cuts")
    scene = locate(
        find_scene(
            snakemake.wildcards.scene,
            snakemake.config["scene_folder"],
            snakemake.config["data_root"],
        ),
        read_json(cuts) if cuts else [],
    )
    clips = read_parquet(snakemake.input.clips)
    table, summary = audit(scene, dict(zip(clips["clip"], clips["frames"].tolist(), strict=True)))
    units = {"frame": "from 1", "anomalous": "1 anomalous, 0 normal"}
    write_parquet(snakemake.output.table, table, units)
    write_json(snakemake.output.summary, summary)
    work.figure = "{anomalous_frames:,} of {labelled_frames:,} frames anomalous".format(**summary)
    if summary["disagreements"]:
        logger.info("labels and pixel masks differ in %d clips", len(summary["disagreements"]))
