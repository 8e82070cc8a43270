"""A disk that is full: a clean error, nothing that was committed is lost, and writing goes on when there is room."""

import errno
import os
import random
import sys

import pytest

import crdtkv as ck
from house.kept import KINDS, child

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="wants limits on the size of files")

# Files may grow to so many bytes; the call that would make one larger fails as on a full disk.
PROGRAM = """
import errno, random, resource, signal, sys
sys.path.insert(0, "tests")
import crdtkv as ck
from house.kept import content, edit, put

path, kind, room = sys.argv[1], sys.argv[2], int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
db = ck.Database(path)
kept = getattr(db, kind)("it")
put(kept, "first", 1)
print("open", flush=True)

def limit(bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, resource.RLIM_INFINITY))

limit(db.stats()["bytes"] + room)
committed, refused = 0, 0
for i in range(400):
    before = content(kept)
    edit(kept, f"k{i}", random.Random(i).randbytes(3000))
    try:
        kept.commit()
        committed += 1
    except ck.StoreError as error:
        assert error.errno == errno.ENOSPC, error
        assert content(kept) == before, "the open change is dropped"
        refused += 1
        if refused == 3:
            break
assert refused == 3 and committed, (committed, refused)
assert not db.stats()["poisoned"]
limit(resource.RLIM_INFINITY)
put(kept, "after", committed)
assert db.check() == [], db.check()
want = content(kept)
assert len(want) == committed + 2
print(committed, flush=True)
if sys.argv[4] == "close":
    db.close()
else:
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("room, end", [(1 << 18, "close"), (1 << 20, "close"), (1 << 19, "kill")])
def test_a_full_disk(tmp_path, kind, room, end):
    path = tmp_path / "app.db"
    process = child(PROGRAM, path, kind, room, end)
    with process:
        assert process.stdout.readline() == b"open\n"
        committed = int(process.stdout.readline())
        process.stdin.close()
    assert process.returncode == (0 if end == "close" else -9)
    with ck.Database(path) as db:
        kept = getattr(db, kind)("it")
        assert len(kept) == committed + 2 and kept["first"] == 1 and kept["after"] == committed
        assert all(kept[key] == random.Random(int(key[1:])).randbytes(3000) for key in kept if key[0] == "k")
        assert db.check() == []


# The log's descriptor becomes one that may only be read: every write of it fails, as on a broken device.
BROKEN = """
import errno, os, sys
sys.path.insert(0, "tests")
import crdtkv as ck
from house.kept import KINDS, content, edit, put

path, kind = sys.argv[1:]
db = ck.Database(path)
kept = getattr(db, kind)("it")
put(kept, "first", 1)
edit(kept, "lost", 1)
mended = {}
for name in os.listdir("/proc/self/fd"):
    try:
        target = os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        continue
    if target.endswith("-wal"):
        mended[int(name)] = os.dup(int(name))
        os.dup2(os.open(target, os.O_RDONLY), int(name))
assert mended

def refused(call):
    try:
        call()
    except ck.StoreError as error:
        assert error.errno == errno.EIO, error
    else:
        raise AssertionError("it went through")

refused(kept.commit)
assert content(kept) == {"first": 1}
for number, fd in mended.items():
    os.dup2(fd, number)
assert db.stats()["poisoned"]
for other in KINDS:  # no more writing, though it would work
    refused(lambda: put(getattr(db, other)("new"), "a", 1))
refused(lambda: put(kept, "second", 2))
refused(lambda: db.delete("it"))
assert content(kept) == {"first": 1} and db.names() == {"it": kind}
db.close()
with ck.Database(path) as db:
    kept = getattr(db, kind)("it")
    assert content(kept) == {"first": 1}
    put(kept, "second", 2)
    assert db.check() == []
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_device_is_not_written_to_until_it_is_opened_again(tmp_path, kind):
    process = child(BROKEN, tmp_path / "app.db", kind)
    with process:
        process.stdin.close()
    assert process.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_what_cannot_be_a_file():
    with pytest.raises(OSError) as refused:
        ck.Database("/dev/full")
    assert refused.value.errno != errno.ENOSPC or isinstance(refused.value, ck.StoreError)
