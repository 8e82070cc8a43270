"""apply, merge, export, sessions: verdicts, order, repetition, what is missing, who lied."""

import itertools
import random
from dataclasses import replace

import pytest

import crdtkv as ck
from crdtkv import testing
from house.datastores import ID, LONG, assert_equal, content, datastore, identity, meet, state, talk
from house.named import named
from oracle.bundle import LEFT_OUT, read_bundle, write_bundle
from oracle.datastore import read_parts, write_parts


def changes_one_by_one(kv, n=6):
    out = []
    for k in range(n):
        before = kv.heads
        kv[f"k{k % 3}"] = k
        out.append(kv.export(before))
    return out


def test_export_and_apply():
    a, b = datastore(1), datastore(2)
    a.update({"x": 1, "y": [2]})
    report = b.apply(a.export())
    assert report and report.applied == tuple(c.id for c in a.changes())
    assert report.void == report.waiting == report.refused == () and report.known == 0
    assert_equal(a, b)
    again = b.apply(a.export())
    assert not again and again.applied == () and again.known == 1


def test_export_since():
    a, b = datastore(1), datastore(2)
    a["x"] = 1
    b.apply(a.export())
    a["y"] = LONG * 10
    a.put("z", 1, dag="d")
    part = a.export(b.heads)
    assert len(part) < len(a.export())
    assert len(b.apply(part).applied) == 2
    assert_equal(a, b)
    assert len(a.export(a.heads)) < 512 and not b.apply(a.export(a.heads))
    assert a.export([bytes(32)]) == a.export() and a.export() == a.export()


def test_any_buffer_and_nothing_else():
    a = datastore(1)
    a["x"] = 1
    for kind in (bytes, bytearray, memoryview):
        assert datastore(2).apply(kind(a.export()))
    for wrong in (None, 5, "text", [b""]):
        with pytest.raises(TypeError):
            a.apply(wrong)


def test_what_is_no_bundle_of_this_datastore():
    a, b = datastore(1), datastore(2)
    a["x"] = 1
    a.put("y", 1, dag="d")
    data = a.export()
    b["open"] = 1
    before = b.commit(), state(b)
    other = ck.Datastore()
    other["x"] = 1
    doc = ck.Doc()
    doc["x"] = 1
    bad = [b"", data[:-1], data + b"\0", data[:20], other.export(), doc.export(), b"\0" * 100, ck.Store("s").save()]
    bad += [data[:k] + bytes([data[k] ^ 1]) + data[k + 1 :] for k in range(0, len(data), 7)]
    for wrong in bad:
        with pytest.raises(ck.DecodeError):
            b.apply(wrong)
    assert state(b) == before[1]


def test_a_decode_error_closes_nothing():
    a = datastore(1)
    a["x"] = 1
    with pytest.raises(ck.DecodeError):
        a.apply(b"nonsense")
    assert a.history("x")[0].change is None


def test_any_order_any_number_of_times():
    a = datastore(1)
    parts = changes_one_by_one(a)
    roots = set()
    for seed in range(10):
        choose = random.Random(seed)
        b = datastore(2)
        order = choose.sample(parts, len(parts)) + choose.choices(parts, k=4)
        applied = []
        for part in order:
            report = b.apply(part)
            assert not set(report.applied) & set(report.waiting)
            applied += report.applied
        assert len(applied) == len(set(applied)) == 6 and b.waiting == b.missing == ()
        roots.add((b.root, b.heads))
        assert content(b) == content(a)
    assert roots == {(a.root, a.heads)}


def test_what_comes_early_waits():
    a, b = datastore(1), datastore(2)
    one, two, three = changes_one_by_one(a, 3)
    ids = [c.id for c in a.changes()]
    report = b.apply(three)
    assert not report and report.waiting == (ids[2],) and b == {}
    assert b.waiting == (ids[2],) and b.missing == (ids[1],)
    assert b.apply(one).applied == (ids[0],) and b == {"k0": 0}
    assert set(b.apply(two).applied) == set(ids[1:]) and b.waiting == b.missing == ()
    assert_equal(a, b)


