"""Model files: the format, the registry, the import of published checkpoints."""
