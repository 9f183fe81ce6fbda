"""What an operator with a disk full of video uses: a watchlist of the few moments worth watching."""
