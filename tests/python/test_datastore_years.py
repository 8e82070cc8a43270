"""Ten years: generations of writers, counters, deletes and compaction keep a file bounded."""

import pytest

import crdtkv as ck
from house.datastores import assert_equal, content, identity

KEYS, ITEMS = 400, 40


def month(path, n, peer):
    """What a program does between two starts; and then it tidies up."""
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv", id=peer.id)
        for week in range(4):
            with kv.batch() as b:
                for k in range(KEYS):
                    b.put(f"user/{(k * 7 + n) % KEYS:04}", {"name": f"user {k}", "seen": n * 4 + week, "x": "y" * 60})
            with kv.batch() as b:  # the last of a lane stays for good
                for k in range(ITEMS):
                    b.increment(f"views/{k}", 3)
                    b.decrement(f"stock/{k}", 1)
            for k in range(n % 5, KEYS, 5):
                kv.delete(f"user/{k:04}")
            kv.commit()
        ck.sync(kv, peer)
        kv.compact(rewrite=True)
        ck.sync(kv, peer)
        peer.compact()
        assert int(kv.counter("views/0")) == 12 * (n + 1)
        db.compact()
    return path.stat().st_size


def years(path, months):
    peer = ck.Datastore(identity(2))
    sizes = [month(path, n, peer) for n in range(months)]
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        assert kv.check() == [] and db.check() == []
        ck.sync(kv, peer)
        assert_equal(kv, peer)
        newcomer = ck.Datastore(id=kv.id)
        newcomer.apply(kv.export())
        assert content(newcomer) == content(kv) and newcomer.root == kv.root
        assert int(kv.counter("views/1")) == 12 * months and int(kv.counter("stock/1")) == -4 * months
    return sizes


def test_one_year(tmp_path):
    """A month leaves the headers of its changes and the opening of a lane, and nothing that grows with the content."""
    sizes = years(tmp_path / "x.db", 12)
    assert sizes[-1] - sizes[3] < 8 * 8192
    assert max(sizes) < 4 * min(sizes)


@pytest.mark.slow
def test_ten_years(tmp_path):
    sizes = years(tmp_path / "x.db", 120)
    assert sizes[-1] - sizes[12] < 108 * 8192
    assert sizes[-1] < 4 * sizes[3]
