"""Generate, encode, refine; slab streaming; the plan for device and memory."""
