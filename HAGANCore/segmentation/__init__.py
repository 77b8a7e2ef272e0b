"""Lungs and bones, and their volumes in millilitres."""
