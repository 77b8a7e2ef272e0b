"""What the HAGANSlicer module is made of: its panels, its worker, its scene logic, its scripting."""

from .core import add_core_to_path

add_core_to_path()
