"""The module for scripts: synchronous, returns nodes, needs neither a window nor Qt.

In Slicer's Python console, in a notebook or in a script::

    logic = slicer.util.getModuleLogic("HAGANSlicer")

    nodes = logic.generate(seed=1)[0]             # a thorax that no patient had
    nodes.volume, nodes.segmentation, nodes.table, nodes.latent

    scan = slicer.util.getNode("CTChest")
    encoded = logic.encode(scan, refine=50)       # the reconstruction lies exactly over the scan
    encoded.volume, encoded.difference, encoded.errors

    larger = logic.step(encoded.latent, {"lung volume": 500})   # 500 mL more

    lungs = logic.segment(scan).segmentation
    own = logic.encode(scan, labels=lungs)        # your own outlines in place of the rules

    again = logic.make_again(nodes.volume)        # from what the volume says of itself
    again.identical, again.text, again.nodes.volume
    logic.close()                                  # ends the worker; the next call starts another one

Every call waits until it is done. ``progress(fraction, text, remaining_s)`` is called meanwhile; raising
:class:`HAGANCore.errors.Cancelled` out of it stops the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.imaging.provenance import SCAN_KEY, scan_sha256
from HAGANCore.wording import given_text
from HAGANCore.worker.client import WorkerClient
from HAGANCore.worker.protocol import release

from .core import python_program
from .installer import Installer
from .scene import hierarchy, latents, provenance, replay, results, tables
from .scene.replay import MadeAgain
from .scene.results import Nodes
from .scene.segments import show_labels
from .sent import SentLabels, engine_volume, send_volume
from .showing import show_result

Progress = Callable[[float, str, "float | None"], None]


class Scripting:
    """Generate, encode, step, segment and make again, with nodes in and nodes out.

    Args:
        scene: where nodes are made; the application's scene where none is given.
    """

    def __init__(self, scene: Any = None) -> None:
        self._scene = scene
        self._worker: WorkerClient | None = None

    def generate(
        self,
        model: str = "demo",
        seed: int = 1,
        count: int = 1,
        class_: str | int | None = None,
        truncation: float = 1.0,
        preview: bool = False,
        segment: bool = True,
        show: bool = True,
        progress: Progress | None = None,
    ) -> list[Nodes]:
        """Make volumes from the seeds ``seed``, ``seed + 1``, …

        Args:
            model: a name that ``hagan model list`` shows, or the path of a model file.
            seed: the same seed and model give the same volume.
            count: how many volumes.
            class_: name or index of a class, for a conditional model.
            truncation: 0 to 1; less is nearer to the model's average.
            preview: only the low-resolution branch; without segments.
            segment: outline lungs and bones, and measure them (CT).
            show: show the first one in the views.
            progress: see above.

        Returns:
            The nodes of each volume.

        Raises:
            HaganError: no such model, a value out of its range, something is not installed, …
        """
        made: list[Nodes] = []
        modality = self._model(model)["modality"]

        def add(part: dict[str, Any]) -> None:
            made.append(results.add_generated(self.scene, part, table=made[0].table if made else None))

        self._call(
            "generate",
            progress,
            add,
            model=str(model),
            seed=seed,
            count=count,
            truncation=truncation,
            preview=preview,
            segment=segment and not preview and modality == "CT",
            surfaces=True,
            **{"class": class_},
        )
        if show:
            show_result(self.scene, made[0], modality)
        return made

    def encode(
        self,
        scan: Any,
        model: str = "demo",
        refine: int = 0,
        class_: str | int | None = None,
        segment: bool = True,
        force: bool = False,
        show: bool = True,
        progress: Progress | None = None,
        labels: Any = None,
        labels_are: str = "hagan",
    ) -> Nodes:
        """Find the latent of a scan and lay its reconstruction over it.

        Args:
            scan: a vtkMRMLScalarVolumeNode; linear transforms above it are respected.
            model: as for :meth:`generate`.
            refine: steps of optimisation after encoding.
            class_: of the scan; None takes the one that shows it best.
            segment: outline and measure lungs and bones of both (CT).
            force: go on although the scan is not of the model's kind.
            show: show the reconstruction.
            progress: see above.
            labels: lungs and bones of the scan in place of those that rules find: a segmentation, whose
                segments are taken by their names ("right lung"), a label map volume, or a file.
            labels_are: what the numbers of a volume or file mean: ``hagan`` (1 right lung, 2 left lung,
                3 bones) or ``totalsegmentator`` (task total, version 2).

        Returns:
            reconstruction, difference, latent, errors, segments of both, and their measured volumes.

        Raises:
            HaganError: the scan is refused (the message says why), the model has no encoder, …
        """
        modality = self._model(model)["modality"]
        with self._sent(scan, labels, labels_are) as sent:
            result = self._call(
                "encode",
                progress,
                model=str(model),
                **sent,
                refine=refine,
                force=force,
                segment=segment and modality == "CT",
                surfaces=True,
                difference=True,
                **{"class": class_},
            )
        made = results.add_encoded(self.scene, result, scan)
        if show:
            show_result(self.scene, made, modality)
        return made

    def step(
        self,
        latent: Any,
        steps: Mapping[str, float],
        model: str | None = None,
        exact: bool = True,
        segment: bool = True,
        show: bool = True,
        progress: Progress | None = None,
    ) -> Nodes:
        """Move a latent along directions of the model and make its volume.

        Args:
            latent: the text node of a latent, or the volume that was made from it.
            steps: direction and change in the direction's unit, such as ``{"lung volume": 500}``.
            model: where the latent's own model is not known by its name here.
            exact: measure and correct until every change is met within 2 %, where its target can be
                measured on a volume; without, one calibrated step, right on average.
            segment: outline lungs and bones, and measure them (CT).
            show: show the volume.
            progress: see above.

        Returns:
            The nodes of the new volume, its latent among them; ``note`` says what could not be met, and
            what is nearest.

        Raises:
            HaganError: no such direction, a change out of its range, another model's latent, …
        """
        document = latents.latent_of(latent)
        model = model or str(document["model"]["name"])
        modality = self._model(model)["modality"]
        result = self._call(
            "step",
            progress,
            model=str(model),
            latent=document,
            steps=[{"direction": name, "amount": float(amount)} for name, amount in steps.items()],
            quality="full",
            segment=segment and modality == "CT",
            surfaces=True,
            exact=exact,
        )
        moved = ", ".join(f"{name} {given_text(amount, signed=True)}" for name, amount in steps.items())
        base = latents.base_name(latent)
        made = results.show_step(self.scene, result, f"{base} {moved}".strip())
        if result["measurements"]:
            made = replace(made, table=self._table(made.volume, result["measurements"], synthetic=True))
        if result["reached"]:
            made = replace(made, note=result["reached"]["note"])
        if show:
            show_result(self.scene, made, modality)
        return made

    def make_again(
        self,
        volume: Any,
        model: str | None = None,
        show: bool = True,
        progress: Progress | None = None,
    ) -> MadeAgain:
        """Make a synthetic volume again from its own attributes, and compare the two.

        The same device, precision and versions give every voxel again; where they are others, the text of
        the result says so.

        Args:
            volume: a synthetic volume of this scene, also of one that was saved and loaded.
            model: where the model that made it is not known by its name here.
            show: show the new volume.
            progress: see above.

        Raises:
            HaganError: the volume is not synthetic, or the model is another one than the one that made it.
        """
        again = replay.replay_of(volume)
        model = str(model or again.model)
        loaded = self._model(model)
        replay.require_model(volume, again, loaded)
        parts: list[dict[str, Any]] = []
        arguments = {**again.arguments, "model": model, "segment": False}
        result = self._call(again.request, progress, parts.append, **arguments)
        made = replay.add_again(self.scene, volume, again, parts[0] if parts else result)
        if show:
            show_result(self.scene, made.nodes, loaded["modality"])
        return made

    def segment(
        self,
        volume: Any,
        progress: Progress | None = None,
        labels: Any = None,
        labels_are: str = "hagan",
    ) -> Nodes:
        """Outline lungs and bones of a CT, real or synthetic, and measure them.

        Args:
            volume: a vtkMRMLScalarVolumeNode in Hounsfield units.
            progress: see above.
            labels: outlines to measure in place of those that rules find, as for :meth:`encode`.
            labels_are: what their numbers mean, as for :meth:`encode`.

        Raises:
            HaganError: the volume is not a CT of a thorax, …
        """
        self._require_installed()
        with self._sent(volume, labels, labels_are) as sent:
            found = self._call("segment", progress, **sent, surfaces=True)["labels"]
        synthetic = provenance.is_synthetic(volume)
        name = _("{name} segments").format(name=provenance.plain_name(volume))
        node = show_labels(
            self.scene,
            volume,
            results.open_array(found),
            found["geometry"],
            name,
            ready=found["surfaces"],
        )
        # By its hash: attributes go into the headers of saved files, and a node's name may be a person's.
        facts = {SCAN_KEY: scan_sha256(engine_volume(volume))}
        provenance.mark(node, facts, role="segmentation", synthetic=synthetic)
        release(found)
        table = self._table(volume, found["measurements"], synthetic, tables.remarks_text(found))
        hierarchy.put(self.scene, hierarchy.folder(self.scene, results.FOLDER), node, table)
        return Nodes(volume=volume, segmentation=node, table=table)

    def close(self) -> None:
        """End the worker; nothing is lost, the next call starts another one."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    @property
    def scene(self) -> Any:
        """The scene that nodes are made in."""
        return self._scene or slicer.mrmlScene

    @contextmanager
    def _sent(self, volume: Any, labels: Any, labels_are: str) -> Iterator[dict[str, Any]]:
        """Yield a volume and its outlines as arguments of a request; their files are removed afterwards."""
        session, outlines = self._client().session, SentLabels()
        arguments = {"volume": send_volume(session, volume)}
        try:
            if isinstance(labels, str | Path):
                arguments |= {"labels": {"file": str(labels)}, "labels_are": labels_are}
            elif labels is not None:
                meaning = labels_are if labels.IsA("vtkMRMLVolumeNode") else "hagan"
                arguments |= {"labels": outlines.of(session, labels), "labels_are": meaning}
            yield arguments
        finally:
            outlines.forget()
            release(arguments["volume"])

    def _model(self, model: str) -> dict[str, Any]:
        self._require_installed()
        return self._call("load_model", None, model=str(model))

    def _call(
        self,
        request: str,
        progress: Progress | None,
        on_part: Callable[[dict[str, Any]], None] | None = None,
        **arguments: Any,
    ) -> dict[str, Any]:
        return self._client().call(request, progress, on_part, **arguments)

    def _client(self) -> WorkerClient:
        if self._worker is None:
            self._worker = WorkerClient(python_program())
        return self._worker

    def _table(
        self, volume: Any, measurements: Mapping[str, float], synthetic: bool, remarks: str = ""
    ) -> Any:
        name = provenance.plain_name(volume)
        table = tables.measurements_table(
            self.scene,
            _("{name} volumes").format(name=name),
            [(volume.GetName(), measurements)],
            remarks=[remarks],
        )
        provenance.mark(table, {}, role="measurements", synthetic=synthetic)
        hierarchy.put(self.scene, hierarchy.folder(self.scene, results.FOLDER), table)
        return table

    def _require_installed(self) -> None:
        installer = Installer()
        if missing := installer.missing():
            raise HaganError(
                _("Not installed yet: {what}. Open the HAGANSlicer module and click Install.").format(
                    what=installer.summary(missing)
                )
            )
