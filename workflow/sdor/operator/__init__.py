"""What an operator with a disk full of video uses: a watchlist of moments worth watching."""
