"""What the module puts into the MRML scene: volumes, segments, tables, latents, and where they come from.

No Qt: every function takes the scene (or a node of it) and runs as well in a script without windows.
"""
