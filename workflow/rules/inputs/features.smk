# What the rules of features.smk ask for.


def features_file(scene, method, layer=None):
    """The features of all frames that a method starts from."""
    layer = layer or method.features
    return f"results/{scene}/features/{method.backbone}-{layer}-{method.view}.parquet"


def weights_file(wildcards):
    return f"results/weights/{METHODS[wildcards.variant].backbone}.safetensors"
