from pathlib import Path

from sdor.method.features import extract_features
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job
from sdor.video.store import FrameStore

w = snakemake.wildcards
with job(snakemake, f"{w.layer} of {w.scene}, {w.backbone} at {w.view}") as work:
    store = FrameStore({Path(path).stem: path for path in snakemake.input.frames})
    extract_features(
        store,
        Path(snakemake.input.weights),
        Path(snakemake.output[0]),
        layer=w.layer,
        compute=choose_compute(**snakemake.params.stage["compute"], threads=snakemake.threads),
        about=snakemake.params.stage,
    )
    work.summary = f"{len(store):,} frames"
