"""Builds crdtkv._core from every C file under csrc/ and the foreign sources that native_deps names.

CRDTKV_DEV=1                        -O1 -g, CKV_DEBUG, warnings in our own files are errors
CRDTKV_SANITIZE=address,undefined   the same, with sanitizers (1 means just these two)
CRDTKV_COVERAGE=1                   the same, -O0, counting lines for gcov
CRDTKV_LTO=0                        a release build without link-time optimisation
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext as _build_ext

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # an isolated build does not put the project on the path
import native_deps  # noqa: E402

SANITIZE = os.environ.get("CRDTKV_SANITIZE", "").replace("1", "address,undefined")
COVERAGE = os.environ.get("CRDTKV_COVERAGE") == "1"
DEV = bool(os.environ.get("CRDTKV_DEV") == "1" or SANITIZE or COVERAGE)

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Wswitch-enum", "-Werror"]
WARNINGS += ["-Wno-unused-command-line-argument"]  # clang on Python's own flags
PY_WARNINGS = ["-Wno-missing-field-initializers", "-Wno-cast-function-type"]  # the slot tables of CPython


def flags() -> tuple[list[str], list[str], list[str], list[str]]:
    """(for all files, for ours, for foreign ones, for the linker); they come after Python's own, so they win."""
    every = ["-std=c11", "-fvisibility=hidden"]
    ours: list[str] = []
    foreign, link = ["-w"], []
    if DEV:
        every += ["-O0" if COVERAGE else "-O1", "-g", "-UNDEBUG"]
        ours += ["-DCKV_DEBUG=1", *WARNINGS]
    else:
        every += ["-O3"]
        foreign += ["-g0"]  # Python's -g makes the module four to five times as big
        if os.environ.get("CRDTKV_LTO") != "0" and native_deps.links("int main(void) { return 0; }", ["-flto=auto"]):
            ours += ["-flto=auto"]
            link += ["-O3", "-flto=auto"]
    if SANITIZE:
        every += ["-fno-omit-frame-pointer"]
        ours += [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all"]
        ours += ["-fno-wrapv"]  # Python's own -fwrapv or -fno-strict-overflow would hide signed overflow from UBSan
        foreign += ["-fsanitize=address"] if "address" in SANITIZE else []
        link += [f"-fsanitize={SANITIZE}"]
    if COVERAGE:
        ours += ["--coverage", "-fprofile-update=atomic"]  # tests have threads
        link += ["--coverage"]
    if sys.platform.startswith("linux"):
        link += ["-Wl,--exclude-libs,ALL"]  # a static libsodium keeps its symbols to itself
    return every, ours, foreign, link


def directory_of(*key: Any) -> str:
    """Under build/obj, one for each set of flags: release, dev and sanitizer objects live side by side."""
    return f"build/obj/{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}"


def newer(target: str, names: Sequence[str]) -> bool:
    """Whether `target` is there and younger than all of `names`."""
    try:
        born = os.stat(target).st_mtime_ns
        return all(os.stat(name).st_mtime_ns < born for name in names)
    except OSError:
        return False


def read_by(target: str) -> list[str]:
    """The files that the compilation of `target` read; the compiler listed them beside it."""
    try:
        rule = Path(f"{target}.d").read_text().replace("\\\n", " ")
    except OSError:
        return [""]  # a name that is nowhere: compile
    return shlex.split(rule.partition(": ")[2])


class build_ext(_build_ext):
    """Compiles in parallel, and compiles and links only what changed."""

    def build_extensions(self) -> None:
        try:
            natives = native_deps.find()
        except native_deps.Missing as error:
            sys.exit(f"\ncrdtkv: {error}\n")
        every, self.ours, self.foreign, link = flags()
        (extension,) = self.extensions
        for library, native in zip(native_deps.LIBRARIES, natives, strict=True):
            self.announce(f"crdtkv: {library.name}: {native.origin}", level=logging.INFO)
            every += native.cflags
            link += native.libs
            extension.sources += native.sources
        extension.extra_compile_args = every
        extension.extra_link_args = link
        # setuptools compares files only and would skip the link when a flag has changed, so it is told that all is old;
        # what is really old is decided below.
        self.force = self.compiler.force = True
        self.compile_one, self.compiler.compile = self.compiler.compile, self.compile_changed
        self.link_one, self.compiler.link_shared_object = self.compiler.link_shared_object, self.link_changed
        super().build_extensions()

    def compile_changed(
        self,
        sources: list[str],
        output_dir: str,
        extra_postargs: list[str],
        include_dirs: list[str],
        depends: object = (),
        **options: Any,
    ) -> list[str]:
        python_h = self.compiler.include_dirs
        self.compiler.set_include_dirs([])  # only csrc/py sees Python.h, and the rest serves every Python alike

        def object_of(source: str) -> str:
            in_py = source.startswith("csrc/py/")
            args = extra_postargs + (self.foreign if os.path.isabs(source) else self.ours)
            args += PY_WARNINGS if in_py and DEV else []
            include = include_dirs + python_h if in_py else include_dirs
            # not output_dir, which is temporary in an editable install
            directory = directory_of(self.compiler.compiler_so, include, args, options)
            (target,) = self.compiler.object_filenames([source], output_dir=directory)
            if not newer(target, read_by(target)):
                args += ["-MMD", "-MF", f"{target}.d"]
                self.compile_one([source], directory, include_dirs=include, extra_postargs=args, **options)
            return str(target)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(object_of, sources))

    def link_changed(self, objects: list[str], output: str, *args: Any, **options: Any) -> None:
        key = {name: value for name, value in options.items() if name != "build_temp"}
        made = f"{directory_of(self.compiler.linker_so, objects, args, key)}/{os.path.basename(output)}"
        if not newer(made, objects):
            self.link_one(objects, made, *args, **options)
        os.makedirs(os.path.dirname(output), exist_ok=True)
        fresh = f"{output}.new"  # then renamed: a process that has the old one mapped keeps it whole
        shutil.copy2(made, fresh)
        os.replace(fresh, output)

    def copy_file(self, infile: Any, outfile: Any, *args: Any, **options: Any) -> Any:
        if os.path.exists(outfile):
            os.unlink(outfile)  # the same, for the copy beside the Python files
        return super().copy_file(infile, outfile, *args, **options)


setup(
    ext_modules=[
        Extension("crdtkv._core", sorted(glob("csrc/**/*.c", recursive=True)), include_dirs=["csrc"]),
    ],
    cmdclass={"build_ext": build_ext},
)
