"""``hagan train``: train a model on a cohort."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HaganError
from ..operations.outputs import require_folder
from .console import Console
from .usage import UsageError, device, made_of_options, output

if TYPE_CHECKING:
    from ..training import Trainer, TrainingConfig

_MODEL = "model.safetensors"
_SMALL_BATCH = 64
_MOST_REPEATS = 8
_EPILOG = """examples:
  hagan train cohort --out run                              the published sizes, the corrected training
  hagan train cohort --out run --preset reference           the published behaviour, to compare with
  hagan train cohort --out run --set latent=128 --set generator_width=8 --iterations 20000
  hagan train cohort --out run --gan wgan-gp                another GAN, to compare with
  hagan train cohort --out run --resume                     continue after a stop, or for more iterations
  tensorboard --logdir run                                  watch losses and logits

The run folder holds config.json, log.jsonl, TensorBoard events, samples/*.png, checkpoints/ and, when the
training is done, model.safetensors. While it runs, process/ marks the folder, and no
second training can start there. Ctrl-C stops after the current iteration and keeps a checkpoint."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hagan train``."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "cohort", metavar="COHORT", help="folder made by 'hagan preprocess' or 'hagan phantom'"
    )
    parser.add_argument("--out", type=output, required=True, metavar="RUN", help="run folder")
    parser.add_argument(
        "--gan",
        metavar="KIND",
        help="the GAN to train: hagan (default), wgan-gp, vae-gan, alpha-gan, progressive, stylegan2 or "
        "cce-gan",
    )
    parser.add_argument("--preset", help="'default' (corrected) or 'reference' (published behaviour)")
    parser.add_argument("--config", metavar="FILE", help="JSON file with fields of the configuration")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field; may be repeated"
    )
    parser.add_argument("--iterations", type=int, metavar="N", help="same as --set iterations=N")
    parser.add_argument(
        "--minutes",
        type=float,
        default=math.inf,
        metavar="M",
        help="stop after M minutes; the run can be resumed",
    )
    parser.add_argument("--resume", action="store_true", help="continue from the newest checkpoint in RUN")
    parser.add_argument(
        "--card", metavar="FILE", help="JSON file with title, summary, licence, … of the model"
    )
    parser.add_argument(
        "--store",
        choices=("float32", "float16"),
        default="float32",
        help="number type of the weights in the model file",
    )
    parser.add_argument("--device", type=device, default="auto", help="auto, cpu, cuda or cuda:N")


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Train; returns where the model file is, or that the run is not finished."""
    import torch

    from ..cohorts.store import Cohort
    from ..devices import choose_device
    from ..training import Trainer
    from ..training.export import describe_model, export_model, read_card
    from ..training.process import marked_training, refuse_second, training_state

    if not args.minutes > 0:
        raise UsageError(f"--minutes must be more than 0; found {args.minutes}.")
    out: Path = args.out
    config = _configuration(args, out)
    require_folder(out)
    refuse_second(out)
    card = read_card(args.card) if args.card else None
    device = choose_device(args.device)
    reached = _checkpoint_reached(out, args.resume)
    cohort = Cohort.open(args.cohort)
    _refuse_endless_batch(config, len(cohort))
    model_file = out / _MODEL
    if args.resume and reached >= config.all_iterations:
        console.print(f"Already at iteration {reached} of {config.all_iterations}; nothing to train.")
        # Written again only where the file would be another one: with other texts or another type.
        if model_file.is_file() and card is None and args.store == "float32":
            return _document(out, reached, training_state(out).seconds, model_file)
    # Marked before the run folder is written to: a second training leaves config.json as it is.
    with marked_training(out):
        trainer = Trainer(cohort, out, config, device, resume=args.resume)
        describe_model(trainer, card)  # what is wrong with name or card is said now, not after the training
        _announce(trainer, console)
        finished = trainer.iteration >= config.all_iterations or _train(trainer, args.minutes, console)
        if finished:
            export_model(trainer, model_file, card, getattr(torch, args.store))
    if finished:
        console.print(f"Model file: {model_file}")
    else:
        console.print(f"Stopped at iteration {trainer.iteration}; continue with --resume.")
    return _document(out, trainer.iteration, trainer.seconds, model_file if finished else None)


def _announce(trainer: Trainer, console: Console) -> None:
    if importlib.util.find_spec("tensorboard") is None:
        console.warn("TensorBoard is not installed, so the log is in log.jsonl only; pip install tensorboard")
    total, cohort = trainer.config.all_iterations, trainer.cohort
    if trainer.iteration < total:
        console.print(
            f"Training {trainer.gan.title} on {len(cohort)} volumes of {cohort.size}³, {trainer.device}, "
            f"{'bfloat16' if trainer.dtype else 'float32'}, iterations {trainer.iteration} to {total}, run "
            f"folder {trainer.folder}"
        )


def _document(out: Path, iteration: int, seconds: float, model: Path | None) -> dict[str, Any]:
    return {
        "finished": model is not None,
        "iteration": iteration,
        "seconds": round(seconds, 1),
        "model": None if model is None else str(model),
        "run": str(out),
    }


def _checkpoint_reached(out: Path, resume: bool) -> int:
    """Return the iteration of the newest checkpoint, 0 without one.

    Raises:
        HaganError: there is none to resume from; or the folder of a new run holds a run or a model already.
    """
    from ..training import TrainingConfig
    from ..training.checkpoint import list_checkpoints, load_checkpoint

    checkpoints = list_checkpoints(out / "checkpoints")
    if checkpoints:
        if not resume:
            raise HaganError(f"'{out}' already holds a run; continue with --resume or choose another folder.")
        return int(checkpoints[-1].stem.rpartition("-")[2])
    if resume:
        load_checkpoint(out / "checkpoints")  # says that there is none, before networks are made
    if (out / _MODEL).exists():
        raise HaganError(
            f"'{out / _MODEL}' already exists, without checkpoints to continue from; choose another "
            "--out, or move it away."
        )
    if (out / "config.json").exists():
        try:
            TrainingConfig.of_run(out)
        except HaganError:
            raise HaganError(
                f"'{out / 'config.json'}' already exists and is not the configuration of a run; choose "
                "another --out."
            ) from None
    return 0


def _refuse_endless_batch(config: TrainingConfig, volumes: int) -> None:
    """Refuse a batch that only repeats the cohort; a small batch may, where a cohort is tiny."""
    most = max(_SMALL_BATCH, _MOST_REPEATS * volumes)
    if config.batch > most:
        raise HaganError(
            f"A batch of {config.batch:,} would show the {volumes} volumes of the cohort {_MOST_REPEATS} "
            f"times and more in one iteration; choose at most {most:,}, such as 4."
        )


def _train(trainer: Trainer, minutes: float, console: Console) -> bool:
    """Train; returns whether it is finished."""
    from ..errors import OutOfMemory
    from ..memory import is_out_of_memory

    config = trainer.config
    with console.progress("train", trainer.iteration / max(1, config.all_iterations)) as progress:
        try:
            return trainer.run(progress, minutes)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"Memory ran out at iteration {trainer.iteration + 1} with batch {config.batch} in "
                f"{config.accumulate} parts; continue with --resume --set accumulate={config.batch}, or "
                "start with a smaller batch, width or size."
            ) from None


def _configuration(args: argparse.Namespace, out: Path) -> TrainingConfig:
    """Return the configuration: of the run when it goes on, else preset and file; then single fields."""
    from ..training import TrainingConfig
    from ..training.config import preset_named

    changes = dict(_assignment(text) for text in args.set)
    if args.iterations is not None:
        changes["iterations"] = args.iterations
    if args.gan is not None:
        changes["gan"] = args.gan
    if args.preset and args.config:
        raise UsageError('Give --preset or --config, not both; a configuration file can name its "preset".')
    if args.config:
        config = TrainingConfig.read(args.config)
    elif args.resume and not args.preset:
        config = TrainingConfig.of_run(out)
    else:
        with made_of_options():
            config = preset_named(args.preset or "default", args.gan or "hagan")
    with made_of_options():
        return config.changed(changes)


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set takes FIELD=VALUE; found '{text}'.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
