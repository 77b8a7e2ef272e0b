"""Volumes: array and geometry, files, preprocessing and its inverse, cohorts, thorax phantoms."""
