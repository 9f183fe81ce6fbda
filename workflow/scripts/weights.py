from pathlib import Path

from sdor.jobs import job, logger
from sdor.weights import resolve_weights

with job(snakemake.log[0], f"weights of {snakemake.wildcards.backbone}"):
    setting = snakemake.params.stage["setting"]
    found = resolve_weights(snakemake.wildcards.backbone, setting, Path(snakemake.output[0]))
    logger.info("%s, sha256 %s", found.source, found.sha256 or "none")
