"""What surrounds the work: one run a folder, logs and faults of jobs, and what they made."""
