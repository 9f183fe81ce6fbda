from pathlib import Path

from sdor.method.maps import write_place_maps
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job
from sdor.study.settings import MapSettings
from sdor.video.store import FrameStore
from sdor.video.timeline import Timeline

w, stage, read = snakemake.wildcards, snakemake.params.stage, snakemake.input
with job(snakemake, f"maps of {w.scene}, {w.backbone} at {w.view}") as work:
    settings = MapSettings.named(w.looks)
    rows = Timeline.read(read.times, stage["rates"]).sampled(settings.fps)
    store = FrameStore({Path(path).stem: path for path in read.frames})
    write_place_maps(
        store,
        Path(read.weights),
        rows,
        settings,
        (Path(snakemake.output.maps), Path(snakemake.output.basis)),
        compute=choose_compute(**stage["compute"], threads=snakemake.threads),
    )
    work.summary = f"{len(rows):,} frames of {len(store):,}"
