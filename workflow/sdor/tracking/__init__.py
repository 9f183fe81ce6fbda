"""The view of the results in MLflow."""
