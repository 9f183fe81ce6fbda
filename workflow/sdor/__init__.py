"""Self-trained deep ordinal regression for video anomaly detection (Pang et al., CVPR 2020).

Every anomaly score in this package follows one convention: the higher, the more anomalous.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["SelfTrainedOrdinalRegression"]


def __getattr__(name: str) -> Any:
    """Load the estimator, and torch with it, when somebody asks for it."""
    if name == "SelfTrainedOrdinalRegression":
        return importlib.import_module("sdor.method.estimator").SelfTrainedOrdinalRegression
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
