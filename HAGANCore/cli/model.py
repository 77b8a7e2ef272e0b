"""``hagan model``: inspect, list, verify, download, import or make model files."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HaganError
from ..operations.outputs import require_folder, require_model
from .console import Console
from .parser import add_common_arguments
from .usage import UsageError, made_of_options, output

if TYPE_CHECKING:
    from ..models.modelfile import ModelFile

_AddOptions = Callable[[argparse.ArgumentParser], None]
_RunAction = Callable[[argparse.Namespace, Console], dict[str, Any]]

_EXAMPLES = """examples:
  hagan model info demo
  hagan model list
  hagan model verify demo
  hagan model download NAME
  hagan model import FOLDER --out copdgene.safetensors
  hagan model new --size 256 --out random.safetensors"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands and their options."""
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (text, example, add_options, run_action) in _actions().items():
        action = actions.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"example:\n  hagan model {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_options(action)
        add_common_arguments(action, of_action=True)
        action.set_defaults(run_action=run_action)


def _actions() -> dict[str, tuple[str, str, _AddOptions, _RunAction]]:
    """Action: line of help, example, what adds its options, what runs it."""
    return {
        "info": ("show a model's card", "info demo", _info_options, _info),
        "list": ("list the known models and where they are", "list", _no_options, _list),
        "verify": (
            "read every weight and compare the file with the registry",
            "verify demo",
            _info_options,
            _verify,
        ),
        "download": ("download a known model", "download NAME", _download_options, _download),
        "new": (
            "make a model with random weights, for benchmarks and tests",
            "new --size 64 --out random.safetensors",
            _new_options,
            _new,
        ),
        "import": (
            "convert published checkpoints {G,D,E,Sub_E}_iterN.pth",
            "import FOLDER --out copdgene.safetensors",
            _import_options,
            _import,
        ),
    }


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Run the chosen action; returns the document of ``--json``."""
    action: _RunAction = args.run_action
    return action(args, console)


def _no_options(parser: argparse.ArgumentParser) -> None:
    pass


def _info_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name of a known model, or path of a model file")


def _info(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ..models.card import card_text
    from ..models.modelfile import read_model, resolve_model

    model = read_model(resolve_model(args.model))
    document = _document(model)
    console.print(card_text(model))
    return document


def _list(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ..models.registry import model_folder, own_models, read_registry

    entries = read_registry()
    console.print(f"{'NAME':<16} {'SIZE':<6} {'ANATOMY':<10} TITLE")
    for entry in entries:
        console.print(f"{entry.name:<16} {f'{entry.size}³':<6} {entry.anatomy:<10} {entry.title}")
        if entry.available:
            console.print(f"{'':<17}here: {entry.path}")
        elif entry.url:
            console.print(f"{'':<17}hagan model download {entry.name} ({entry.bytes or 0:,} bytes)")
        else:
            console.print(f"{'':<17}{entry.how_to_obtain}")
    own = own_models()
    console.print(f"\nIn {model_folder()} (HAGAN_MODEL_DIR): {', '.join(own) or 'no models of your own'}.")
    models = [
        {
            "name": entry.name,
            "title": entry.title,
            "anatomy": entry.anatomy,
            "size": entry.size,
            "available": entry.available,
            "path": str(entry.path) if entry.available else None,
            "url": entry.url,
            "bytes": entry.bytes,
            "sha256": entry.sha256,
            "licence": entry.licence,
            "citation": entry.citation,
            "how_to_obtain": entry.how_to_obtain,
        }
        for entry in entries
    ]
    return {"models": models, "own": own, "folder": str(model_folder())}


def _verify(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ..models.verify import verify_model

    found = verify_model(args.model)
    for name, parameters in found.parameters.items():
        console.print(f"{name.replace('_', ' ')}: {parameters:,} parameters, all weights finite")
    known = f"the registry’s {found.registry!r}" if found.registry else "not in the registry"
    console.print(f"SHA-256 {found.model.sha256}: {known}")
    return {"valid": True, "registry": found.registry, **_document(found.model)}


def _download_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of a known model, see 'hagan model list'")
    parser.add_argument(
        "--folder", type=output, help="where to keep it (default: HAGAN_MODEL_DIR, or your data folder)"
    )


def _download(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ..models.download import download
    from ..models.registry import model_folder, registry_entry

    entry = registry_entry(args.name)
    if entry.url is None:
        raise HaganError(f"The model '{entry.name}' cannot be downloaded. {entry.how_to_obtain}")
    folder = args.folder or model_folder()
    require_folder(folder, "--folder")
    with console.progress(f"Download {entry.name}") as progress:
        path = download(entry, folder, progress)
    console.print(f"{path}: {entry.bytes:,} bytes, SHA-256 {entry.sha256}")
    return {"name": entry.name, "path": str(path), "bytes": entry.bytes, "sha256": entry.sha256}


def _new_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size", type=int, required=True, help="edge R of the volume: 32, 64, 128, 256 or 512"
    )
    parser.add_argument("--out", type=output, required=True, help="model file to write")
    parser.add_argument("--latent", type=int, default=1024, help="length of the latent (default: 1024)")
    parser.add_argument("--classes", type=int, default=0, help="number of classes (default: 0)")
    parser.add_argument("--generator-width", type=int, default=32, help="default: 32, as published")
    parser.add_argument("--discriminator-width", type=int, default=512, help="default: 512, as published")
    parser.add_argument("--ground-encoder-width", type=int, default=256, help="default: 256, as published")
    parser.add_argument(
        "--normalisation",
        choices=("slab-consistent", "group"),
        default="slab-consistent",
        help="normalisation of the generator's G^H (default: slab-consistent; published: group)",
    )
    parser.add_argument("--profile", default="thorax-ct", help="preprocessing profile (default: thorax-ct)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random weights (default: 0)")
    parser.add_argument(
        "--discriminator",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether the file holds the discriminator (default: yes)",
    )


def _new(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    import torch

    from ..gans.hagan import HAGAN, Architecture
    from ..models.card import card_text
    from ..models.modelfile import ModelDescription, read_model, write_model
    from ..preparation.profiles import profile_named

    with made_of_options():
        architecture = Architecture(
            size=args.size,
            latent=args.latent,
            classes=args.classes,
            generator_width=args.generator_width,
            discriminator_width=args.discriminator_width,
            ground_encoder_width=args.ground_encoder_width,
            normalisation=args.normalisation,
        )
        profile = profile_named(args.profile)
    require_model(args.out, _is_random, "a model with random weights")
    description = ModelDescription(
        name=_short_name(args.out),
        title=f"Random weights, {architecture.size}³",
        summary="Not trained: its volumes show noise. For benchmarks and tests.",
        architecture=architecture,
        profile=profile,
        classes=tuple(f"class {index}" for index in range(architecture.classes)),
        training={"iterations": 0, "seed": args.seed},
        licence="CC0-1.0",
        intended_use="Benchmarks and tests.",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        # The discriminator last: a file without it holds the same weights as one with it.
        names = (*HAGAN.shipped, *(["discriminator"] if args.discriminator else []))
        networks: dict[str, Any] = {name: HAGAN.parts[name](architecture) for name in names}
    path = write_model(args.out, description, **networks)
    model = read_model(path)
    document = _document(model)
    console.print(card_text(model))
    return document


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, nargs="?", help="where {G,D,E,Sub_E}_iterN.pth are"
    )
    parser.add_argument("--iteration", type=int, help="N of the files in FOLDER (default: the latest)")
    parser.add_argument("--generator", type=Path, metavar="G.pth", help="instead of FOLDER")
    parser.add_argument("--discriminator", type=Path, metavar="D.pth")
    parser.add_argument("--encoder", type=Path, metavar="E.pth")
    parser.add_argument("--ground-encoder", type=Path, metavar="Sub_E.pth")
    parser.add_argument("--out", type=output, help="model file to write (default: NAME in your model folder)")
    parser.add_argument("--name", help="the model's short name (default: from --out)")
    parser.add_argument(
        "--profile",
        default="thorax-ct",
        help="how its scans were prepared (default: thorax-ct, as published)",
    )
    parser.add_argument(
        "--size", type=int, choices=(128, 256), help="needed only if neither D nor Sub_E is given"
    )


def _import(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ..models.card import card_text
    from ..models.modelfile import read_model
    from ..models.published import import_published
    from ..models.registry import model_folder
    from ..preparation.profiles import profile_named

    if args.out is None and args.name is None:
        raise UsageError(
            "Say where to write the model, with --out FILE.safetensors, or give it a name with --name."
        )
    name = args.name or _short_name(args.out)
    out = args.out or model_folder() / f"{name}.safetensors"
    with made_of_options():
        profile = profile_named(args.profile)
    checkpoints = _chosen_checkpoints(args)
    require_model(out, _is_imported, "an imported model", checkpoints.values())
    path = import_published(checkpoints, out, name=name, profile=profile, size=args.size)
    model = read_model(path)
    document = _document(model)
    console.print(card_text(model))
    return document


def _chosen_checkpoints(args: argparse.Namespace) -> dict[str, Path]:
    from ..models.published import FILE_PREFIXES, find_checkpoints

    given = {name: getattr(args, name) for name in FILE_PREFIXES if getattr(args, name) is not None}
    if args.folder is None and not given:
        raise UsageError("Give the FOLDER of the checkpoints, or --generator and the files beside it.")
    if args.folder is None:
        if args.iteration is not None:
            raise UsageError("--iteration chooses among the files of a FOLDER; give the FOLDER.")
        return given
    return find_checkpoints(args.folder, args.iteration) | given


def _is_random(model: ModelFile) -> bool:
    return model.description.training.get("iterations") == 0


def _is_imported(model: ModelFile) -> bool:
    return "imported_from" in model.description.training


def _short_name(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-")[:100] or "model"


def _document(model: ModelFile) -> dict[str, Any]:
    from ..models.modelfile import count_parameters

    architecture = model.description.architecture
    return {
        "path": str(model.path),
        "sha256": model.sha256,
        "bytes": model.bytes,
        "size": architecture.size,
        "classes": architecture.classes,
        "kind": model.description.kind,
        "parameters": count_parameters(architecture, model.description.kind),
        "stored": list(model.stored),
        "description": model.description.to_dict(),
    }
