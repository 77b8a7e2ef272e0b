"""Cohorts: the store, its manifest, and how a folder of scans becomes one."""
