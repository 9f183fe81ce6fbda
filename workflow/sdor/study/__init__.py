"""What is asked for: configs and scene files, and what runs again after a change."""
