"""Put a new demonstration model into the repository: the file, and its size and hash in the registry.

python Testing/ship_model.py runs/demo/run/model.safetensors
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path

from HAGANCore.models.modelfile import read_description

RESOURCES = Path(__file__).resolve().parents[1] / "Resources"


def main() -> None:
    """Check the file, copy it, and write what it is into the registry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    source: Path = parser.parse_args().model
    read_description(source)
    shutil.copyfile(source, RESOURCES / "Models" / "demo.safetensors")
    path = RESOURCES / "models.json"
    registry = json.loads(path.read_text(encoding="utf-8"))
    entry = next(entry for entry in registry["models"] if entry["name"] == "demo")
    content = source.read_bytes()
    entry["bytes"], entry["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(registry, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"demo: {entry['bytes']:,} bytes, SHA-256 {entry['sha256']}")


if __name__ == "__main__":
    main()
