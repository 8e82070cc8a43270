"""More than anybody honest sends: the cost is bounded, the document as it should be. Figures: benchmarks/floods.py."""

import gc
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from time import process_time

import pytest
import xxhash

import crdtkv as ck
from oracle.flood import Flooder, body_of, bundle_of, bundles_of, header_of

MIB = 1 << 20
ID = bytes(range(32))


def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def seconds(what):
    began = process_time()
    what()
    return process_time() - began


def least(what, n=5):
    """The least of some runs: what else the machine does only adds."""
    return min(seconds(what) for _ in range(n))


def sizes(fast, slow):
    return pytest.mark.parametrize("n", [fast, pytest.param(slow, marks=pytest.mark.slow)])


def fill(doc, bundles):
    for bundle in bundles:
        doc.apply(bundle)


# ---- what waits


@sizes(30_000, 1_000_000)
@pytest.mark.parametrize("lanes", [1, 100_000_000])
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_dangling_changes_fill_the_pool_and_no_more(n, lanes):
    doc = ck.Doc(id=ID)
    fill(doc, bundles_of(ID, Flooder(ID, 2).dangling(1000)))
    before = resident()
    for bundle in bundles_of(ID, Flooder(ID).dangling(n, lanes)):
        report = doc.apply(bundle)
        stats = doc.stats()
        assert stats["waiting_bytes"] <= stats["waiting_limit"] and stats["lane_waiting"] <= stats["lane_waiting_limit"]
        assert len(report.waiting) + len(report.refused) <= 1000 and not report
    assert resident() - before <= 64 * MIB
    assert doc.stats()["evicted"] > 0 or (lanes > 1 and n < 40_000)
    assert doc.changes() == []


def test_a_chain_in_reverse_takes_at_most_three_times_as_long():
    chain = [bundle_of(ID, [change]) for change in Flooder(ID).chain(5000)]
    docs = []

    def deliver(bundles):
        docs.append(ck.Doc(id=ID))
        fill(docs[-1], bundles)

    forth, back = least(lambda: deliver(chain), 3), least(lambda: deliver(chain[::-1]), 3)
    assert {doc.root for doc in docs} == {docs[0].root} and docs[0].stats()["changes"] == 5000
    assert back <= 3 * forth + 0.05


