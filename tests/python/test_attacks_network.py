"""Attacks by peers and relays, rows 42 to 54 of the table in docs/security.md, and copies of processes (60)."""

import contextlib
import copy
import os
import pickle
import random

import pytest

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing import wire
from house import ways
from house.ways import FarEnd, in_every_order

ADA, BEN, CYD, EVE = (ck.Identity.from_seed(bytes([k]) * 32) for k in range(4))


def put(key, value=1):
    return lambda doc: doc.update({key: value})


def last(bundle):
    return wire.take_apart(bundle)[-1].id


@pytest.fixture
def doc():
    new = ck.Doc(ADA, clock=lambda: 1000)
    new.update(t=ck.Text("hello"), l=[1, 2])
    new.commit()
    return new


@pytest.fixture
def eve(doc):
    return testing.Forger(doc, EVE, seed=1)


def test_42_sybils(doc):
    """Two honest replicas among twelve liars who work together: what is honest arrives, and all agree."""
    rng = random.Random(42)
    ada, ben = doc.fork(ADA), doc.fork(BEN)
    liars = [testing.Forger(doc, ck.Identity.from_seed(bytes([k]) * 32), seed=k) for k in range(100, 112)]
    for turn in range(6):
        ada[f"ada {turn}"] = ben[f"ben {turn}"] = turn
        ada["t"].insert(0, "a")
        lies = []
        for liar in liars:
            liar.doc.merge(rng.choice([ada, ben]))
            lies += [*liar.fork(None, None), liar.forge(n_ops=5), liar.forge(signature=bytes(64))]
            lies += [liar.forge(parents=[rng.randbytes(32)]), liar.forge(seq=7), b"noise", lies[-1][:-1]]
            liar.advance(lies[-7])
        for replica in (ada, ben):
            for lie in rng.sample(lies, 60):
                with contextlib.suppress(ck.DecodeError):
                    rng.choice([replica.apply, FarEnd(replica).bundle])(lie)
        ck.sync(ada, ben)
    testing.assert_converged(ada, ben)
    assert [ada[f"ben {turn}"] for turn in range(6)] == [ben[f"ada {turn}"] for turn in range(6)] == [*range(6)]
    honest = {ADA.public_key, BEN.public_key}
    assert ada.equivocations() and honest.isdisjoint(e.author for e in ada.equivocations())
    assert str(ada["t"]) == "aaaaaahello" and {author for _, _, author, _ in ada["t"].blame()} <= honest


def test_43_split_view(doc, eve):
    """Different stories for different peers: the roots tell, and one honest path is enough to agree."""
    yes, no = eve.fork([put("x", "yes"), put("y")], [put("x", "no"), put("z")])
    left, right = [doc.fork() for _ in range(2)], [doc.fork() for _ in range(2)]
    for replica in left:
        replica.apply(yes)
    for replica in right:
        replica.apply(no)
    assert left[0].root == left[1].root != right[0].root == right[1].root
    for one, other in ((left[0], left[1]), (left[1], right[0]), (right[0], right[1]), (left[0], left[1])):
        ck.sync(one, other)
    testing.assert_converged(*left, *right)
    assert ck.verify_equivocation(right[1].equivocations()[0].proof) == EVE.public_key


def test_44_eclipse(doc):
    """A stale relay cannot be told from a quiet world, until somebody names what it withholds: then that is missing."""
    ben = doc.fork(BEN)
    ben["b"] = 1
    withheld = ben.heads[0]
    cyd = doc.fork(CYD)
    cyd["c"] = 1
    cyd.merge(ben)
    cyd["d"] = 1
    victim = doc.fork()
    relayed = testing.join(*[b for b in split(cyd.export(doc.heads)) if last(b) != withheld])
    FarEnd(victim).bundle(relayed)
    assert victim["c"] == 1 and "d" not in victim and len(victim.waiting) == 1
    assert victim.missing == (withheld,) and victim.root != cyd.root
    ck.sync(victim, cyd)
    assert victim == cyd and not victim.missing
    testing.assert_converged(victim, cyd)


def split(bundle):
    """A bundle for each change."""
    head = wire.head_of(bundle)
    return [wire.write_bundle(head, [part]) for part in wire.take_apart(bundle)]


