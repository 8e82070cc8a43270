"""Bytes from outside at every door of a Store: damage is refused and leaves no trace, what is invented costs little."""

import os
import random
import resource
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from time import process_time

import pytest

import crdtkv as ck
from crdtkv import testing
from house.stores import NOON, Clock, assert_sound, pull, state, store
from oracle.wire import varint

REFUSED = (ck.DecodeError, ck.LimitError, ck.ClockDriftError)


# ---- doors, and a real message for each


@cache
def world():
    """A store as bytes, and messages that it would take in."""
    a, b, victim = store("a"), store("b"), store("v")
    a.update({"x": 1, b"y": [True, {"n": None}], "gone": 0})
    b["x"] = -0.5
    pull(victim, a)
    pull(victim, b)
    victim["own"] = "é"
    a.opset(), b.opset()
    twin = a.copy()
    del a["gone"], a["x"]
    a["z"] = "new" * 3
    b[b"\xff"] = b"bytes"
    put, remove = twin_ops(twin, victim)
    one, two = a.opset(), b.opset()
    pull(a, b)
    request = victim.request_diff()
    return {
        "victim": victim.save(),
        "request": a.request_diff(),
        "diff": a.build_diff(request),
        "put": put,
        "remove": remove,
        "opset": ck.Store.merge_opsets(one, two),
        "other opset": two,
        "save": a.save(),
        "own request": request,
    }


def twin_ops(twin, victim):
    """Ops of one who has seen some of what the victim has."""
    pull(twin, victim)
    return twin.insert_with_op("x", {"k": (1, 2.5)}), twin.copy().remove_with_op(b"y")


def victim():
    return ck.Store.load(world()["victim"], "v", clock=Clock())


DOORS = {
    "build_diff": ("request", lambda s, m: s.build_diff(m)),
    "integrate_diff": ("diff", lambda s, m: s.integrate_diff(m)),
    "integrate_op put": ("put", lambda s, m: s.integrate_op(m)),
    "integrate_op remove": ("remove", lambda s, m: s.integrate_op(m)),
    "integrate_ops": ("put", lambda s, m: s.integrate_ops([world()["remove"], m])),
    "integrate_opset": ("opset", lambda s, m: s.integrate_opset(m)),
    "merge_opsets": ("opset", lambda s, m: ck.Store.merge_opsets(world()["other opset"], m)),
    "merge_opsets of one": ("opset", lambda s, m: ck.Store.merge_opsets(m)),
    "advance_request request": ("own request", lambda s, m: s.advance_request(m, world()["diff"])),
    "advance_request diff": ("diff", lambda s, m: s.advance_request(world()["own request"], m)),
    "load": ("save", lambda s, m: ck.Store.load(m, clock=Clock())),
}
doors = pytest.mark.parametrize(("kind", "door"), DOORS.values(), ids=DOORS)


@doors
def test_the_real_message_is_taken(kind, door):
    s = victim()
    before = state(s)
    door(s, world()[kind])
    assert_sound(s)
    if kind in ("diff", "opset", "put", "remove"):
        taken_in = door not in [DOORS[name][1] for name in DOORS if name.startswith(("merge", "advance"))]
        assert (state(s) != before) == taken_in


def damaged(message):
    """Every truncation, every single-bit flip, every byte appended or put before."""
    for n in range(len(message)):
        yield message[:n]
    for i in range(len(message)):
        for bit in range(8):
            yield message[:i] + bytes([message[i] ^ 1 << bit]) + message[i + 1 :]
    for more in range(256):
        yield message + bytes([more])
        yield bytes([more]) + message
    yield message + message
    yield message[1:]


@doors
def test_damage_is_a_decode_error_and_leaves_no_trace(kind, door):
    s = victim()
    before, entries = s.save(), dict(s.entries())
    for message in damaged(world()[kind]):
        with pytest.raises(ck.DecodeError):
            door(s, message)
        assert s.save() == before
    assert dict(s.entries()) == entries and state(s) == state(victim())
    assert_sound(s)


@doors
def test_the_wrong_kind_of_message_is_a_decode_error(kind, door):
    s = victim()
    before = state(s)
    doc = ck.Doc()
    doc["k"] = 1
    wrong = {k: m for k, m in world().items() if m[0] != world()[kind][0]}
    assert len(wrong) >= 5
    for message in (
        *wrong.values(),
        doc.export(),
        doc.save(),
        s.session().send(),
        b"",
        bytes(8),
        bytes(1000),
        b"\xff" * 99,
    ):
        with pytest.raises(ck.DecodeError):
            door(s, message)
        with pytest.raises(ck.DecodeError):
            door(s, testing.reseal(message + bytes(8)))
    assert state(s) == before


