"""The readable twin of a datastore: bodies, what they mean, what may be dropped."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from oracle.bundle import LEFT_OUT, Item
from oracle.datastore import Datastore, Ref, dag_id_of, read_parts, write_parts
from oracle.kv_author import KvAuthor, ref_of
from oracle.kv_body import COUNT, PUT, Body, Op, count, delete, part, put, read_body, write_body, write_op, write_total
from oracle.nested import nested
from oracle.wire import Later, Malformed, Void, blob, varint, zigzag

ID = bytes(range(32))
LONG = "long " * 20  # does not fit into a header


def left_out(item: Item) -> Item:
    return replace(item, body_form=LEFT_OUT, body=None)


# Bodies

BODIES = [
    Body(()),
    Body((put("a", 1), delete(b"a"), count("n", -5)), time=-7, message="hällo"),
    Body((put("", {"x": [None, True, 1.5, b"\0", "é"]}, ((bytes(32), 0), (bytes(32), 7), (b"\1" * 32, 0))),)),
    Body((count("n", 2**96 - 1), count("n", 1 - 2**96), count(b"", 0))),
    Body((delete("k" * 4096),), message=""),
    Body((part("n", (bytes(32), 3), -(2**90)),)),
]


@pytest.mark.parametrize("body", BODIES)
def test_a_body_reads_as_it_was_written(body: Body) -> None:
    assert read_body(write_body(body), len(body.ops)) == body


def op(kind: int, payload: bytes) -> bytes:
    return varint(0) + zigzag(0) + varint(kind) + blob(payload)


KEY = varint(2) + b"k"
VOID = {
    "nothing": b"",
    "a payload with a byte too many": op(2, KEY + varint(0) + b"\0"),
    "a payload that ends": op(2, KEY),
    "bytes left over": op(2, KEY + varint(0)) + b"\1",
    "a key that is not UTF-8": op(2, varint(2) + b"\xff" + varint(0)),
    "a key too long": op(2, varint(4097 << 1) + b"k" * 4097 + varint(0)),
    "too many names": op(2, KEY + varint(1025) + b"".join(k.to_bytes(32) + b"\0" for k in range(1025))),
    "a name twice": op(2, KEY + varint(2) + (bytes(32) + b"\0") * 2),
    "names that descend": op(2, KEY + varint(2) + b"\1" * 32 + b"\0" + bytes(32) + b"\0"),
    "a total of 2^96": op(3, KEY + write_total(2**96)),
    "a total of -2^96": op(3, KEY + write_total(-(2**96))),
    "a total that is not minimal": op(3, KEY + b"\x80\0"),
    "a part without a total": op(4, KEY + bytes(32) + b"\0"),
    "a part with a total too large": op(4, KEY + bytes(32) + b"\0" + write_total(2**96)),
    "a total of 15 bytes": op(3, KEY + b"\x80" * 14 + b"\1"),
    "no value": op(1, KEY + varint(0)),
    "two values": op(1, KEY + varint(0) + nested(1) * 2),
    "a value too large": op(1, KEY + varint(0) + varint(6) + blob(bytes(2**20))),
    "a message that is not UTF-8": varint(1) + zigzag(0) + blob(b"\xff"),
}


@pytest.mark.parametrize("data", VOID.values(), ids=list(VOID))
def test_what_is_not_well_formed_is_void(data: bytes) -> None:
    with pytest.raises(Void):
        read_body(data, 1)


def test_another_number_of_operations_is_void() -> None:
    with pytest.raises(Void, match="n_ops"):
        read_body(write_body(BODIES[1]), 2)


UNKNOWN = varint(40) + blob(b"???")
LATER = {
    "a flag": varint(2) + zigzag(0),
    "a kind": op(5, b"anything"),
    "a kind, and something void besides": op(5, b"") + varint(2) + blob(b"\xff"),
    "a value": op(1, KEY + varint(0) + UNKNOWN),
    "a value in a list": op(1, KEY + varint(0) + varint(32) + blob(nested(1) + UNKNOWN)),
    "a value in a dict": op(1, KEY + varint(0) + varint(33) + blob(blob(b"x") + UNKNOWN)),
}


@pytest.mark.parametrize("data", LATER.values(), ids=list(LATER))
def test_what_is_of_another_version_is_later(data: bytes) -> None:
    with pytest.raises(Later):
        read_body(data, 1)


def test_framing_goes_before_versions() -> None:
    with pytest.raises(Void):
        read_body(op(5, b"") + b"\1\x7f", 2)
    with pytest.raises(Void):
        read_body(op(1, KEY + varint(0) + UNKNOWN + b"\0"), 1)


# Meaning


class Bench:
    """Authors who all see one replica, unless they are told to see another."""

    def __init__(self) -> None:
        self.seen = Datastore(ID)
        self.authors: dict[tuple[int, str], KvAuthor] = {}

    def author(self, who: int, dag: str = "default") -> KvAuthor:
        return self.authors.setdefault((who, dag), KvAuthor(who, ID, dag))

    def write(self, who: int, *ops: Op, dag: str = "default", seen: Datastore | None = None) -> tuple[KvAuthor, Item]:
        author = self.author(who, dag)
        item = author.write(self.seen if seen is None else seen, ops)
        self.seen.apply(author.bundle(item))
        return author, item

    def put(self, who: int, key: Any, value: Any, dag: str = "default", seen: Datastore | None = None) -> Item:
        seen = self.seen if seen is None else seen
        return self.write(who, self.author(who, dag).put(seen, key, value), dag=dag, seen=seen)[1]

    def delete(self, who: int, key: Any, dag: str = "default", seen: Datastore | None = None) -> Item:
        seen = self.seen if seen is None else seen
        return self.write(who, self.author(who, dag).delete(seen, key), dag=dag, seen=seen)[1]


def copy(store: Datastore) -> Datastore:
    other = Datastore(store.id)
    other.apply(store.export())
    return other


def test_the_greatest_of_concurrent_puts_is_shown() -> None:
    b = Bench()
    before = copy(b.seen)
    one = b.put(1, "k", "one", seen=before)
    two = b.put(2, "k", "two", seen=before)
    assert set(b.seen.conflicts("k")) == {"one", "two"}
    greatest = max((one.id, "one"), (two.id, "two"))[1]
    assert b.seen.to_py() == {"k": greatest}
    b.put(1, "k", "three")
    assert b.seen.conflicts("k") == ["three"] and len(b.seen.history("k")) == 3


def test_a_delete_removes_what_its_author_had_seen() -> None:
    b = Bench()
    b.put(1, "k", 1)
    before = copy(b.seen)
    b.delete(2, "k")
    assert b.seen.to_py() == {}
    b.put(3, "k", 3, seen=before)
    assert b.seen.to_py() == {"k": 3}
    assert len(b.seen.standing("k")) == 2, "the delete stands until somebody supersedes it"


def test_in_one_change_the_last_operation_on_a_key_counts() -> None:
    b = Bench()
    b.write(1, put("k", 1), put("k", 2), delete("l"), put("l", 3), put("m", 1), delete("m"))
    assert b.seen.to_py() == {"k": 2, "l": 3}


def test_keys_keep_their_type_and_stand_in_order() -> None:
    b = Bench()
    b.write(1, *(put(key, n) for n, key in enumerate([b"a", "b", "a", "", b"", "aa"])))
    assert b.seen.keys() == ["", b"", "a", b"a", "aa", "b"]


def test_a_put_in_another_dag_supersedes_by_name() -> None:
    b = Bench()
    for n in range(3):
        b.put(1, "k", n)  # its clock is ahead
    b.put(2, "k", "other", dag="d")
    assert b.seen.to_py() == {"k": "other"}
    assert b.seen.conflicts("k") == ["other"]
    b.seen.purge("d")
    assert b.seen.to_py() == {"k": 2}, "what it superseded shows again"


def test_names_mean_nothing_elsewhere() -> None:
    """On another key, in the own DAG, of what is not here."""
    b = Bench()
    k = b.put(1, "k", 1)
    b.write(2, put("l", 2, ((k.id, 0),)), dag="d")
    assert b.seen.to_py() == {"k": 1, "l": 2}
    before = Datastore(ID)
    b.write(3, put("k", 3, ((k.id, 0),)), seen=before)
    assert set(b.seen.conflicts("k")) == {1, 3}
    b.write(4, delete("k", ((bytes(32), 0), (k.id, 5))), dag="e")
    assert set(b.seen.conflicts("k")) == {1, 3}


def test_what_is_hidden_by_a_name_is_named_again() -> None:
    b = Bench()
    for n in range(5):
        b.put(1, "k", n, dag="x")
    b.put(1, "k", "y", dag="y")
    b.put(1, "k", "z", dag="z")
    b.seen.purge("y")
    assert b.seen.to_py() == {"k": "z"}


def test_names_act_whichever_comes_first() -> None:
    b = Bench()
    b.put(1, "k", 1)
    _, namer = b.write(2, b.author(2, "d").put(b.seen, "k", 2), dag="d")
    late = Datastore(ID)
    late.apply(b.author(2, "d").bundle(namer))
    late.apply(b.seen.export())
    assert late.to_py() == b.seen.to_py() == {"k": 2}
    assert late.root == b.seen.root and late.heads == b.seen.heads


def test_a_counter_is_the_sum_of_the_last_words_of_its_lanes() -> None:
    b = Bench()
    b.write(1, count("n", 5))
    b.write(1, count("n", 7), count("n", 8))
    b.write(2, count("n", -(2**90)))
    assert b.seen.total("n") == 8 - 2**90
    assert b.seen.by_author("n") == {b.author(1).key: 8, b.author(2).key: -(2**90)}
    assert b.seen.keys() == [], "counters are apart from keys"


def test_of_a_forked_lane_the_greatest_operation_counts() -> None:
    b = Bench()
    author = b.author(1)
    forks = [author.item(write_body(Body((count("n", total),))), 1, seq=0) for total in (3, 9)]
    for fork in forks:
        b.seen.apply(author.bundle(fork))
    greatest = max((fork.id, total) for fork, total in zip(forks, (3, 9), strict=True))
    assert b.seen.total("n") == greatest[1]
    assert len(b.seen.equivocations()) == 1


def test_an_author_says_parts_of_older_lanes_again() -> None:
    b = Bench()
    _, item = b.write(1, count("n", 5), count("n", 7))
    old, new = b.author(1), KvAuthor(1, ID, nonce=bytes(16))
    b.authors[1, "default"] = new
    assert old.key == new.key and old.lane.id != new.lane.id
    b.write(1, part("n", (item.id, 1), 7), count("n", 100))
    assert b.seen.total("n") == 107 and b.seen.by_author("n") == {new.key: 107}
    assert not b.seen.is_needed(ref_of(old, item, 1)), "what was said again may go"
    _, said = b.write(1, part("n", (item.id, 1), 8))
    assert b.seen.total("n") == 108, "the last word counts"
    assert b.seen.is_needed(ref_of(new, said))
    _, next_one = old, old.write(b.seen, [count("n", 20)])
    b.seen.apply(old.bundle(next_one))
    assert b.seen.total("n") == 120, "the old lane went on"


def test_parts_that_mean_nothing() -> None:
    """Of another author, of the own lane, of what is not in the past."""
    b = Bench()
    before = copy(b.seen)
    _, item = b.write(1, count("n", 5))
    for who, of, seen in ((2, item.id, b.seen), (1, item.id, b.seen), (3, bytes(32), b.seen), (4, item.id, before)):
        b.write(who, part("n", (of, 0), 1000), seen=seen)
        assert b.seen.total("n") == 5
    other = KvAuthor(1, ID, nonce=bytes(16))
    b.seen.apply(other.bundle(other.write(before, [part("n", (item.id, 0), 1000)])))
    assert b.seen.total("n") == 5


# Compaction


def test_what_is_superseded_may_go_and_nothing_else() -> None:
    b = Bench()
    first = b.put(1, "k", LONG)
    b.put(1, "l", LONG)
    b.put(2, "k", LONG + "2")
    b.delete(2, "k" + LONG)
    before = b.seen.to_py(), b.seen.root, b.seen.heads
    assert b.seen.compact() == 1
    assert b.seen.dags["default"].absent() == {first.id}
    assert (b.seen.to_py(), b.seen.root, b.seen.heads) == before
    newcomer = copy(b.seen)
    assert (newcomer.to_py(), newcomer.root, newcomer.heads) == before
    assert newcomer.dags["default"].absent() == {first.id}


def test_a_claim_is_no_proof() -> None:
    b = Bench()
    author, item = b.write(1, put("k", LONG))
    deceived = Datastore(ID)
    report = deceived.apply(author.bundle(left_out(item)))
    assert report.applied == [item.id] and deceived.to_py() == {}
    assert deceived.root == b.seen.root
    report = deceived.apply(author.bundle(item))
    assert report.applied == [item.id] and deceived.to_py() == {"k": LONG}
    assert deceived.apply(author.bundle(left_out(item))).applied == []
    assert deceived.to_py() == {"k": LONG}


def test_a_body_that_comes_late_is_judged_as_any() -> None:
    b = Bench()
    author = b.author(1)
    void = author.item(write_body(Body((put("k", LONG),))), 2)
    later = author.item(varint(2) + bytes(60), 1, prev=None)
    for item, bodies in ((void, 1), (later, 0)):
        store = Datastore(ID)
        assert store.apply(author.bundle(left_out(item))).applied == [item.id]
        report = store.apply(author.bundle(item))
        assert report.void == [item.id] * bodies and report.applied == []
        assert store.to_py() == {}


def test_another_body_is_refused() -> None:
    b = Bench()
    author, item = b.write(1, put("k", LONG))
    store = Datastore(ID)
    store.apply(author.bundle(left_out(item)))
    forged = replace(item, body=write_body(Body((put("k", LONG + "!"),))))
    store.apply(author.bundle(forged))
    assert store.to_py() == {}


def test_a_namer_stays_while_what_it_names_may_live() -> None:
    b = Bench()
    before = copy(b.seen)
    b.put(1, "k", LONG)
    namer = b.put(2, "k", LONG + "2", dag="d")
    again = b.author(3, "d").write(b.seen, [put("k", LONG + "3")])  # does not know the default DAG
    b.seen.apply(b.author(3, "d").bundle(again))
    ref = Ref("d", namer.id, 0)
    assert ref not in b.seen.standing("k") and b.seen.is_needed(ref)
    assert b.seen.compact() == 0
    b.put(1, "k", LONG + "4")
    assert not b.seen.is_needed(ref)
    assert before.to_py() == {}
    alone = copy(b.seen)
    alone.purge("default")
    assert alone.is_needed(ref), "what is not here may live"
    assert b.seen.compact() == 2


def test_what_only_another_dag_supersedes_stays() -> None:
    b = Bench()
    b.put(1, "k", LONG)
    b.put(2, "k", LONG + "2", dag="d")
    assert b.seen.compact() == 0


# Bundles


def test_a_bundle_is_of_one_datastore_and_whole() -> None:
    b = Bench()
    b.put(1, "k", 1)
    b.put(1, "k", 2, dag="d")
    data = b.seen.export()
    assert [name for name, _ in read_parts(data, ID)] == ["d", "default"] or [name for name, _ in read_parts(data)] == [
        "d",
        "default",
    ]
    for bad in (data[:-1], data + b"\0", b"CKB\1" + data[4:], data[:50] + bytes([data[50] ^ 1]) + data[51:], b""):
        with pytest.raises(Malformed):
            Datastore(ID).apply(bad)
    with pytest.raises(Malformed):
        Datastore(bytes(32)).apply(data)
    with pytest.raises(Malformed):
        Datastore(ID).apply(write_parts(ID, [("x" * 256, b"")]))


def test_a_dag_has_the_id_of_its_name() -> None:
    assert dag_id_of(ID, "default") == ID != dag_id_of(ID, "d")
    b = Bench()
    b.put(1, "k", 1, dag="d")
    ((_, part),) = read_parts(b.seen.export())
    with pytest.raises(Malformed):
        Datastore(ID).apply(write_parts(ID, [("e", part)]))


def test_a_purged_dag_is_refused_until_it_is_admitted() -> None:
    b = Bench()
    b.put(1, "k", 1, dag="d")
    data = b.seen.export()
    assert b.seen.purge("d") == 1
    report = b.seen.apply(data)
    assert report.refused and not report.applied and b.seen.to_py() == {}
    b.seen.admit("d")
    assert len(b.seen.apply(data).applied) == 1 and b.seen.to_py() == {"k": 1}


@pytest.mark.parametrize("seed", range(20))
def test_order_of_arrival_means_nothing(seed: int) -> None:
    choose = random.Random(seed)
    b = Bench()
    sent = []
    for n in range(14):
        who, dag = choose.randrange(3), choose.choice(["default", "d"])
        seen = copy(b.seen) if choose.random() < 0.5 else b.seen
        author = b.author(who, dag)
        kind = choose.choice((author.put, author.delete, author.count))
        key = choose.choice("ab")
        made = kind(seen, key) if kind == author.delete else kind(seen, key, n)  # type: ignore[operator]
        item = author.write(seen, [made])
        sent.append(author.bundle(item))
        b.seen.apply(sent[-1])
    other = Datastore(ID)
    for data in choose.sample(sent, len(sent)):
        other.apply(data)
    assert other.to_py() == b.seen.to_py() and other.counters() == b.seen.counters()
    assert (other.root, other.heads) == (b.seen.root, b.seen.heads)
    assert [other.conflicts(k) for k in "ab"] == [b.seen.conflicts(k) for k in "ab"]
    other.compact()
    assert other.to_py() == b.seen.to_py() and other.counters() == b.seen.counters()


def test_the_twin_writes_what_the_page_says() -> None:
    assert write_op(put("k", 1)) == bytes([PUT, 6, 2]) + b"k" + bytes([0, 3, 1, 2])
    assert write_op(count("k", -1)) == bytes([COUNT, 3, 2]) + b"k" + bytes([1])
    b = Bench()
    author, item = b.write(1, put("k", 1))
    assert ref_of(author, item) == Ref("default", item.id, 0)
