from pathlib import Path

from sdor.method.features import extract_trunk_maps
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job
from sdor.video.store import FrameStore

w = snakemake.wildcards
with job(snakemake, f"trunk maps of {w.scene}, {w.backbone} at {w.view}") as work:
    store = FrameStore({Path(path).stem: path for path in snakemake.input.frames})
    extract_trunk_maps(
        store,
        Path(snakemake.input.weights),
        Path(snakemake.output[0]),
        compute=choose_compute(**snakemake.params.stage["compute"], threads=snakemake.threads),
    )
    work.summary = f"{len(store):,} frames"
