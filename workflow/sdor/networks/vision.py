"""torchvision, importable also beside a build of torch without CUDA.

The wheels of torchvision on the Python package index link their C++ operators to CUDA. Beside a
CPU build of torch these do not load, and the import fails because the schemas of `nms` and `qnms`
are unknown. Models and transforms need neither operator: declaring the two schemas is enough.
Where the operators load, nothing is declared.

The import takes longer than that of torch, so it waits until a network is built.
"""

import importlib
import sys
from functools import cache
from typing import Any

import torch

_declared: list[torch.library.Library] = []


@cache
def models() -> Any:
    """The module torchvision.models."""
    try:
        return importlib.import_module("torchvision.models")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    _declared.append(library)
    return importlib.import_module("torchvision.models")
