"""``hagan train``: train a model on a cohort."""

from __future__ import annotations

import argparse
import importlib.util
import json
from contextlib import ExitStack
from typing import Any

from ..operations.context import Begun, Context
from ..operations.train import SettingsError, TrainRequest
from ..operations.train import run as train
from .console import Console
from .options import add_options, request_of
from .usage import UsageError, output

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
    add_options(parser, TrainRequest, "preset", "config", config="FILE", preset="NAME")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field; may be repeated"
    )
    parser.add_argument("--iterations", type=int, metavar="N", help="same as --set iterations=N")
    add_options(parser, TrainRequest, "minutes", "resume", "card", "store", "device", card="FILE")


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Train; returns where the model file is, or that the run is not finished."""
    if args.preset and args.config:
        raise UsageError('Give --preset or --config, not both; a configuration file can name its "preset".')
    request = request_of(TrainRequest, args, out=str(args.out), settings=_settings(args))
    context = Context()
    with ExitStack() as bar:

        def begin(begun: Begun) -> None:
            if importlib.util.find_spec("tensorboard") is None:
                console.warn(
                    "TensorBoard is not installed, so the log is in log.jsonl only; pip install tensorboard"
                )
            console.print(begun.text)
            context.progress = bar.enter_context(console.progress("train", begun.fraction))

        context.part = begin
        try:
            trained = train(request, context)
        except SettingsError as error:
            raise UsageError(str(error)) from None
    if trained.already:
        console.print(f"Already at iteration {trained.iteration} of {trained.iterations}; nothing to train.")
    if trained.written:
        console.print(f"Model file: {trained.model}")
    elif not trained.finished:
        console.print(f"Stopped at iteration {trained.iteration}; continue with --resume.")
    return {
        "finished": trained.finished,
        "iteration": trained.iteration,
        "seconds": round(trained.seconds, 1),
        "model": None if trained.model is None else str(trained.model),
        "run": str(args.out),
    }


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of the configuration that the command line changes."""
    settings = dict(_assignment(text) for text in args.set)
    if args.iterations is not None:
        settings["iterations"] = args.iterations
    if args.gan is not None:
        settings["gan"] = args.gan
    return settings


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set takes FIELD=VALUE; found '{text}'.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