@doors
def test_another_kind_or_version_under_a_right_checksum_is_a_decode_error(kind, door):
    s = victim()
    before = state(s)
    message = world()[kind]
    for value in range(256):
        for at in (0, 1):
            other = message[:at] + bytes([value]) + message[at + 1 :]
            if other != message:
                with pytest.raises(ck.DecodeError):
                    door(s, testing.reseal(other))
    assert state(s) == before


def test_a_decode_error_says_something_and_is_a_value_error():
    for kind, door in DOORS.values():
        with pytest.raises(ValueError, match=r"\w") as caught:
            door(victim(), world()[kind][:-1])
        assert isinstance(caught.value, ck.Error) and len(str(caught.value)) < 200


# ---- right checksums over wrong content


def invented(message, seed):
    """Resealed: each byte replaced, dropped or doubled, large numbers in its place, cuts, random mixes."""
    body = message[:-8]
    for i in range(2, len(body)):
        for value in {0, 1, 0x7F, 0x80, 0xFF, body[i] ^ 1, (body[i] + 1) % 256, (body[i] - 1) % 256}:
            yield body[:i] + bytes([value]) + body[i + 1 :]
        yield body[:i] + body[i + 1 :]
        yield body[:i] + body[i : i + 1] + body[i:]
        for large in (1 << 32, 1 << 60, (1 << 64) - 1):
            yield body[:i] + varint(large) + body[i + 1 :]
        yield body[:i]
    rng = random.Random(seed)
    for _ in range(300):
        data = bytearray(body)
        for _ in range(rng.randrange(1, 6)):
            i, j = sorted(rng.randrange(2, len(data) + 1) for _ in range(2))
            kind = rng.randrange(4)
            if kind == 0 and i < len(data):
                data[i] = rng.randrange(256)
            elif kind == 1:
                data[i:i] = data[i:j]
            elif kind == 2 and j - i < len(data) - 10:
                del data[i:j]
            else:
                data[i:j] = bytes(reversed(data[i:j]))
        yield bytes(data)


@doors
def test_invented_content_is_refused_without_trace_or_taken_whole(kind, door):
    before, s = state(victim()), victim()
    taken = 0
    for message in invented(world()[kind], 7):
        try:
            out = door(s, testing.reseal(message + bytes(8)))
        except REFUSED:
            if taken % 16 == 0:
                assert s.save() == before[0]
            continue
        taken += 1
        after = state(s)
        if isinstance(out, ck.Store):
            assert_readable(out)
        if after != before:
            if taken % 4 == 0:
                assert_sound(s)
            assert_readable(s)
        s = victim()
    assert state(s) == before


def assert_readable(s):
    """Like assert_sound, for what may have taken in any time: nobody writes to it."""
    content = repr([s.conflicts(key) for key in s])
    again, fresh = ck.Store.load(s.save(), max_drift=None), ck.Store(max_drift=None)
    pull(fresh, s)
    for other in (again, fresh):
        assert repr([other.conflicts(key) for key in other]) == content and len(other) == len(s)
    again.clear()
    pull(fresh, again)
    assert len(fresh) == len(again) == 0


def test_invented_answers_are_messages_that_can_be_taken():
    for kind, take in (("request", lambda s, m: s.integrate_diff(s.build_diff(m))), ("opset", merged)):
        s = victim()
        for message in invented(world()[kind], 3):
            try:
                take(s, testing.reseal(message + bytes(8)))
            except REFUSED:
                continue


def merged(s, message):
    once = ck.Store.merge_opsets(message, world()["other opset"])
    assert ck.Store.merge_opsets(once, message) == once
    fresh = store("f", max_drift=None)
    fresh.integrate_opset(once)
    assert_readable(fresh)


def test_waiting_lies_disturb_nobody_else():
    s, a = victim(), store("liar")
    a["k"] = 1
    op = a.insert_with_op("k", 2)
    for message in invented(op, 5):
        try:
            s.integrate_op(testing.reseal(message + bytes(8)))
        except REFUSED:
            continue
    other = store("o")
    other["fine"] = 1
    pull(s, other)
    assert s["fine"] == 1 and s.integrate_op(other.insert_with_op("fine", 2)) and s["fine"] == 2
    assert_readable(s)


