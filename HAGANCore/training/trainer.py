"""The training loop: iterations of a GAN's turns, with checkpoints, log and pictures. It knows no GAN."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Generator as Generated
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..cohorts.store import Cohort
from ..errors import Cancelled, HaganError
from ..files import written_whole
from ..gans import Batch, Moment, Turn, gan_of
from ..progress import Progress, no_progress
from .checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from .config import TrainingConfig
from .data import DataOrder, batches, random_stream
from .device import autocast_dtype, peak_memory_mb, prepare_device
from .log import RunLog
from .optimisers import Optimisers
from .previews import write_previews
from .signals import asking_to_stop

EXPLODED = 1e4
"""A loss beyond this never came back in any run; stop while the last checkpoint is good."""
_PREVIEW_SCANS = 2
_ORDER = ("gan", "seed", "batch", "shuffle")
"""Fields of the configuration that say what is trained and which volumes an iteration sees."""
Data = Iterator[tuple[Tensor, Tensor]]
"""Volumes (N, 1, R, R, R) and their labels (N,), batch by batch."""


class Trainer:
    """Trains a GAN on a cohort, in a run folder.

    Args:
        cohort: the volumes.
        folder: the run folder; holds ``config.json``, ``log.jsonl``, ``checkpoints/``, ``samples/``.
        config: what to do.
        device: where.
        resume: go on from the newest checkpoint; else the folder must hold no run.

    Raises:
        HaganError: no volumes, no classes for a conditional run, a folder in use, nothing to resume, or a
            checkpoint of another cohort or architecture.
    """

    def __init__(
        self,
        cohort: Cohort,
        folder: Path | str,
        config: TrainingConfig,
        device: torch.device | str = "cpu",
        *,
        resume: bool = False,
    ) -> None:
        self.cohort, self.folder, self.config = cohort, Path(folder), config
        self.device = torch.device(device)
        self.order = DataOrder(len(cohort), config.seed, config.shuffle)
        self.dtype = autocast_dtype(self.device, config.precision)
        prepare_device(self.device, config.precision)
        torch.manual_seed(config.seed)
        self.gan = gan_of(config.gan).create(config.options, cohort.size, _class_frequencies(cohort, config))
        self.gan.to(self.device)
        # Convolutions of a GPU want channels last; on the CPU it was not faster at the widths trained there.
        layout = torch.channels_last_3d if self.device.type == "cuda" else torch.preserve_format
        for _, network in self._named_networks():
            network.to(memory_format=layout)  # type: ignore[call-overload]
        self.optimisers = Optimisers(self.gan, self.device, self.dtype)
        self.iteration = self.seen = 0
        self.seconds = 0.0
        self._stop_asked = False
        if resume:
            self._restore(load_checkpoint(self.folder / "checkpoints"))
        elif list_checkpoints(self.folder / "checkpoints"):  # without one, nothing is lost by starting again
            raise HaganError(
                f"'{self.folder}' already holds a run; continue with --resume or choose another folder."
            )
        self._write_config()

    @property
    def networks(self) -> nn.ModuleDict:
        """The networks that are trained, by name."""
        return self.gan.networks

    def run(self, progress: Progress = no_progress, minutes: float = math.inf) -> bool:
        """Train until the configured iterations are done; returns whether they are.

        Stops earlier, with a checkpoint, after ``minutes``, when ``progress`` raises Cancelled, and on
        SIGINT or SIGTERM.

        Raises:
            Cancelled: it was stopped by the user; the checkpoint is written.
            HaganError: a loss exploded or a file could not be read or written.
        """
        self._stop_asked = False
        try:
            with (
                closing(batches(self.cohort, self.order, self.config.batch, self.seen, self.device)) as data,
                closing(RunLog(self.folder, self.iteration)) as log,
                # Also while the last checkpoint is written, so that an early Ctrl-C cannot cost it.
                asking_to_stop(self._ask_to_stop),
            ):
                try:
                    self._train(self._saving_first(data), log, progress, minutes)
                except Cancelled:
                    self.save()
                    raise
        except OSError as error:
            raise HaganError(
                f"The run folder '{self.folder}' cannot be written ({error.strerror or error}); training "
                f"stopped at iteration {self.iteration}, the checkpoints are kept. Free space, then go on "
                "with --resume."
            ) from None
        return self.iteration >= self.config.all_iterations

    def _ask_to_stop(self) -> bool:
        """Stop after the running iteration; returns False where that was asked before."""
        first, self._stop_asked = not self._stop_asked, True
        return first

    def _train(self, data: Data, log: RunLog, progress: Progress, minutes: float) -> None:
        config = self.config
        started, begun, first = time.monotonic(), self.seconds, (self.iteration, self.seen)
        checkpoint_due = started + 60 * config.checkpoint_minutes
        scans = self._preview_scans()
        while self.iteration < config.all_iterations:
            report = self.iterate(data)
            now = time.monotonic()
            self.seconds = begun + now - started
            text = ""
            if self.iteration % config.log_every == 0 or self.iteration == config.all_iterations:
                log.write(self._log_line(report, (self.seen - first[1]) / (now - started)))
                text = _summary(report, (self.iteration - first[0]) / (now - started))
            if self.iteration % config.preview_every == 0:
                self._previews(scans)
            progress(self.iteration / config.all_iterations, text)
            if self._stop_asked:
                raise Cancelled(f"Stopped after iteration {self.iteration}; continue with --resume.")
            if now - started > 60 * minutes:
                break
            if now > checkpoint_due:
                self.save()
                checkpoint_due = time.monotonic() + 60 * config.checkpoint_minutes
        self.save()
        if self.iteration != first[0] and self.iteration % config.preview_every:
            self._previews(scans)

    def _saving_first(self, data: Data) -> Generated[tuple[Tensor, Tensor], None, None]:
        """Yield the batches; where one cannot be read, what was learned so far is saved first."""
        while True:
            try:
                batch = next(data)
            except HaganError:
                self.save()
                raise
            yield batch

    def iterate(self, data: Data) -> dict[str, Tensor]:
        """Run the turns once, on the next batches; returns losses and scalars, still on the device."""
        moment = Moment(
            iteration=self.iteration,
            iterations=self.config.iterations,
            all_iterations=self.config.all_iterations,
            seen=self.seen,
        )
        turns = [turn for turn in self.gan.turns(moment) if self.iteration % turn.every == 0]
        steps = [self._begin(*next(data), step) for step in range(max(turn.repeat for turn in turns))]
        report: dict[str, Tensor] = {}
        for turn in turns:
            for parts in steps[len(steps) - turn.repeat :]:
                self._run_turn(turn, parts, report)
        volumes = len(steps) * self.config.batch
        self._update_averages({name for turn in turns for name in turn.trains}, volumes)
        self.iteration += 1
        self.seen += volumes
        return report

    def _begin(self, volumes: Tensor, labels: Tensor, step: int) -> list[Any]:
        """Return what the turns are given for the parts of a batch."""
        count, config = self.config.accumulate, self.config
        return [
            self.gan.begin(
                Batch(
                    real=part,
                    labels=classes,
                    random=random_stream(config.seed, self.iteration, step * count + index),
                    whole=count == 1,
                )
            )
            for index, (part, classes) in enumerate(
                zip(volumes.chunk(count), labels.chunk(count), strict=True)
            )
        ]

    def _run_turn(self, turn: Turn, parts: list[Any], report: dict[str, Tensor]) -> None:
        loss, scalars = self.optimisers.gradients(turn, parts)
        report.update(scalars)
        report[f"loss_{turn.name}"] = loss
        # On a GPU the value is looked at when it is logged anyway: asking now would make the GPU wait.
        if self.device.type == "cpu":
            self._check_losses(report, self.iteration + 1)
        self.optimisers.step(turn)

    def _check_losses(self, report: dict[str, Tensor], iteration: int) -> None:
        for name, value in report.items():
            if name.startswith("loss_") and not abs(float(value)) < EXPLODED:
                raise HaganError(
                    f"The loss of turn {name[5:]} is {float(value):.4g} at iteration {iteration}; "
                    f"training stopped, {self._how_to_go_on()}"
                )

    def _how_to_go_on(self) -> str:
        folder = self.folder / "checkpoints"
        rates = " or ".join(
            f"--set {name}=…" for name in self.config.to_dict() if name == "lr" or name.startswith("lr_")
        )
        if not list_checkpoints(folder):
            return f"before the first checkpoint. Start again with a lower learning rate: {rates}."
        kept = f"the last good checkpoint is kept in '{folder}'. Lower a learning rate, then continue:"
        return f"{kept} --resume {rates}."

    @torch.no_grad()
    def _update_averages(self, trained: set[str], volumes: int) -> None:
        """Move the averages: EMA with a half-life in volumes (Karras et al., 2020); buffers are copied."""
        half_life = self.config.ema_half_life
        if self.config.ema_ramp:
            half_life = min(half_life, self.config.ema_ramp * self.seen)
        decay = 0.5 ** (volumes / half_life) if half_life > 0 else 0.0
        for name in trained & set(self.gan.averaged):
            source, target = self.gan.networks[name], self.gan.averages[name]
            torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), 1.0 - decay)
            for kept, buffer in zip(target.buffers(), source.buffers(), strict=True):
                kept.copy_(buffer)

    def _log_line(self, report: dict[str, Tensor], volumes_per_second: float) -> dict[str, Any]:
        self._check_losses(report, self.iteration)
        return {
            "iteration": self.iteration,
            "samples": self.seen,
            "seconds": round(self.seconds, 2),
            "volumes_per_second": round(volumes_per_second, 3),
            **({} if (peak := peak_memory_mb(self.device)) is None else {"peak_memory_mb": peak}),
            **{name: round(float(value), 6) for name, value in report.items()},
        }

    def _preview_scans(self) -> Tensor:
        count = min(_PREVIEW_SCANS, len(self.cohort))
        return torch.stack([torch.from_numpy(self.cohort.load(i)) for i in range(count)]).unsqueeze(1)

    def _previews(self, scans: Tensor) -> None:
        self.gan.eval()
        write_previews(self.gan, scans, self.folder / "samples", self.iteration, self.config.seed)
        self.gan.train()

    def _named_networks(self) -> Iterator[tuple[str, nn.Module]]:
        yield from self.gan.networks.items()
        for name, average in self.gan.averages.items():
            yield f"{name}'s average", average

    def save(self) -> Path:
        """Write a checkpoint now.

        Raises:
            HaganError: it cannot be written, or a weight is not finite; the earlier ones are kept.
        """
        for name, network in self._named_networks():
            # A finite loss can have a gradient that is not, and a GPU's losses are not looked at every time.
            if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
                raise HaganError(
                    f"Weights of the {name.replace('_', ' ')} are not finite after iteration "
                    f"{self.iteration}; training stopped, {self._how_to_go_on()}"
                )
        state = {
            "config": self.config.to_dict(),
            "cohort": _fingerprint(self.cohort),
            "seconds": self.seconds,
            "seen": self.seen,
            "networks": self.gan.state_dict(),
            "optimisers": self.optimisers.state_dict(),
        }
        return save_checkpoint(self.folder / "checkpoints", self.iteration, state, self.config.keep)

    def _restore(self, state: dict[str, Any]) -> None:
        if state["cohort"] != _fingerprint(self.cohort):
            raise HaganError(
                "The checkpoint was made with another cohort (volumes or their order differ); "
                "resume with the same one."
            )
        self._require_same_run(TrainingConfig().changed(state["config"]))
        self.gan.load_state_dict(state["networks"])
        self.optimisers.load_state_dict(state["optimisers"])
        self.iteration, self.seen, self.seconds = state["iteration"], state["seen"], state["seconds"]

    def _require_same_run(self, saved: TrainingConfig) -> None:
        """Refuse other networks, or another order of the volumes: which of them were seen would be unknown.

        Compares numbers, not tensors: both normalisations have tensors of the same shapes.
        """
        before, now = (
            {name: getattr(config, name) for name in _ORDER} | self._numbers(config)
            for config in (saved, self.config)
        )
        if changed := [
            f"{name} {before[name]}, not {now[name]}"
            for name in now
            if name in before and before[name] != now[name]
        ]:
            raise HaganError(
                f"The checkpoint was made with {'; '.join(changed)}. Resume with the configuration "
                f"in '{self.folder / 'config.json'}'."
            )

    def _numbers(self, config: TrainingConfig) -> dict[str, Any]:
        classes = len(self.cohort.classes) if config.conditional else 0
        made = gan_of(config.gan).architecture_of(config.options, self.cohort.size, classes)
        numbers: dict[str, Any] = made.to_dict()
        return numbers

    def _write_config(self) -> None:
        document = {"size": self.cohort.size, "cohort": str(self.cohort.folder), **self.config.to_dict()}
        with written_whole(self.folder / "config.json") as temporary:
            temporary.write_text(json.dumps(document, indent=2), encoding="utf-8")


def _summary(report: dict[str, Tensor], rate: float) -> str:
    losses = ", ".join(f"{n[5:]} {float(v):.3f}" for n, v in report.items() if n.startswith("loss_"))
    return f"{rate:.2f} iterations/s, {losses}"


def _fingerprint(cohort: Cohort) -> str:
    """Return a hash of the volumes and their order."""
    return hashlib.sha256("".join(entry.sha256 for entry in cohort.entries).encode()).hexdigest()


def _class_frequencies(cohort: Cohort, config: TrainingConfig) -> Tensor | None:
    """Return how often each class is among the labelled volumes, (classes,); None where none are used."""
    if not config.conditional:
        return None
    if not cohort.classes:
        raise HaganError(
            "A conditional run needs classes, and this cohort has none; set 'conditional' to false."
        )
    labels = torch.from_numpy(cohort.labels)
    counts = torch.bincount(labels[labels >= 0], minlength=len(cohort.classes)).float()
    if counts.sum() == 0:
        raise HaganError(f"None of the {len(cohort)} volumes has a label; set 'conditional' to false.")
    return counts / counts.sum()
