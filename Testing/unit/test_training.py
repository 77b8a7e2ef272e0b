"""Training: what is drawn, what is learned, and that nothing is lost when it is interrupted."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from HAGANCore.cohorts.store import Cohort, CohortWriter
from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.gans import Batch
from HAGANCore.gans.hagan import REFERENCE
from HAGANCore.gans.hagan.augment import SCALE, augment_pair
from HAGANCore.gans.hagan.batch import SlabBatch
from HAGANCore.gans.hagan.options import AUGMENTATIONS
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.training import Trainer, TrainingConfig
from HAGANCore.training.checkpoint import list_checkpoints, load_checkpoint
from HAGANCore.training.data import random_stream
from HAGANCore.training.log import read_log

SIZE = 32
SMALL = TrainingConfig.of(
    latent=8,
    generator_width=4,
    discriminator_width=64,
    ground_encoder_width=16,
    iterations=4,
    batch=2,
    log_every=1,
    preview_every=1000,
    precision="float32",
)
WITHOUT_TIMES = ("seconds", "volumes_per_second", "peak_memory_mb")


def balls(
    folder: Path, count: int = 6, classes: tuple[str, ...] = ("small", "large"), labelled: int = 4
) -> Cohort:
    """Write a cohort of balls of growing radius; all but the first ``labelled`` have no label."""
    z, y, x = np.mgrid[:SIZE, :SIZE, :SIZE] - (SIZE - 1) / 2
    distance = np.sqrt(z**2 + y**2 + x**2)
    with CohortWriter(folder, PROFILES["thorax-ct-fov"], SIZE, classes) as writer:
        for index in range(count):
            ball = np.where(distance < 5 + index, 0.5, -0.8)
            label = index % len(classes) if classes and index < labelled else -1
            writer.add(f"ball{index}", ball, label=label)
    return Cohort.open(folder)


@pytest.fixture
def a_cohort(tmp_path: Path) -> Cohort:
    return balls(tmp_path / "cohort")


def losses(run: Path) -> list[dict]:
    """Return the log without what depends on the clock."""
    return [{k: v for k, v in line.items() if k not in WITHOUT_TIMES} for line in read_log(run / "log.jsonl")]


def learned(run: Path) -> dict:
    """Return the newest checkpoint without what depends on the clock."""
    state = load_checkpoint(run / "checkpoints")
    del state["seconds"]
    return state


def assert_equal_bit_for_bit(one: object, other: object) -> None:
    """Compare everything that training goes on from: weights, buffers, averages, optimisers."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_equal_bit_for_bit(value, other[key])
    elif isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            assert_equal_bit_for_bit(a, b)
    else:
        assert one == other


def step_for(trainer: Trainer, iteration: int = 0) -> SlabBatch:
    volumes = torch.from_numpy(np.stack([trainer.cohort.load(i) for i in (0, 5)])).unsqueeze(1)
    labels = torch.from_numpy(trainer.cohort.labels[[0, 5]])
    whole = trainer.config.accumulate == 1
    return trainer.gan.begin(
        Batch(real=volumes, labels=labels, random=random_stream(0, iteration, 0), whole=whole)
    )


def test_features_and_voxels_are_cut_at_the_same_place(a_cohort: Cohort, tmp_path: Path):
    aligned = Trainer(a_cohort, tmp_path / "run", SMALL)
    assert all(s.voxel_start == 4 * s.feature_start for s in (step_for(aligned, i) for i in range(50)))
    published = Trainer(a_cohort, tmp_path / "reference", SMALL.changed({"slab_draw": "voxel-grid"}))
    assert any(s.voxel_start != 4 * s.feature_start for s in (step_for(published, i) for i in range(50)))


def test_published_draw_trains_the_encoder_on_the_drawn_slab_alone(a_cohort: Cohort, tmp_path: Path):
    published = SMALL.changed({"slab_draw": "voxel-grid"})
    step = step_for(Trainer(a_cohort, tmp_path / "reference", published))
    loss, _ = step.gan.encoder_loss(step)
    encoder, target, slab = step.gan.networks["encoder"], step.gan.averages["generator"], step.real_slab()
    features = encoder(slab)
    torch.testing.assert_close(loss, F.l1_loss(target.high.slab(features, 0, features.shape[2]), slab))
    torch.testing.assert_close(step.features(), encoder.volume(step.real))


