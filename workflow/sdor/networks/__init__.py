"""Backbones with their weights, the device that they run on, and tables of features."""
