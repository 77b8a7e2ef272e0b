"""Defects of one line, each with the tests that must notice it.

``module`` is the name of a file anywhere in ``HAGANCore``, and ``old`` a text that is in it exactly once: so
a file may move, and a mutation is looked for where its text is. ``tests`` are file names below ``Testing``,
with ``*`` for any text.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """One defect."""

    name: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    # latent: how far to go, and what is carried over to a scan
    Mutation(
        "illinois-halving-above",
        "search.py",
        "self.above = (self.above[0], self.above[1] / 2)",
        "self.above = (self.above[0], self.above[1])",
        ("test_search.py",),
    ),
    Mutation(
        "illinois-halving-below",
        "search.py",
        "self.below = (self.below[0], self.below[1] / 2)",
        "self.below = (self.below[0], self.below[1])",
        ("test_search.py",),
    ),
    Mutation(
        "broyden-guard",
        "closed_loop.py",
        "return corrected if SLOPES[0] <= singular[-1] and singular[0] <= SLOPES[1] else slopes",
        "return corrected",
        ("test_search.py",),
    ),
    Mutation(
        "broyden-no-correction",
        "closed_loop.py",
        "return corrected if SLOPES[0] <= singular[-1] and singular[0] <= SLOPES[1] else slopes",
        "return slopes",
        ("test_search.py",),
    ),
    Mutation(
        "no-taper-at-faces",
        "onto_scan.py",
        "        array *= weight",
        "        array *= 1",
        ("test_onto_scan_taper.py",),
    ),
    Mutation(
        "wider-taper-at-faces", "onto_scan.py", "_TAPER = 4", "_TAPER = 5", ("test_onto_scan_taper.py",)
    ),
    Mutation(
        "old-table-stays",
        "series.py",
        "        _forget_earlier(folder, name, stem)",
        "        pass",
        ("test_killed.py",),
    ),
    # training
    Mutation(
        "latent-weight-off",
        "gan.py",
        "return error + self.options.latent_weight * (mean_square - 1).abs().mean(), scalars",
        "return error, scalars",
        ("test_training_losses.py",),
    ),
    Mutation(
        "latent-norm-squared",
        "gan.py",
        "(mean_square - 1).abs().mean()",
        "(mean_square - 1).square().mean()",
        ("test_training_losses.py",),
    ),
    Mutation(
        "average-decays-faster",
        "trainer.py",
        "decay = 0.5 ** (volumes / half_life)",
        "decay = 0.4 ** (volumes / half_life)",
        ("test_training_losses.py",),
    ),
    Mutation(
        "average-half-life-in-iterations",
        "trainer.py",
        "decay = 0.5 ** (volumes / half_life)",
        "decay = 0.5 ** (1 / half_life)",
        ("test_training_losses.py",),
    ),
    Mutation(
        "class-weight-of-g",
        "gan.py",
        "loss = loss + self.options.class_weight * of_fake",
        "loss = loss + of_fake",
        ("test_training_losses.py",),
    ),
    Mutation(
        "class-loss-of-d",
        "gan.py",
        "            loss = loss + of_real\n",
        "",
        ("test_training_losses.py",),
    ),
    Mutation(
        "gradients-summed",
        "optimisers.py",
        "(loss / len(parts)).backward()",
        "loss.backward()",
        ("test_training_losses.py",),
    ),
    # models and their volumes
    Mutation(
        "constant-volume-passes",
        "cube.py",
        "if self._least == self._greatest:",
        "if False:",
        ("test_cube.py",),
    ),
    Mutation(
        "nan-passes",
        "cube.py",
        "if not math.isfinite(least + greatest):",
        "if False:",
        ("test_cube.py",),
    ),
    Mutation(
        "latent-not-finite-passes",
        "encode.py",
        "if not bool(torch.isfinite(z).all()):",
        "if False:",
        ("test_cube.py",),
    ),
    Mutation(
        "download-any-hash",
        "download.py",
        "if received.sha256 != sha256:",
        "if False:",
        ("test_download*.py",),
    ),
    Mutation(
        "download-endless",
        "download.py",
        "if received.bytes > received.size:",
        "if False:",
        ("test_download*.py",),
    ),
    Mutation(
        "download-http",
        "download.py",
        'return parts.scheme == "https"',
        "return True",
        ("test_download*.py",),
    ),
    Mutation(
        "download-redirect-to-http",
        "download.py",
        'if not _is_safe(newurl) or (req.type == "https" and not newurl.startswith("https:")):',
        "if not _is_safe(newurl):",
        ("test_download*.py",),
    ),
    Mutation(
        "download-never-too-slow",
        "download.py",
        "if received.bytes - before < SLOWEST * (now - begun):",
        "if False:",
        ("test_download*.py",),
    ),
    # processes
    Mutation(
        "running-preview-stopped",
        "server.py",
        'elif not (preview and job.arguments["quality"] == "preview"):',
        "else:",
        ("test_worker*.py",),
    ),
    Mutation(
        "export-replaces-anything",
        "export.py",
        'require_own_volume(path, volume_from_wire(item["volume"]).meta.get("unit") == "label", "file")',
        "pass",
        ("test_worker_export.py",),
    ),
    Mutation(
        "two-trainings-begin",
        "process.py",
        "    with locked(folder):\n        refuse_second(folder)",
        "    if True:\n        refuse_second(folder)",
        ("test_killed.py",),
    ),
    # anatomy
    Mutation(
        "refinement-without-prior",
        "refine.py",
        "return (low.mean() + high.mean()) / 2 + PRIOR_WEIGHT * z.square().mean()",
        "return (low.mean() + high.mean()) / 2",
        ("test_refine.py",),
    ),
    Mutation("pore-rule", "bones.py", "_PORE = 4", "_PORE = 5", ("test_rules.py",)),
    Mutation(
        "contrast-one-round",
        "dense.py",
        "for level, thickness, where in ((_BLOOD_SHARE * chest.blood, 3.0, chest.deep), (0.0, 5.0, dense)):",
        "for level, thickness, where in ((0.0, 5.0, dense),):",
        ("test_rules.py",),
    ),
    Mutation("emphysema-limit", "targets.py", "EMPHYSEMA = -950", "EMPHYSEMA = -930", ("test_rules.py",)),
    Mutation("gas-wall", "gas.py", "_WALL = -720", "_WALL = -300", ("test_gas.py",)),
    # reading
    Mutation(
        "tilt-limit",
        "dicom_stack.py",
        "_STRAIGHT_MM, _STRAIGHT = 1.0, 0.01",
        "_STRAIGHT_MM, _STRAIGHT = 20.0, 0.2",
        ("test_dicom_stack.py",),
    ),
    Mutation(
        "shear-limit",
        "volume.py",
        "LARGEST_SHEAR = 2e-3",
        "LARGEST_SHEAR = 2e-2",
        ("test_voxel_size.py",),
    ),
)
