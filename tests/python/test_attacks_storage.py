"""Attacks on datastores and files: rows 24 to 26, 34, 52, 53, 59 and 60 of the table in docs/security.md."""

import os
import random
import sqlite3
import subprocess
import sys

import pytest

import crdtkv as ck
from crdtkv import testing
from house.datastores import LONG, assert_equal, datastore, identity
from oracle.kv_body import Body, Op, count, delete, part, put, write_body

EVE = identity(66)


def forged(kv, *ops, **header):
    """A change of Eve's with these operations, whatever they are."""
    return testing.Forger(kv, EVE).forge(body=write_body(Body(ops)), n_ops=len(ops), **header)


def test_24_times_of_a_datastore():
    """What somebody says the time was moves nothing: the next write of anybody who saw it shows."""
    for time in (2**63 - 1, 2**62, -(2**63)):
        kv = datastore(clock=lambda: 1000)
        kv["k"] = "old"
        kv.commit()
        bundle = testing.Forger(kv, EVE).forge(body=write_body(Body((put("k", "eve"),), time=time)), n_ops=1)
        assert len(kv.apply(bundle).applied) == 1 and kv["k"] == "eve"
        kv["k"] = "new"
        assert kv.commit().time == 1000 and kv["k"] == "new"
        other = datastore(2)
        ck.sync(kv, other)
        assert_equal(kv, other)


def test_25_old_parents_in_a_datastore():
    """A change that claims to know nothing is as early as it claims: it loses to what is there, and deletes nothing."""
    kv = datastore()
    for n in range(3):
        kv["k"], kv["l"] = n, n
        kv.commit()
    assert len(kv.apply(forged(kv, put("k", "eve"), delete("l"), parents=())).applied) == 1
    assert kv == {"k": 2, "l": 2} and sorted(kv.conflicts("k").values(), key=str) == [2, "eve"]


def test_26_totals_of_a_datastore():
    """Totals are exact up to 96 bits a lane; one beyond is void; nobody's part is moved by another one's."""
    kv = datastore()
    kv.counter("n").increment(5)
    mine = kv.commit().id
    top = 2**96 - 1
    for ops, verdict in (
        ([count("n", top)], "applied"),
        ([count("n", -top)], "applied"),
        ([count("n", top + 1)], "void"),
        ([count("n", -top - 1)], "void"),
        ([count("n", 7), part("n", (mine, 0), top + 1)], "void"),
        ([part("n", (mine, 0), 10**9)], "applied"),
    ):
        victim = kv.fork(identity(2))
        report = victim.apply(forged(kv, *ops))
        assert len(getattr(report, verdict)) == 1
        total = ops[0].total if ops[0].kind == 3 and verdict == "applied" else 0
        assert victim.counter("n").value == 5 + total
        assert victim.counter("n").by_author()[kv.identity.public_key] == 5
        assert victim.compact()["dropped"] == 0 and victim.check() == []


def test_34_a_flood_of_one_author():
    """A limit holds whatever comes in one bundle, and only for who is over it; it delays, and no more."""
    now = [0]
    kv = datastore(clock=lambda: now[0])
    kv.limit(1000, burst=5000)
    loud, quiet = datastore(66), datastore(3)
    for n in range(50):
        loud[f"spam/{n}"] = random.Random(n).randbytes(500)
        loud.commit()
    quiet["hello"] = LONG
    report = kv.merge(loud)
    assert {refusal.error for refusal in report.refused} == {ck.LimitError} and len(kv) <= 10
    assert kv.merge(quiet).applied and kv["hello"] == LONG
    kv.limit(None)
    kv.merge(loud)
    ck.sync(kv, quiet)
    assert_equal(kv, quiet)


def test_52_deleting_what_was_never_seen():
    """There is no state to inflate: a delete takes what is in its signed past, what is left out takes nothing."""
    kv = datastore()
    kv["k"] = LONG
    kv.commit()
    far = datastore(2)
    far["k"] = "elsewhere"
    far.commit()
    eve = forged(kv, delete("k"), *(Op(2, f"{n}") for n in range(100)))
    far.apply(eve)  # Eve had seen kv's value, never this one
    assert far["k"] == "elsewhere"
    ck.sync(kv, far)
    assert kv["k"] == "elsewhere"
    assert_equal(kv, far)
    kv["k"] = "again"
    assert len(kv.apply(forged(datastore(9), delete("k"))).applied) == 1 and kv["k"] == "again"