def test_merge():
    a, b = datastore(1), datastore(2)
    a["x"], b["y"] = 1, 2
    b.put("z", 3, dag="d")
    report = a.merge(b)
    assert len(report.applied) == 2 and a == {"x": 1, "y": 2, "z": 3} and b == {"y": 2, "z": 3}
    b.merge(a)
    assert_equal(a, b)
    assert not a.merge(b) and not a.merge(a)
    with pytest.raises(TypeError):
        a.merge({})
    with pytest.raises(ck.Error):
        a.merge(ck.Datastore())


def test_sync_says_what_moved():
    a, b = datastore(1), datastore(2)
    a["x"], b["y"] = 1, 2
    report = ck.sync(a, b)
    assert report.changes == 2 and report.rounds >= 1 and report.bytes > 100
    assert_equal(a, b)
    again = ck.sync(a, b)
    assert again.changes == 0 and again.bytes <= 128
    with pytest.raises(ck.Error):
        ck.sync(a, ck.Datastore())
    with pytest.raises((TypeError, ck.Error)):
        ck.sync(a, ck.Doc())


def test_sessions():
    a, b = datastore(1), datastore(2)
    put = {f"{n:03}": "x" * 100 for n in range(300)}
    a.update(put)
    b["mine"] = 1
    s, t = a.session(), b.session()
    talk(s, t)
    assert s.done and t.done and s.send() is None and t.send() is None
    assert_equal(a, b)
    a["later"] = 1
    a.commit()
    assert not s.done
    talk(s, t)
    assert s.done and t.done and b["later"] == 1
    b.put("other", 1, dag="d")
    b.commit()
    talk(s, t)
    assert a["other"] == 1
    assert_equal(a, b)


def test_equal_replicas_say_one_short_message_each():
    a, b = datastore(1), datastore(2)
    a.update({f"{n}": n for n in range(100)})
    meet(a, b)
    s, t = a.session(), b.session()
    assert all(len(message) <= 64 for message in talk(s, t))
    assert s.done and t.done


def in_dags(seed, n):
    kv = datastore(seed)
    for k in range(n):
        kv.put(f"k{k}", k, dag=f"d{k}")
    return kv


@pytest.mark.parametrize("crossing", [False, True])
def test_equal_replicas_of_many_dags_do_so_too(crossing):
    a, b = in_dags(1, 30), datastore(2)
    meet(a, b)
    s, t = a.session(), b.session()
    first = s.send()
    assert len(first) <= 64 and s.send() is None and not s.done
    second = None if crossing is False else t.send()
    t.receive(first)
    s.receive(second or t.send())
    assert s.done and t.done and s.send() is None and t.send() is None
    a.put("new", 1, dag="d7")
    b.put("new", 2, dag="d31")
    assert max(map(len, talk(s, t))) < 600 and s.done and t.done  # live from the first change on
    assert_equal(a, b)


@pytest.mark.parametrize("crossing", [False, True])
@pytest.mark.parametrize("dag", ["default", "d2", "new"])
def test_a_digest_that_differs_is_followed_by_what_it_stands_for(dag, crossing):
    a, b = in_dags(1, 3), datastore(2)
    meet(a, b)
    b.put("mine", 1, dag=dag)
    s, t = a.session(), b.session()
    first = s.send()
    if crossing:
        s.receive(t.send())
        assert not s.done
        whole = s.send()
        t.receive(first)
        t.receive(whole)
    else:
        a.put("meanwhile", 1, dag="d1")
        t.receive(first)
        assert not t.done
    talk(s, t)
    assert s.done and t.done and a["mine"] == 1
    assert_equal(a, b)


def test_a_digest_comes_once_whole_and_from_somebody_else():
    a = in_dags(1, 3)
    b = a.fork()
    first = a.session().send()
    for at in range(len(first)):
        s = b.session()
        with pytest.raises(ck.DecodeError):
            s.receive(first[:at] + bytes([first[at] ^ 4]) + first[at + 1 :])
        assert s.send() is None and not s.done
    for wrong in (first[:-1], first + b"x"):
        with pytest.raises(ck.DecodeError):
            b.session().receive(wrong)
    s = b.session()
    s.receive(first)
    with pytest.raises(ck.SyncError):
        s.receive(first)
    s = a.session()
    mirrored = s.send()
    with pytest.raises(ck.SyncError):
        s.receive(mirrored)
    assert not s.done


