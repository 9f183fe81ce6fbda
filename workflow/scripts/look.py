from pathlib import Path

from sdor.networks.compute import choose_compute
from sdor.operator.archive import look_at_camera
from sdor.operator.basis import open_eye
from sdor.operator.pace import duration
from sdor.progress import counted
from sdor.running.jobs import job
from sdor.running.run import began, say_line
from sdor.study.cameras import find_camera

stage, read, name = snakemake.params.stage, snakemake.input, snakemake.wildcards.scene
output = Path(snakemake.output[0])
with job(snakemake, f"look at {name}") as work:
    compute = choose_compute(**stage["compute"], threads=snakemake.threads)
    camera = find_camera(name, snakemake.config, began())
    eye = open_eye(Path(read.weights), Path(read.basis), compute, stage, camera.masks)
    about = {**stage, "files": None, "root": str(camera.root.absolute())}
    files, threads = (output, output.with_name("looks")), snakemake.threads
    table = look_at_camera(camera, eye, files, threads=threads, say=say_line, about=about)
    unread = sum(table["failure"] != "")
    more = f"; {counted(unread, 'file')} cannot be read" * bool(unread)
    work.summary = f"{duration(table['seconds'].sum())} of video; files: {len(table):,}{more}"
