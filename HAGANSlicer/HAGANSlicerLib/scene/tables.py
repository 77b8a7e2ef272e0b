"""Tables: volumes in mL and percent, and errors of a reconstruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk
from slicer.i18n import tr as _

MEASURED = (
    ("right_lung_ml", _("Right lung"), "mL"),
    ("left_lung_ml", _("Left lung"), "mL"),
    ("lungs_ml", _("Lungs"), "mL"),
    ("bones_ml", _("Bone"), "mL"),
    ("thorax_ml", _("Thorax"), "mL"),
    ("lungs_percent", _("Lungs of thorax"), "%"),
    ("bones_percent", _("Bone of thorax"), "%"),
)
"""Key of a measurement, its title, its unit."""
ERRORS = (
    ("mae_hu", _("Mean absolute error"), "HU"),
    ("mae", _("Mean absolute error"), ""),
    ("own_mae_hu", _("Mean absolute error on the model's own volumes"), "HU"),
    ("own_mae", _("Mean absolute error on the model's own volumes"), ""),
    ("psnr_db", _("Peak signal-to-noise ratio"), "dB"),
    ("ssim", _("Structural similarity (3D)"), ""),
)
Column = tuple[str, str, Sequence[str] | npt.NDArray[np.float64]]
"""Title, unit, and values: a list of texts or an array of numbers."""
ORGANS = {
    "lungs": _("Lungs"),
    "right_lung": _("Right lung"),
    "left_lung": _("Left lung"),
    "bones": _("Bone"),
    "thorax": _("Thorax"),
}
_MEASURED_IN = {"lung_density_hu": "lungs", "emphysema_percent": "lungs"}
"""The organ of measurements that are not called after one."""
DECIMALS = {"mL": 1, "%": 1, "HU": 1, "dB": 1, "": 3}
"""Decimals that a unit is shown with: more would claim what no segmentation can know."""
TISSUES = {"air": _("air"), "lung": _("lung"), "soft_tissue": _("soft tissue"), "bone": _("bone")}


def measurements_table(
    scene: Any,
    name: str,
    rows: Sequence[tuple[str, Mapping[str, float]]],
    node: Any = None,
    remarks: Sequence[str] = (),
) -> Any:
    """Fill a table with one row per volume: mL of lungs and bones, percent of the thorax, and remarks.

    Args:
        scene: the vtkMRMLScene.
        name: of a new node.
        rows: name of a volume and its ``measurements``; percent are worked out where they are missing.
        node: a table to fill again; None adds one.
        remarks: :func:`remarks_text` of each row, where there is any.

    Returns:
        The vtkMRMLTableNode.
    """
    measured = [with_percent(values) for title, values in rows]
    columns: list[Column] = [(_("Volume"), "", [title for title, values in rows])]
    for key, title, unit in MEASURED:
        numbers = np.array([values.get(key, np.nan) for values in measured], float).round(DECIMALS[unit])
        columns.append((f"{title} ({unit})", unit, numbers))
    columns.append((_("Remarks"), "", list(remarks) or [""] * len(rows)))
    return fill_table(scene, name, columns, node)


def remarks_text(labels: Mapping[str, Any]) -> str:
    """Return what belongs beside the numbers of a segmentation: which are incomplete or doubtful."""
    said: Mapping[str, str] = labels.get("remarks") or {}
    return "; ".join(f"{ORGANS[organ]}: {text}" for organ, text in said.items() if organ != "lungs")


def remark_on(target: str, labels: Mapping[str, Any] | None) -> str:
    """Return what belongs beside one measurement of a segmentation, such as "incomplete (bottom), doubtful".

    Args:
        target: name of the measurement, such as ``left_lung_ml`` or ``lung_density_hu``.
        labels: of a message; None where nothing was outlined.
    """
    said: Mapping[str, str] = (labels or {}).get("remarks") or {}
    return said.get(_MEASURED_IN.get(target) or target.rpartition("_")[0], "")


def add_row(node: Any, title: str, measurements: Mapping[str, float], remarks: str = "") -> None:
    """Add one volume to a table of :func:`measurements_table`."""
    values = with_percent(measurements)
    row = node.AddEmptyRow()
    table = node.GetTable()
    table.SetValue(row, 0, vtk.vtkVariant(title))
    for column, (key, _title, unit) in enumerate(MEASURED, start=1):
        value = round(float(values.get(key, "nan")), DECIMALS[unit])
        table.SetValue(row, column, vtk.vtkVariant(value))
    table.SetValue(row, len(MEASURED) + 1, vtk.vtkVariant(remarks))
    table.Modified()
    node.Modified()


def error_table(scene: Any, name: str, errors: Mapping[str, Any], node: Any = None) -> Any:
    """Fill a table with the errors of a reconstruction, one measure per row.

    Args:
        scene: the vtkMRMLScene.
        name: of a new node.
        errors: ``errors`` of an encode result.
        node: a table to fill again; None adds one.
    """
    rows = [(title, float(errors[key]), unit) for key, title, unit in ERRORS if errors.get(key) is not None]
    for key, unit in (("tissue_mae_hu", "HU"), ("tissue_mae", "")):
        for tissue, value in errors.get(key, {}).items():
            rows.append(
                (
                    _("Mean absolute error in {tissue}").format(tissue=TISSUES.get(tissue, tissue)),
                    float(value),
                    unit,
                )
            )
    columns: list[Column] = [
        (_("Measure"), "", [row[0] for row in rows]),
        (_("Value"), "", np.array([round(value, DECIMALS[unit]) for title, value, unit in rows], float)),
        (_("Unit"), "", [row[2] for row in rows]),
    ]
    return fill_table(scene, name, columns, node)


def fill_table(scene: Any, name: str, columns: Sequence[Column], node: Any = None) -> Any:
    """Fill a table node with columns: title, unit, values.

    Returns:
        ``node``, or a new vtkMRMLTableNode.
    """
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    modified = node.StartModify()
    try:
        node.RemoveAllColumns()
        node.SetUseColumnTitleAsColumnHeader(True)
        node.SetDefaultColumnType("double")
        for title, unit, values in columns:
            array = node.AddColumn(_column(title, values))
            node.SetColumnTitle(array.GetName(), title)
            if unit:
                node.SetColumnUnitLabel(array.GetName(), unit)
        node.SetLocked(True)  # measured, not typed
    finally:
        node.EndModify(modified)
    return node


def with_percent(measurements: Mapping[str, float]) -> dict[str, float]:
    """Return the measurements with lungs and bones in percent of the thorax, where that is known."""
    values = dict(measurements)
    thorax = values.get("thorax_ml", 0.0)
    for organ in ("lungs", "bones"):
        if thorax and f"{organ}_ml" in values:
            values.setdefault(f"{organ}_percent", 100.0 * values[f"{organ}_ml"] / thorax)
    return values


def _column(title: str, values: Sequence[str] | npt.NDArray[np.float64]) -> vtk.vtkAbstractArray:
    array = vtk.vtkDoubleArray() if isinstance(values, np.ndarray) else vtk.vtkStringArray()
    array.SetName(title)
    for value in values:
        array.InsertNextValue(value)
    return array
