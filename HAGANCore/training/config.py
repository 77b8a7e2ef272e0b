"""What a training run is told: every number, its default and its reason."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import HaganError
from ..networks import Architecture, Normalisation

SlabDraw = Literal["feature-grid", "voxel-grid"]
LowResolution = Literal["area", "nearest"]
Prior = Literal["normal", "encoded"]
Precision = Literal["auto", "float32", "bfloat16"]
_CHOICES: dict[str, tuple[str, ...]] = {
    "slab_draw": get_args(SlabDraw),
    "low_resolution": get_args(LowResolution),
    "prior": get_args(Prior),
    "precision": get_args(Precision),
    "normalisation": get_args(Normalisation),
}
_AT_LEAST_ZERO = (
    "class_weight",
    "reconstruction_weight",
    "tissue_weight",
    "content_weight",
    "latent_weight",
    "ema_half_life",
    "ema_ramp",
)
MOST_BATCH = 4096
"""Beyond, no device holds an iteration, and the first sign would be memory that runs out."""
AUGMENTATIONS = ("intensity", "shift", "cutout")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """Configuration of ``hagan train``. The size and the classes come from the cohort.

    Defaults are the paper's (section IV-B) where they are not known to be defects; ``PRESETS`` holds the
    published behaviour as ``reference``.

    Raises:
        HaganError: a value that cannot be; the message names the field and the value.
    """

    name: str = "model"
    """Name of the model file made at the end."""
    latent: int = 1024
    """Length of the latent z."""
    conditional: bool = False
    """Use the cohort's classes; volumes with label -1 train everything but the class head."""
    generator_width: int = 32
    """Channels of G^H; the other blocks follow (see ``Architecture``)."""
    discriminator_width: int = 512
    """Channels of the widest layer of D^H."""
    ground_encoder_width: int = 256
    """Channels of the widest layer of E^G."""
    normalisation: Normalisation = "slab-consistent"
    """How G^H normalises (see ``Architecture``)."""
    iterations: int = 80_000
    """One iteration runs each phase once: D, G, E^H, E^G."""
    encoder_iterations: int = 0
    """Iterations after those that train only E^H and E^G, against the finished generator, at a rate that
    falls to 0."""
    batch: int = 4
    """Volumes per iteration."""
    accumulate: int = 1
    """Parts a batch is split into to save memory; each draws its own slab, their gradients are averaged."""
    lr_generator: float = 1e-4
    """Adam's learning rate of G."""
    lr_discriminator: float = 4e-4
    """Adam's learning rate of D."""
    lr_encoder: float = 1e-4
    """Adam's learning rate of E^H and E^G."""
    encoder_momentum: float = 0.0
    """Adam's β₁ of E^H and E^G. The paper's 0 suits two networks that play against each other; encoders
    fit something that hardly moves, and learn faster with 0.9 and a higher rate."""
    class_weight: float = 0.1
    """Weight of the class loss in G (auxiliary classifier)."""
    reconstruction_weight: float = 0.0
    """Weight, in G, of the L1 between real volumes and what G makes of their encoded latents (as in
    VAE-GAN and α-GAN). The paper has none; small models on small budgets vary more with it."""
    judge_reconstructions: bool = False
    """Let D judge reconstructions of real volumes beside generated ones, so that they become as sharp (as in
    VAE-GAN and α-GAN); only with ``reconstruction_weight``. The paper does not."""
    tissue_weight: float = 0.0
    """Weight, beside a reconstruction's L1 in G and in E^G, of the difference in how much of each intensity
    lies in each block of (R/8)³ (``contents.tissue_error``), so that millilitres survive encoding; and in G
    of how differently generated and real volumes are distributed in them (``contents.tissue_distance``)."""
    content_weight: float = 0.0
    """Weight, in E^G, of how well a linear map of the latent tells the histogram of the volume
    (``contents.ContentHead``), so that the latent also says what is only brighter or darker."""
    prior: Prior = "normal"
    """What latents of generated volumes are drawn from: N(0, I), or a normal distribution that follows the
    encoded latents (``prior.LatentPrior``), so that generated volumes vary as scans do and a direction means
    the same for both; with ``reconstruction_weight``, which teaches G these latents."""
    prior_width: float = 1.0
    """How many times as wide the N(0, I) of the model file is as what G was trained with: the moving average
    of G answers with a little less spread than the cohort has. 1.1 mended that in the demonstration model."""
    latent_weight: float = 0.01
    """Weight, in E^G, of how far the mean square of an encoded latent (about the prior's mean) is from 1.
    Without it encoded latents drift to ten times the norm of those G is trained with."""
    ema_half_life: float = 10_000.0
    """Half-life, in volumes, of the moving average of G that is kept as the model; 0 keeps G itself."""
    ema_ramp: float = 0.05
    """The half-life is at most this fraction of the volumes seen so far, so that early steps fade."""
    encode_for_average: bool = True
    """Train the encoders against the averaged generator, the one that is shipped."""
    share_fakes: bool = True
    """Use the same generated volumes in D and G: one forward of G less per iteration. Not where a batch is
    split (``accumulate``): what G keeps for its gradients would be held for all parts at once."""
    slab_draw: SlabDraw = "feature-grid"
    """``feature-grid`` cuts features and voxels at the same place and draws the ends of the volume as
    often as its middle; ``voxel-grid`` is the published draw, off by 1–3 slices three times in four. E^H
    learns from one of the eight slabs that a volume is encoded by, or from the drawn one, as published."""
    low_resolution: LowResolution = "area"
    """How real volumes are brought to R/4: averaged, or every fourth voxel (published; aliased)."""
    augment: tuple[str, ...] = ()
    """Differentiable augmentation of what D sees, for small cohorts: any of intensity, shift, cutout."""
    shuffle: bool = True
    """Draw every volume once per epoch in a new order."""
    precision: Precision = "auto"
    """``auto`` is bfloat16 autocast where the device computes in it, else float32."""
    seed: int = 0
    """Everything random follows from it."""
    log_every: int = 20
    """Iterations between lines of the log."""
    preview_every: int = 500
    """Iterations between preview pictures."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints."""
    keep: int = 3
    """Checkpoints kept."""

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise _wrong(name, getattr(self, name), f"one of {', '.join(allowed)}")
        for name in ("batch", "accumulate", "log_every", "preview_every", "keep", "latent"):
            _require_whole(name, getattr(self, name), least=1)
        if self.batch > MOST_BATCH:
            raise _wrong("batch", self.batch, f"at most {MOST_BATCH:,}")
        for name in ("iterations", "encoder_iterations", "seed"):
            _require_whole(name, getattr(self, name), least=0)
        if self.seed >= 2**63:
            raise _wrong("seed", self.seed, "below 2⁶³")
        for name in ("lr_generator", "lr_discriminator", "lr_encoder", "checkpoint_minutes", "prior_width"):
            if not _is_number(getattr(self, name)) or not 0 < getattr(self, name) < float("inf"):
                raise _wrong(name, getattr(self, name), "a positive number")
        for name in _AT_LEAST_ZERO:
            if not _is_number(getattr(self, name)) or not 0 <= getattr(self, name) < float("inf"):
                raise _wrong(name, getattr(self, name), "a number of at least 0")
        if not _is_number(self.encoder_momentum) or not 0 <= self.encoder_momentum < 1:
            raise _wrong("encoder_momentum", self.encoder_momentum, "a number from 0 to below 1")
        for name in ("conditional", "encode_for_average", "judge_reconstructions", "share_fakes", "shuffle"):
            if not isinstance(getattr(self, name), bool):
                raise _wrong(name, getattr(self, name), "true or false")
        if not isinstance(self.augment, tuple) or any(kind not in AUGMENTATIONS for kind in self.augment):
            raise _wrong("augment", self.augment, f"a list of {', '.join(AUGMENTATIONS)}")
        if self.batch % self.accumulate:
            raise HaganError(
                f"'batch' ({self.batch}) must be divisible by 'accumulate' ({self.accumulate}), "
                "so that all parts weigh the same."
            )

    @property
    def judges_reconstructions(self) -> bool:
        """Whether D sees reconstructions; G makes them only where they weigh something."""
        return self.judge_reconstructions and self.reconstruction_weight > 0

    def architecture(self, size: int, classes: int) -> Architecture:
        """Return the networks' numbers for a cohort of this size and number of classes."""
        return Architecture(
            size=size,
            latent=self.latent,
            classes=classes if self.conditional else 0,
            generator_width=self.generator_width,
            discriminator_width=self.discriminator_width,
            ground_encoder_width=self.ground_encoder_width,
            normalisation=self.normalisation,
        )

    @property
    def reuses_fakes(self) -> bool:
        """Whether G is trained on the volumes that D has just judged."""
        return self.share_fakes and self.accumulate == 1

    @property
    def total_iterations(self) -> int:
        """Iterations of all phases and of the encoders alone."""
        return self.iterations + self.encoder_iterations

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as it is written to ``config.json``."""
        return {**asdict(self), "augment": list(self.augment)}

    def changed(self, values: dict[str, Any]) -> TrainingConfig:
        """Return a configuration with these fields changed; unknown names are errors."""
        known = {field.name for field in fields(self)}
        if unknown := sorted(set(values) - known):
            raise HaganError(
                f"The training configuration has no field {', '.join(map(repr, unknown))}; "
                f"there are {', '.join(sorted(known))}."
            )
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return replace(self, **plain)

    @classmethod
    def of_run(cls, folder: Path) -> TrainingConfig:
        """Read the configuration that a run was started with."""
        values = _read_object(folder / "config.json")
        return cls().changed(
            {name: value for name, value in values.items() if name not in ("size", "cohort")}
        )

    @classmethod
    def read(cls, path: Path | str) -> TrainingConfig:
        """Read a configuration file: a JSON object of fields, and optionally ``"preset"``."""
        values = _read_object(Path(path))
        return preset_named(values.pop("preset", "default")).changed(values)


def preset_named(name: str) -> TrainingConfig:
    """Return a preset; an unknown name is an error that lists the names."""
    if name not in PRESETS:
        raise HaganError(f"There is no preset '{name}'; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise _wrong(name, value, f"a whole number of at least {least}")


def _wrong(name: str, value: object, expected: str) -> HaganError:
    return HaganError(f"'{name}' in the training configuration must be {expected}; found {value!r}.")


PRESETS = {
    "default": TrainingConfig(),
    # The published behaviour, with its known defects, to compare with published results.
    "reference": TrainingConfig(
        normalisation="group",
        slab_draw="voxel-grid",
        low_resolution="nearest",
        latent_weight=0.0,
        ema_half_life=0.0,
        encode_for_average=False,
        share_fakes=False,
        shuffle=False,
        precision="float32",
    ),
}
"""Named starting points for a configuration."""
