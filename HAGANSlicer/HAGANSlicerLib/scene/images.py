"""Arrays (z, y, x) in VTK images: copied once, updated in place where type and shape stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

from HAGANCore.errors import HaganError

_STORED_AS = {"b": np.uint8, "f2": np.float32, "i8": np.int32, "u8": np.uint32}
"""Types that MRML's volumes cannot hold or cannot show, and what stands for them."""


def fill_image(image: vtk.vtkImageData, array: npt.NDArray) -> bool:
    """Copy ``array`` (z, y, x) into an image; return whether the image kept its shape and type.

    Raises:
        HaganError: the array has not three axes, or no voxels.
    """
    if array.ndim != 3 or not array.size:
        raise HaganError(
            _("A volume must have three axes and at least one voxel; found {shape}.").format(
                shape=array.shape
            )
        )
    dtype = _stored_type(array.dtype)
    kept = _view_or_none(image, array.shape, dtype)
    if kept is not None:
        np.copyto(kept, array, casting="unsafe")
        image.GetPointData().GetScalars().Modified()
        return True
    image.SetDimensions(*array.shape[::-1])
    image.AllocateScalars(get_vtk_array_type(dtype), 1)
    np.copyto(image_array(image), array, casting="unsafe")
    return False


def image_array(image: vtk.vtkImageData) -> npt.NDArray:
    """Return the voxels of an image as an array (z, y, x) that shares their memory."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def _stored_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    for code in (dtype.kind, f"{dtype.kind}{dtype.itemsize}"):
        if code in _STORED_AS:
            return np.dtype(_STORED_AS[code])
    return dtype.newbyteorder("=")


def _view_or_none(
    image: vtk.vtkImageData, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> npt.NDArray | None:
    scalars = image.GetPointData().GetScalars()
    if scalars is None or scalars.GetNumberOfComponents() != 1 or image.GetDimensions()[::-1] != shape:
        return None
    view = image_array(image)
    return view if view.dtype == dtype else None
