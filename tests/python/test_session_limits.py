"""What the core bounds in a session, one attack at a time, and honest pairs that the bounds must not part."""

import resource
import time
from dataclasses import replace

import pytest

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing import frame, wire

ADA, EVE = (ck.Identity.from_seed(bytes([k]) * 32) for k in (1, 2))


def a_doc():
    doc = ck.Doc(ADA, clock=lambda: 1000)
    doc["a"] = 1
    doc.commit()
    return doc


def opened(doc, root=bytes(32)):
    """A session of doc that has heard our hello after it said its own, so that we open; and the key."""
    session = doc.session()
    heard = frame.read(session.send())
    hello = frame.Hello(root, bytes(16), b"\xff" * 8)
    session.receive(frame.write(1, 1, hello=hello))
    return session, frame.key_of(doc.id, hello.salt, heard.hello.salt)


def compare(doc, key, *ranges, first=True):
    head = frame.siphash(key, doc.id).to_bytes(8, "little") if first else b""
    return frame.COMPARE, head + b"".join(map(wire.blob, ranges))


def crowd(doc, n, length):
    """A lane with so many tips, and a bundle of it."""
    liar = testing.Forger(doc, EVE, seed=1)
    parts = []
    for k in range(n):
        parts += wire.take_apart(liar.fork([lambda d, k=k: d.update(n=k)] * length)[0])
    return liar.lane, wire.write_bundle(wire.head_of(doc.export()), parts)


def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_a_piece_that_is_longer_than_all_that_was_to_come():
    doc = a_doc()
    session, _ = opened(doc, doc.root)
    session.receive(frame.write(2, 1, [(frame.BUNDLE, wire.varint(1) + b"x")]))
    with pytest.raises(ck.SyncError, match="piece"):
        session.receive(frame.write(3, 1, [(frame.BUNDLE, wire.varint(frame.WORD) + b"xx")]))


def test_a_bundle_in_pieces_ends_at_32_mib():
    doc = a_doc()
    session, _ = opened(doc, doc.root)
    with pytest.raises(ck.SyncError, match="32 MiB"):
        session.receive(frame.write(2, 1, [(frame.BUNDLE, wire.varint((32 << 20) - 1) + b"xx")]))


def test_two_forks_in_every_range_are_cut_ever_shorter():
    """Ranges of one tip and a lane with many are cut between the two, or two ends ask each other the same for ever."""
    doc = a_doc()
    for _ in range(4):
        fork = doc.fork()
        fork["b"] = 1
        doc.merge(fork)
    _, bundle = crowd(doc, 2 * 150, 1)
    parts = wire.take_apart(bundle)
    here, there = doc.fork(), doc.fork()
    here.apply(wire.write_bundle(wire.head_of(bundle), parts[::2]))
    there.apply(wire.write_bundle(wire.head_of(bundle), parts[1::2]))
    for k in range(120):
        liar = ck.Identity.from_seed(k.to_bytes(32, "big"))
        doc.apply(testing.Forger(doc, liar, seed=k).forge())
    here.merge(doc)
    there.merge(doc)
    one, other = here.session(), there.session()
    n = 0
    while not (one.done and other.done):
        for a, b in (one, other), (other, one):
            while message := a.send():
                b.receive(message)
                n += 1
        assert n < 100
    assert here.root == there.root


def test_endless_ranges_are_no_news():
    doc = a_doc()
    session, key = opened(doc)
    first, number = True, 1
    with pytest.raises(ck.SyncError, match="nothing new"):
        for number in range(2, 1000):
            said = frame.fingerprint(number << 32, number, number)
            session.receive(frame.write(number, 1, [compare(doc, key, said, first=first)]))
            first = False
    assert 256 < number < 400


