# What the rules of tables.smk ask for, and what tables, figures and report share.

# What tables and figures are told about the study, beside its files.
ASKED = {
    "main": PLAN.main,
    "studies": {
        name: one.as_document()
        for name, one in {
            "backbones": PLAN.backbones,
            "anomaly_rate": PLAN.anomaly_rates,
            **PLAN.ablations,
        }.items()
        if one.variants
    },
    "pools": {name: pool.as_document() for name, pool in PLAN.pools.items()},
    "not_run": PLAN.not_run,
}


def paths_in(files):
    """All paths in nested lists and mappings."""
    if isinstance(files, str):
        return [files]
    parts = files.values() if isinstance(files, dict) else files
    return [path for part in parts for path in paths_in(part)]