def test_48_rollback_from_a_backup(doc):
    """A copy is restored and goes on, the original too: nobody's lane forks, so the honest author is not accused."""
    backup = doc.save()
    doc["x"] = "lost, or so they think"
    doc.export()
    restored = [ck.Doc.load(backup, ADA), ck.Doc.load(doc.save(), ADA), doc.fork(), copy.copy(doc), copy.deepcopy(doc)]
    restored.append(pickle.loads(pickle.dumps(doc)))
    for n, replica in enumerate((doc, *restored)):
        replica[f"after {n}"] = n
        replica.commit()
    for a in (doc, *restored):
        for b in (doc, *restored):
            a.merge(b)
    testing.assert_converged(doc, *restored)
    assert doc.equivocations() == [] and len({change.lane for change in doc.changes()}) == 7
    assert [doc[f"after {n}"] for n in range(7)] == [*range(7)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_60_copied_process(doc):
    """A process forks and both sides write in what was one document: each on a lane of its own."""
    read, write = os.pipe()
    doc["open"] = 1
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            doc["child"] = 1
            with open(write, "wb") as pipe:
                pipe.write(doc.export())
        finally:
            os._exit(0)
    os.close(write)
    doc["parent"] = 1
    doc.commit()
    with open(read, "rb") as pipe:
        report = doc.apply(pipe.read())
    os.waitpid(pid, 0)
    assert not report.refused and doc["child"] == doc["parent"] == doc["open"] == 1
    assert doc.equivocations() == [] and len({change.lane for change in doc.changes()}) == 2


def varints_and_sides(proof):
    """(head, [headers, signature] twice) of a proof."""
    reader = wire.Reader(proof[:-8])
    head = reader.take(4 + 32 + 32 + 16)
    seq, sides = reader.varint(), []
    for _ in range(2):
        headers = [reader.take(reader.varint()) for _ in range(reader.varint())]
        sides.append((headers, reader.take(64)))
    return head + wire.varint(seq), sides


def proof_of(head, sides):
    data = head
    for headers, signature in sides:
        data += wire.varint(len(headers)) + b"".join(map(wire.blob, headers)) + signature
    return testing.reseal(data + bytes(8))


def test_49_framing(doc, eve):
    """An honest author cannot be accused: only two signed branches are evidence, and only of their own lane."""
    ben = testing.Forger(doc, BEN, seed=2)
    honest = ben.forge(put("x", "honest"))
    twins = [
        ben.forge(put("x", "twin"), signature=b""),
        ben.forge(put("x", "twin"), signature=bytes(64)),
        ben.forge(put("x", "twin"), sign_with=EVE),
        ben.forge(put("x", "twin"), signature=wire.take_apart(honest)[0].signature),
    ]
    for twin in twins:
        for replica in in_every_order(doc, [honest, twin, ben.forge(put("y"), prev=last(twin), seq=1, signature=b"")]):
            assert replica.equivocations() == [] and replica["x"] == "honest" and len(replica.changes()) == 2

    for story in eve.fork(put("x", 1), [put("x", 2), put("y")]):
        doc.apply(story)
    (e,) = doc.equivocations()
    assert ck.verify_equivocation(e.proof) == EVE.public_key
    head, sides = varints_and_sides(e.proof)
    assert proof_of(head, sides) == e.proof
    (one, signature), (other, signed) = sides
    lies = {
        "one side twice": proof_of(head, [sides[0], sides[0]]),
        "sides swapped": proof_of(head, sides[::-1]),
        "one side unsigned": proof_of(head, [sides[0], (other, bytes(64))]),
        "the other side unsigned": proof_of(head, [(one, bytes(64)), sides[1]]),
        "signatures swapped": proof_of(head, [(one, signed), (other, signature)]),
        "another author": proof_of(head[:36] + BEN.public_key + head[68:], sides),
        "another document": proof_of(head[:4] + bytes(32) + head[36:], sides),
        "another nonce": proof_of(head[:68] + bytes(16) + head[84:], sides),
        "another seq": proof_of(head[:84] + b"\1", sides),
    }
    for name, lie in lies.items():
        with pytest.raises(ck.SignatureError):
            ck.verify_equivocation(lie)
            pytest.fail(name)
    for at in range(len(e.proof)):
        with pytest.raises(ck.DecodeError):
            ck.verify_equivocation(e.proof[:at] + bytes([e.proof[at] ^ 1]) + e.proof[at + 1 :])
        flipped = testing.reseal(e.proof[:at] + bytes([e.proof[at] ^ 1]) + e.proof[at + 1 :])
        if flipped != e.proof:
            with pytest.raises((ck.DecodeError, ck.SignatureError)):
                ck.verify_equivocation(flipped)


def test_49_two_honest_changes_are_no_fork(doc):
    """Consecutive changes, or those of two lanes, put side by side prove nothing."""
    ben = testing.Forger(doc, BEN, seed=3)
    first, second = ben.chain([put("x"), put("y")])
    (a,), (b,) = wire.take_apart(first), wire.take_apart(second)
    head = b"CKP\1" + doc.id + b"".join(a.opening)
    sides = sorted(
        [([a.header], a.signature), ([b.header], b.signature)], key=lambda s: wire.change_id_of(ben.lane, *s[0])
    )
    for seq in (0, 1):
        with pytest.raises(ck.SignatureError):
            ck.verify_equivocation(proof_of(head + wire.varint(seq), sides))
        with pytest.raises(ck.SignatureError):
            ck.verify_equivocation(proof_of(head + wire.varint(seq), sides[::-1]))


def test_50_fingerprint_collisions(doc):
    """What ranges are compared by is keyed anew in each session, by both ends: tips prepared to cancel out do not."""
    liars = [testing.Forger(doc, EVE, seed=k) for k in range(300)]
    doc.apply(testing.join(*[liar.forge() for liar in liars]))
    ends = [FarEnd(doc, root=bytes(32)) for _ in range(8)]
    assert len({end.salt for end in ends}) == 8  # a fresh half of the key, and this end's half was the same
    said = set()
    for end in ends:  # it was heard first, so the far end opens: with the fingerprint of nothing
        end.compare(b"\1\0" + bytes(8) + b"\0")
        answer = end.session.send()
        assert len(answer) > 17 * 8  # fingerprints of parts
        said.add(answer[4:-4])
    assert len(said) == 8
    other = doc.fork()
    other.apply(liars[0].forge(put("x"), prev=next(iter(doc.heads)), seq=1))
    ck.sync(doc, other)
    testing.assert_converged(doc, other)


def test_53_poisoned_snapshot(doc, eve):
    """A file from somebody else is a claim: what its authors did not sign is not in the document that it makes."""
    doc["t"].insert(5, " world")
    good = doc.save()
    plain = testing.join(good)  # the same, in parts that can be changed one by one
    assert ck.Doc.load(plain) == ck.Doc.load(good) == doc
    unsigned = eve.forge(put("x"), signature=b"")
    as_ada = eve.forge(put("x"), author=ADA.public_key)
    for lie in (unsigned, as_ada):
        poisoned = testing.join(good, lie)
        loaded = ck.Doc.load(poisoned)
        testing.assert_converged(loaded, doc)
    versions = [ck.Doc(id=doc.id), *(ck.Doc.load(doc.export((), [change.id])) for change in doc.changes())]
    told = {(version.root, repr(version.to_py())) for version in versions}
    for at in range(len(plain)):
        flipped = testing.reseal(plain[:at] + bytes([plain[at] ^ 0x10]) + plain[at + 1 :])
        try:
            loaded = ck.Doc.load(flipped)
        except ck.DecodeError:
            continue
        assert (loaded.root, repr(loaded.to_py())) in told


def test_53_a_root_that_is_a_lie(doc):
    """Who says that he has the same changes when he has not is the only one who goes without."""
    far = FarEnd(doc)
    assert far.session.done and far.session.send() is None  # so it says, so nothing is sent to it
    ben = doc.fork(BEN)
    ben["x"] = 1
    ck.sync(doc, ben)
    testing.assert_converged(doc, ben)
    assert doc["x"] == 1 and len(far.session.send()) > 64  # what is new is told to the liar, too


def test_54_one_bad_among_a_thousand(doc, eve):
    """999 land, whether the bad one is unsigned, forged, void or out of place, by apply() and in a session."""
    good = [eve.forge(put(f"k{k}"), nonce=k.to_bytes(16, "big")) for k in range(999)]
    lies = [
        (0, eve.forge(put("x"), signature=bytes(64))),
        (500, eve.forge(put("x"), author=BEN.public_key)),
        (999, eve.forge(put("x"), seq=5)),
        (500, eve.forge(put("x"), ver=9)),
        (0, eve.forge(body=b"\xff" * 60)),
        (500, eve.forge(put("x"), parents=[bytes(32)])),
    ]
    for at, lie in lies:
        everything = testing.join(*good[:at], lie, *good[at:])
        for deliver in ways.ways_of(everything)[:2]:
            replica = doc.fork()
            report = deliver(replica)
            assert len(report.applied) == 999 and replica["k998"] == 1 and "x" not in replica
            assert len(report.refused) + len(report.void) + len(report.waiting) == 1


def test_54_a_session_goes_on(doc, eve):
    """Bad items do not end a session, until there are more than 1,000 of them."""
    far = FarEnd(doc)
    bad = [testing.Forger(doc, EVE, seed=k).forge(signature=bytes(64)) for k in range(250)]
    for turn in range(4):
        assert len(far.bundle(testing.join(*bad)).refused) == 250
        good = eve.forge(put(f"good {turn}"))
        eve.advance(good)
        assert far.bundle(good).applied and doc[f"good {turn}"] == 1
    with pytest.raises(ck.SyncError):
        far.bundle(bad[0])
