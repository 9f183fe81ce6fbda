"""The figures of the paper and of each scene, one module each, in one look (`style`).

`draw` of each gives the figure, or a note in words where there is nothing to show; an SdorError
names a file that is missing, damaged, or does not fit to the others.
"""
