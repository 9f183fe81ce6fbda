"""The local page on which an operator says of moments whether they are anomalies."""