def test_low_resolution_is_the_average_by_default_and_sampled_in_the_reference(
    a_cohort: Cohort, tmp_path: Path
):
    step = step_for(Trainer(a_cohort, tmp_path / "run", SMALL))
    assert torch.equal(step.real_low(), F.avg_pool3d(step.real, 4))
    step = step_for(Trainer(a_cohort, tmp_path / "reference", SMALL.changed({"low_resolution": "nearest"})))
    assert torch.equal(step.real_low(), step.real[:, :, ::4, ::4, ::4])


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_augmentation_changes_slab_and_low_resolution_alike_and_passes_gradients(kind: str):
    volume = torch.randn(2, 1, SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(1)).requires_grad_()
    low = F.avg_pool3d(volume, SCALE)
    changed, changed_low = augment_pair(volume, low, (kind,), torch.Generator().manual_seed(2))
    assert not torch.equal(changed, volume)
    assert torch.allclose(F.avg_pool3d(changed, SCALE), changed_low, atol=1e-5)
    changed.sum().backward()
    assert volume.grad is not None
    assert volume.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"conditional": True},
        {"batch": 1},
        {"batch": 1, "conditional": True},
        {"accumulate": 2},
        {"augment": AUGMENTATIONS},
        {"encoder_iterations": 2},
        {
            "normalisation": "group",
            "slab_draw": "voxel-grid",
            "share_fakes": False,
            "encode_for_average": False,
        },
        REFERENCE | {"conditional": True},
        {"precision": "bfloat16"},
        {"reconstruction_weight": 10.0, "judge_reconstructions": True},
        {"reconstruction_weight": 10.0, "tissue_weight": 1.0, "content_weight": 1.0, "prior": "encoded"},
        {"reconstruction_weight": 10.0, "judge_reconstructions": True, "conditional": True, "accumulate": 2},
    ],
    ids=str,
)
def test_every_kind_of_run_trains_all_networks(a_cohort: Cohort, tmp_path: Path, changes: dict):
    trainer = Trainer(a_cohort, tmp_path / "run", SMALL.changed(changes))
    before = {name: [p.clone() for p in network.parameters()] for name, network in trainer._named_networks()}
    assert trainer.run()
    unused = ("prior",) if trainer.config.options.content_weight else ("content_head", "prior")
    for name, network in trainer._named_networks():
        assert (name in unused) != any(
            not torch.equal(a, b) for a, b in zip(before[name], network.parameters(), strict=True)
        ), name
    assert [line["iteration"] for line in losses(tmp_path / "run")] == list(range(1, trainer.iteration + 1))


def test_a_cohort_without_a_single_label_cannot_be_conditional(tmp_path: Path):
    cohort = balls(tmp_path / "cohort", labelled=0)
    with pytest.raises(HaganError, match="None of the 6 volumes has a label"):
        Trainer(cohort, tmp_path / "run", SMALL.changed({"conditional": True}))


def test_encoders_learn_to_reconstruct(a_cohort: Cohort, tmp_path: Path):
    config = SMALL.changed(
        {"iterations": 60, "lr_encoder": 2e-3, "lr_generator": 1e-3, "encoder_iterations": 60}
    )
    Trainer(a_cohort, tmp_path / "run", config).run()
    lines = losses(tmp_path / "run")
    assert np.mean([line["loss_E^G"] for line in lines[-10:]]) < 0.6 * lines[0]["loss_E^G"]


def test_previews_are_made_at_fixed_seeds(a_cohort: Cohort, tmp_path: Path):
    Trainer(a_cohort, tmp_path / "run", SMALL.changed({"preview_every": 2})).run()
    assert sorted(path.name for path in (tmp_path / "run" / "samples").iterdir()) == [
        "00000002.png",
        "00000004.png",
    ]


@pytest.mark.parametrize(
    "changes", [{}, {"conditional": True, "accumulate": 2, "augment": AUGMENTATIONS}], ids=str
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    a_cohort: Cohort, tmp_path: Path, changes: dict
):
    config = SMALL.changed({**changes, "iterations": 6, "encoder_iterations": 1})
    Trainer(a_cohort, tmp_path / "whole", config).run()
    first = Trainer(a_cohort, tmp_path / "parts", config)
    with pytest.raises(Cancelled):
        first.run(progress=cancel_after(first, 3))
    resumed = Trainer(a_cohort, tmp_path / "parts", config, resume=True)
    assert resumed.iteration == 3
    assert resumed.run()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert_equal_bit_for_bit(learned(tmp_path / "parts"), learned(tmp_path / "whole"))


