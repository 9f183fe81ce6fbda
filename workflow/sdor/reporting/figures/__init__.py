"""The figures of the paper and of each scene, one module each, in one look (`style`)."""
