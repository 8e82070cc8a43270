"""Sessions of Stores: two ends alike, each pulls from the other; and ck.sync in one process."""

import pytest

import crdtkv as ck
from house.stores import assert_equal, assert_sound, pull, store

LONGEST = (1 << 20) + 4096


def messages(end):
    while (message := end.send()) is not None:
        yield message


def talk(left, right, rounds=200):
    """In turns until both are silent. The messages, with who said them."""
    said = []
    for _ in range(rounds):
        before = len(said)
        for k, (speaker, listener) in enumerate(((left, right), (right, left))):
            for message in messages(speaker):
                said.append((k, message))
                listener.receive(message)
        if len(said) == before:
            return said
    raise AssertionError("they never end")


def two():
    """Stores that share some and have each some of their own."""
    a, b = store("a"), store("b")
    a.update(shared=1, a=1, gone=1)
    pull(b, a)
    del a["gone"]
    b["b"] = 2
    a["k"], b["k"] = "a", "b"
    return a, b


def assert_dead(end):
    assert end.send() is None and end.done is False
    for message in (b"", ck.Store().session().send()):
        with pytest.raises(ck.SyncError):
            end.receive(message)
    assert end.send() is None and end.done is False


# ---- what it comes to


def test_a_session_makes_two_stores_equal():
    a, b = two()
    left, right = a.session(), b.session()
    assert left.done is False and right.done is False
    said = talk(left, right)
    assert all(type(message) is bytes for _, message in said)
    assert left.done is True and right.done is True and left.send() is None is right.send()
    assert_equal(a, b)
    assert a == {"shared": 1, "a": 1, "b": 2, "k": "b"} and len(a.conflicts("k")) == 2


def test_both_ends_are_alike_and_either_may_begin():
    for first_speaks in (True, False):
        a, b = two()
        left, right = (a.session(), b.session()) if first_speaks else (b.session(), a.session())
        talk(left, right)
        assert left.done and right.done
        assert_equal(a, b)


@pytest.mark.parametrize("x_speaks_first", [True, False])
def test_what_waited_and_was_released_by_the_peer_is_told_to_the_peer(x_speaks_first):
    a, x, y = store("a"), store("x"), store("y")
    one, two_ = a.insert_with_op("1", 1), a.insert_with_op("2", 2)
    x.integrate_op(two_)
    y.integrate_op(one)
    ends = (x.session(), y.session()) if x_speaks_first else (y.session(), x.session())
    talk(*ends)
    assert all(end.done for end in ends) and x == y == a
    assert_equal(x, y)


def test_both_may_speak_at_once():
    a, b = two()
    left, right = a.session(), b.session()
    for _ in range(20):
        out, back = list(messages(left)), list(messages(right))
        for message in out:
            right.receive(message)
        for message in back:
            left.receive(message)
        if not out and not back:
            break
    assert left.done and right.done
    assert_equal(a, b)


def test_equal_and_empty_stores_say_little():
    for a, b in ((ck.Store(), ck.Store()), (store("a"), store("b"))):
        said = talk(a.session(), b.session())
        assert len(said) <= 4 and sum(len(message) for _, message in said) < 400
    a, b = two()
    ck.sync(a, b)
    said = talk(a.session(), b.session())
    assert sum(len(message) for _, message in said) < 6 * a.index_size() + 400


def test_a_later_change_opens_the_talk_again():
    a, b = two()
    left, right = a.session(), b.session()
    talk(left, right)
    for step, (s, end) in enumerate(((a, left), (b, right), (a, left))):
        s["later"] = step
        assert end.done is False
        talk(left, right)
        assert left.done and right.done and a["later"] == b["later"] == step
        assert_equal(a, b)
    del a["later"]
    assert left.done is False
    talk(left, right)
    assert left.done and right.done and "later" not in b
    assert_equal(a, b)


def test_a_change_from_a_third_is_passed_on():
    a, b, c = store("a"), store("b"), store("c")
    left, right = a.session(), b.session()
    talk(left, right)
    c["c"] = 1
    pull(a, c)
    assert left.done is False
    talk(left, right)
    assert left.done and right.done and b == {"c": 1}


def test_changes_while_they_talk_arrive():
    a, b = two()
    left, right = a.session(), b.session()
    for step in range(30):
        if step < 10:
            a[f"a{step}"] = step
            b[f"b{step}"] = step
            a.pop(f"b{step - 3}", None)
        for speaker, listener in ((left, right), (right, left)):
            if (message := speaker.send()) is not None:
                listener.receive(message)
    assert left.done and right.done
    assert_equal(a, b)


