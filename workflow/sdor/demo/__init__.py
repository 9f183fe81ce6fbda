"""The rendered scene of the demo."""
