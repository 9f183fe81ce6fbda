from pathlib import Path

from sdor.compute import choose_compute
from sdor.features import extract_trunk_maps
from sdor.frames import FrameStore
from sdor.jobs import job

w = snakemake.wildcards
with job(snakemake, f"trunk maps of {w.scene}, {w.backbone} at {w.view}") as work:
    store = FrameStore({Path(path).stem: path for path in snakemake.input.frames})
    extract_trunk_maps(
        store,
        Path(snakemake.input.weights),
        Path(snakemake.output[0]),
        compute=choose_compute(**snakemake.params.stage["compute"], threads=snakemake.threads),
    )
    work.figure = f"{len(store):,} frames"
