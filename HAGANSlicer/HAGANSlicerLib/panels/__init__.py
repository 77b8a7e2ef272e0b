"""The panels of the module, one file each. A panel never imports another panel: they meet in the context."""