# ---- sessions


def session_messages():
    left, right = victim().session(), store("o")
    right.update({"x": 1, "more": [1]})
    right = right.session()
    said = []
    for _ in range(4):
        for speaker, listener in ((left, right), (right, left)):
            while (message := speaker.send()) is not None:
                said.append((speaker is right, message))
                listener.receive(message)
    return [message for by_right, message in said if by_right]


def ready(n):
    """A victim whose session has heard the first n messages."""
    s = victim()
    end = s.session()
    for message in session_messages()[:n]:
        while end.send() is not None:
            pass
        end.receive(message)
    while end.send() is not None:
        pass
    return s, end


@pytest.mark.parametrize("n", range(2))
def test_a_damaged_message_of_a_session_is_a_decode_error(n):
    messages = session_messages()
    for damage in list(damaged(messages[n]))[:: 1 + len(messages[n]) // 40]:
        s, end = ready(n)
        before = state(s)
        with pytest.raises(ck.DecodeError):
            end.receive(damage)
        assert state(s) == before and end.send() is None and not end.done


@pytest.mark.parametrize("n", range(2))
def test_an_invented_message_of_a_session_ends_it_or_is_taken(n):
    messages = session_messages()
    for message in list(invented(messages[n], 2))[:: 1 + len(messages[n]) // 40]:
        s, end = ready(n)
        try:
            end.receive(testing.reseal(message + bytes(8)))
            while end.send() is not None:
                pass
        except (*REFUSED, ck.SyncError):
            assert end.send() is None and not end.done
        assert_readable(s)


# ---- claims: messages by hand


def blob(data):
    return varint(len(data)) + data


def seal(kind, body):
    return testing.reseal(kind + b"\x01" + body + bytes(8))


def dots(start, n):
    """The set of n numbers from start on: a gap with a flag, n - 1."""
    return blob(varint(start << 1 | 1) + varint(n - 1) if n > 1 else varint(start << 1))


PEER = b"p/pppppppp"
ROW = b"\x00" + varint(1 << 1) + b"k" + b"\x00\x00"  # gap 0, the str "k", None
NOW = NOON << 16


def claims():
    """(door, message): a few bytes that speak of 2^32, 2^56, 2^60 dots, rows or bytes."""
    for n in (1 << 32, 1 << 56, 1 << 60):
        yield "build_diff", seal(b"Q", blob(PEER) + varint(max(n, NOW)) + dots(1, n))
        yield "build_diff", seal(b"Q", blob(b"v/vvvvvvvv") + varint(NOW + 9) + dots(1, min(n, NOW)))
        yield "build_diff", seal(b"Q", blob(b"a/aaaaaaaa") + varint(NOW + 9) + dots(1, min(n, NOW)))
        yield "build_diff", seal(b"Q", varint(n) + PEER)
        yield "integrate_diff", seal(b"D", blob(PEER) + b"\x00" + varint(NOW) + dots(0, 0 + 1) + varint(n) + ROW)
        yield "integrate_diff", seal(b"D", blob(PEER) + b"\x00" + varint(min(n, NOW)) + blob(b"") + b"\x00")
        yield (
            "integrate_diff",
            seal(b"D", blob(b"a/aaaaaaaa") + varint(NOW) + b"\x01" + dots(1, min(n, NOW - 1)) + b"\x00"),
        )
        yield (
            "integrate_op put",
            seal(b"O", b"\x00" + blob(PEER) + b"\x00" + blob(b"a/aaaaaaaa") + dots(1, min(n, NOW))),
        )
        yield "integrate_op put", seal(b"O", b"\x00" + blob(PEER) + varint(n) + blob(PEER) + dots(1, n))
        yield "integrate_opset", seal(b"S", blob(PEER) + dots(1, min(n, NOW)) + blob(b"") + b"\x00")
        yield "integrate_opset", seal(b"S", blob(PEER) + dots(1, 5) + dots(10, min(n, NOW)) + varint(n) + ROW)
        yield "merge_opsets", seal(b"S", blob(PEER) + dots(1, n) + blob(b"") + b"\x00")
        yield "merge_opsets", seal(b"S", blob(PEER) + blob(b"") + dots(1, n) + b"\x00")
        yield "merge_opsets", seal(b"S", blob(PEER) + dots(1, 1) + blob(b"") + varint(n) + ROW)
        yield "integrate_opset", seal(b"S", blob(PEER) + dots(1, 1) + blob(b"") + b"\x01\x00" + varint(n) + b"k")
        for kind in DOORS:  # a number of anything, anywhere near the front
            message = world()[DOORS[kind][0]]
            for at in range(2, min(40, len(message) - 8)):
                yield kind, testing.reseal(message[:at] + varint(n) + message[at:])


def test_the_messages_made_by_hand_are_those_of_a_store():
    s = ck.Store("p", clock=Clock(), incarnation=b"pppppppp")
    s["k"] = None
    body = blob(PEER) + varint(NOW)
    assert seal(b"Q", body + dots(NOW, 1)) == s.request_diff()
    row = varint(NOW - 1) + ROW[1:]
    assert seal(b"D", blob(PEER) + b"\x00" + varint(NOW) + blob(b"") + b"\x01" + row) == s.build_diff(
        ck.Store().request_diff()
    )
    assert seal(b"S", blob(PEER) + dots(1, NOW) + blob(b"") + b"\x01" + row) == s.opset()
    last = NOW
    op = s.insert_with_op("k", None)
    assert seal(b"O", b"\x01" + blob(PEER) + varint(last) + ROW + blob(PEER) + dots(NOW, 1)) == op
    assert seal(b"O", b"\x00" + blob(PEER) + varint(last + 1) + blob(PEER) + dots(NOW + 1, 1)) == s.remove_with_op("k")


def test_claims_are_answered_shortly():
    for name, message in claims():
        s = victim()
        try:
            out = DOORS[name][1](s, message)
        except REFUSED:
            continue
        if isinstance(out, bytes):
            assert len(out) < 2000
        assert_readable(s)
        assert len(s.save()) < 2000 and s.index_size() < 2000


def cost_of_claims():
    """Seconds of the slowest claim and bytes of memory that all of them together cost. In a process of its own."""
    every = list(claims())
    victim().save()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest = 0.0
    for name, message in every:
        s = victim()
        began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        with suppress(*REFUSED):
            DOORS[name][1](s, message)
        slowest = max(slowest, resource.getrusage(resource.RUSAGE_SELF).ru_utime - began)
    return slowest, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024


def test_claims_of_astronomic_numbers_cost_neither_time_nor_memory():
    here = Path(__file__)
    code = f"import sys; sys.path.insert(0, {str(here.parent)!r}); import {here.stem} as t; print(*t.cost_of_claims())"
    out = subprocess.run(
        [sys.executable, "-c", code], env={**environment()}, capture_output=True, text=True, check=False
    )
    assert out.returncode == 0, out.stderr
    slowest, memory = out.stdout.split()
    assert float(slowest) < 0.1 and float(memory) < 32 << 20


def environment():
    path = [str(Path(__file__).parents[1]), str(Path(ck.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def test_a_message_of_many_peers_costs_what_it_weighs():
    names = sorted(i.to_bytes(4, "big") + b"/" + bytes(8) for i in range(20_000))
    request = seal(b"Q", b"".join(blob(name) + b"\x01" + blob(b"\x02") for name in names))
    s = victim()
    before = state(s)
    assert len(s.build_diff(request)) < 1000 and state(s) == before
    diff = seal(b"D", b"".join(blob(name) + b"\x00\x01" + blob(b"") + b"\x00" for name in names))
    s.integrate_diff(diff)
    assert len(s) == len(victim()) and s.index_size() < len(request) + 1000
    pull(store("f"), s)


def test_alternating_dots_of_many_peers_are_not_quadratic():
    s = store("s")
    for name in "abc":
        other = store(name)
        other.update({f"{name}{i:05}": None for i in range(40_000)})
        with other.transaction() as t:
            for i in range(0, 40_000, 2):
                del t[f"{name}{i:05}"]
        s.integrate_opset(other.opset())
    began = process_time()
    fresh, behind = store("f"), s.copy()
    pull(fresh, s)
    with s.transaction() as t:
        for key in list(s)[::2]:
            del t[key]
    diff = s.build_diff(behind.request_diff())
    opset = s.opset()
    assert ck.Store.merge_opsets(opset, opset) == opset
    behind.integrate_diff(diff)
    fresh.integrate_opset(opset)
    assert behind == fresh == s and len(s) == 30_000
    assert process_time() - began < 3
