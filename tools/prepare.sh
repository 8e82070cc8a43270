#!/bin/sh
# Makes .venv, and first whatever it takes for that: a C compiler, a Python >= 3.11 with its headers and venv, and, where
# the system has packages for them, the native libraries. Asks each thing whether it works, not apt whether it is there:
# a Python that was built by hand is as good as the distribution's.
#
# As root on Debian or Ubuntu what is missing is installed; else the command to type is printed, and the exit code is 1.
#
#     tools/prepare.sh [PROGRAM=PACKAGES ...]    e.g. clang=clang, when a target needs a program more;
#                                                ?PROGRAM=PACKAGE, when it can do without: unpacked into
#                                                build/servers, so that no service is started for it
#
# PYTHON=python3.12 chooses the Python, CC=clang the compiler.
set -u
cd "$(dirname "$0")/.." || exit 1
mkdir -p build || exit 1

say() { printf 'crdtkv: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

has_somewhere() { # servers are not in everybody's PATH
    has "$1" || [ -x "/usr/sbin/$1" ] || [ -x "build/servers/usr/sbin/$1" ] || [ -x "build/servers/usr/bin/$1" ]
}

# ---- does it work?

c_works() {
    printf '#include <stdio.h>\nint main(void) { return 0; }\n' >build/probe.c &&
        ${CC:-cc} build/probe.c -o build/probe >/dev/null 2>&1
}

find_python() { # sets $python, and $stem: what apt's packages of it begin with, nothing where it is not apt's
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        has "$python" && stem=$("$python" -c 'import os, sys
if sys.version_info < (3, 11):
    sys.exit(1)
own = "/usr/bin/python3.%d" % sys.version_info[1]
if os.path.realpath(sys.executable) == own:
    print("python3" if os.path.realpath("/usr/bin/python3") == own else os.path.basename(own))' 2>/dev/null) && return
    done
    python=
    return 1
}

makes_venvs() { "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; }

python_h() {
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' >/dev/null 2>&1
}

# ---- what is missing: in words, and as packages of apt

missing() { # missing WHAT PACKAGE...
    what="$what${what:+, }$1"
    shift
    packages="$packages${packages:+ }$*"
}

look() { # look PROGRAM=PACKAGES...
    what='' packages='' optional=''
    c_works || missing "a C compiler" gcc libc6-dev
    if find_python; then
        if [ -n "$stem" ]; then
            makes_venvs || missing "the venv module of $python" "$stem-venv"
            python_h || missing "Python.h of $python" "$stem-dev"
        else
            if ! makes_venvs || ! python_h; then
                say "$(command -v "$python") lacks venv, ensurepip or Python.h, and is not a package of apt:"
                say "install them the way it was installed, or choose another one with PYTHON=..."
                exit 1
            fi
        fi
    elif [ -n "${PYTHON:-}" ]; then
        say "PYTHON=$PYTHON is not a Python >= 3.11"
        exit 1
    elif has python3; then
        missing "a Python >= 3.11" python3.11 python3.11-venv python3.11-dev
    else
        missing "Python" python3 python3-venv python3-dev
    fi
    for pair in "$@"; do
        program=${pair%%=*}
        case $program in
        \?*) has_somewhere "${program#?}" || optional="$optional${optional:+ }${pair#*=}" ;;
        *) has "$program" || missing "$program" "${pair#*=}" ;;
        esac
    done
    # SQLite is needed. The others spare minutes: without them native_deps.py fetches pinned sources and builds them.
    libraries=''
    if [ -n "$python" ]; then
        libraries=$("$python" native_deps.py --wanted apt) || exit 1
        has pkg-config || libraries="$libraries${libraries:+ }pkg-config"
    fi
}

install() { # install PACKAGE...
    { has apt-get && [ "$(id -u)" = 0 ]; } || return
    say "apt-get install $*"
    for round in 1 2; do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >build/apt.log 2>&1 && return
        [ "$round" = 1 ] && apt-get update -qq >/dev/null 2>&1
    done
    tail -n 5 build/apt.log >&2
    return 1
}

unpack() { # unpack PACKAGE...
    has apt-get && has dpkg-deb || return
    say "unpacks $* into build/servers"
    mkdir -p build/servers
    for round in 1 2; do
        (cd build/servers && apt-get download -qq "$@") >build/apt.log 2>&1 && break
        [ "$round" = 2 ] && return 1
        [ "$(id -u)" = 0 ] && apt-get update -qq >/dev/null 2>&1
    done
    for archive in build/servers/*.deb; do
        dpkg-deb -x "$archive" build/servers && rm "$archive" || return
    done
}

# ---- all of it; what is in $packages and $libraries is split into words on purpose
# shellcheck disable=SC2086
{
    look "$@"
    if [ -n "$packages" ]; then
        install $packages && look "$@"
        if [ -n "$packages" ]; then
            say "missing: $what"
            if has apt-get; then
                say "type this, then the same make again:"
                say "    sudo apt-get update && sudo apt-get install -y $packages $libraries"
            else
                say "install it with the package manager of this system (Debian says: $packages $libraries)"
            fi
            exit 1
        fi
    fi
    if [ -n "$optional" ]; then
        unpack $optional || say "going on without what these would bring: $optional"
    fi
    if [ -n "$libraries" ] && has apt-get; then
        install $libraries || say "building from pinned sources what this would spare (SQLite cannot be): sudo apt-get install -y $libraries"
    fi
}

if ! .venv/bin/python -c 'import setuptools, pip' >/dev/null 2>&1; then
    say "$python ($("$python" -c 'import platform; print(platform.python_version())')) makes .venv"
    rm -rf .venv
    "$python" -m venv .venv || exit 1
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=23' 'setuptools>=77' || exit 1
fi
