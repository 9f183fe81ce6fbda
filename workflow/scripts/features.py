from pathlib import Path

from sdor.method.features import extract_features
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job
from sdor.video.store import FrameStore

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"features of {w.scene}, {w.backbone} at {w.view}") as work:
    store = FrameStore({Path(path).stem: path for path in snakemake.input.frames})
    extract_features(
        store,
        Path(snakemake.input.weights),
        Path(snakemake.output.features),
        bins=Path(snakemake.output.bins),
        compute=choose_compute(**stage["compute"], threads=snakemake.threads),
        about=stage,
    )
    work.summary = f"{len(store):,} frames"
