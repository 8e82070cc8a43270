"""The native libraries: the system's where good enough, else a hash-pinned source distribution that pip fetches.

setup.py takes the flags for the extension from here. Run as a program it prints the same flags for the Makefile, or
with --wanted apt the packages of that installer that would spare a bundled build.

    CRDTKV_NATIVE=auto|system|bundled   for all of them, or for one: CRDTKV_CROARING, _XXHASH, _SODIUM, _ZSTD;
                                        SQLite is always the system's
    CRDTKV_NATIVE_CACHE=directory       of the source archives (default build/native). An archive that lies there is
                                        not fetched, so a directory filled beforehand makes a bundled build offline.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("CRDTKV_NATIVE_CACHE", ROOT / "build" / "native")).resolve()
PINS = {
    name: (version, sha256)
    for name, version, sha256 in re.findall(
        r"^([\w.-]+)==(\S+) --hash=sha256:([0-9a-f]{64})$",
        (ROOT / "native-requirements.txt").read_text(),
        re.MULTILINE,
    )
}


class Missing(Exception):
    """A library that neither the system nor the index has, or an archive that is not the pinned one."""


@dataclass
class Native:
    """What it takes to use a library, in the compiler driver's own words."""

    origin: str
    cflags: list[str] = field(default_factory=list)
    libs: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Library:
    name: str
    need: str
    pc: str  # the pkg-config module
    libs: list[str]  # what to link where pkg-config does not know it
    snippet: str  # compiles and links if and only if the library is good enough
    packages: dict[str, str]  # installer -> package
    bundled: Callable[[], Native] | None  # None: only the system's


def find() -> list[Native]:
    """One for each of LIBRARIES, or Missing with everything the user has to do."""
    natives: list[Native] = []
    problems, missing = [], []
    for library in LIBRARIES:
        try:
            natives.append(locate(library))
        except Missing as problem:
            problems.append(f"{library.need}: {problem}")
            missing.append(library)
    if missing:
        text = ["these native libraries are missing", *(f"  {problem}" for problem in problems), "install them:"]
        for system, installer in INSTALLERS.items():
            packages = [library.packages[installer] for library in missing if installer in library.packages]
            text += [f"  {system + ':':15} {installer} install {' '.join(packages)}"] if packages else []
        raise Missing("\n".join(text))
    return natives


def locate(library: Library) -> Native:
    """The library as the environment wants it; Missing where that cannot be had."""
    chosen = mode(library)
    if (chosen != "bundled" or not library.bundled) and (native := on_system(library)):
        return native
    if not library.bundled:
        raise Missing("not on this system, and there is no source distribution to build it from")
    if chosen == "system":
        raise Missing(f"not on this system (or have it fetched and built: CRDTKV_{library.name.upper()}=bundled)")
    try:
        return library.bundled()
    except (OSError, subprocess.CalledProcessError) as error:
        raise Missing(f"the bundled one did not build: {error}") from error


def mode(library: Library) -> str:
    variable = f"CRDTKV_{library.name.upper()}"
    chosen = os.environ.get(variable) or os.environ.get("CRDTKV_NATIVE") or "auto"
    if chosen not in ("auto", "system", "bundled"):
        sys.exit(f"crdtkv: {variable} or CRDTKV_NATIVE is {chosen!r}; it can be auto, system or bundled")
    return chosen


def wanted(installer: str) -> list[str]:
    """The packages of this installer for the libraries that the system should have and has not."""
    return [
        library.packages[installer]
        for library in LIBRARIES
        if installer in library.packages
        and (mode(library) != "bundled" or not library.bundled)
        and not on_system(library)
    ]


# ---- the system's


def on_system(library: Library) -> Native | None:
    candidates = [Native("system", [], library.libs)]
    pkg_config = shutil.which(os.environ.get("PKG_CONFIG", "pkg-config"))
    if pkg_config and library.pc:
        ask = subprocess.run([pkg_config, "--cflags", "--libs", library.pc], capture_output=True, text=True)
        if ask.returncode == 0:
            # -isystem: warnings in foreign headers are not ours
            words = shlex.split(ask.stdout)
            cflags = [re.sub("^-I", "-isystem", w) for w in words if w.startswith(("-I", "-D"))]
            candidates.insert(0, Native("pkg-config", cflags, [w for w in words if not w.startswith(("-I", "-D"))]))
    return next((c for c in candidates if links(library.snippet, c.cflags, c.libs)), None)


