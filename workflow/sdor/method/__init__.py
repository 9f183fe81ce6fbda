"""The paper's method, from features to the final score."""
