"""Slicer without its application: the MRML scene, views and Qt that the tests of the Slicer module run on.

The scene, the module logics and the displayable managers are Slicer's own, from the ``slicer-core`` wheel.
What passes here has not been tested in the 3D Slicer application.
"""