def test_what_already_comes_by_other_ways_disturbs_no_session():
    a, b = two()
    left, right = a.session(), b.session()
    for _ in range(20):
        for speaker, listener in ((left, right), (right, left)):
            if (message := speaker.send()) is not None:
                listener.receive(message)
        pull(a, b)
        b.integrate_op(a.insert_with_op("op", 1)) if "op" not in a else None
        pull(b, a)
    assert left.done and right.done
    assert_equal(a, b)


# ---- sizes


def test_no_message_is_longer_than_a_mebibyte_and_4_kib():
    a, b = store("a"), store("b")
    for i in range(6):
        a[f"{i}"] = bytes([i]) * ((1 << 20) - 100)
        b[f"b{i}"] = bytes([i]) * 300_000
    said = talk(a.session(), b.session())
    assert all(len(message) <= LONGEST for _, message in said) and len(said) > 6
    assert_equal(a, b)


def test_many_small_entries_are_split_too():
    a, b = store("a"), store("b")
    with a.transaction() as t:
        for i in range(40_000):
            t[f"{i * 7919 % 40_000:06}"] = "x" * 40
    said = talk(a.session(), b.session())
    assert all(len(message) <= LONGEST for _, message in said) and len(said) >= 3
    assert_equal(a, b)
    a.clear()
    said = talk(a.session(), b.session())
    assert b == {} and sum(len(message) for _, message in said) < 2000


def test_a_request_longer_than_a_message_is_split_or_answered_otherwise():
    a, b = store("a"), store("b")
    a.update({f"{i:06}": None for i in range(60_000)})
    with a.transaction() as t:
        for i in range(0, 60_000, 2):
            del t[f"{i:06}"]
    pull(b, a)
    b["new"] = 1
    del b["000001"]
    said = talk(a.session(), b.session())
    assert all(len(message) <= LONGEST for _, message in said)
    assert_equal(a, b)


def test_a_longer_message_is_refused():
    for message in (bytes(LONGEST + 1), ck.Store().session().send() + bytes(LONGEST)):
        end = store("a").session()
        with pytest.raises((ck.SyncError, ck.DecodeError)):
            end.receive(message)
        assert_dead(end)


# ---- what ends it


def test_garbage_is_a_decode_error_and_ends_it():
    for wrong in (b"", b"x", bytes(100), store("a").save(), store("a").request_diff(), ck.Doc().export()):
        a, b = two()
        left, right = a.session(), b.session()
        right.receive(left.send())
        before = dict(b.entries())
        with pytest.raises(ck.DecodeError):
            right.receive(wrong)
        assert dict(b.entries()) == before
        assert_dead(right)


def test_another_type_is_a_type_error_and_ends_nothing():
    a, b = two()
    left, right = a.session(), b.session()
    for wrong in (None, 5, "text"):
        with pytest.raises(TypeError):
            left.receive(wrong)
    talk(left, right)
    assert left.done and right.done


def test_an_open_transaction_ends_no_session():
    a, b = two()
    left, right = a.session(), b.session()
    first = left.send()
    right.receive(first)
    waiting = None
    t = a.begin()
    t["t"] = 1
    for _ in range(5):
        if (message := right.send()) is None:
            break
        try:
            left.receive(message)
        except RuntimeError:
            waiting = message
            break
    t.commit()
    if waiting is not None:
        left.receive(waiting)
    talk(left, right)
    assert left.done and right.done and b["t"] == 1
    assert_equal(a, b)


def test_a_store_may_talk_with_itself():
    a, _ = two()
    before = a.save()
    left, right = a.session(), a.session()
    talk(left, right)
    assert left.done and right.done and a.save() == before


def test_buffers_are_messages():
    a, b = two()
    left, right = a.session(), b.session()
    for kind in (bytearray, memoryview) * 10:
        for speaker, listener in ((left, right), (right, left)):
            if (message := speaker.send()) is not None:
                listener.receive(kind(message))
    assert left.done and right.done
    assert_equal(a, b)


def big_pair():
    """Enough for many messages."""
    a, b = store("a"), store("b")
    for i in range(8):
        a[f"{i}"] = bytes([i]) * 700_000
        b[f"b{i}"] = bytes([i]) * 700_000
    return a, b


@pytest.mark.parametrize("fault", ["lost", "repeated"])
@pytest.mark.parametrize("at", range(8))
def test_a_lost_or_repeated_message_is_a_sync_error_and_what_came_stays(fault, at):
    a, b = big_pair()
    left, right = a.session(), b.session()
    n, ended = 0, None
    for _ in range(60):
        for speaker, listener in ((left, right), (right, left)):
            for message in list(messages(speaker)):
                n += 1
                if n == at + 1 and fault == "lost":
                    continue
                try:
                    listener.receive(message)
                    if n == at + 1 and fault == "repeated":
                        listener.receive(message)
                except ck.SyncError:
                    ended = ended or listener
                    break
    assert not (left.done and right.done) or fault == "repeated" or dict(a) == dict(b)
    if ended is not None:
        assert_dead(ended)
    assert_sound(a)
    ck.sync(a, b)
    assert_equal(a, b)
    assert len(a) == 16