def test_ranges_without_end_end():
    doc = a_doc()
    session, key = opened(doc)
    before, number = memory(), 2
    with pytest.raises(ck.SyncError, match="more than there can be"):
        for number in range(2, 1000):
            ends = range(1 + 40_000 * (number - 2), 1 + 40_000 * (number - 1))
            said = [frame.fingerprint(end << 20, 1, 1) for end in ends]
            session.receive(frame.write(number, 1, [compare(doc, key, *said, first=number == 2)]))
    assert number < 64
    assert memory() - before < 128 << 20


def test_tips_without_end_end():
    doc = a_doc()
    session, key = opened(doc)
    lane = frame.siphash(key, doc.changes()[0].lane) | 1
    session.receive(frame.write(2, 1, [compare(doc, key, frame.fingerprint(0, 1, 1))]))  # it lists what it has
    session.send()
    one = lane.to_bytes(8, "little") + b"\1"
    said = wire.blob(
        b"\3\0" + wire.varint(1_800_000) + b"".join(one + k.to_bytes(8, "little") for k in range(1_800_000))
    )
    before, number = memory(), 2
    with pytest.raises(ck.SyncError, match="more than there can be"):
        for number in range(3, 64):
            at = (number - 3) << 20
            session.receive(frame.write(number, 2, [(frame.COMPARE, said[at : at + (1 << 20)])]))
    assert memory() - before < 256 << 20


def test_tips_of_a_crowded_lane_are_looked_up_quickly():
    doc = a_doc()
    lane, bundle = crowd(doc, 600, 8)
    doc.apply(bundle)
    session, key = opened(doc)
    hashed = frame.siphash(key, lane) | 1
    start = time.process_time()
    said = frame.listing(0, [(hashed, 8, k + 1) for k in range(16384)])
    session.receive(frame.write(2, 1, [compare(doc, key, said)]))
    session.send()
    session.receive(frame.write(3, 2, [compare(doc, key, frame.knowing(bytes(75)), first=False)]))
    past = frame.past([1, 2, 3])
    session.receive(frame.write(4, 2, [compare(doc, key, *[past] * 16384, first=False)]))
    assert time.process_time() - start < 1.5  # more than ten times that if each is looked for in each branch


def dangling(doc, liar, n):
    """So many signed changes behind one that nobody has."""
    (honest,) = wire.take_apart(liar.forge(parents=[bytes(32)]))
    at = honest.header.index(bytes(32))
    for k in range(n):
        header = honest.header[:at] + k.to_bytes(4, "big") + honest.header[at + 4 :]
        id = wire.change_id_of(liar.lane, header)
        signature = liar.identity._sign(wire.signed_message(doc.id, liar.lane, 0, id))
        yield replace(honest, id=id, header=header, signature=signature)


def test_changes_without_ancestors_are_no_news_for_ever():
    doc = a_doc()
    session, _ = opened(doc, doc.root)
    changes = list(dangling(doc, testing.Forger(doc, EVE, seed=1), 64 * 200))
    head = wire.head_of(doc.export())
    number = 1
    with pytest.raises(ck.SyncError, match="nothing new"):
        for number in range(2, 200):
            some = wire.write_bundle(head, changes[number * 64 :][:64])
            session.receive(frame.write(number, 1, [(frame.BUNDLE, b"\0" + some)]))
    assert number == 1 + 64 + 65


def test_changes_for_a_later_version_cost_the_same_each():
    doc = a_doc()
    session, _ = opened(doc, doc.root)
    liar = testing.Forger(doc, EVE, seed=1)
    bundles = [liar.forge(body=b"\x7c" + k.to_bytes(4, "big")) for k in range(3000)]
    times = []
    for k, bundle in enumerate(bundles):
        if k % 1000 == 0:
            times.append(time.process_time())
        session.receive(frame.write(2 + k, 1, [(frame.BUNDLE, b"\0" + bundle)]))
        session.send()
    times.append(time.process_time())
    assert times[3] - times[2] < 3 * (times[1] - times[0]) + 0.1
    assert doc.stats()["later"] == 3000
    other = doc.fork()
    ck.sync(doc, other)
    assert other.stats()["later"] == 3000
