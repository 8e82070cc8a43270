"""A libsodium whose arithmetic is wrong: then nothing starts. tests/c/test_selftest.c has the cases in between."""

import os
import subprocess
import sys

import pytest

SHIM = """
#include <string.h>
int crypto_core_ed25519_is_valid_point(const unsigned char *p) { (void)p; return 1; }
int crypto_scalarmult_ed25519_noclamp(unsigned char *q, const unsigned char *n, const unsigned char *p)
{
    (void)n;
    memcpy(q, p, 32);
    q[31] ^= 0x80;
    return 0;
}
"""


def start(tmp_path, *, preload):
    shim = tmp_path / "shim.so"
    source = tmp_path / "shim.c"
    source.write_text(SHIM)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", shim, source], check=True)
    env = os.environ | ({"LD_PRELOAD": str(shim)} if preload else {})
    code = "import crdtkv; print(len(crdtkv.Doc().id))"
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a sanitizer stands in the shim's place")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs LD_PRELOAD")
def test_import_fails_if_the_self_test_does(tmp_path):
    assert start(tmp_path, preload=False).stdout == "32\n"
    result = start(tmp_path, preload=True)
    assert result.returncode == 1 and "ImportError: crdtkv: libsodium does not work here" in result.stderr
