from sdor.files import read_parquet, write_json, write_parquet
from sdor.running.jobs import job, logger
from sdor.video.audit import audit
from sdor.video.cuts import located_scene

w = snakemake.wildcards
with job(snakemake, f"label audit of {w.scene}") as work:
    scene = located_scene(w.scene, snakemake.config, snakemake.input.get("cuts"))
    clips, times = read_parquet(snakemake.input.clips), read_parquet(snakemake.input.times)
    table, summary = audit(scene, clips, times)
    for remark in summary["remarks"]:
        logger.warning(remark)
    units = {"frame": "from 1", "anomalous": "1 anomalous, 0 normal"}
    write_parquet(snakemake.output.table, table, {**units, "remarks": summary["remarks"]})
    write_json(snakemake.output.summary, summary)
    work.summary = "{anomalous_frames:,} of {labelled_frames:,} frames anomalous".format(**summary)
    if summary["disagreements"]:
        logger.info("labels and pixel masks differ in %d clips", len(summary["disagreements"]))
    for name, rows in summary["rows_of_no_clip"].items():
        logger.info("%s: rows of no clip of this scene: %d", name, rows)