def sql(path, *statements):
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


HIDES = [  # whoever writes into a file can hide what is in it, as a peer can
    "UPDATE change SET state = 1, body = NULL",
    "UPDATE change SET state = 4, body = NULL",
]
LIES = [
    "UPDATE change SET body = zeroblob(length(body)) WHERE body IS NOT NULL",
    "UPDATE change SET body = (SELECT body FROM change WHERE body IS NOT NULL ORDER BY id DESC LIMIT 1)",
    "UPDATE change SET header = CAST(substr(header, 1, 20) || zeroblob(length(header) - 20) AS BLOB)",
    "DELETE FROM change WHERE id = (SELECT min(id) + 5 FROM change)",
    "DELETE FROM change WHERE id = (SELECT max(id) FROM change)",
    "UPDATE lane SET author = zeroblob(32)",
    "UPDATE lane SET author = (SELECT author FROM lane ORDER BY id DESC LIMIT 1)",
    "UPDATE block SET data = (SELECT data FROM block ORDER BY id DESC LIMIT 1)",
    "DELETE FROM block",
    "DELETE FROM run",
    "UPDATE dag SET root = zeroblob(32)",
]


@pytest.mark.parametrize("poison", LIES + HIDES)
def test_53_a_file_that_somebody_wrote_into(tmp_path, poison):
    """Nothing is shown that its author did not sign: the file is refused, or shows what it should, or less."""
    path = tmp_path / "app.db"
    want = {f"{n}": f"{n} {LONG}" for n in range(20)}
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        other = kv.fork(identity(2))
        for key, value in want.items():
            kv[key] = value
            kv.commit()
        other["b"] = want["b"] = "b " + LONG
        kv.merge(other)
    with sqlite3.connect(path) as hurt:
        hurt.execute(poison)
    hurt.close()
    try:
        with ck.Database(path, identity(3)) as db:  # to somebody else it has no seals
            kv = db.datastore("kv")
            shown, authors, found = dict(kv), {change.author for change in kv.changes()}, db.check()
            ck.sync(kv, other)
            assert dict(other) == {"b": want["b"]} | shown
    except (ck.StoreError, ck.DecodeError) as error:
        assert poison in LIES and str(error)
        return
    assert shown.items() <= want.items() and authors <= {identity(1).public_key, identity(2).public_key}
    assert shown == want or found or poison in HIDES


def test_59_a_file_that_was_cut_or_flipped(tmp_path):
    """A datastore, in short; tests/python/test_database_damage.py has all kinds, and far more places."""
    path = tmp_path / "app.db"
    want = {f"{n}": f"{n} {LONG}" for n in range(50)}
    with ck.Database(path, identity(1)) as db:
        db.datastore("kv").update(want)
    whole = path.read_bytes()
    rng = random.Random(59)
    used = [i for i, byte in enumerate(whole) if byte]
    seen = set()
    for place in rng.sample(used, 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged if place % 4 else damaged[:place])
        try:
            with ck.Database(path, identity(1), read_only=True) as db:
                assert dict(db.datastore("kv")).items() <= want.items()
                seen.add("read")
        except (ck.StoreError, ck.DecodeError) as error:
            assert str(error)
            seen.add("refused")
    assert seen == {"read", "refused"}


def test_60_two_processes_on_one_file(tmp_path):
    """One of them writes; the other one is told who does, and may read."""
    path = tmp_path / "app.db"
    with ck.Database(path, identity(1)) as db:
        db.datastore("kv")["k"] = 1
        db.commit()
        program = (
            "import sys, crdtkv as ck\n"
            "try:\n    ck.Database(sys.argv[1], ck.Identity.generate())\n"
            "except ck.StoreError as error:\n    print(error.pid)\n"
            "with ck.Database(sys.argv[1], read_only=True) as db:\n    print(db.datastore('kv')['k'])\n"
        )
        said = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
        assert said.stdout.split() == [str(os.getpid()), "1"]
        assert db.datastore("kv").equivocations() == []
