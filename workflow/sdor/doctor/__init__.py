"""What a machine offers, and what is missing for what."""
