"""What a training run is told: its own numbers, and the options of the GAN that it trains."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import HaganError
from ..fields import check_fields, choice, flag, number, whole
from ..gans import gan_of
from ..gans.hagan import REFERENCE, HAGANOptions

Precision = Literal["auto", "float32", "bfloat16"]
MOST_BATCH = 4096
"""Beyond, no device holds an iteration, and the first sign would be memory that runs out."""
_NOT_FIELDS = ("size", "cohort")
"""Entries of a run's ``config.json`` that say what it was trained on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """Configuration of ``hagan train``. The size and the classes come from the cohort.

    In a configuration file and on the command line, the fields of the run and those of the GAN's options
    stand side by side; :meth:`of` and :meth:`changed` take them so.

    Raises:
        HaganError: a value that cannot be; the message names the field and the value.
    """

    gan: str = "hagan"
    """The GAN to train, a key of ``HAGANCore.gans.GANS``."""
    options: Any = field(default_factory=HAGANOptions)
    """The GAN's own options, an instance of its ``Options``."""
    name: str = "model"
    """Name of the model file made at the end."""
    conditional: bool = flag(
        False, "Use the cohort's classes; volumes with label -1 train everything but the class head."
    )
    iterations: int = whole(80_000, "Iterations; one runs each of the GAN's turns once.")
    batch: int = whole(4, "Volumes per step.", least=1, most=MOST_BATCH)
    accumulate: int = whole(
        1,
        "Parts a batch is split into to save memory; each draws its own random numbers, their gradients are "
        "averaged.",
        least=1,
    )
    ema_half_life: float = number(
        10_000.0,
        "Half-life, in volumes, of the moving average of the generator that is kept as the model; 0 keeps "
        "the generator itself.",
        least=0,
    )
    ema_ramp: float = number(
        0.05,
        "The half-life is at most this fraction of the volumes seen so far, so that early steps fade.",
        least=0,
    )
    shuffle: bool = flag(True, "Draw every volume once per epoch in a new order.")
    precision: Precision = choice(
        "auto",
        "auto is bfloat16 autocast where the device computes in it, else float32.",
        of=("auto", "float32", "bfloat16"),
    )
    seed: int = whole(0, "Everything random follows from it.", below=2**63)
    log_every: int = whole(20, "Iterations between lines of the log.", least=1)
    preview_every: int = whole(500, "Iterations between preview pictures.", least=1)
    checkpoint_minutes: float = number(10.0, "Minutes between checkpoints.", above=0)
    keep: int = whole(3, "Checkpoints kept.", least=1)

    def __post_init__(self) -> None:
        check_fields(self, "the training configuration")
        expected = gan_of(self.gan).Options
        if not isinstance(self.options, expected):
            raise HaganError(
                f"The options of the GAN '{self.gan}' must be {expected.__name__}; found "
                f"{type(self.options).__name__}."
            )
        if self.batch % self.accumulate:
            raise HaganError(
                f"'batch' ({self.batch}) must be divisible by 'accumulate' ({self.accumulate}), "
                "so that all parts weigh the same."
            )

    @classmethod
    def of(cls, **values: Any) -> TrainingConfig:
        """Return the default configuration with these fields, of the run or of the GAN."""
        return cls().changed(values)

    def changed(self, values: dict[str, Any]) -> TrainingConfig:
        """Return a configuration with these fields changed; unknown names are errors.

        Another ``gan`` starts from that GAN's own defaults.
        """
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        gan = plain.get("gan", self.gan)
        options = self.options if gan == self.gan else gan_of(gan).Options()
        of_gan = {field.name for field in fields(options)}
        of_run = {field.name for field in fields(self)} - {"options"}
        if unknown := sorted(set(plain) - of_run - of_gan):
            raise HaganError(
                f"The training configuration of '{gan}' has no field {', '.join(map(repr, unknown))}; "
                f"there are {', '.join(sorted(of_run | of_gan))}."
            )
        return replace(
            self,
            options=replace(options, **{name: plain[name] for name in plain.keys() & of_gan}),
            **{name: plain[name] for name in plain.keys() & of_run},
        )

    @property
    def all_iterations(self) -> int:
        """Iterations of the run, with those that the GAN's options add."""
        extra: int = self.options.extra_iterations
        return self.iterations + extra

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as it is written to ``config.json``: one flat object."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "options"}
        values |= asdict(self.options)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def of_run(cls, folder: Path) -> TrainingConfig:
        """Read the configuration that a run was started with."""
        values = _read_object(folder / "config.json")
        return cls().changed({name: value for name, value in values.items() if name not in _NOT_FIELDS})

    @classmethod
    def read(cls, path: Path | str) -> TrainingConfig:
        """Read a configuration file: a JSON object of fields, and optionally ``"preset"``."""
        values = _read_object(Path(path))
        return preset_named(values.pop("preset", "default"), values.get("gan", "hagan")).changed(values)


def preset_named(name: str, gan: str = "hagan") -> TrainingConfig:
    """Return a preset; an unknown name is an error that lists the names.

    ``reference`` is HA-GAN's alone; the defaults of the others are the published ones.
    """
    if name not in PRESETS:
        raise HaganError(f"There is no preset '{name}'; choose one of {', '.join(PRESETS)}.")
    preset = PRESETS[name]
    if gan != preset.gan and name != "default":
        raise HaganError(f"The preset '{name}' is one of '{preset.gan}', not of '{gan}'.")
    return preset.changed({"gan": gan})


def _read_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HaganError(f"The configuration '{path}' cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise HaganError(f"The configuration '{path}' is not valid JSON: {error}.") from None
    if not isinstance(values, dict):
        raise HaganError(f"The configuration '{path}' must be a JSON object.")
    return values


PRESETS = {
    "default": TrainingConfig(),
    "reference": TrainingConfig.of(ema_half_life=0.0, shuffle=False, precision="float32", **REFERENCE),
}
"""Named starting points for a configuration."""
