"""The training loop: iterations of phases, with checkpoints, log and pictures."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import signal
import threading
import time
from collections.abc import Generator as Generated
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import Cancelled, HaganError
from ..files import written_whole
from ..networks import Discriminator, Encoder, Generator, GroundEncoder
from ..progress import Progress, no_progress
from ..volumes.cohort import Cohort
from .checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from .config import TrainingConfig
from .contents import ContentHead
from .data import DataOrder, batches
from .device import autocast_dtype, peak_memory_mb, prepare_device
from .log import RunLog
from .phases import Phase, make_phases
from .previews import write_previews
from .prior import LatentPrior
from .step import Networks, Step, random_stream

EXPLODED = 1e4
"""A loss beyond this never came back in any run; stop while the last checkpoint is good."""
_PREVIEW_SCANS = 2
_ORDER = ("seed", "batch", "shuffle")
"""Fields of the configuration that say which volumes an iteration sees."""


class Trainer:
    """Trains the four networks on a cohort, in a run folder.

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
        self.class_frequencies = _class_frequencies(cohort, config)
        self.dtype = autocast_dtype(self.device, config.precision)
        prepare_device(self.device)
        torch.manual_seed(config.seed)
        self.networks = self._make_networks()
        self.phases = make_phases(self.networks, config)
        self.iteration = 0
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
    def samples(self) -> int:
        """Real volumes seen so far."""
        return self.iteration * self.config.batch

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
                closing(self._batches()) as data,
                closing(RunLog(self.folder, self.iteration)) as log,
                # Also while the last checkpoint is written, so that an early Ctrl-C cannot cost it.
                self._stop_on_signals(),
            ):
                try:
                    self._train(data, log, progress, minutes)
                except Cancelled:
                    self.save()
                    raise
        except OSError as error:
            raise HaganError(
                f"The run folder '{self.folder}' cannot be written ({error.strerror or error}); training "
                f"stopped at iteration {self.iteration}, the checkpoints are kept. Free space, then go on "
                "with --resume."
            ) from None
        return self.iteration >= self.config.total_iterations

    def _train(
        self,
        data: Generated[tuple[Tensor, Tensor], None, None],
        log: RunLog,
        progress: Progress,
        minutes: float,
    ) -> None:
        config = self.config
        started, begun, first = time.monotonic(), self.seconds, self.iteration
        checkpoint_due = started + 60 * config.checkpoint_minutes
        scans = self._preview_scans()
        while self.iteration < config.total_iterations:
            report = self.iterate(*self._next(data))
            self.iteration += 1
            now = time.monotonic()
            self.seconds = begun + now - started
            text = ""
            if self.iteration % config.log_every == 0 or self.iteration == config.total_iterations:
                rate = (self.iteration - first) / (now - started)
                log.write(self._log_line(report, rate))
                text = _summary(report, rate)
            if self.iteration % config.preview_every == 0:
                self._previews(scans)
            progress(self.iteration / config.total_iterations, text)
            if self._stop_asked:
                raise Cancelled(f"Stopped after iteration {self.iteration}; continue with --resume.")
            if now - started > 60 * minutes:
                break
            if now > checkpoint_due:
                self.save()
                checkpoint_due = time.monotonic() + 60 * config.checkpoint_minutes
        self.save()
        if self.iteration != first and self.iteration % config.preview_every:
            self._previews(scans)

    def _batches(self) -> Generated[tuple[Tensor, Tensor], None, None]:
        return batches(self.cohort, self.order, self.config.batch, self.iteration, self.device)

    def _next(self, data: Generated[tuple[Tensor, Tensor], None, None]) -> tuple[Tensor, Tensor]:
        """Return the next batch; where it cannot be read, what was learned so far is saved first."""
        try:
            return next(data)
        except HaganError:
            self.save()
            raise

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
            "networks": {name: network.state_dict() for name, network in self._named_networks()},
            "optimisers": {phase.name: phase.optimiser.state_dict() for phase in self.phases},
        }
        return save_checkpoint(self.folder / "checkpoints", self.iteration, state, self.config.keep)

    def iterate(self, volumes: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Run the phases once; returns losses and scalars, still on the device."""
        parts = self.config.accumulate
        steps = [
            Step(
                self.networks,
                self.config,
                v,
                y,
                self.class_frequencies,
                random_stream(self.config.seed, self.iteration, i),
            )
            for i, (v, y) in enumerate(zip(volumes.chunk(parts), labels.chunk(parts), strict=True))
        ]
        report: dict[str, Tensor] = {}
        adversarial = self.iteration < self.config.iterations
        if not adversarial:
            self._let_encoders_settle()
        for phase in self.phases:
            if adversarial or phase.encodes:
                self._run_phase(phase, steps, report)
        if adversarial:
            self._update_average()
        return report

    def _let_encoders_settle(self) -> None:
        """Let the encoders' rate fall to 0 over their own iterations, so that latents and prior agree."""
        left = (self.config.total_iterations - self.iteration) / self.config.encoder_iterations
        for phase in self.phases:
            for group in phase.optimiser.param_groups if phase.encodes else ():
                group["lr"] = self.config.lr_encoder * left

    def _run_phase(self, phase: Phase, steps: list[Step], report: dict[str, Tensor]) -> None:
        trained = (phase.module, *phase.also_in_graph)
        for _, network in self._named_networks():
            network.requires_grad_(any(network is module for module in trained))
        phase.optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for step in steps:
            with torch.autocast(
                self.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None
            ):
                loss, scalars = phase.loss(step)
            (loss / len(steps)).backward()
            total += loss.detach().float() / len(steps)
            for name, value in scalars.items():
                report[name] = report.get(name, torch.zeros_like(value)) + value / len(steps)
        report[f"loss_{phase.name}"] = total
        # On a GPU the value is looked at when it is logged anyway: asking now would make the GPU wait.
        if self.device.type == "cpu":
            self._check_losses(report, self.iteration + 1)
        phase.optimiser.step()

    def _check_losses(self, report: dict[str, Tensor], iteration: int) -> None:
        for name, value in report.items():
            if name.startswith("loss_") and not abs(float(value)) < EXPLODED:
                raise HaganError(
                    f"The loss of phase {name[5:]} is {float(value):.4g} at iteration {iteration}; "
                    f"training stopped, {self._how_to_go_on()}"
                )

    def _how_to_go_on(self) -> str:
        folder = self.folder / "checkpoints"
        rates = "--set lr_generator=…, lr_discriminator=… or lr_encoder=…"
        if not list_checkpoints(folder):
            return f"before the first checkpoint. Start again with a lower learning rate: {rates}."
        kept = f"the last good checkpoint is kept in '{folder}'. Lower a learning rate, then continue:"
        return f"{kept} --resume {rates}."

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the averaged generator: EMA with a half-life in volumes (Karras et al., 2020)."""
        config = self.config
        half_life = config.ema_half_life
        if config.ema_ramp:
            half_life = min(half_life, config.ema_ramp * self.samples)
        decay = 0.5 ** (config.batch / half_life) if half_life > 0 else 0.0
        source, target = self.networks.generator.parameters(), self.networks.average.parameters()
        torch._foreach_lerp_(list(target), list(source), 1.0 - decay)

    def _log_line(self, report: dict[str, Tensor], rate: float) -> dict[str, Any]:
        self._check_losses(report, self.iteration)
        return {
            "iteration": self.iteration,
            "samples": self.samples,
            "seconds": round(self.seconds, 2),
            "volumes_per_second": round(rate * self.config.batch, 3),
            **({} if (peak := peak_memory_mb(self.device)) is None else {"peak_memory_mb": peak}),
            **{name: round(float(value), 6) for name, value in report.items()},
        }

    def _preview_scans(self) -> Tensor:
        count = min(_PREVIEW_SCANS, len(self.cohort))
        return torch.stack([torch.from_numpy(self.cohort.load(i)) for i in range(count)]).unsqueeze(1)

    def _previews(self, scans: Tensor) -> None:
        for _, network in self._named_networks():
            network.eval()
        folder = self.folder / "samples"
        write_previews(self.networks, scans, folder, self.iteration, self.config.seed, self.class_frequencies)
        for _, network in self._named_networks():
            network.train()

    def _make_networks(self) -> Networks:
        architecture = self.config.architecture(self.cohort.size, len(self.cohort.classes))
        generator = Generator(architecture)
        networks = Networks(
            generator=generator,
            average=copy.deepcopy(generator),
            discriminator=Discriminator(architecture),
            encoder=Encoder(architecture),
            ground_encoder=GroundEncoder(architecture),
            content_head=ContentHead(architecture.latent),
            prior=LatentPrior(architecture.latent, self.config.prior == "encoded"),
        )
        # Convolutions of a GPU want channels last; on the CPU it was not faster at the widths trained there.
        layout = torch.channels_last_3d if self.device.type == "cuda" else torch.preserve_format
        for name in Networks.__slots__:
            getattr(networks, name).to(self.device, memory_format=layout)
        return networks

    def _named_networks(self) -> Iterator[tuple[str, torch.nn.Module]]:
        for name in Networks.__slots__:
            yield name, getattr(self.networks, name)

    def _restore(self, state: dict[str, Any]) -> None:
        if state["cohort"] != _fingerprint(self.cohort):
            raise HaganError(
                "The checkpoint was made with another cohort (volumes or their order differ); "
                "resume with the same one."
            )
        self._require_same_run(TrainingConfig().changed(state["config"]))
        for name, network in self._named_networks():
            network.load_state_dict(state["networks"][name])
        for phase in self.phases:
            told = [{"lr": g["lr"], "betas": g["betas"]} for g in phase.optimiser.param_groups]
            phase.optimiser.load_state_dict(state["optimisers"][phase.name])
            # The configuration's rates hold, not the checkpoint's: lowering them is how a run is rescued.
            for group, values in zip(phase.optimiser.param_groups, told, strict=True):
                group.update(values)
        self.iteration, self.seconds = state["iteration"], state["seconds"]

    def _require_same_run(self, saved: TrainingConfig) -> None:
        """Refuse other networks, or another order of the volumes: which of them were seen would be unknown.

        Compares numbers, not tensors: both normalisations have tensors of the same shapes.
        """
        size, classes = self.cohort.size, len(self.cohort.classes)
        before, now = (
            c.architecture(size, classes).to_dict() | {name: getattr(c, name) for name in _ORDER}
            for c in (saved, self.config)
        )
        if changed := [
            f"{name} {before[name]}, not {now[name]}" for name in now if before[name] != now[name]
        ]:
            raise HaganError(
                f"The checkpoint was made with {'; '.join(changed)}. Resume with the configuration "
                f"in '{self.folder / 'config.json'}'."
            )

    def _write_config(self) -> None:
        document = {"size": self.cohort.size, "cohort": str(self.cohort.folder), **self.config.to_dict()}
        with written_whole(self.folder / "config.json") as temporary:
            temporary.write_text(json.dumps(document, indent=2), encoding="utf-8")

    @contextmanager
    def _stop_on_signals(self) -> Iterator[None]:
        """Turn the first SIGINT or SIGTERM into a stop after the running iteration."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(signum: int, frame: object) -> None:
            if self._stop_asked:
                raise KeyboardInterrupt
            self._stop_asked = True

        earlier = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)


def _summary(report: dict[str, Tensor], rate: float) -> str:
    losses = ", ".join(f"{n[5:]} {float(v):.3f}" for n, v in report.items() if n.startswith("loss_"))
    return f"{rate:.2f} iterations/s, {losses}"


def _fingerprint(cohort: Cohort) -> str:
    """Return a hash of the volumes and their order."""
    return hashlib.sha256("".join(entry.sha256 for entry in cohort.entries).encode()).hexdigest()


def _class_frequencies(cohort: Cohort, config: TrainingConfig) -> Tensor:
    """Return how often each class is among the labelled volumes, (classes,)."""
    if not config.conditional:
        return torch.ones(1)
    if not cohort.classes:
        raise HaganError(
            "A conditional run needs classes, and this cohort has none; set 'conditional' to false."
        )
    labels = torch.from_numpy(cohort.labels)
    counts = torch.bincount(labels[labels >= 0], minlength=len(cohort.classes)).float()
    if counts.sum() == 0:
        raise HaganError(f"None of the {len(cohort)} volumes has a label; set 'conditional' to false.")
    return counts / counts.sum()
