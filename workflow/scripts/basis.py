from pathlib import Path

from sdor.networks.backbones import load_backbone
from sdor.networks.compute import choose_compute
from sdor.operator.basis import camera_basis, write_basis
from sdor.running.jobs import job
from sdor.running.run import began
from sdor.study.cameras import find_camera
from sdor.study.settings import MapSettings

stage, name = snakemake.params.stage, snakemake.wildcards.scene
with job(snakemake, f"basis of {name}"):
    compute = choose_compute(**stage["compute"], threads=snakemake.threads)
    backbone = load_backbone(Path(snakemake.input.weights))
    compute.place(backbone)
    camera = find_camera(name, snakemake.config, began())
    maps = MapSettings.read(stage["maps"])
    write_basis(
        Path(snakemake.output[0]), camera_basis(camera, backbone, compute, maps, stage["size"])
    )