def links(program: str, cflags: Sequence[str] = (), libs: Sequence[str] = ()) -> bool:
    """Whether this C program compiles and links, with the compiler and the flags that the extension will see."""

    def words(variable: str) -> list[str]:
        return shlex.split(os.environ.get(variable, ""))

    cc = words("CC") or shlex.split(sysconfig.get_config_var("CC") or "cc")
    with tempfile.TemporaryDirectory() as tmp:
        source = Path(tmp, "probe.c")
        source.write_text(program)
        command = [*cc, *words("CPPFLAGS"), *words("CFLAGS"), *cflags, str(source)]
        command += ["-o", str(source.with_suffix("")), *words("LDFLAGS"), *libs]
        try:
            return subprocess.run(command, capture_output=True).returncode == 0
        except OSError:
            return False


# ---- bundled


def archive(name: str) -> Path:
    """The pinned source archive, checked. pip fetches it from whatever index it is configured for."""
    version, sha256 = PINS[name]
    path = CACHE / f"{re.sub('[-.]', '_', name)}-{version}.tar.gz"
    CACHE.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as tmp:
            pin = Path(tmp, "pin.txt")
            pin.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
            # Not --no-binary :all:, which would also build the build tools of the package from source.
            fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            fetch += ["--no-binary", name, "--require-hashes", "-d", tmp, "-r", str(pin)]
            if subprocess.run(fetch, stdout=sys.stderr).returncode:
                raise Missing(
                    f"pip could not fetch {name} {version} with the pinned hash, its own message is above; "
                    f"{path.name} may also be put into CRDTKV_NATIVE_CACHE by hand"
                )
            os.replace(Path(tmp, path.name), path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise Missing(
            f"REFUSED, not the pinned archive: {path}\n    sha256 {found}\n    pinned {sha256}\n"
            "    delete the file and build again; if it comes back, somebody has changed the archive"
        )
    return path


def prepare(name: str, make: Callable[[Path], Path], kind: str = "src") -> Path:
    """`make` turns the unpacked archive into a directory, once.

    A rename at the end: a build that was interrupted leaves nothing behind, and of two at the same time one wins.
    """
    version, sha256 = PINS[name]
    done = CACHE / f"{name}-{version}-{sha256[:8]}-{kind}"
    if not done.exists():
        source = archive(name)
        with tempfile.TemporaryDirectory(dir=CACHE) as tmp:
            with tarfile.open(source) as tar:
                if hasattr(tarfile, "data_filter"):
                    tar.extractall(tmp, filter="data")
                else:
                    tar.extractall(tmp)
            made = make(next(path for path in Path(tmp).iterdir() if path.is_dir()))
            try:
                os.rename(made, done)
            except OSError:
                if not done.exists():
                    raise
    return done


def bundled_croaring() -> Native:
    def make(tree: Path) -> Path:
        # The amalgamation has one header; give it the names that an installed CRoaring has.
        (tree / "pyroaring" / "roaring").mkdir()
        for name in ("roaring.h", "roaring64.h"):
            (tree / "pyroaring" / "roaring" / name).write_text('#include "../roaring.h"\n')
        return tree / "pyroaring"

    home = prepare("pyroaring", make)
    return Native(str(home), ["-isystem", str(home)], sources=[str(home / "roaring.c")])


def bundled_xxhash() -> Native:
    home = prepare("xxhash", lambda tree: tree / "deps" / "xxhash")
    return Native(str(home), ["-isystem", str(home)])


def bundled_sodium() -> Native:
    def make(tree: Path) -> Path:
        tree = tree / "src" / "libsodium"
        configure = ["sh", "./configure", "--quiet", "--disable-shared", "--enable-static", "--with-pic"]
        configure += ["--disable-dependency-tracking", "--disable-debug", f"--prefix={tree / 'installed'}"]
        # without the flags of a make that this may run under
        env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        for command in (configure, ["make", "--quiet", f"-j{os.cpu_count()}", "install"]):
            done = subprocess.run(command, cwd=tree, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode:
                sys.stderr.buffer.write(done.stdout[-4000:])
                done.check_returncode()
        return tree / "installed"

    home = prepare("pynacl", make, sysconfig.get_platform())
    # By path, not by -l: a shared libsodium of the system must not win.
    return Native(str(home), ["-isystem", str(home / "include")], [str(home / "lib" / "libsodium.a"), "-lpthread"])


def bundled_zstd() -> Native:
    home = prepare("zstandard", lambda tree: tree / "zstd")
    # One amalgamation; its symbols stay in this module, where another module may have brought its own zstd.
    hidden = [f"-D{name}_VISIBLE=" for name in ("ZSTDLIB", "ZSTDERRORLIB", "ZDICTLIB")]
    return Native(str(home), ["-isystem", str(home), *hidden], sources=[str(home / "zstd.c")])


INSTALLERS = {"Debian, Ubuntu": "apt", "Fedora": "dnf", "macOS": "brew"}
LIBRARIES = [
    Library(
        "croaring",
        "CRoaring >= 3",
        "roaring",
        ["-lroaring"],
        '#include <roaring/roaring64.h>\n_Static_assert(ROARING_VERSION_MAJOR >= 3, "old");\n'
        "int main(void) { return !roaring64_bitmap_create(); }\n",
        {"dnf": "croaring-devel", "brew": "croaring"},  # libroaring-dev of Debian 12 and Ubuntu 24.04 is too old
        bundled_croaring,
    ),
    Library(
        "xxhash",
        "xxHash >= 0.8",
        "",
        [],
        '#define XXH_INLINE_ALL\n#include <xxhash.h>\n_Static_assert(XXH_VERSION_NUMBER >= 800, "old");\n'
        'int main(void) { return !XXH3_64bits("", 0); }\n',
        {"apt": "libxxhash-dev", "dnf": "xxhash-devel", "brew": "xxhash"},
        bundled_xxhash,
    ),
    Library(
        "sodium",
        "libsodium >= 1.0.18",
        "libsodium",
        ["-lsodium"],
        # 10.3 is the version of the interface of 1.0.18
        "#include <sodium.h>\n_Static_assert(SODIUM_LIBRARY_VERSION_MAJOR > 10 ||\n"
        '    (SODIUM_LIBRARY_VERSION_MAJOR == 10 && SODIUM_LIBRARY_VERSION_MINOR >= 3), "old");\n'
        "int main(void) { return sodium_init() < 0; }\n",
        {"apt": "libsodium-dev", "dnf": "libsodium-devel", "brew": "libsodium"},
        bundled_sodium,
    ),
    Library(
        "zstd",
        "zstd >= 1.4",
        "libzstd",
        ["-lzstd"],
        '#include <zstd.h>\n_Static_assert(ZSTD_VERSION_NUMBER >= 10400, "old");\n'
        "int main(void) { return ZSTD_versionNumber() < 10400; }\n",
        {"apt": "libzstd-dev", "dnf": "libzstd-devel", "brew": "zstd"},
        bundled_zstd,
    ),
    Library(
        "sqlite",
        "SQLite >= 3.37",
        "sqlite3",
        ["-lsqlite3"],
        # 3.37 has STRICT tables; threads of ours use one connection
        '#include <sqlite3.h>\n_Static_assert(SQLITE_VERSION_NUMBER >= 3037000, "old");\n'
        "int main(void) { return sqlite3_libversion_number() < 3037000 || !sqlite3_threadsafe(); }\n",
        {"apt": "libsqlite3-dev", "dnf": "sqlite-devel", "brew": "sqlite"},
        None,
    ),
]


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--wanted"]:
        print(" ".join(wanted(arguments[1])))
        return
    try:
        found = find()
    except Missing as error:
        sys.exit(f"crdtkv: {error}")
    for library, native in zip(LIBRARIES, found, strict=True):
        print(f"# {library.name}: {native.origin}")
    print("NATIVE_CFLAGS :=", shlex.join(w for n in found for w in n.cflags))
    print("NATIVE_LIBS :=", shlex.join(w for n in found for w in n.libs))
    print("NATIVE_SOURCES :=", shlex.join(w for n in found for w in n.sources))


if __name__ == "__main__":
    main(sys.argv[1:])