def test_a_lost_message_never_ends_in_done_on_both_ends():
    total = len(talk(*(s.session() for s in big_pair())))
    assert total >= 4
    for at in range(total):
        a, b = big_pair()
        left, right = a.session(), b.session()
        n = 0
        try:
            for _ in range(60):
                for speaker, listener in ((left, right), (right, left)):
                    for message in messages(speaker):
                        n += 1
                        if n != at + 1:
                            listener.receive(message)
        except ck.SyncError:
            continue
        assert not (left.done and right.done) or a == b


def test_a_repeated_message_is_a_sync_error():
    a, b = two()
    left, right = a.session(), b.session()
    first = left.send()
    right.receive(first)
    with pytest.raises(ck.SyncError):
        right.receive(first)
    assert_dead(right)


def test_ones_own_message_coming_back_ends_it_without_harm():
    a, b = two()
    left, right = a.session(), b.session()
    before = dict(a.entries())
    try:
        for _ in range(70):
            message = left.send()
            if message is None:
                break
            left.receive(message)
    except ck.SyncError:
        assert_dead(left)
    assert dict(a.entries()) == before
    talk(a.session(), right)
    assert_equal(a, b)


def test_64_messages_without_progress_end_it():
    a, b = two()
    ck.sync(a, b)
    left, right = a.session(), b.session()
    talk(left, right)
    listener = right
    with pytest.raises(ck.SyncError):
        for _ in range(200):
            nothing = ck.Store().session().send()
            listener.receive(nothing)
    assert_dead(listener)


def test_a_peer_from_the_future_ends_the_session_and_changes_nothing():
    a, far = store("a"), store("z", 1_900_000_000_000)
    far["k"], a["own"] = 1, 2
    left, right = a.session(), far.session()
    with pytest.raises(ck.ClockDriftError):
        talk(left, right)
    assert a == {"own": 2} and left.send() is None and left.done is False


def test_a_doc_and_a_store_do_not_understand_each_other():
    a, doc = store("a"), ck.Doc()
    a["k"] = doc["k"] = 1
    with pytest.raises((ck.DecodeError, ck.SyncError)):
        a.session().receive(doc.session().send())
    with pytest.raises((ck.DecodeError, ck.SyncError)):
        doc.session().receive(a.session().send())


def test_several_sessions_of_one_store_at_once():
    hub = store("h")
    leaves = [store(name) for name in "abc"]
    for s in leaves:
        s[s.peer_id] = 1
    ends = [(hub.session(), s.session()) for s in leaves]
    for _ in range(30):
        for left, right in ends:
            for speaker, listener in ((left, right), (right, left)):
                for message in messages(speaker):
                    listener.receive(message)
    assert all(left.done and right.done for left, right in ends)
    assert_equal(hub, *leaves)
    assert len(hub) == 3


def test_a_session_keeps_its_store_alive():
    b = store("b")
    left, right = two()[0].session(), b.session()
    talk(left, right)
    assert set(b) == {"a", "k", "shared"}


# ---- ck.sync


def test_sync_pulls_once_each_way_and_reports():
    a, b = two()
    report = ck.sync(a, b)
    assert type(report) is ck.SyncReport and report.bytes > 0 and report.rounds >= 1 and report.changes >= 3
    assert_equal(a, b)
    again = ck.sync(a, b)
    assert again.changes == 0 and again.bytes <= report.bytes and again.rounds >= 1
    assert_equal(a, b)


def test_sync_counts_changes_both_ways():
    a, b = store("a"), store("b")
    a.update(x=1, y=2)
    b["z"] = 3
    assert ck.sync(a, b).changes == 3
    del a["x"]
    assert ck.sync(b, a).changes == 1


def test_sync_with_oneself_does_nothing():
    a, _ = two()
    before = a.save()
    assert ck.sync(a, a).changes == 0 and a.save() == before


def test_sync_of_two_kinds_is_an_error_and_moves_nothing():
    a, doc = store("a"), ck.Doc()
    a["k"] = doc["d"] = 1
    for pair in ((a, doc), (doc, a)):
        with pytest.raises((TypeError, ck.Error)):
            ck.sync(*pair)
    assert a == {"k": 1} and doc == {"d": 1}
