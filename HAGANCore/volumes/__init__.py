"""Volumes: array and geometry, files, preprocessing and its inverse, thorax phantoms."""
