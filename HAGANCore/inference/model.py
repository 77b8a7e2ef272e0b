"""A model ready to work: generate, encode, decode. What a script, the command line and the worker use."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import HaganError, OutOfMemory
from ..gans.hagan.streaming import StreamedGenerator
from ..gans.layers import one_hot
from ..imaging.provenance import software_versions
from ..imaging.volume import Volume
from ..memory import is_out_of_memory
from ..models.modelfile import ModelDescription, ModelFile, read_model, resolve_model
from ..preparation.preprocess import restore
from ..preparation.profiles import Profile
from ..progress import Progress, no_progress, part_of
from .cube import make_cube
from .encoders import load_encoders
from .latent import Latent
from .planning import Plan, Precision, plan, smaller_plan
from .whole import WholeGenerator

if TYPE_CHECKING:
    from ..anatomy.segmenter import Segmenter
    from .encode import Encoding

_T = TypeVar("_T")
_KINDS = {
    "seed": "generated",
    "encode": "reconstruction",
    "refine": "reconstruction",
    "given": "decoded",
    "moved": "moved",
}


def load_model(name_or_path: str | Path, device: str = "auto", precision: Precision = "auto") -> Model:
    """Load a model file and decide where its work is done.

    Args:
        name_or_path: a name that ``hagan model list`` shows, such as ``demo``, or a model file.
        device: ``auto``, ``cpu``, ``cuda``, …
        precision: ``auto``, ``float32`` or ``bfloat16``.

    Raises:
        HaganError: no such model, a damaged file, no such device, or not enough memory.
    """
    return Model(read_model(resolve_model(name_or_path)), device, precision)


class Model:
    """A model on one device. Networks are loaded when they are first needed.

    Where memory runs out during work, the next smaller plan takes over: :attr:`plan` is then another one,
    :attr:`notes` says so, and so does the progress.
    """

    def __init__(
        self,
        file: ModelFile,
        device: str = "auto",
        precision: Precision = "auto",
        memory_limit: int | None = None,
    ) -> None:
        self.file = file
        said = file.description
        self.plan: Plan = plan(said.architecture, device, precision, memory_limit, said.kind)
        self.notes: list[str] = []
        self._generator: Any = None
        self._encoders: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The model's short name."""
        return self.description.name

    @property
    def description(self) -> ModelDescription:
        """What the model file says of itself."""
        return self.file.description

    @property
    def architecture(self) -> Any:
        """Sizes and widths of the networks."""
        return self.description.architecture

    @property
    def profile(self) -> Profile:
        """How a scan becomes the network's cube, and what the cube's values mean."""
        return self.description.profile

    def latent(
        self, seed: int | None = None, class_: int | str | None = None, truncation: float = 1.0
    ) -> Latent:
        """Draw a latent from N(0, I).

        Args:
            seed: the same seed gives the same latent everywhere; without one it is drawn, and recorded.
            class_: index or name of a class; without one a conditional model's class is drawn too.
            truncation: 0 to 1; z is multiplied with it, so less is nearer to the model's mean volume.

        Raises:
            HaganError: a value is out of its range, or there is no such class.
        """
        if not 0 <= truncation <= 1:
            raise HaganError(f"The truncation must be from 0 to 1; found {truncation}.")
        if truncation != 1 and self.file.gan.normalises_latents:
            raise HaganError(
                f"The truncation of a {self.file.gan.title} must be 1, because it uses only the direction of "
                f"a latent; found {truncation}."
            )
        seed = secrets.randbits(31) if seed is None else seed
        if not isinstance(seed, Integral) or not 0 <= seed < 2**63:
            raise HaganError(f"The seed must be a whole number from 0 to 2⁶³ - 1; found {seed!r}.")
        # On the CPU, so that it is the same for every device.
        random = torch.Generator("cpu").manual_seed(int(seed))
        z = torch.randn(self.architecture.latent, generator=random) * truncation
        if class_ is None and self.architecture.classes:
            class_ = int(torch.randint(self.architecture.classes, (), generator=random))
        return self.latent_from(
            z.numpy(), class_, origin="seed", facts={"seed": int(seed), "truncation": float(truncation)}
        )

    def latent_from(self, z: npt.ArrayLike, class_: int | str | None = None, **known: Any) -> Latent:
        """Return z, shape (latent,), as a latent of this model; ``known`` are more fields of it."""
        latent = Latent(
            z=np.asarray(z, np.float32),
            class_index=self.class_index(class_),
            model_name=self.name,
            model_sha256=self.file.sha256,
            networks_sha256=self.file.networks_sha256,
            **known,
        )
        self._check(latent)
        return latent

    def class_index(self, class_: int | str | None) -> int | None:
        """Return the index of a class given by index or name.

        Raises:
            HaganError: there is no such class, or the model has none.
        """
        names = self.description.classes
        if class_ is None:
            return None
        if not names:
            raise HaganError(f"The model '{self.name}' has no classes; found the class {class_!r}.")
        if class_ in names:
            return names.index(str(class_))
        index = int(class_) if str(class_).isdigit() else -1
        if not 0 <= index < len(names):
            raise HaganError(
                f"The model '{self.name}' has no class {class_!r}; choose 0 to {len(names) - 1} or one of "
                f"{', '.join(names)}."
            )
        return index

    def generate(
        self,
        seed: int | None = None,
        class_: int | str | None = None,
        truncation: float = 1.0,
        preview: bool = False,
        progress: Progress = no_progress,
    ) -> Volume:
        """Make a synthetic volume.

        Args:
            seed: the same seed gives the same volume on one device; without one it is drawn, and recorded.
            class_: index or name of a class; without one a conditional model's class is drawn too.
            truncation: 0 to 1; less is nearer to the model's mean volume.
            preview: only the low-resolution volume of G^L, a quarter of the size, in the same place.
            progress: called for every slab.

        Returns:
            (R, R, R), int16 in HU for CT; ``meta["provenance"]`` holds all that is needed to make it again.
        """
        return self.decode(self.latent(seed, class_, truncation), preview, progress)

    def generate_many(
        self,
        seeds: Iterable[int],
        class_: int | str | None = None,
        truncation: float = 1.0,
        preview: bool = False,
        progress: Progress = no_progress,
    ) -> Iterator[Volume]:
        """Yield the volume of each seed as it gets ready; see :meth:`generate`."""
        seeds = list(seeds)
        for index, seed in enumerate(seeds):
            part = part_of(progress, index / len(seeds), (index + 1) / len(seeds))
            yield self.generate(seed, class_, truncation, preview, part)

    def decode(self, latent: Latent, preview: bool = False, progress: Progress = no_progress) -> Volume:
        """Make the volume of a latent: the network's cube, in the patient's place for a scan's latent.

        Raises:
            HaganError: the latent belongs to another model, or its volume shows nothing (:meth:`cube`).
        """
        array = self.cube(latent, preview, progress)
        if latent.preparation is None:
            geometry = self.profile.cube_geometry(len(array))
        else:
            geometry = replace(latent.preparation, size=len(array)).cube_geometry()
        return Volume(array, geometry, self._meta(latent, preview))

    def reconstruct(self, latent: Latent, progress: Progress = no_progress) -> Volume:
        """Make the volume of a scan's latent on the scan's own grid, so that it lies exactly over it.

        Outside the network's cube it has the lower end of the window; ``latent.preparation.inside`` is the
        part of the array that lies inside.

        Raises:
            HaganError: the latent does not come from a scan, or belongs to another model.
        """
        if latent.preparation is None:
            raise HaganError("The latent does not come from a scan, so there is no grid to map it back to.")
        cube = self.cube(latent, False, part_of(progress, 0.0, 0.7))
        fill = latent.preparation.window[0]
        volume = restore(cube, latent.preparation, fill, progress=part_of(progress, 0.7, 1.0))
        return Volume(volume.array, volume.geometry, self._meta(latent, False, on_scan=True))

    def encode(
        self,
        volume: Volume,
        refine: int = 0,
        class_: int | str | None = None,
        force: bool = False,
        progress: Progress = no_progress,
        segmenter: Segmenter | None = None,
        outline: bool = False,
    ) -> Encoding:
        """Find the latent of a scan and lay its reconstruction over it.

        Args:
            volume: the scan, any orientation and size; CT in HU.
            refine: steps of optimising the latent from the encoder's start; 0 for none. Of a chest, half of
                the weight lies in the lungs.
            class_: index or name of the scan's class; without one a conditional model takes the class that
                reconstructs it best.
            force: go on with a scan that is not what the model needs; its problems become warnings.
            progress: called often.
            segmenter: finds the lungs of a chest; without one :func:`~HAGANCore.anatomy.segment` does.
            outline: also outline lungs and bones of the scan, which must be CT (``Encoding.found``).

        Raises:
            HaganError: the scan is not what the model needs, or the model has no encoder.
        """
        from .encode import encode_scan

        return encode_scan(self, volume, refine, class_, force, progress, segmenter, outline)

    def cube(self, latent: Latent, preview: bool = False, progress: Progress = no_progress) -> np.ndarray:
        """Return the network's cube (R, R, R), or (R/4)³ for a preview, in the unit of the profile.

        int16 for HU, else float32. See :meth:`decode` for the same with its geometry.

        Raises:
            HaganError: the latent belongs to another model, a value is not finite, or all are the same.
        """
        self._check(latent)
        window = self.profile.window if latent.preparation is None else latent.preparation.window

        def make(generator: Any) -> np.ndarray:
            return make_cube(generator, self.tensors(latent), self.profile.unit, window, preview, progress)

        return self.with_fallback(make, progress)

    def tensors(self, latent: Latent) -> tuple[Tensor, Tensor | None]:
        """Return z (1, latent) and the one-hot class (1, classes) on the device of the work."""
        z = torch.from_numpy(latent.z.copy())[None].to(self.plan.device)
        if latent.class_index is None:
            return z, None
        label = torch.tensor([latent.class_index], device=self.plan.device)
        return z, one_hot(label, self.architecture.classes)

    def encoders(self) -> dict[str, Any]:
        """Return the encoders by name (E^H and E^G of HA-GAN) in float32 on the device of the work.

        Raises:
            HaganError: the model file has none.
        """
        if self._encoders is None:
            self._encoders = load_encoders(self.file, self.plan.device)
        return self._encoders

    def with_fallback(self, work: Callable[[Any], _T], progress: Progress) -> _T:
        """Do work with the generator; where memory runs out, say so and do it again in a smaller way.

        Raises:
            OutOfMemory: memory ran out and there is no smaller way left.
        """
        while True:
            try:
                return work(self.generator())
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Out of the except block: the error's traceback held on to the tensors that did not fit.
            self._forget()
            smaller = smaller_plan(self.plan)
            if smaller is None:
                raise OutOfMemory(
                    f"Memory ran out although the smallest way of working was used ({self.plan.text}). "
                    "Close other programs or take a smaller model."
                )
            self.plan = smaller
            self.notes.append(f"Memory ran out; went on with {smaller.text}.")
            progress(0.0, self.notes[-1])

    def generator(self) -> Any:
        """Return the generator as the plan wants it: streamed for HA-GAN, else whole."""
        if self._generator is None:
            generator = self.file.generator().to(self.plan.device)
            self._generator = (
                StreamedGenerator(generator, self.plan.dtype, self.plan.slab_bytes)
                if self.plan.kind == "hagan"
                else WholeGenerator(generator, self.architecture, self.plan.dtype)
            )
        return self._generator

    def _forget(self) -> None:
        self._generator = self._encoders = None
        if self.plan.device.type == "cuda":
            torch.cuda.empty_cache()

    def _check(self, latent: Latent) -> None:
        latent.require_model(self.file)
        if latent.z.shape != (self.architecture.latent,):
            raise HaganError(
                f"A latent of the model '{self.name}' has {self.architecture.latent} numbers; "
                f"found {latent.z.shape[0]}."
            )
        classes = self.architecture.classes
        if (latent.class_index is None) != (classes == 0) or (latent.class_index or 0) >= max(classes, 1):
            raise HaganError(
                f"The model '{self.name}' has {classes} classes, the latent's class is {latent.class_index}."
            )

    def _meta(self, latent: Latent, preview: bool, on_scan: bool = False) -> dict[str, Any]:
        """Return all that is needed to make the volume again."""
        provenance = {
            "kind": _KINDS[latent.origin],
            "model": self.name,
            "model_sha256": self.file.sha256,
            **latent.facts,
            "latent_sha256": latent.sha256,
            "preview": preview,
            "profile": self.profile.name,
            # Nominal: the profile stretches scans, so a generated volume has no true size in mm.
            "millilitres": "true" if self.profile.physical or latent.preparation is not None else "nominal",
            "device": str(self.plan.device),
            "precision": str(self.plan.dtype).removeprefix("torch."),
            "plan": self.plan.summary,
            "versions": software_versions(),
        }
        if latent.class_index is not None:
            provenance["class"] = self.description.classes[latent.class_index]
        if latent.preparation is not None:  # its volume may lie on the cube's grid or on the scan's own
            provenance["on_scan"] = on_scan
        if latent.origin != "seed":
            provenance["latent"] = [float(str(value)) for value in latent.z]
        return {
            "synthetic": True,
            "modality": self.profile.modality,
            "unit": self.profile.unit,
            "provenance": provenance,
        }
