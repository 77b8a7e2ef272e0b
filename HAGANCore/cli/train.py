"""``hagan train``: train a model on a cohort."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import Console
from .usage import UsageError, device, made_of_options

if TYPE_CHECKING:
    from ..training import Trainer, TrainingConfig

_EPILOG = """examples:
  hagan train cohort --out run                              the published sizes, the corrected training
  hagan train cohort --out run --preset reference           the published behaviour, to compare with
  hagan train cohort --out run --set latent=128 --set generator_width=8 --iterations 20000
  hagan train cohort --out run --resume                     go on after a stop, or for more iterations
  tensorboard --logdir run                                  watch losses and logits

The run folder holds config.json, log.jsonl, TensorBoard events, samples/*.png, checkpoints/ and, when the
training is done, model.safetensors. While it runs, process/ tells so, and no second one can begin there.
Ctrl-C stops after the running iteration and keeps a checkpoint."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hagan train``."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "cohort", metavar="COHORT", help="folder made by 'hagan preprocess' or 'hagan phantom'"
    )
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder")
    parser.add_argument("--preset", help="'default' (corrected) or 'reference' (published behaviour)")
    parser.add_argument("--config", metavar="FILE", help="JSON file with fields of the configuration")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field; may be repeated"
    )
    parser.add_argument("--iterations", type=int, metavar="N", help="same as --set iterations=N")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, metavar="M", help="stop, resumable, after M"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in RUN")
    parser.add_argument(
        "--card", metavar="FILE", help="JSON file with title, summary, licence, … of the model"
    )
    parser.add_argument(
        "--store",
        choices=("float32", "float16"),
        default="float32",
        help="type of the weights in the model file",
    )
    parser.add_argument("--device", type=device, default="auto", help="auto, cpu, cuda or cuda:N")


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Train; returns where the model file is, or that the run is not finished."""
    import torch

    from ..devices import choose_device
    from ..training import Trainer
    from ..training.export import describe_model, export_model, read_card
    from ..training.process import marked_training, refuse_second
    from ..volumes.cohort import Cohort

    if not args.minutes > 0:
        raise UsageError(f"--minutes must be more than 0; found {args.minutes}.")
    out = Path(args.out)
    config = _configuration(args, out)
    refuse_second(out)
    card = read_card(args.card) if args.card else None
    trainer = Trainer(
        Cohort.open(args.cohort),
        out,
        config,
        choose_device(args.device),
        resume=args.resume,
    )
    describe_model(trainer, card)  # what is wrong with name or card is said now, not when training is done
    if importlib.util.find_spec("tensorboard") is None:
        console.warn("TensorBoard is not installed, so the log is in log.jsonl only; pip install tensorboard")
    console.print(
        f"Training on {len(trainer.cohort)} volumes of {trainer.cohort.size}³, {trainer.device}, "
        f"{'bfloat16' if trainer.dtype else 'float32'}, iterations {trainer.iteration} to "
        f"{config.total_iterations}, run folder {out}"
    )
    model = None
    with marked_training(out):
        finished = _train(trainer, args.minutes, console)
        if finished:
            model = str(export_model(trainer, out / "model.safetensors", card, getattr(torch, args.store)))
    if finished:
        console.print(f"Model file: {model}")
    else:
        console.print(f"Stopped at iteration {trainer.iteration}; go on with --resume.")
    return {
        "finished": finished,
        "iteration": trainer.iteration,
        "seconds": round(trainer.seconds, 1),
        "model": model,
        "run": str(out),
    }


def _train(trainer: Trainer, minutes: float, console: Console) -> bool:
    """Train; returns whether it is finished."""
    from ..errors import OutOfMemory
    from ..memory import is_out_of_memory

    config = trainer.config
    with console.progress("train", trainer.iteration / max(1, config.total_iterations)) as progress:
        try:
            return trainer.run(progress, minutes)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"Memory ran out at iteration {trainer.iteration + 1} with batch {config.batch} in "
                f"{config.accumulate} parts; go on with --resume --set accumulate={config.batch}, or start "
                "with a smaller batch, width or size."
            ) from None


def _configuration(args: argparse.Namespace, out: Path) -> TrainingConfig:
    """Return the configuration: of the run when it goes on, else preset and file; then single fields."""
    from ..training import TrainingConfig
    from ..training.config import preset_named

    changes = dict(_assignment(text) for text in args.set)
    if args.iterations is not None:
        changes["iterations"] = args.iterations
    if args.preset and args.config:
        raise UsageError('Give --preset or --config, not both; a configuration file can name its "preset".')
    if args.config:
        config = TrainingConfig.read(args.config)
    elif args.resume and not args.preset:
        config = TrainingConfig.of_run(out)
    else:
        with made_of_options():
            config = preset_named(args.preset or "default")
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
