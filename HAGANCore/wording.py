"""How numbers with a unit are written for a person: millilitres, Hounsfield units, shares. One place for
all.
"""

from __future__ import annotations

MINUS = "\N{MINUS SIGN}"


def millilitres_text(value: float, signed: bool = False) -> str:
    """Return millilitres without decimals, which no segmentation can know.

    >>> millilitres_text(3753.16), millilitres_text(-1220.4), millilitres_text(1220.4, signed=True)
    ('3,753 mL', '\N{MINUS SIGN}1,220 mL', '+1,220 mL')
    """
    return f"{_number(value, 0, signed)} mL"


def hounsfield_text(value: float, decimals: int = 0) -> str:
    """Return Hounsfield units.

    >>> hounsfield_text(-850.4), hounsfield_text(199.26, 1)
    ('\N{MINUS SIGN}850 HU', '199.3 HU')
    """
    return f"{_number(value, decimals)} HU"


def percent_text(share: float, decimals: int = 1, signed: bool = False) -> str:
    """Return a share of 1 in percent.

    >>> percent_text(0.2037), percent_text(0.0951, signed=True)
    ('20.4 %', '+9.5 %')
    """
    return f"{_number(100.0 * share, decimals, signed)} %"


def share_text(count: int, total: int, decimals: int = 2) -> str:
    """Return a count of voxels in percent; the count itself where the percent would round to 0 or to 100.

    >>> share_text(2, 8_000_000), share_text(400_000, 8_000_000), share_text(7_999_999, 8_000_000)
    ('2 voxels', '5.00 %', '7,999,999 voxels')
    """
    text = percent_text(count / total, decimals)
    misleading = {percent_text(0.0, decimals): 0, percent_text(1.0, decimals): total}
    return f"{count:,} voxel{'s' if count != 1 else ''}" if misleading.get(text, count) != count else text


def amount_text(value: float, unit: str, decimals: int = 0, signed: bool = False) -> str:
    """Return a number with its unit, whatever that is.

    >>> amount_text(-213, "mL", signed=True), amount_text(0.25, "", 2), amount_text(60, "years")
    ('\N{MINUS SIGN}213 mL', '0.25', '60 years')
    """
    return f"{_number(value, decimals, signed)} {unit}".rstrip()


def short_text(value: float, unit: str = "", signed: bool = False) -> str:
    """Return what was measured as short as it is worth: three digits, none behind the point from 100 on.

    >>> short_text(478.4, "mL", signed=True), short_text(-18.25, "HU"), short_text(5022.3)
    ('+478 mL', '\N{MINUS SIGN}18.2 HU', '5,022')
    """
    if abs(value) >= 100:
        return amount_text(value, unit, signed=signed)
    return f"{_sign(value, signed)}{abs(value):.3g} {unit}".rstrip()


def given_text(value: float, unit: str = "", signed: bool = False) -> str:
    """Return what a person asked for, to six digits and all before the point.

    >>> given_text(-500, "mL"), given_text(500.4, "mL", signed=True), given_text(1e6)
    ('\N{MINUS SIGN}500 mL', '+500.4 mL', '1,000,000')
    """
    digits = f"{abs(value):,.0f}" if abs(value) >= 1e5 else f"{abs(value):,.6g}"
    return f"{_sign(value, signed)}{digits} {unit}".rstrip()


def _sign(value: float, signed: bool) -> str:
    return MINUS if value < 0 else "+" if signed and value else ""


def _number(value: float, decimals: int, signed: bool = False) -> str:
    rounded = round(value, decimals) + 0.0  # no negative zero
    return f"{rounded:{'+' if signed and rounded else ''},.{decimals}f}".replace("-", MINUS)
