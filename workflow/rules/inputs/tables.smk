# What the rules of tables.smk ask for, and what tables, figures and report share.


def paths_in(files):
    """All paths in nested lists and mappings."""
    if isinstance(files, str):
        return [files]
    parts = files.values() if isinstance(files, dict) else files
    return [path for part in parts for path in paths_in(part)]
