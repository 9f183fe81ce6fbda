from pathlib import Path

from sdor.networks.fetch import resolve_weights
from sdor.running.jobs import job

with job(snakemake, f"weights of {snakemake.wildcards.backbone}") as work:
    setting = snakemake.params.stage["setting"]
    found = resolve_weights(snakemake.wildcards.backbone, setting, Path(snakemake.output[0]))
    work.summary = f"{found.source}, sha256 {(found.sha256 or 'none')[:12]}"
