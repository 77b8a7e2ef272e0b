"""Evaluation: how varied, how close to the cohort, how well reconstructed."""
