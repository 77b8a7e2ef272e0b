"""What a GAN is to everything else: networks, turns that train them, and how it samples and encodes.

The training loop (:class:`HAGANCore.training.Trainer`) knows nothing of any GAN. It asks for the turns of an
iteration and, for each, draws batches, computes the loss, and lets an optimiser step. A new GAN is a subclass
of :class:`GAN` and a line in ``GANS`` of this package; :mod:`HAGANCore.gans.wgan_gp` is the shortest example.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from ..errors import HaganError
from ..fields import check_fields, meaning

Scalars = dict[str, Tensor]
"""What a turn reports besides its loss, as scalar tensors on the device."""
Losses = tuple[Tensor, Scalars]
_Self = TypeVar("_Self", bound="Architecture")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The numbers that define a GAN's networks: what a model file needs to build them again.

    Raises:
        HaganError: a number is out of its range; the message names it.
    """

    size: int
    """Edge R of the cubic volume in voxels."""
    latent: int
    """Length of the latent z."""
    classes: int = 0
    """Number of classes; 0 is an unconditional model."""

    def __post_init__(self) -> None:
        check_fields(self, "the architecture")

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as they stand in a model file."""
        return asdict(self)

    @classmethod
    def from_dict(cls: type[_Self], values: Any) -> _Self:
        """Read the numbers from a model file; unknown names and a missing size are errors."""
        if not isinstance(values, dict):
            raise HaganError(f"The architecture must be a JSON object; found {type(values).__name__}.")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise HaganError(
                f"The architecture has unknown entries {unknown}; this version knows {sorted(known)}."
            )
        for name, value in values.items():
            if name not in _choices(cls) and type(value) is not int:
                raise HaganError(f"The architecture's {name!r} must be a whole number; found {value!r}.")
        if "size" not in values:
            raise HaganError("The architecture has no 'size'.")
        return cls(**values)


def _choices(architecture: type) -> set[str]:
    return {name for name, said in meaning(architecture).items() if said.kind == "choice"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """A GAN's own options: everything that is not a matter of the run.

    Raises:
        HaganError: a value that cannot be; the message names the field and the value.
    """

    def __post_init__(self) -> None:
        check_fields(self, "the training configuration")

    @property
    def extra_iterations(self) -> int:
        """Iterations that the GAN adds at the end of a run."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One (part of a) batch on its way through a turn."""

    real: Tensor
    """Real volumes (N, 1, R, R, R) in [-1, 1]."""
    labels: Tensor
    """Their classes (N,), -1 where unknown."""
    random: torch.Generator
    """The random numbers of this part."""
    whole: bool = True
    """Whether it is the whole batch: what several turns share may then be kept between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where a run is when an iteration begins."""

    iteration: int
    iterations: int
    """That the run was configured for."""
    all_iterations: int
    """With those that the GAN's options add."""
    seen: int
    """Real volumes seen so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Part of an iteration: it trains some networks with one loss."""

    name: str
    """Short: it stands in the log as ``loss_NAME``, and its optimiser is found by it."""
    trains: tuple[str, ...]
    """Names of networks."""
    loss: Callable[[Any], Losses]
    """From what :meth:`GAN.begin` returns for a batch to the loss and the scalars to report."""
    lr: float
    """Adam's learning rate. It may change from iteration to iteration."""
    betas: tuple[float, float] = (0.0, 0.99)
    repeat: int = 1
    """Steps in an iteration, each on a batch of its own. A turn of fewer steps uses the last batches."""
    every: int = 1
    """Runs in every so many iterations only (lazy regularisation)."""
    amp: bool = True
    """Whether its loss may be computed in bfloat16; not where a gradient of a gradient is taken."""
    passes_through: tuple[str, ...] = ()
    """Networks that record gradients in this turn although it does not train them: a later turn goes on
    from what they made in this one."""
    era: int = 0
    """An optimiser of another era starts anew (progressive growing)."""
    optimiser: str = ""
    """Name of the turn whose optimiser it shares; without one it has its own."""


