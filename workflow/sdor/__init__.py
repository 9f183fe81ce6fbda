"""Self-trained deep ordinal regression for video anomaly detection (Pang et al., CVPR 2020).

Every anomaly score in this package follows one convention: the higher, the more anomalous.
"""

__version__ = "0.1.0"
