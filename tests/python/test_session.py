"""Sessions at the Python face: who says what, what ends one, and what never does."""

import random
import threading

import pytest

import crdtkv as ck
from crdtkv import testing
from oracle.message import BUNDLE, Message, check, read_message, write_message
from oracle.model import Replica
from oracle.session import Session
from oracle.wire import varint

MIB = 1 << 20


def messages(end):
    while (message := end.send()) is not None:
        yield message


def talk(left, right):
    """In turns until both are silent. The messages, with who said them."""
    said = []
    while True:
        before = len(said)
        for k, (speaker, listener) in enumerate(((left, right), (right, left))):
            for message in messages(speaker):
                said.append((k, message))
                listener.receive(message)
        if len(said) == before:
            return said


def two(**content):
    """A document and an empty replica of it."""
    doc = ck.Doc()
    doc.update(content)
    return doc, ck.Doc(id=doc.id)


def assert_dead(end):
    assert end.send() is None and end.done is False
    with pytest.raises(ck.SyncError):
        end.receive(b"")
    with pytest.raises(ck.SyncError):
        end.receive(ck.Doc().session().send())
    assert end.send() is None and end.done is False


class Crafted:
    """An honest end by the oracle, which then says what the test makes up."""

    def __init__(self, doc):
        self.end = doc.session()
        self.oracle = Session(Replica(doc.id), random.Random(1).randbytes(8))
        talk(self.end, self.oracle)
        assert self.end.done and self.oracle.done
        self.number = self.oracle.number

    def say(self, parts=None, heard=None, more=False):
        self.number += 1
        message = Message(more, self.number, self.oracle.taken if heard is None else heard, None, parts or {})
        return self.end.receive(write_message(message))

    def say_bundle(self, bundle):
        return self.say({BUNDLE: varint(0) + bundle})


# Who says what


@pytest.mark.parametrize("first", [0, 1])
def test_both_ends_are_alike_and_either_may_speak_first(first):
    a = ck.Doc()
    b = a.fork(ck.Identity.generate())
    a["x"], b["y"] = 1, 2
    ends = [a.session(), b.session()]
    talk(*ends[first:], *ends[:first])
    assert a == b == {"x": 1, "y": 2} and a.root == b.root
    assert [end.done for end in ends] == [True, True]
    assert [end.send() for end in ends] == [None, None]


def test_both_may_speak_at_once():
    a, b = two(x=1)
    left, right = a.session(), b.session()
    hellos = left.send(), right.send()
    assert left.send() is None and right.send() is None  # nothing was heard yet
    right.receive(hellos[0])
    left.receive(hellos[1])
    talk(left, right)
    assert left.done and right.done and b == {"x": 1}


def test_equal_replicas_say_one_short_message_each():
    a, b = two(x=1)
    b.merge(a)
    left, right = a.session(), b.session()
    said = talk(left, right)
    assert [k for k, _ in said] == [0, 1] and all(len(message) <= 64 for _, message in said)
    assert left.done and right.done


def test_two_empty_replicas_are_equal():
    a, b = two()
    assert len(talk(left := a.session(), right := b.session())) == 2 and left.done and right.done


def test_nobody_is_done_before_anything_was_heard():
    a, b = two(x=1)
    left, right = a.session(), b.session()
    assert not left.done
    message = left.send()
    assert not left.done
    right.receive(message)
    assert not left.done and not right.done


def test_a_later_change_speaks_again():
    a, b = two(x=1)
    left, right = a.session(), b.session()
    talk(left, right)
    for doc, end in ((a, left), (b, right), (a, left)):
        doc["x"] = doc.get("x", 0) + 1
        assert not end.done
        assert talk(left, right)
        assert left.done and right.done and a.to_py() == b.to_py()


def test_a_session_knows_its_document_and_counts():
    a, b = two(x=1)
    left, right = a.session(), b.session()
    assert left.doc is a
    said = talk(left, right)
    mine = [message for k, message in said if k == 0]
    stats = left.stats()
    assert (stats["messages_sent"], stats["bytes_sent"]) == (len(mine), sum(map(len, mine)))
    assert stats["messages_received"] == len(said) - len(mine)


