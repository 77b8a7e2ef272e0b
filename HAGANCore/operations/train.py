"""Train: a model from a cohort."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HaganError, OutOfMemory
from ..fields import check_fields, choice, flag, number, text
from .context import Begun, Context
from .outputs import require_folder

if TYPE_CHECKING:
    from ..training import Trainer, TrainingConfig

_MODEL = "model.safetensors"
_SMALL_BATCH = 64
_MOST_REPEATS = 8


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What to train. Every value has a form in JSON: a training of its own reads the request from a file.

    Raises:
        HaganError: a value that cannot be; the message names the field and the value.
    """

    cohort: str = text("Folder made by 'hagan preprocess' or 'hagan phantom'.")
    out: str = text("Run folder.")
    preset: str | None = text(
        "'default' (corrected) or 'reference' (published behaviour).", None, optional=True
    )
    config: str | None = text("JSON file with fields of the configuration.", None, optional=True)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the configuration that differ from preset or file, ``gan`` and ``iterations`` among them."""
    minutes: float | None = number(
        None, "Stop after this many minutes; the run can be resumed.", above=0, optional=True
    )
    resume: bool = flag(False, "Continue from the newest checkpoint in the run folder.")
    card: str | None = text("JSON file with title, summary, licence, … of the model.", None, optional=True)
    store: str = choice("float32", "Number type of the weights in the model file.", of=("float32", "float16"))
    device: str = text("Where to compute: auto, cpu, cuda or cuda:1.", "auto")

    def __post_init__(self) -> None:
        check_fields(self, "the request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How a training has ended."""

    finished: bool
    iteration: int
    iterations: int
    """All that there are to be."""
    already: bool
    """Whether there was nothing to train."""
    seconds: float
    """Over all resumes."""
    model: Path | None
    """The model file of a finished training."""
    written: bool
    """Whether that was written now."""


class SettingsError(HaganError):
    """The request itself cannot mean anything, whatever the files and the machine are."""


def run(request: TrainRequest, context: Context) -> Trained:
    """Train, and write the model file where the training is finished; its beginning is a part.

    Raises:
        SettingsError: a configuration that cannot be.
        HaganError: the cohort, the run folder or the device is not what it must be.
        Cancelled: a signal stopped it; a checkpoint was kept.
    """
    import torch  # the engine loads here: see the package

    from ..cohorts.store import Cohort
    from ..devices import choose_device
    from ..training import Trainer
    from ..training.export import describe_model, export_model, read_card
    from ..training.process import marked_training, refuse_second, training_state

    config, out = configuration(request), Path(request.out)
    require_folder(out)
    refuse_second(out)
    card = read_card(request.card) if request.card else None
    device = choose_device(request.device)
    reached = _checkpoint_reached(out, request.resume)
    cohort = Cohort.open(request.cohort)
    _refuse_endless_batch(config, len(cohort))
    model_file, total = out / _MODEL, config.all_iterations
    already = request.resume and reached >= total
    # Written again only where the file would be another one: with other texts or another type.
    if already and model_file.is_file() and card is None and request.store == "float32":
        return Trained(
            finished=True,
            iteration=reached,
            iterations=total,
            already=True,
            seconds=training_state(out).seconds,
            model=model_file,
            written=False,
        )
    # Marked before the run folder is written to: a second training leaves config.json as it is.
    with marked_training(out):
        trainer = Trainer(cohort, out, config, device, resume=request.resume)
        describe_model(trainer, card)  # what is wrong with name or card is said now, not after the training
        finished = trainer.iteration >= total or _train(trainer, request.minutes, context)
        if finished:
            export_model(trainer, model_file, card, getattr(torch, request.store))
    return Trained(
        finished=finished,
        iteration=trainer.iteration,
        iterations=total,
        already=already,
        seconds=trainer.seconds,
        model=model_file if finished else None,
        written=finished,
    )


def configuration(request: TrainRequest) -> TrainingConfig:
    """Return the configuration: of the run when it goes on, else preset or file; then single fields.

    Raises:
        SettingsError: a preset or a field that cannot be.
        HaganError: the file of a configuration cannot be read.
    """
    from ..training import TrainingConfig
    from ..training.config import preset_named

    settings = dict(request.settings)
    if request.config:
        config = TrainingConfig.read(request.config)
    elif request.resume and not request.preset:
        config = TrainingConfig.of_run(Path(request.out))
    else:
        with _settings():
            config = preset_named(request.preset or "default", settings.get("gan", "hagan"))
    with _settings():
        return config.changed(settings)


@contextmanager
def _settings() -> Iterator[None]:
    try:
        yield
    except HaganError as error:
        raise SettingsError(str(error)) from None


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


def _train(trainer: Trainer, minutes: float | None, context: Context) -> bool:
    """Train; returns whether it is finished."""
    from ..memory import is_out_of_memory

    config, cohort = trainer.config, trainer.cohort
    total = config.all_iterations
    text = (
        f"Training {trainer.gan.title} on {len(cohort)} volumes of {cohort.size}³, {trainer.device}, "
        f"{'bfloat16' if trainer.dtype else 'float32'}, iterations {trainer.iteration} to {total}, run "
        f"folder {trainer.folder}"
    )
    context.part(Begun(text=text, fraction=trainer.iteration / max(1, total)))
    try:
        return trainer.run(context.progress, float("inf") if minutes is None else minutes)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"Memory ran out at iteration {trainer.iteration + 1} with batch {config.batch} in "
            f"{config.accumulate} parts; continue with --resume --set accumulate={config.batch}, or "
            "start with a smaller batch, width or size."
        ) from None
