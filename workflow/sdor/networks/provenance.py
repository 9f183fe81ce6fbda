"""Where trained weights came from: a record in the weights file, readable without torch."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from sdor.errors import SdorError
from sdor.study.settings import Settings

METADATA_KEY = "sdor"


@dataclass(frozen=True)
class Provenance(Settings):
    """Where weights came from, and what the network needs to use them as they were trained.

    Attributes
    ----------
    source : words such as "torchvision ResNet50_Weights.IMAGENET1K_V1", or "random".
    sha256 : of the file as it was found (empty for random weights).
    stride_in_1x1, bn_eps, classifier : see `Backbone`.
    """

    architecture: str
    source: str
    sha256: str
    stride_in_1x1: bool = False
    bn_eps: float | None = None
    classifier: bool = True


def read_provenance(path: Path) -> Provenance:
    """Where the weights in a file that `fetch.resolve_weights` wrote came from.

    Raises
    ------
    SdorError : the file is damaged, or holds no such record.
    """
    try:
        with safe_open(path, "np") as file:
            return Provenance(**json.loads((file.metadata() or {})[METADATA_KEY]))
    except (OSError, SafetensorError, KeyError) as error:
        raise SdorError(
            f"{path}: damaged weights, or not from here ({error}); delete it and run again"
        ) from error