def test_receive_reports_what_came():
    a, b = two(x=1)
    left, right = a.session(), b.session()
    applied = []
    for message in messages(left):
        right.receive(message)
    for message in messages(right):
        assert not left.receive(message)
    for message in messages(left):
        applied += right.receive(bytearray(message)).applied
    assert applied == [change.id for change in a.changes()]


@pytest.mark.parametrize("wrong", ["text", None, 5])
def test_receive_wants_bytes(wrong):
    end = ck.Doc().session()
    with pytest.raises(TypeError):
        end.receive(wrong)
    assert end.send() is not None


def test_a_session_closes_the_open_change():
    a, b = two()
    left, right = a.session(), b.session()
    talk(left, right)
    a["x"] = 1
    talk(left, right)
    assert b == {"x": 1} and len(a.changes()) == 1


# What is no message, and what does not fit


def recorded():
    """Two documents under seeds, so that they say the same each time, and a session between them."""
    a, b = ck.Doc(ck.Identity.from_seed(bytes(32)), id=bytes(32)), ck.Doc(id=bytes(32))
    liar = testing.Forger(a, ck.Identity.from_seed(b"\1" * 32), seed=1)
    one, other = liar.fork(None, [None, None])
    a["t"] = ck.Text("hello")
    a.apply(one)
    b.apply(other)
    b["x"] = [1]
    return a.save(), b.save()


class Replay:
    """Brings a receiver to where the k-th message comes next."""

    def __init__(self):
        self.saved = recorded()
        self.said = talk(*(doc.session() for doc in self.fresh()))
        both = ck.Doc.load(self.saved[0])
        both.apply(self.saved[1])
        self.authentic = {change.id for change in both.changes()}

    def fresh(self):
        docs = [ck.Doc.load(data, ck.Identity.from_seed(bytes([k]) * 32)) for k, data in enumerate(self.saved)]
        for k, doc in enumerate(docs):
            doc._seed(bytes([k]) * 32)
        return docs

    def before(self, k):
        speaker, _ = self.said[k]
        doc = self.fresh()[1 - speaker]
        end = doc.session()
        for who, message in self.said[:k]:
            if who == speaker:
                end.receive(message)
            else:
                assert end.send() == message
        return doc, end