@sizes(24_000, 100_000)
def test_a_chain_in_reverse_beyond_the_pool(n):
    """Linear, within the caps; one ordinary bundle completes it."""
    changes = list(Flooder(ID).chain(n))
    doc, took = ck.Doc(id=ID), []
    bundles = [bundle_of(ID, [change]) for change in reversed(changes)]
    for k in range(0, n, n // 4):
        took.append(seconds(lambda k=k: fill(doc, bundles[k : k + n // 4])))
        stats = doc.stats()
        assert stats["lane_waiting"] <= stats["lane_waiting_limit"] == 8 * MIB
    assert took[-1] <= 3 * min(took) + 0.2
    assert stats["evicted"] > 0 and doc.stats()["verified"] <= n
    other = ck.Doc(id=ID)
    fill(other, [bundle_of(ID, changes, chained=True)])
    assert other.stats()["changes"] == n
    doc.apply(other.export())
    assert doc.root == other.root and doc.waiting == ()


# ---- what is applied


@sizes(50_000, 1_000_000)
def test_what_is_inserted_and_deleted_costs_little(n):
    doc = ck.Doc()
    doc["t"] = text = ck.Text()
    for _ in range(n // 1000):
        for _ in range(1000):
            text.insert(0, "x")
            text.delete(0)
        doc.commit()
    assert len(text) == 0 and doc.stats()["memory"] / n < 300
    assert ck.Doc.load(doc.save()).root == doc.root


@sizes(2000, 100_000)
def test_many_lanes_of_one_key(n):
    doc = ck.Doc(id=ID)
    fill(doc, bundles_of(ID, Flooder(ID).lanes(n)))
    assert doc.stats()["lanes"] == len(doc.heads) == n
    doc["mine"] = 1
    change = doc.commit()
    assert doc.heads == (change.id,) and len(change.parents) <= 32
    knots = doc.stats()["changes"] - n - 1
    assert n // 32 - 1 <= knots <= -(-n // 32)
    twin = ck.Doc(id=ID)
    twin.merge(doc)
    assert twin.root == doc.root and twin["mine"] == 1


def test_tips_beyond_the_limit_are_refused_until_somebody_needs_them():
    tips = list(Flooder(ID).siblings(1100))
    refused_id = tips[-1][1]
    witness = Flooder(ID, 2).sign(0, 0, header_of(0, None, [refused_id], body_of("seen")))
    docs = ck.Doc(id=ID), ck.Doc(id=ID)
    for doc, story in zip(docs, (tips, tips[::-1]), strict=True):
        report = doc.apply(bundle_of(ID, [signed for signed, _ in story]))
        assert len(report.applied) == 1024 and len(report.refused) == 76
        assert {refusal.error for refusal in report.refused} == {ck.LimitError}
        stats = doc.stats()
        assert stats["tips"] == stats["tips_limit"] == 1024 and stats["refused"] == 76
    first, last = docs
    report = first.apply(bundle_of(ID, [witness[0]]))
    assert report.waiting == (witness[1],) and first.missing == (refused_id,)
    report = first.apply(bundle_of(ID, [tips[-1][0]]))
    assert set(report.applied) == {refused_id, witness[1]} and first.waiting == ()
    assert first.stats()["tips"] == 1025
    assert last.apply(bundle_of(ID, [witness[0]])).applied == (witness[1],)
    assert len(first.equivocations()) == len(last.equivocations()) == 1


# ---- what is ground to collide


def test_keys_that_collide_without_a_secret_cost_no_more():
    bits = 1 << 9
    numbers = iter(range(10_000_000))
    plain = [f"k{next(numbers)}" for _ in range(4000)]
    ground = list(
        islice((k for k in map("k{}".format, numbers) if xxhash.xxh3_64_intdigest(k.encode()) % bits == 0), 4000)
    )

    def put(keys):
        doc = ck.Doc()
        with doc.change():
            for key in keys:
                doc[key] = 1
        assert all(key in doc for key in keys)

    usual, worst = least(lambda: put(plain)), least(lambda: put(ground))
    assert worst <= 2 * usual + 0.02


def test_ids_that_collide_without_a_secret_cost_no_more():
    def alike(change_id):
        return change_id[0] == 0

    plain = bundle_of(ID, Flooder(ID).chain(2000), chained=True)
    ground = bundle_of(ID, Flooder(ID).chain(2000, fits=alike), chained=True)

    def read(bundle):
        doc = ck.Doc(id=ID)
        assert len(doc.apply(bundle).applied) == 2000
        assert doc.apply(bundle).known == 2000
        for change in doc.changes():
            doc.at([change.id])

    usual, worst = least(lambda: read(plain)), least(lambda: read(ground))
    assert worst <= 2 * usual + 0.02


# ---- claims that exceed the credit of a bundle


def test_a_large_bundle_pays_as_it_goes():
    """More than 4 MiB of entries, all signed, dense: half of it by somebody else, with both in turns."""
    doc = ck.Doc()
    doc["t"] = text = ck.Text()
    for _ in range(25_000):
        text.insert(len(text), "x")
        doc.commit()
    twin = doc.fork()
    for k in range(2000):
        one, other = (doc, twin) if k % 2 else (twin, doc)
        for _ in range(10):
            one["t"].insert(0, "y")
            one.commit()
        other.merge(one)
    whole = doc.save()
    assert doc.stats()["changes"] > 40_000
    copy = ck.Doc(id=doc.id)
    report = copy.apply(whole)
    assert len(report.applied) == doc.stats()["changes"] and not report.refused and copy.root == doc.root
    verified = copy.stats()["verified"]
    assert copy.apply(whole).known == len(report.applied) and copy.stats()["verified"] == verified
    copy["open"] = 1  # then a bundle is read twice
    assert copy.apply(whole).known == len(report.applied)


# ---- small stacks

SMALL_STACK = """
import crdtkv as ck
from oracle.flood import Flooder, bundle_of

def depth_of(plain):
    depth = 0
    while plain:
        plain = plain["in"] if "in" in plain else plain[0] if isinstance(plain, list) else None
        depth += 1
    return depth

doc = ck.Doc()
inner, made = doc, 0
while True:
    try:
        inner["in"] = ck.Map()
    except ck.LimitError:
        break
    inner, made = inner["in"], made + 1
inner["x"] = 1
first = doc.commit().id
inner["y"] = 2
second = doc.commit().id
assert made == 256 and depth_of(doc.to_py()) == 257
assert depth_of(doc.at([first]).to_py()) == 257
assert len(doc.diff([first], [second])) == 1 and doc.diff([], [second])
copy = ck.Doc.load(doc.save())
assert copy.root == doc.root and depth_of(copy.to_py()) == 257
del doc["in"]
assert doc.to_py() == {} and doc.diff([second], doc.heads)

ID = bytes(32)
long = ck.Doc(id=ID)
for change in reversed(list(Flooder(ID).chain(9000))):
    long.apply(bundle_of(ID, [change]))
assert long.waiting == () and long.stats()["changes"] == 9000
print("ok")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs ulimit")
def test_depth_and_length_need_no_stack():
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["sh", "-c", 'ulimit -s 256 && exec "$0" -c "$1"', sys.executable, SMALL_STACK],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "ok\n", done.stderr
