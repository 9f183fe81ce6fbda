from pathlib import Path

from sdor.networks.backbones import load_backbone
from sdor.networks.compute import choose_compute
from sdor.operator.basis import camera_basis, int8_of, write_basis
from sdor.running.jobs import job
from sdor.running.run import began
from sdor.study.cameras import find_camera
from sdor.study.settings import MapSettings

stage, name = snakemake.params.stage, snakemake.wildcards.scene
output, auto = Path(snakemake.output[0]), stage["compute"]["precision"] == "auto"
with job(snakemake, f"basis of {name}") as work:
    compute = choose_compute(**stage["compute"], threads=snakemake.threads)
    backbone = load_backbone(Path(snakemake.input.weights))
    compute.place(backbone)
    camera = find_camera(name, snakemake.config, began())
    maps, size = MapSettings.read(stage["maps"]), stage["size"]
    write_basis(output, camera_basis(camera, backbone, compute, maps, size, tries_int8=auto))
    work.summary = f"{compute.describe()}{', looks in int8' * bool(int8_of(output))}"
