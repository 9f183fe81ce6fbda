"""The places of the picture, and how long what is seen there is smoothed."""

GRID = 7  # places on each side of the frame
PLACES = GRID * GRID
# Seconds: sigma by which what is measured, and by which scores are smoothed in time.
FEATURES, SCORES = 0.2, 0.5