@pytest.mark.parametrize("step", [16, pytest.param(1, marks=pytest.mark.slow)])
def test_every_truncation_and_every_flipped_bit_is_told(step):
    replay = Replay()
    for k, (_, message) in enumerate(replay.said):
        broken = [message[:n] for n in range(len(message))]
        for bit in range(8 * len(message)):
            flipped = bytearray(message)
            flipped[bit // 8] ^= 1 << bit % 8
            broken.append(bytes(flipped))
        for data in broken[::step]:
            doc, end = replay.before(k)
            root = doc.root
            with pytest.raises(ck.DecodeError):
                end.receive(data)
            assert doc.root == root
            assert_dead(end)


def test_what_is_flipped_under_a_true_checksum_brings_nothing_false():
    replay = Replay()
    met = set()
    for k, (_, message) in enumerate(replay.said):
        for bit in range(0, 8 * (len(message) - 4), 3):
            flipped = bytearray(message[:-4])
            flipped[bit // 8] ^= 1 << bit % 8
            doc, end = replay.before(k)
            try:
                end.receive(bytes(flipped) + check(bytes(flipped)))
            except (ck.DecodeError, ck.SyncError) as error:
                met.add(type(error))
                assert end.send() is None
            assert {change.id for change in doc.changes()} <= replay.authentic
    assert met == {ck.DecodeError, ck.SyncError}


@pytest.mark.parametrize("data", [b"", b"P", b"garbage", bytes(63), b"\x50" * 5000])
def test_garbage_is_no_message(data):
    doc = ck.Doc()
    doc["x"] = 1
    end = doc.session()
    with pytest.raises(ck.DecodeError):
        end.receive(data)
    assert_dead(end)
    assert doc == {"x": 1}


def test_a_lost_message_ends_it():
    a, b = two(x=1)
    left, right = a.session(), b.session()
    talk(left, right)
    for value in range(2):
        a["x"] = value
        lost = left.send()
    assert lost is not None
    with pytest.raises(ck.SyncError):
        right.receive(lost)
    assert_dead(right)


def test_a_repeated_message_ends_it():
    a, b = two(x=1)
    left, right = a.session(), b.session()
    said = talk(left, right)
    with pytest.raises(ck.SyncError):
        right.receive([message for k, message in said if k == 0][-1])
    assert_dead(right)
    assert b == {"x": 1}


def test_messages_in_another_order_end_it():
    a, b = two(x=1)
    left, right = a.session(), b.session()
    talk(left, right)
    sent = []
    for value in range(2):
        a["x"] = value
        sent.append(left.send())
    with pytest.raises(ck.SyncError):
        right.receive(sent[1])
    assert_dead(right)


def test_a_message_that_is_too_long_is_not_even_read():
    end = ck.Doc().session()
    with pytest.raises(ck.SyncError):
        end.receive(bytes(MIB + 4097))
    assert_dead(end)
    other = ck.Doc().session()
    with pytest.raises(ck.DecodeError):
        other.receive(bytes(MIB + 4096))


@pytest.mark.parametrize("content", [{}, {"x": 1}])
def test_another_document_ends_it(content):
    a, b = ck.Doc(), ck.Doc()
    a.update(content)
    b.update(content)
    left, right = a.session(), b.session()
    with pytest.raises(ck.SyncError):
        talk(left, right)
    assert a == content and b == content


def test_its_own_echo_ends_it():
    end = ck.Doc().session()
    with pytest.raises(ck.SyncError):
        end.receive(end.send())
    assert_dead(end)


def test_max_bytes():
    a, b = two(x="x" * 5000)
    rng = random.Random(1)
    a["y"] = rng.randbytes(100_000)
    left, right = a.session(), b.session(max_bytes=50_000)
    with pytest.raises(ck.SyncError):
        talk(left, right)
    assert_dead(right)
    enough = b.session(max_bytes=1_000_000)
    talk(a.session(), enough)
    assert enough.done and a.root == b.root
    with pytest.raises((ValueError, OverflowError)):
        b.session(max_bytes=-1)


def test_the_document_outlives_a_dead_session():
    a, b = two(x=1)
    end = b.session()
    with pytest.raises(ck.DecodeError):
        end.receive(b"no")
    left, right = a.session(), b.session()
    talk(left, right)
    assert left.done and right.done and not end.done and b == {"x": 1}


# What does not end it


def test_an_open_block_ends_nothing():
    a, b = two(x=1)
    left, right = a.session(), b.session()
    hello = left.send()
    with b.change():
        with pytest.raises(RuntimeError):
            right.send()
        with pytest.raises(RuntimeError):
            right.receive(hello)
        b["y"] = 2
    right.receive(hello)
    talk(left, right)
    assert left.done and right.done and a == b == {"x": 1, "y": 2}


def test_what_observers_raise_comes_last_and_ends_nothing():
    a, b = two(x=1)
    a["y"] = [1, 2]

    def fails(event):
        raise ZeroDivisionError(event.patches[0].kind)

    watching = b.observe(fails)
    left, right = a.session(), b.session()
    met = 0
    for _ in range(5):
        for message in messages(left):
            try:
                right.receive(message)
            except* ZeroDivisionError:
                met += 1
        for message in messages(right):
            left.receive(message)
    assert met == 1 and a == b and left.done and right.done
    watching.cancel()
    a["x"] = 2
    talk(left, right)
    assert b["x"] == 2 and left.done


def test_a_cut_in_the_middle_is_made_good_by_new_sessions():
    rng = random.Random(1)
    a, b = two()
    for k in range(8):
        a[f"{k}"] = rng.randbytes(400_000)
        a.commit()
    left, right = a.session(), b.session()
    cut = 6
    while cut:
        for speaker, listener in ((left, right), (right, left)):
            message = speaker.send()
            if message and cut:
                cut -= 1
                listener.receive(message)
    already = len(b.changes())
    assert 0 < already < 8 and not right.done
    left, right = a.session(), b.session()
    n_bytes = sum(len(message) for _, message in talk(left, right))
    assert left.done and right.done and a.root == b.root
    assert n_bytes < (8 - already) * 400_000 + 10_000


def test_a_hub_passes_on_what_it_gets_and_sends_nothing_back():
    hub = ck.Doc()
    a, c = ck.Doc(id=hub.id), ck.Doc(id=hub.id)
    to_a, to_c = hub.session(), hub.session()
    ends = (a.session(), to_a), (c.session(), to_c)
    for pair in ends:
        talk(*pair)
    a["x"] = random.Random(1).randbytes(3000)
    back = [message for k, message in talk(*ends[0]) if k == 1]
    assert sum(map(len, back)) < 64
    assert not to_c.done
    on = [message for k, message in talk(*ends[1]) if k == 1]
    assert sum(map(len, on)) > 3000 and c == a == hub
    c["y"] = 1
    talk(*ends[1])
    talk(*ends[0])
    assert a == c == hub == {"x": a["x"], "y": 1}
    assert all(end.done for pair in ends for end in pair)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("n", [100, 1000, 3000, 5000])
@pytest.mark.parametrize("changes", [1, 3, 8])
def test_text_that_packs_well_travels_packed(n, changes, known):
    """Live changes do not: there may be no more of them than the budget of a session leaves room for."""
    a, b = two(t=ck.Text("start"))
    if known:
        ck.sync(a, b)
    for doc in (a, b):
        for k in range(changes):
            doc[f"{k}"] = "hello, world " * (n // 13 // changes)
            doc.commit()
    missing = sum(len(x.export([change.id for change in y.changes()])) for x, y in ((a, b), (b, a)))
    assert ck.sync(a, b).bytes <= 64 + 40 * 2 + 1.5 * missing + 2048


def test_what_an_end_has_told_of_is_not_sent_to_it():
    """The hub got it from another one in the meantime."""
    hub, a = two()
    a["x"] = random.Random(1).randbytes(100_000)
    b = ck.Doc(id=hub.id)
    b.merge(a)
    at_hub, at_b = hub.session(), b.session()
    at_b.receive(at_hub.send())
    at_hub.receive(at_b.send())  # b opens, and lists what it has
    talk(hub.session(), a.session())
    assert hub == b
    back = [message for k, message in talk(at_hub, at_b) if k == 0]
    assert at_hub.done and at_b.done and sum(map(len, back)) < 200


def test_twenty_mebibytes_go_in_pieces():
    rng = random.Random(1)
    a, b = two()
    for k in range(20):
        a[f"{k}"] = rng.randbytes(MIB)
        a.commit()
    said = talk(left := a.session(), right := b.session())
    assert left.done and right.done and a.root == b.root and a == b
    assert max(len(message) for _, message in said) <= MIB + 4096
    assert sum(len(message) for _, message in said) < 21 * MIB


def test_the_longest_value_goes_in_pieces():
    value = random.Random(1).randbytes((16 << 20) - 100)
    a, b = two()
    with a.change():
        a["v"] = value
    said = talk(left := a.session(), right := b.session())
    assert left.done and right.done and b["v"] == value
    assert max(len(message) for _, message in said) <= MIB + 4096


# Those who lie


def test_one_bad_change_among_a_thousand_is_skipped():
    doc = ck.Doc()
    bundles = []
    for k in range(1000):
        liar = testing.Forger(doc, ck.Identity.generate(), seed=k)
        bundles.append(liar.forge(signature=bytes(64)) if k == 500 else liar.forge())
    peer = Crafted(doc)
    report = peer.say_bundle(testing.join(*bundles))
    assert len(report.applied) == 999 and len(report.refused) == 1
    assert peer.end.send() is not None and peer.end.stats()["refused"] == 1
    assert len(doc.changes()) == 999


def test_more_than_a_thousand_bad_changes_end_it():
    doc = ck.Doc()
    liar = testing.Forger(doc, ck.Identity.generate(), seed=1)
    peer = Crafted(doc)
    good = liar.forge()
    bad = [liar.forge(signature=bytes(64)) for _ in range(1001)]
    report = peer.say_bundle(testing.join(good, *bad[:500]))
    assert len(report.applied) == 1
    peer.say_bundle(testing.join(*bad[500:1000]))
    with pytest.raises(ck.SyncError):
        peer.say_bundle(bad[1000])
    assert_dead(peer.end)
    assert len(doc.changes()) == 1


def test_messages_without_news_end_it():
    doc = ck.Doc()
    doc["x"] = 1
    peer = Crafted(doc)
    for _ in range(60):
        peer.say()
    with pytest.raises(ck.SyncError):
        for _ in range(5):
            peer.say()
    assert_dead(peer.end)


def test_what_is_known_is_no_news():
    doc = ck.Doc()
    doc["x"] = 1
    peer = Crafted(doc)
    known = doc.export()
    for _ in range(60):
        peer.say_bundle(known)
    with pytest.raises(ck.SyncError):
        for _ in range(5):
            peer.say_bundle(known)
    assert_dead(peer.end)


def test_an_honest_end_may_be_silent_for_long():
    """Who hears nothing new because nothing is new is not at fault."""
    a, b = two(x=1)
    left, right = a.session(), b.session()
    for k in range(300):
        a["x"] = k
        talk(left, right)
    assert left.done and right.done and b["x"] == 299


def test_what_waits_is_counted_by_peer():
    doc = ck.Doc()
    peer, rng = Crafted(doc), random.Random(1)
    for k in range(12):
        liar = testing.Forger(doc, ck.Identity.generate(), seed=k)
        value = rng.randbytes(900_000)
        bundle = liar.forge(lambda d, value=value: d.update(v=value), parents=[rng.randbytes(32)])
        peer.say_bundle(bundle)
    stats = doc.stats()
    assert stats["waiting"] and stats["waiting_bytes"] <= 4 * MIB and stats["evicted"] >= 7
    second = Crafted(doc)
    liar = testing.Forger(doc, ck.Identity.generate(), seed=100)
    assert second.say_bundle(liar.forge(parents=[rng.randbytes(32)])).waiting
    assert doc.stats()["waiting"] == stats["waiting"] + 1


def test_a_liar_in_a_session_is_told_apart():
    """Two branches come by two sessions: the third one hears of both, and has the proof."""
    hub = ck.Doc()
    liar = testing.Forger(hub, ck.Identity.generate(), seed=1)
    yes, no = liar.fork(lambda d: d.update(vote="yes"), lambda d: d.update(vote="no"))
    one, other = ck.Doc(id=hub.id), ck.Doc(id=hub.id)
    one.apply(yes)
    other.apply(no)
    sessions = [(hub.session(), doc.session()) for doc in (one, other)]
    for _ in range(2):
        for pair in sessions:
            talk(*pair)
    testing.assert_converged(hub, one, other)
    assert [e.author for e in one.equivocations()] == [liar.identity.public_key]


# sync()


def test_sync_reports():
    a = ck.Doc()
    b = a.fork(ck.Identity.generate())
    for k in range(10):
        a["x"], b["y"] = k, k
        a.commit()
    b.commit()
    report = ck.sync(a, b)
    assert report.changes == len(a.changes()) == len(b.changes()) and 1 < report.rounds <= 6
    assert 64 < report.bytes < 64 + 80 + 2048 + 1.5 * len(a.save())
    again = ck.sync(b, a)
    assert (again.rounds, again.changes) == (1, 0) and again.bytes <= 128


def test_sync_with_itself_does_nothing():
    doc = ck.Doc()
    doc["x"] = 1
    assert ck.sync(doc, doc) == ck.SyncReport(0, 0, 0)


@pytest.mark.parametrize("content", [{}, {"x": 1}])
def test_sync_of_two_documents_moves_nothing(content):
    a, b = ck.Doc(), ck.Doc()
    a.update(content)
    roots = a.root, b.root
    with pytest.raises(ck.Error):
        ck.sync(a, b)
    assert (a.root, b.root) == roots


@pytest.mark.parametrize("wrong", [None, 5, b"", {}])
def test_sync_wants_two_documents(wrong):
    for pair in ((ck.Doc(), wrong), (wrong, ck.Doc())):
        with pytest.raises(TypeError):
            ck.sync(*pair)


def test_sync_tells_observers_and_raises_last():
    a, b = two(x=1)

    def fails(event):
        raise ZeroDivisionError

    b.observe(fails)
    with pytest.raises(ExceptionGroup):
        ck.sync(a, b)
    assert a == b and ck.sync(a, b).changes == 0


def test_sync_in_a_block_moves_nothing():
    a, b = two(x=1)
    with b.change():
        b["y"] = 1
        with pytest.raises(RuntimeError):
            ck.sync(a, b)
    assert b == {"y": 1}
    ck.sync(a, b)
    assert a == b == {"x": 1, "y": 1}


# Threads


def test_two_threads_step_two_sessions_of_one_document():
    hub = ck.Doc()
    docs = [ck.Doc(id=hub.id) for _ in range(2)]
    errors = []

    def work(doc):
        try:
            left, right = hub.session(), doc.session()
            for k in range(150):
                doc[f"{k}"] = k
                hub["n"] = k
                talk(left, right)
            assert right.done
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(doc,), daemon=True) for doc in docs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "stuck"
    assert not errors, errors
    for _ in range(2):
        for doc in docs:
            ck.sync(hub, doc)
    testing.assert_converged(hub, *docs)


def test_two_threads_step_one_session():
    """Messages may then overtake each other, which ends it; nothing else happens."""
    a, b = two(x=1)
    left, right = a.session(), b.session()
    talk(left, right)

    def work():
        for k in range(200):
            a["x"] = k
            try:
                for message in messages(left):
                    right.receive(message)
                for message in messages(right):
                    left.receive(message)
            except ck.SyncError:
                return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "stuck"
    ck.sync(a, b)
    testing.assert_converged(a, b)


def test_the_words_of_a_session_are_those_of_the_format():
    doc = ck.Doc()
    doc["x"] = 1
    hello = read_message(doc.session().send())
    assert (hello.number, hello.heard, hello.more, hello.parts) == (1, 0, True, {})
    assert hello.hello.root == doc.root and hello.hello.later == bytes(16)


def test_a_tip_that_was_refused_for_their_number_is_asked_for_when_somebody_builds_on_it():
    doc = ck.Doc()
    doc["t"] = 1
    liar = testing.Forger(doc, ck.Identity.generate())
    flood = liar.fork(*[None] * 1026)
    a, b = doc.fork(), doc.fork()
    left, right = a.session(), b.session()
    talk(left, right)
    a.apply(testing.join(*flood[:1024]))
    b.apply(testing.join(*flood[2:]))
    talk(left, right)
    a["a"], b["b"] = 1, 1
    talk(left, right)
    assert a.root == b.root and not a.waiting and not b.waiting and left.done and right.done
    assert a["a"] == b["b"] == b["a"] == 1


def test_a_tip_that_comes_before_its_child_in_one_bundle_is_taken_with_it():
    doc = ck.Doc()
    doc["t"] = 1
    liar = testing.Forger(doc, ck.Identity.generate())
    flood = liar.fork(*[None] * 1026)
    a, b = doc.fork(), doc.fork(ck.Identity.generate())
    a.apply(testing.join(*flood[:1024]))
    b.apply(testing.join(*flood[2:]))
    b["b"] = 1
    report = a.apply(b.export())
    assert not report.waiting and not report.refused and a["b"] == 1


def test_wants_without_end():
    far = Crafted(ck.Doc())
    far.say({5: bytes(32)})
    with pytest.raises(ck.SyncError, match="without end"):
        for _ in range(4096 // 64 + 1):
            far.say({5: bytes(64 * 32)})
    for wrong in (b"", bytes(31), bytes(65 * 32)):
        with pytest.raises(ck.SyncError):
            Crafted(ck.Doc()).say({5: wrong})


def test_what_is_wanted_comes_alone():
    doc = ck.Doc()
    for i in range(9):
        doc["n"] = i
        doc.commit()
    far = Crafted(doc.fork())
    far.say({5: doc.changes()[4].id})
    (answer,) = messages(far.end)
    report = ck.Doc(id=doc.id).apply(answer[answer.index(b"CKB") : -4])
    assert report.waiting == (doc.changes()[4].id,)
