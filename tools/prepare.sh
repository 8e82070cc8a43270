#!/bin/sh
# Makes .venv, and first whatever it takes for that: a C compiler, a Python >= 3.11 with its headers and venv, and, where
# the system has packages for them, the native libraries. Asks each thing whether it works, not apt whether it is there:
# a Python that was built by hand is as good as the distribution's.
#
# As root on Debian or Ubuntu what is missing is installed; else the command to type is printed, and the exit code is 1.
#
#     tools/prepare.sh [PROGRAM=PACKAGE ...]     e.g. clang=clang, when a target needs a program more
#
# PYTHON=python3.12 chooses the Python, CC=clang the compiler.
set -u
cd "$(dirname "$0")/.." || exit 1

say() { printf 'crdtkv: %s\n' "$*" >&2; }

has_apt() { command -v apt-get >/dev/null 2>&1; }

# install PACKAGE...: false where that did not work
install() {
    if has_apt && [ "$(id -u)" = 0 ]; then
        say "apt-get install $*"
        for round in 1 2; do
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >build/apt.log 2>&1 && return 0
            [ "$round" = 1 ] && apt-get update -qq >/dev/null 2>&1
        done
        tail -n 5 build/apt.log >&2
    fi
    return 1
}

stop() { # stop WHAT PACKAGE...
    say "missing: $1"
    shift
    if has_apt; then
        say "type this, then the same make again:"
        say "    sudo apt-get update && sudo apt-get install -y $*"
    else
        say "install it with the package manager of this system (Debian calls it: $*)"
    fi
    exit 1
}

need() { # need WHAT TEST PACKAGE...
    what=$1 test=$2
    shift 2
    $test && return
    install "$@" && $test && return
    stop "$what" "$@"
}

# ---- a compiler

c_works() {
    printf '#include <stdio.h>\nint main(void) { return 0; }\n' >build/probe.c &&
        ${CC:-cc} build/probe.c -o build/probe >/dev/null 2>&1
}

# ---- a Python

good_python() { command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        good_python "$python" && return 0
    done
    python=
    return 1
}

makes_venvs() { "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; }

python_h() {
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' >/dev/null 2>&1
}

# The stem of the apt packages of $python: python3, python3.12 or nothing where it is not the distribution's.
stem_of_python() {
    "$python" -c 'import os, sys
real = os.path.realpath(sys.executable)
ours = "/usr/bin/python3.%d" % sys.version_info[1]
default = os.path.realpath("/usr/bin/python3")
print("" if real != ours else "python3" if real == default else os.path.basename(ours))'
}

has_program() { command -v "$program" >/dev/null 2>&1; }

# ---- all of it

mkdir -p build
need "a C compiler" c_works gcc libc6-dev

if ! find_python; then
    [ -n "${PYTHON:-}" ] && { say "PYTHON=$PYTHON is not a Python >= 3.11"; exit 1; }
    for package in python3.13 python3.12 python3.11; do
        install "$package" "$package-venv" "$package-dev" && find_python && break
    done
    [ -n "$python" ] || stop "Python 3.11 or later" python3.11 python3.11-venv python3.11-dev
fi
stem=$(stem_of_python)
if [ -n "$stem" ]; then
    need "the venv module of $python" makes_venvs "$stem-venv"
    need "Python.h of $python" python_h "$stem-dev"
else
    makes_venvs || { say "$python has no venv or ensurepip: rebuild it with them, or choose another with PYTHON=..."; exit 1; }
    python_h || { say "$python has no Python.h: install its headers, or choose another with PYTHON=..."; exit 1; }
fi

for pair in "$@"; do
    program=${pair%%=*}
    need "$program" has_program "${pair#*=}"
done

# Not needed, but they spare minutes: without them native_deps.py fetches pinned sources and builds them.
wanted=$("$python" native_deps.py --wanted apt) || exit 1
if [ -n "$wanted" ] && has_apt; then
    command -v pkg-config >/dev/null 2>&1 || wanted="pkg-config $wanted"
    # shellcheck disable=SC2086
    install $wanted || say "these are built from pinned sources, unless you type: sudo apt-get install -y $wanted"
fi

if ! .venv/bin/python -c 'import pip, setuptools' >/dev/null 2>&1; then
    say "$python ($("$python" -c 'import platform; print(platform.python_version())')) makes .venv"
    rm -rf .venv
    "$python" -m venv .venv || exit 1
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=23' 'setuptools>=77' || exit 1
fi
