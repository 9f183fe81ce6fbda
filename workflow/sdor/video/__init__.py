"""From video files to stored frames and their ground truth."""
