# What the rules of competitors.smk ask for.

DEL_GIORNO = ("w100", "w10")
UNMASKING = "results/{scene}/competitors/{backbone}-{view}"


def grey_frames(scene, masks):
    """The frames in which motion is looked for."""
    view = "160x120-grey" + ("" if masks else "-unmasked")
    return frame_files(scene, view)


def competitor_files(wildcards):
    """Row of the tables: file of a competitor's scores, for the main variant."""
    if wildcards.variant != PLAN.main:
        return {}
    files = {}
    for name in STUDY.competitors:
        if name.startswith("del_giorno"):
            for setting in DEL_GIORNO:
                files[f"{name}_{setting}"] = f"{RUN}/competitors/{name}_{setting}.parquet"
        else:
            folder = UNMASKING if name == "unmasking" else f"{RUN}/competitors"
            channels = {"appearance": "_appearance", "motion": "_motion", "fused": ""}
            prefix = name.removesuffix("_test")
            for channel, suffix in channels.items():
                row = f"{prefix}{suffix}" if suffix else name
                files[row] = f"{folder}/{name}-{channel}.parquet"
    names = {**wildcards, **named_files(wildcards.variant)}
    return {row: path.format(**names) for row, path in files.items()}


def named_files(variant):
    """Wildcards of files that variants share: the network, and the view of the frames."""
    method = METHODS[variant]
    return {"backbone": method.backbone, "view": method.view}
