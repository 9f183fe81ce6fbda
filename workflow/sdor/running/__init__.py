"""What surrounds the work: logs, records, and the state of runs."""