def cancel_after(trainer: Trainer, iteration: int):
    def progress(fraction: float, text: str = "") -> None:
        if trainer.iteration >= iteration:
            raise Cancelled("enough")

    return progress


def start_training(cohort: Path, run: Path, *more: str) -> subprocess.Popen:
    small = settings(SMALL.to_dict())
    command = [sys.executable, "-m", "HAGANCore", "train", str(cohort), "--out", str(run), *small, *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def settings(values: dict) -> list[str]:
    return [f"--set={name}={json.dumps(value)}" for name, value in values.items()]


def wait_for(condition, process: subprocess.Popen) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "nothing happened for a minute"
        time.sleep(0.02)


def test_a_run_killed_at_any_moment_goes_on_as_if_nothing_had_happened(a_cohort: Cohort, tmp_path: Path):
    run, often = tmp_path / "run", {"checkpoint_minutes": 0.002}

    def is_beyond_a_checkpoint() -> bool:
        done, saved = len(read_log(run / "log.jsonl")), list_checkpoints(run / "checkpoints")
        return bool(saved) and done > int(saved[-1].stem[-8:])

    process = start_training(a_cohort.folder, run, "--iterations=100000", *settings(often))
    wait_for(is_beyond_a_checkpoint, process)
    process.kill()
    process.wait()
    end = len(read_log(run / "log.jsonl")) + 3
    process = start_training(a_cohort.folder, run, "--resume", f"--iterations={end}", *settings(often))
    assert process.wait() == 0
    Trainer(a_cohort, tmp_path / "whole", SMALL.changed({"iterations": end, **often})).run()
    assert losses(run) == losses(tmp_path / "whole")
    assert_equal_bit_for_bit(learned(run), learned(tmp_path / "whole"))


def test_sigterm_keeps_a_checkpoint_and_says_how_to_go_on(a_cohort: Cohort, tmp_path: Path):
    run = tmp_path / "run"
    process = start_training(a_cohort.folder, run, "--iterations=100000")
    wait_for(lambda: len(read_log(run / "log.jsonl")) >= 3, process)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "--resume" in stderr
    assert "Traceback" not in stderr
    assert len(list_checkpoints(run / "checkpoints")) == 1


def test_an_exploding_loss_names_its_turn_and_keeps_the_last_checkpoint(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(a_cohort, tmp_path / "run", SMALL)
    good = trainer.save()
    with torch.no_grad():
        trainer.networks.encoder.blocks[0].conv.weight.fill_(float("nan"))
    with pytest.raises(HaganError, match=r"turn E\^H is nan at iteration 1"):
        trainer.run()
    assert list_checkpoints(tmp_path / "run" / "checkpoints") == [good]


def test_a_loss_that_explodes_before_the_first_checkpoint_promises_none(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(a_cohort, tmp_path / "run", SMALL)
    with torch.no_grad():
        trainer.networks.encoder.blocks[0].conv.weight.fill_(float("nan"))
    with pytest.raises(HaganError, match=r"before the first checkpoint\. Start again with a lower"):
        trainer.run()


def test_weights_that_are_not_finite_are_never_saved(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(a_cohort, tmp_path / "run", SMALL)
    good = trainer.save()
    with torch.no_grad():
        trainer.gan.averages["generator"].common.linear.bias[0] = float("inf")
    trainer.iteration = 1
    with pytest.raises(HaganError, match="average are not finite after iteration 1"):
        trainer.save()
    assert list_checkpoints(tmp_path / "run" / "checkpoints") == [good]


def test_the_learning_rate_of_the_configuration_holds_after_a_resume(a_cohort: Cohort, tmp_path: Path):
    Trainer(a_cohort, tmp_path / "run", SMALL.changed({"iterations": 1})).run()
    calmer = SMALL.changed({"lr_generator": 1e-6})
    resumed = Trainer(a_cohort, tmp_path / "run", calmer, resume=True)
    resumed.run()
    rates = {name: o.param_groups[0]["lr"] for name, o in resumed.optimisers.by_turn.items()}
    assert rates == {"D": 4e-4, "G": 1e-6, "E^H": 1e-4, "E^G": 1e-4}


def test_a_split_batch_does_not_hold_the_gradients_graph_of_all_its_parts(a_cohort: Cohort, tmp_path: Path):
    shared = step_for(Trainer(a_cohort, tmp_path / "whole", SMALL))
    assert shared.fakes("D")[0] is shared.fakes("G")[0]
    split = step_for(Trainer(a_cohort, tmp_path / "split", SMALL.changed({"accumulate": 2})))
    assert split.fakes("D")[0] is not split.fakes("G")[0]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(a_cohort, tmp_path / "run", SMALL)
    trainer.save()
    trainer.iteration = 2
    newest = trainer.save()
    newest.write_bytes(newest.read_bytes()[:1000])
    assert Trainer(a_cohort, tmp_path / "run", SMALL, resume=True).iteration == 0


def test_only_the_newest_checkpoints_are_kept(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(a_cohort, tmp_path / "run", SMALL.changed({"keep": 2}))
    for trainer.iteration in range(4):
        trainer.save()
    names = [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")]
    assert names == ["iteration-00000002.pt", "iteration-00000003.pt"]


def test_a_disk_that_fills_up_leaves_the_earlier_checkpoint(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(a_cohort, tmp_path / "run", SMALL)
    good = trainer.save()
    trainer.iteration = 1
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (good.stat().st_size // 2, limit[1]))
    try:
        with pytest.raises(HaganError, match=r"could not be written .* earlier checkpoints are kept"):
            trainer.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == [good]


def test_an_unreadable_volume_is_named(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(a_cohort, tmp_path / "run", SMALL)
    for entry in a_cohort.entries[2:]:
        (a_cohort.folder / entry.file).write_bytes(b"not an array")
    with pytest.raises(HaganError, match=r"ball\d.npy' cannot be read"):
        trainer.run()


def test_what_was_learned_before_an_unreadable_volume_is_kept(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(a_cohort, tmp_path / "run", SMALL.changed({"shuffle": False}))
    seen_in_iteration_3 = a_cohort.entries[5]
    (a_cohort.folder / seen_in_iteration_3.file).write_bytes(b"not an array")
    with pytest.raises(HaganError, match=r"ball\d.npy' cannot be read"):
        trainer.run()
    assert load_checkpoint(tmp_path / "run" / "checkpoints")["iteration"] == 2


def test_a_run_folder_that_cannot_be_written_is_said_with_what_is_kept(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(a_cohort, tmp_path / "run", SMALL)
    (tmp_path / "run" / "samples").write_text("a file where the previews' folder should be")
    with pytest.raises(HaganError, match=r"cannot be written \(.*\); training stopped at iteration 4"):
        trainer.run()


def test_the_last_iteration_is_logged_however_seldom_others_are(a_cohort: Cohort, tmp_path: Path):
    Trainer(a_cohort, tmp_path / "run", SMALL.changed({"log_every": 3})).run()
    assert [line["iteration"] for line in losses(tmp_path / "run")] == [3, 4]


def test_a_run_is_not_overwritten_nor_resumed_with_something_else(a_cohort: Cohort, tmp_path: Path):
    Trainer(a_cohort, tmp_path / "run", SMALL).run()
    with pytest.raises(HaganError, match="already holds a run"):
        Trainer(a_cohort, tmp_path / "run", SMALL)
    with pytest.raises(HaganError, match="made with latent 8, not 9"):
        Trainer(a_cohort, tmp_path / "run", SMALL.changed({"latent": 9}), resume=True)
    with pytest.raises(HaganError, match="made with normalisation slab-consistent, not group"):
        Trainer(a_cohort, tmp_path / "run", SMALL.changed({"normalisation": "group"}), resume=True)
    for name, value in (("seed", 99), ("batch", SMALL.batch + 1), ("shuffle", not SMALL.shuffle)):
        with pytest.raises(HaganError, match=rf"made with {name} {getattr(SMALL, name)}, not {value}"):
            Trainer(a_cohort, tmp_path / "run", SMALL.changed({name: value}), resume=True)
    with pytest.raises(HaganError, match="another cohort"):
        Trainer(balls(tmp_path / "other", count=5), tmp_path / "run", SMALL, resume=True)
    with pytest.raises(HaganError, match="no checkpoint"):
        Trainer(a_cohort, tmp_path / "empty", SMALL, resume=True)
