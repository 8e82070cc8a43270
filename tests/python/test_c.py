"""Every C test and every fuzz corpus as one test here, so that one summary counts them all."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "c" / "test"
TESTS = sorted(path.stem for path in (ROOT / "tests" / "c").glob("test_*.c"))
TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in (ROOT / "tests" / "fuzz").glob("fuzz_*.c"))


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """The C core and its tests, as `make ctest` builds them; by one process at a time."""
    BUILT.mkdir(parents=True, exist_ok=True)
    with open(BUILT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build()


def build() -> None:
    make = shutil.which("make")
    assert make, "the C tests need make"
    # not the flags of a make that runs this test
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(
        [make, "--no-print-directory", f"-j{os.cpu_count()}", "FLAVOUR=test", "build"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)


def run(program: str, *arguments: Path) -> None:
    done = subprocess.run(
        [BUILT / program, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        pytest.fail(f"{done.stdout}{program}: exit code {done.returncode}", pytrace=False)


@pytest.mark.parametrize("name", TESTS)
def test_c(name: str) -> None:
    run(name)


@pytest.mark.parametrize("target", TARGETS)
def test_corpus(target: str) -> None:
    corpus = ROOT / "tests" / "fuzz" / "corpus" / target
    run(f"replay_{target}", *sorted(path for path in corpus.rglob("*") if path.is_file()))