def test_large_content_is_cut_into_messages():
    a, b = datastore(1), datastore(2)
    for n in range(6):
        a[f"{n}"] = bytes([n]) * 900_000
        a.put(f"{n}", bytes([n]) * 900_001, dag="d")
    sent = talk(a.session(), b.session())
    assert max(map(len, sent)) <= (1 << 20) + 4096
    assert_equal(a, b)


@pytest.mark.parametrize("wrong", [b"", b"nonsense", bytes(100), b"\x60"], ids=named)
def test_a_session_dies_of_nonsense(wrong):
    a = datastore(1)
    a["x"] = 1
    s = a.session()
    with pytest.raises((ck.DecodeError, ck.SyncError)):
        s.receive(wrong)
    assert s.send() is None and not s.done
    with pytest.raises(ck.SyncError):
        s.receive(b"")
    assert a == {"x": 1}


def test_what_is_asked_while_somebody_writes():
    a, b = datastore(1), datastore(2)
    for n in range(50):
        a[f"a{n}"] = n
        a.commit()
    s, t = a.session(), b.session()
    ends, turn = ((s, a), (t, b)), 0
    silent = 0
    while silent < 2:
        (end, kv), other = ends[turn % 2], ends[1 - turn % 2][0]
        message = end.send()
        silent = silent + 1 if message is None else 0
        if turn < 10:
            kv[f"under way {turn}"] = turn
            kv.commit()
            silent = 0
        if message is not None:
            other.receive(message)
        turn += 1
        assert turn < 100
    assert_equal(a, b)


def test_three_at_random():
    choose = random.Random(3)
    stores = [datastore(n) for n in range(1, 4)]
    for step in range(200):
        kv = choose.choice(stores)
        key, dag = f"k{choose.randrange(8)}", choose.choice(["default", "default", "x"])
        what = choose.randrange(4)
        if what == 0:
            kv.delete(key)
        elif what == 1:
            kv.counter(key).increment(choose.randrange(-9, 9))
        elif what == 2:
            kv.put(key, [step, LONG], dag=dag)
        else:
            other = choose.choice([s for s in stores if s is not kv])
            (kv.merge if choose.random() < 0.5 else lambda o, kv=kv: ck.sync(kv, o))(other)
    meet(*stores)
    assert_equal(*stores)


# ---- liars


def test_equivocation_is_found_and_proved():
    a, b = datastore(1), datastore(2)
    a["k"] = 0
    liar = identity(66)
    x, y = testing.Forger(a, liar).fork(lambda d: d.put("k", 1), lambda d: d.put("k", 2))
    a.apply(x), b.apply(y)
    meet(a, b)
    assert_equal(a, b)
    assert set(a.conflicts("k").values()) == {1, 2}
    (found,) = a.equivocations()
    assert found.author == liar.public_key and found.seq == 0 and found.a < found.b
    assert ck.verify_equivocation(found.proof) == liar.public_key
    assert b.equivocations()[0].proof == found.proof
    with pytest.raises((ck.SignatureError, ck.DecodeError)):
        ck.verify_equivocation(found.proof[:-1] + bytes([found.proof[-1] ^ 1]))


FORGED = {
    "ver": ({"ver": 2}, "refused"),
    "type of a document": ({"type": 1}, "refused"),
    "type": ({"type": 3}, "refused"),
    "another datastore": ({"doc_id": bytes(32)}, "refused"),
    "seq without prev": ({"seq": 5}, "refused"),
    "prev without seq": ({"prev": bytes(32), "seq": 0}, "refused"),
    "an unknown parent": ({"parents": [bytes(32)]}, "waiting"),
    "parents twice": ({"parents": [bytes(32)] * 2}, "refused"),
    "n_ops": ({"n_ops": 7}, "void"),
    "too many ops": ({"n_ops": 2**24 + 1}, "refused"),
    "key_epoch": ({"key_epoch": 1}, "refused"),
    "body_len": ({"body_len": 100}, "refused"),
    "signature": ({"signature": bytes(64)}, "refused"),
    "no signature": ({"signature": b""}, "refused"),
    "another key": ({"sign_with": ck.Identity.from_seed(bytes(32))}, "refused"),
    "void body": ({"body": b"\0\0\2\1\0"}, "void"),
    "empty body": ({"body": b""}, "void"),
}


