"""Presence: words go in and come out, signed; old, foreign and boundless ones are not believed."""

import json

import pytest

import crdtkv as ck
import crdtkv.net.wire
from crdtkv.net.presence import DOMAIN, LONGEST, MOST_PEERS, REMEMBERED, Presence

ROOM = bytes(range(32))


class Time:
    """Both clocks, in seconds."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def meet(time):
    """meet(identity): somebody who is in the room."""

    def meet(identity=None, scope=ROOM):
        return Presence(identity or ck.Identity.generate(), scope, clock=time, wall=time)

    return meet


def carry(speaker, listener, mark=0, **how):
    words, mark = speaker.since(mark)
    return [listener.take(word, age, **how) for age, word in words], mark


def said(author, value, number, scope=ROOM):
    """A word by hand."""
    body = number.to_bytes(8, "little") + ck.net.wire.blob(value)
    return author.public_key + body + author._sign(DOMAIN + scope + body)


def test_what_is_set_arrives_and_the_own_word_is_not_among_peers(meet):
    ada, ben = meet(), meet()
    ada.set({"name": "ada", "at": [1, 2.5, None, True]})
    assert carry(ada, ben)[0] == [True]
    assert list(ben.peers.values()) == [{"name": "ada", "at": [1, 2.5, None, True]}]
    assert ada.peers == {} and ada.value["name"] == "ada"


def test_a_peer_is_gone_thirty_seconds_after_its_last_word(meet, time):
    ada, ben = meet(), meet()
    ada.set("here")
    carry(ada, ben)
    time.now += 29.9
    assert ben.peers
    time.now += 0.2
    assert ben.peers == {}


def test_a_beat_says_the_same_again_before_that(meet, time):
    ada, ben = meet(), meet()
    ada.set("here")
    _, mark = carry(ada, ben)
    for _ in range(9):
        time.now += 10
        ada.beat()
        results, mark = carry(ada, ben, mark)
        assert results == [True]
    assert list(ben.peers.values()) == ["here"]
    assert ada.since(mark)[0] == []


def test_nothing_set_nothing_said(meet, time):
    ada = meet()
    time.now += 60
    ada.beat()
    assert ada.since(0) == ([], 0)


def test_who_clears_is_gone_at_once(meet):
    ada, ben = meet(), meet()
    ada.set(1)
    _, mark = carry(ada, ben)
    ada.clear()
    carry(ada, ben, mark)
    assert ben.peers == {} and ada.value is None


def test_null_is_something_to_say(meet):
    ada, ben = meet(), meet()
    ada.set(None)
    carry(ada, ben)
    assert list(ben.peers.values()) == [None]


def test_many_sets_are_one_word(meet):
    ada = meet()
    for i in range(1000):
        ada.set(i)
    words, _ = ada.since(0)
    assert len(words) == 1


def test_an_old_word_is_not_taken_twice_and_does_not_prolong_life(meet, time):
    ada, ben = meet(), meet()
    ada.set("one")
    [(_, one)], mark = ada.since(0)
    assert ben.take(one)
    ada.set("two")
    [(_, two)], _ = ada.since(mark)
    assert ben.take(two) and not ben.take(one)
    time.now += 20
    assert not ben.take(two)
    time.now += 11
    assert ben.peers == {}
    assert not ben.take(two) and ben.peers == {}  # forgotten, but its number is not


def test_numbers_grow_though_the_clock_goes_back(meet, time):
    ada, ben = meet(), meet()
    ada.set("one")
    _, mark = carry(ada, ben)
    time.now -= 5
    ada.set("two")
    assert carry(ada, ben, mark)[0] == [True]
    assert list(ben.peers.values()) == ["two"]


def test_words_of_another_room_mean_nothing(meet):
    ada, ben = meet(scope=bytes(32)), meet()
    ada.set("here")
    assert carry(ada, ben)[0] == [False]
    assert ben.ignored == 1


def test_every_flipped_bit_is_noticed(meet):
    ada, ben = meet(), meet()
    ada.set({"n": 1})
    [(_, word)], _ = ada.since(0)
    for at in range(len(word)):
        for bit in range(8):
            hurt = bytearray(word)
            hurt[at] ^= 1 << bit
            assert not ben.take(bytes(hurt))
    assert not ben.take(word[:-1]) and not ben.take(word + b"x") and not ben.take(b"")
    assert ben.take(word)


def test_a_word_from_long_ago_or_the_far_future_is_not_believed(meet, time):
    ada, ben = ck.Identity.generate(), meet()
    now = int(1000 * time.now)
    for number in (0, now - 700_000, now + 700_000, 2**64 - 1):
        assert not ben.take(said(ada, b"1", number))
    assert ben.take(said(ada, b"1", now - 500_000))


def test_a_relay_that_tells_the_age_does_not_prolong_life(meet, time):
    ada, ben, eve = meet(), meet(), meet()
    ada.set("here")
    carry(ada, ben)
    time.now += 25
    carry(ben, eve)
    assert eve.peers
    time.now += 6
    assert ben.peers == eve.peers == {}
    assert not eve.take(said(ck.Identity.generate(), b"1", int(1000 * time.now)), 30_000)


def test_an_author_who_must_be_the_one(meet):
    ada, ben = meet(), meet()
    ada.set("here")
    [(_, word)], _ = ada.since(0)
    assert not ben.take(word, author=ck.Identity.generate().public_key)
    assert ben.take(word, author=word[:32])


def test_a_word_does_not_go_back_where_it_came_from(meet):
    ada, server = meet(), meet()
    link, other = object(), object()
    ada.set("here")
    carry(ada, server, source=link)
    assert server.since(0, source=link)[0] == []
    assert len(server.since(0, source=other)[0]) == len(server.since(0)[0]) == 1


@pytest.mark.parametrize("value", [b"x", {1: 2}, {"a": {1, 2}}, object(), float("nan"), [float("inf")], ck.Text("x")])
def test_what_json_cannot_say_is_a_type_error(meet, value):
    ada = meet()
    ada.set("before")
    with pytest.raises(TypeError):
        ada.set(value)
    assert ada.value == "before"


def test_limits_of_a_value(meet):
    ada = meet()
    ada.set("x" * (LONGEST - 2))
    with pytest.raises(ck.LimitError):
        ada.set("x" * (LONGEST - 1))
    deep = 1
    for _ in range(64):
        deep = [deep]
    ada.set(deep)
    with pytest.raises(ck.LimitError):
        ada.set([deep])
    with pytest.raises(ValueError):
        ada.set("\ud800")


@pytest.mark.parametrize(
    "said_", [b"{", b'"\\ud800"', b"NaN", b"1e999", b"[" * 4000 + b"]" * 4000, b"[" * 70 + b"]" * 70, b"\xff", b"1 1"]
)
def test_signed_nonsense_is_ignored(meet, time, said_):
    ben = meet()
    assert not ben.take(said(ck.Identity.generate(), said_, int(1000 * time.now)))
    assert ben.peers == {} and ben.ignored == 1


def test_peers_and_what_is_remembered_of_them_are_bounded(meet, time):
    ben = meet()
    now = int(1000 * time.now)
    authors = [ck.Identity.from_seed(i.to_bytes(32, "little")) for i in range(MOST_PEERS + 5)]
    taken = [ben.take(said(author, b"1", now)) for author in authors]
    assert sum(taken) == len(ben.peers) == MOST_PEERS
    ben.set("ben")  # is said all the same
    assert carry(ben, meet(), ben.mark)[0] == [True]
    for round_ in range(1, 6):
        time.now += 31
        for i in range(MOST_PEERS):
            author = ck.Identity.from_seed((round_ * 10**6 + i).to_bytes(32, "little"))
            assert ben.take(said(author, b"1", int(1000 * time.now)))
    assert len(ben._known) == REMEMBERED and len(ben.peers) == MOST_PEERS


def test_going_elsewhere_forgets_who_was_there(meet):
    ada, ben = meet(), meet()
    ada.set("here")
    carry(ada, ben)
    ben.enter(bytes(32))
    assert ben.peers == {}
    ada.enter(bytes(32))
    assert carry(ada, ben)[0] == [True]


def test_who_carries_is_woken(meet):
    ada, ben = meet(), meet()
    calls = []
    ada.wake = lambda: calls.append("ada")
    ben.wake = lambda: calls.append("ben")
    ada.set(1)
    carry(ada, ben)
    assert calls == ["ada", "ben"]


def test_values_are_copies(meet):
    ada, ben = meet(), meet()
    value = {"list": [1]}
    ada.set(value)
    value["list"].append(2)
    carry(ada, ben)
    assert list(ben.peers.values()) == [{"list": [1]}]
    assert json.loads(json.dumps(ben.peers[ada._identity.public_key])) == {"list": [1]}


def test_it_shows_itself_and_nothing_in_it_acts(meet):
    ada, ben = meet(), meet()
    assert "0 others" in ada._repr_html_()
    ada.set({"name": "<script>alert(1)</script>"})
    carry(ada, ben)
    html = ben._repr_html_()
    assert "1 other" in html and "&lt;script" in html and "<script" not in html


def test_words_that_are_old_or_unsigned_are_not_even_decoded(meet, monkeypatch):
    """JSON takes longer than anything else about a word: nobody spends it on what is thrown away anyway."""
    ada, ben = meet(), meet()
    ada.set([["much", "to", "read"]] * 100)
    ((_, data),), _ = ada.since(0)
    assert ben.take(data)
    n_decoded = []
    monkeypatch.setattr(crdtkv.net.presence, "decoded", n_decoded.append)
    later = data[:32] + (int.from_bytes(data[32:40], "little") + 1).to_bytes(8, "little") + data[40:]
    for other in (data, later, bytes(32) + data[32:]):
        assert not ben.take(other)
    assert not n_decoded and ben.ignored == 2
    assert not ben.take(data, author=bytes(32)) and not n_decoded