class GAN(nn.Module, ABC):
    """Networks and how they are trained.

    Args:
        options: an instance of :attr:`Options`.
        size: edge R of the cubic volumes.
        class_frequencies: how often each class is among the labelled volumes (classes,); None for an
            unconditional model.

    Raises:
        HaganError: a size or a number that the networks cannot have, or classes where it takes none.
    """

    kind: ClassVar[str]
    """Its name in commands, configurations and model files."""
    title: ClassVar[str]
    """Its name for people."""
    source: ClassVar[str]
    """Where it was published."""
    Options: ClassVar[type[Any]]
    """Its own frozen dataclass, derived from :class:`Options`."""
    Architecture: ClassVar[type[Any]]
    """Its own frozen dataclass, derived from :class:`Architecture`."""
    parts: ClassVar[Mapping[str, Callable[[Any], nn.Module]]]
    """Networks that a model file can hold: how each is built from the architecture. ``generator`` is one;
    those that are shipped come first, and a card lists them so."""
    shipped: ClassVar[tuple[str, ...]] = ("generator",)
    """Which of them a model file of a run gets."""
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    """Networks of which a moving average is kept and shipped."""
    encoders: ClassVar[tuple[str, ...]] = ()
    """Those of the shipped networks that :meth:`encode_with` needs; none where there is no encoder."""
    conditional: ClassVar[bool] = False
    """Whether it can use classes."""
    normalises_latents: ClassVar[bool] = False
    """Whether the generator uses only the direction of z, so that a shorter z gives the same volume."""

    networks: nn.ModuleDict
    averages: nn.ModuleDict

    def __init__(self, options: Any, size: int, class_frequencies: Tensor | None = None) -> None:
        super().__init__()
        if class_frequencies is not None and not self.conditional:
            raise HaganError(f"{self.title} takes no classes; set 'conditional' to false.")
        self.options = options
        self.class_frequencies = class_frequencies
        classes = 0 if class_frequencies is None else len(class_frequencies)
        self.architecture = self.architecture_of(options, size, classes)
        self.networks = nn.ModuleDict(self.build())
        self.averages = nn.ModuleDict({name: copy.deepcopy(self.networks[name]) for name in self.averaged})
        self.averages.requires_grad_(False).eval()

    @classmethod
    def architecture_of(cls, options: Any, size: int, classes: int) -> Any:
        """Return the numbers of the networks: those fields of the options that the architecture has."""
        shared = {field.name for field in fields(cls.Architecture)} & {f.name for f in fields(options)}
        return cls.Architecture(
            size=size, classes=classes, **{name: getattr(options, name) for name in shared}
        )

    @classmethod
    def create(cls, options: Any, size: int, class_frequencies: Tensor | None = None) -> GAN:
        """Return the GAN of these options; a GAN with variants chooses one."""
        return cls(options, size, class_frequencies)

    def build(self) -> dict[str, nn.Module]:
        """Return the networks with random weights, in the order in which they are drawn."""
        return {name: make(self.architecture) for name, make in self.parts.items()}

    def train(self, mode: bool = True) -> GAN:
        """Set the mode of the networks; averages are for evaluation always."""
        super().train(mode)
        self.averages.eval()
        return self

    @abstractmethod
    def turns(self, moment: Moment) -> Sequence[Turn]:
        """Return the turns of an iteration, in the order they run in."""

    def begin(self, batch: Batch) -> Any:
        """Return what the turns' losses are given for a batch; it may keep what turns share."""
        return batch

    def latents(self, count: int, random: torch.Generator) -> Tensor:
        """Draw latents (count, latent), on the CPU's random numbers so that devices agree."""
        drawn = torch.randn(count, self.architecture.latent, generator=random)
        return drawn.to(next(self.networks.parameters()).device)

    def sample(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return the averaged generator's volumes (N, 1, R, R, R) of latents (N, latent)."""
        volumes: Tensor = (
            self.averages["generator"](z) if classes is None else self.averages["generator"](z, classes)
        )
        return volumes

    def encode(self, volumes: Tensor) -> Tensor | None:
        """Return the latents (N, latent) of volumes (N, 1, R, R, R); None where there is no encoder."""
        if not self.encoders:
            return None
        return self.encode_with({**dict(self.networks.items()), **dict(self.averages.items())}, volumes)

    @classmethod
    def encode_with(cls, networks: Mapping[str, Any], volumes: Tensor) -> Tensor:
        """Return the latents (N, latent) of volumes (N, 1, R, R, R), in training and from a model file alike.

        Args:
            networks: at least those that :attr:`encoders` names.
            volumes: in [-1, 1].
        """
        z: Tensor = networks["encoder"](volumes)
        return z

    def exported(self) -> dict[str, Any]:
        """Return the networks of a model file: averages where there are some."""
        return {
            name: self.averages[name] if name in self.averages else self.networks[name]
            for name in self.shipped
        }