@pytest.mark.parametrize(("header", "verdict"), FORGED.values(), ids=list(FORGED))
def test_forged_changes(header, verdict):
    kv = datastore(1)
    kv["k"] = 0
    kv.commit()
    before = state(kv)
    report = kv.apply(testing.Forger(kv, identity(66)).forge(lambda d: d.put("k", 1), **header))
    said = {name: getattr(report, name) for name in ("applied", "void", "waiting", "refused")}
    assert {name for name, what in said.items() if what} == {verdict}
    assert kv["k"] == 0
    if verdict != "void":
        assert state(kv) == before
    else:
        (change,) = (c for c in kv.changes() if c.void)
        assert report.void == (change.id,) and kv.stats()["void"] == 1
        kv["k"] = 2
        assert kv.commit() is not None and kv["k"] == 2
        other = datastore(2)
        meet(kv, other)
        assert_equal(kv, other)


def test_what_is_for_a_later_version_is_kept_and_forwarded():
    a, b = datastore(1), datastore(2)
    a["k"] = 0
    meet(a, b)
    before = state(a)
    bundle = testing.Forger(a, identity(66)).forge(body=b"\0\0\x63\1\0")
    a.apply(bundle)
    assert a.stats()["later"] == 1 and state(a) == before
    ck.sync(a, b)
    assert b.stats()["later"] == 1 and b == {"k": 0}


def called_dead(bundle):
    """The same change, as somebody tells it who says that its body does not matter."""
    ((name, part),) = read_parts(bundle, ID)
    chains = read_bundle(part, ID, type=2).chains
    for chain in chains:
        chain.items = [replace(item, body_form=LEFT_OUT, body=None) for item in chain.items]
    return write_parts(ID, [(name, write_bundle(ID, chains))])


@pytest.mark.parametrize("meet", [ck.sync, lambda a, b: (a.merge(b), b.merge(a))], ids=["sync", "merge"])
def test_what_is_for_a_later_version_and_is_called_dead(meet):
    """It is in the graph of those to whom that was told, and so it comes into that of the others."""
    a, b, c = datastore(1), datastore(2), datastore(3)
    bundle = testing.Forger(a, identity(66)).forge(body=b"\0\0\x63\x40" + bytes(64))
    a.apply(bundle), b.apply(called_dead(bundle)), c.apply(called_dead(bundle)), c.apply(bundle)
    assert a.heads == () and b.heads == c.heads != ()
    b["built"] = "upon it"
    meet(a, b)
    meet(c, b)
    assert_equal(a, b, c)
    assert a == {"built": "upon it"}
    s, t = a.session(), b.session()
    talk(s, t)
    assert s.done and t.done


def test_unsigned_tail():
    a = datastore(1)
    first, second = testing.Forger(a, identity(66)).chain(
        [lambda d: d.put("x", 1), lambda d: d.put("x", 2)], sign="last"
    )
    assert a.apply(first).refused and a == {}
    assert len(a.apply(testing.join(first, second)).applied) == 2 and a == {"x": 2}


def test_reports_are_disjoint():
    a, b = datastore(1), datastore(2)
    parts = changes_one_by_one(a, 4)
    f = testing.Forger(a, identity(66))
    b.apply(parts[0])
    for part in [parts[3], f.forge(n_ops=9), f.forge(signature=bytes(64)), f.forge(), parts[1], parts[2]]:
        r = b.apply(part)
        ids = [*r.applied, *r.void, *r.waiting, *(refusal.id for refusal in r.refused)]
        assert len(ids) == len(set(ids))
        assert bool(r) == bool(r.applied or r.void)


def test_all_orders_of_a_small_history():
    a, b = datastore(1), datastore(2)
    parts = []
    for kv, key, dag in ((a, "k", "default"), (b, "k", "x"), (a, "l", "x")):
        before = kv.heads
        kv.put(key, kv.identity.public_key, dag=dag)
        parts.append(kv.export(before))
        meet(a, b) if len(parts) == 2 else None
    results = set()
    for order in itertools.permutations(parts):
        kv = datastore(3)
        for part in order:
            kv.apply(part)
        results.add((kv.root, kv.heads, tuple(kv), tuple(kv.conflicts("k"))))
    assert len(results) == 1
