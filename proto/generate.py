"""Generates the Python stubs of proto/ into the packages of the same names, or says whether they are up to date.

Run ``python proto/generate.py [--check]``. Generate with grpcio-tools 1.76.0, the oldest runtime supported:
newer runtimes load its stubs. This folder holds no ``__init__.py``: a package ``proto`` would shadow
proto-plus.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

PROTO_DIR = Path(__file__).resolve().parent
ROOT = PROTO_DIR.parent
STUBS = (Path("asr") / "v1", Path("asr") / "riva" / "v1")


def generate(out_dir: Path) -> list[Path]:
    """Write the stubs of every proto below ``out_dir``; return their paths relative to it."""
    from grpc_tools import protoc

    out_dir.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(path.relative_to(PROTO_DIR)) for path in PROTO_DIR.rglob("*.proto"))
    includes = [f"-I{PROTO_DIR}", f"-I{files('grpc_tools') / '_proto'}"]
    outputs = [f"--{kind}_out={out_dir}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", *includes, *outputs, *sources]) != 0:
        raise SystemExit("protoc failed; its message is above")
    found = [path for folder in STUBS for path in (out_dir / folder).iterdir() if "_pb2" in path.name]
    return sorted(path.relative_to(out_dir) for path in found)


def stale(fresh_dir: Path, committed_dir: Path, names: list[Path]) -> list[Path]:
    """The stubs whose committed bytes are missing, left over or not those of a fresh run."""
    committed = {
        path.relative_to(committed_dir)
        for folder in STUBS
        for path in (committed_dir / folder).glob("*_pb2*.py*")
    }
    wanted = set(names)
    differing = {
        name
        for name in wanted & committed
        if (fresh_dir / name).read_bytes() != (committed_dir / name).read_bytes()
    }
    return sorted(differing | (wanted ^ committed))


def main() -> int:
    """Generate into the repository, or compare; 0 done or up to date, 1 stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed stubs only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        fresh_dir = Path(temporary)
        names = generate(fresh_dir)
        if arguments.check:
            outdated = stale(fresh_dir, ROOT, names)
            for name in outdated:
                sys.stderr.write(f"stale: {name}; run python proto/generate.py\n")
            return 1 if outdated else 0
        for name in names:
            shutil.copyfile(fresh_dir / name, ROOT / name)
            sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
