"""Conversations, without sockets: names, sessions, barriers and presence, and what a liar gets to hear."""

import asyncio
from collections import deque

import pytest

import crdtkv as ck
from crdtkv.net import Limits, Presence
from crdtkv.net import frame as f
from crdtkv.net.conversation import Conversation
from crdtkv.net.directory import Directory, Entry
from crdtkv.net.handshake import Handshake, gate
from crdtkv.net.limits import Code, LinkError, Meter

OPEN = gate(None, None)


class Pair:
    """A client and a server, and the two lines between them."""

    def __init__(self, here, there, *, limits=None, accept=(None, None)):
        limits = limits or Limits()
        self.directories = Directory(here, accept=accept[0]), Directory(there, accept=accept[1])
        self.client = Conversation(self.directories[0], OPEN, is_client=True, endpoint="x:1", limits=limits)
        self.server = Conversation(self.directories[1], OPEN, is_client=False, limits=limits)
        self.n_frames = 0

    def run(self, most=10_000):
        """Until both are silent."""
        ends = (self.client, self.server), (self.server, self.client)
        quiet = 0
        while quiet < 2:
            for speaker, listener in ends:
                frame = speaker.send()
                quiet = 0 if frame else quiet + 1
                if frame:
                    self.n_frames += 1
                    assert self.n_frames < most
                    assert listener.receive(frame)
            if quiet:
                quiet = 2 if not (self.client.touch_lazy() | self.server.touch_lazy()) else 0
        return self

    def look(self):
        """As a hub does."""
        for directory, end in zip(self.directories, (self.client, self.server)):
            if directory.has_news():
                directory.refresh()
            for id in directory.opened:
                end.touch(id)
            end.looked()
        return self

    def synced(self, end):
        """Is what both have on both, says this end?"""

        async def ask():
            waiter = asyncio.get_running_loop().create_future()
            self.look()
            end.barrier(waiter)
            self.run().look().run()
            return waiter.done() and not waiter.cancelled()

        return asyncio.run(ask())


def databases():
    return ck.Database(":memory:"), ck.Database(":memory:")


@pytest.mark.parametrize("kind", [ck.Doc, ck.Datastore])
def test_two_replicas_of_one_object(kind):
    a = kind()
    b = kind(id=a.id)
    a["x"], b["y"] = 1, 2
    pair = Pair(a, b).run()
    assert dict(a) == dict(b) == {"x": 1, "y": 2}
    a["z"] = 3
    pair.look().run()
    assert b["z"] == 3
    assert pair.client.peer == b.identity.public_key and pair.server.peer == a.identity.public_key


def test_two_different_objects_are_told_so():
    with pytest.raises(LinkError, match="here it is the doc") as caught:
        Pair(ck.Doc(), ck.Doc()).run()
    assert caught.value.code == Code.OTHER_OBJECT
    doc = ck.Doc()
    with pytest.raises(LinkError, match="datastore"):
        Pair(doc, ck.Datastore(id=doc.id)).run()


def test_databases_share_all_names_but_stores():
    here, there = databases()
    with here, there:
        here.doc("notes")["title"] = "Picnic"
        here.store("settings")["volume"] = 7
        there.datastore("stats")["n"] = 1
        there.doc("plans")
        pair = Pair(here, there).run()
        assert here.names() == {"notes": "doc", "plans": "doc", "settings": "store", "stats": "datastore"}
        assert there.names() == {"notes": "doc", "plans": "doc", "stats": "datastore"}
        assert there.doc("notes").to_py() == {"title": "Picnic"} and here.datastore("stats")["n"] == 1
        assert pair.client.names == pair.server.names == 3


def test_names_are_matched_by_id_and_new_ones_appear_live():
    here, there = databases()
    with here, there:
        id = here.doc("mine").id
        there.doc("yours", id=id)["x"] = 1
        pair = Pair(here, there).run()
        assert here.names() == {"mine": "doc"} and here.doc("mine")["x"] == 1
        there.doc("later")["y"] = 2
        here.datastore("kv")["k"] = 3
        pair.look().run()
        assert here.doc("later")["y"] == 2 and there.datastore("kv")["k"] == 3


def test_one_name_with_two_ids_is_a_conflict_and_the_rest_goes_on():
    here, there = databases()
    with here, there:
        a, b = here.doc("notes"), there.doc("notes")
        a["x"], b["y"] = 1, 2
        here.doc("other")["z"] = 3
        pair = Pair(here, there).run()
        assert pair.client.conflicts == {"notes": (a.id, b.id)}
        assert pair.server.conflicts == {"notes": (b.id, a.id)}
        assert a.to_py() == {"x": 1} and b.to_py() == {"y": 2} and there.doc("other")["z"] == 3
        assert pair.synced(pair.client) and pair.synced(pair.server)


def test_one_document_of_a_database():
    with ck.Database(":memory:") as db:
        db.doc("secret")["x"] = 1
        doc = ck.Doc(id=db.doc("notes").id)
        doc["title"] = "Picnic"
        pair = Pair(doc, db).run()
        assert db.doc("notes")["title"] == "Picnic" and pair.server.names == 1
        other = ck.Doc()
        other["n"] = 1
        Pair(other, db).run()
        assert db.doc(other.id.hex())["n"] == 1  # it was not there: it is called by its id


def test_one_document_that_is_not_taken():
    with ck.Database(":memory:") as db:
        pair = Pair(ck.Doc(), db, accept=(None, lambda *entry: False))
        with pytest.raises(LinkError) as caught:
            pair.run()
        assert caught.value.code == Code.OTHER_OBJECT and db.names() == {}


def test_limits_of_new_names():
    here, there = databases()
    with here, there:
        for i in range(20):
            here.doc(f"n{i:02}")["i"] = i
        pair = Pair(here, there, limits=Limits(new_names=5)).run()
        assert len(there.names()) == 5 and pair.server.refused == 15
        assert pair.synced(pair.client)
        assert all(there.doc(name)["i"] == int(name[1:]) for name in there.names())


def test_more_names_than_one_link_shares():
    here, there = databases()
    with here, there:
        for i in range(12):
            here.doc(f"n{i:02}")
        pair = Pair(here, there, limits=Limits(names=10)).run()
        assert len(there.names()) == 10 and pair.synced(pair.client) and pair.client.left_out == 2


def test_a_name_that_is_deleted_is_not_shared_any_more():
    here, there = databases()
    with here, there:
        notes = here.doc("notes")
        pair = Pair(here, there).run()
        there.doc("notes")["x"] = 1
        here.delete("notes")
        pair.look().run()
        assert here.names() == {} and there.names() == {"notes": "doc"}
        with pytest.raises(ck.StaleHandleError):
            notes["y"] = 1
        assert pair.server.names == pair.client.names == 0
        assert pair.synced(pair.client)


def test_a_database_that_was_closed_ends_it():
    here, there = databases()
    with there:
        here.doc("notes")
        pair = Pair(here, there).run()
        here.close()
        there.doc("notes")["x"] = 1
        pair.server.touch(next(iter(pair.directories[1].opened)))
        with pytest.raises(ck.StaleHandleError):
            pair.run()


def test_a_barrier_waits_for_what_is_under_way():
    a = ck.Doc()
    b = ck.Doc(id=a.id)
    a["text"] = ck.Text("".join(map(chr, range(0x4E00, 0x9000))) * 200)  # more than a message holds
    b["y"] = 1
    pair = Pair(a, b)

    async def story():
        pair.run()
        a["new"], b["new too"] = 1, 2
        waiter = asyncio.get_running_loop().create_future()
        pair.look().client.barrier(waiter)
        while not waiter.done():
            frame = pair.client.send()
            if frame:
                pair.server.receive(frame)
            pair.server.looked()
            frame = pair.server.send()
            if frame:
                pair.client.receive(frame)
        assert a.heads == b.heads

    asyncio.run(story())


def test_a_barrier_of_a_link_that_ends_is_cancelled():
    async def story():
        pair = Pair(doc := ck.Doc(), ck.Doc(id=doc.id)).run()
        waiter = asyncio.get_running_loop().create_future()
        pair.client.barrier(waiter)
        pair.client.end()
        assert waiter.cancelled()

    asyncio.run(story())


def test_inside_a_block_nothing_is_said_or_taken_and_nothing_is_lost():
    a = ck.Doc()
    b = ck.Doc(id=a.id)
    pair = Pair(a, b).run()
    b["y"] = 1
    pair.look()
    frame = pair.server.send()
    with a.change():
        a["x"] = 1
        pair.client.touch(a.id)
        assert pair.client.send() is None
        assert not pair.client.receive(frame)
    assert pair.client.receive(frame)
    pair.look().run()
    assert a == b == {"x": 1, "y": 1}


def test_a_slow_reader_gets_fewer_and_longer_messages():
    a = ck.Doc()
    b = ck.Doc(id=a.id)
    pair = Pair(a, b).run()
    under_way = deque()
    for i in range(100):
        a[f"k{i}"] = i
        pair.client.touch(a.id)
        while frame := pair.client.send():
            under_way.append(frame)
    assert len(under_way) <= 4
    for frame in under_way:
        pair.server.receive(frame)
    pair.run()
    assert len(b) == 100 and pair.n_frames < 60


def test_callbacks_that_fail_end_nothing(caplog):
    a = ck.Doc()
    b = ck.Doc(id=a.id)
    pair = Pair(a, b).run()
    b.observe(lambda event: 1 / 0)
    a["x"] = 1
    pair.look().run()
    b["y"] = 1
    pair.look().run()
    assert a == b == {"x": 1, "y": 1} and "ZeroDivisionError" in caplog.text


def test_words_go_to_whoever_shares_the_place():
    doc = ck.Doc()
    docs = [doc, *(ck.Doc(id=doc.id) for _ in range(2))]
    server = Presence(doc.identity, doc.id)
    pairs = [Pair(other, doc).run() for other in docs[1:]]
    boards = []
    for pair in pairs:
        assert pair.client.scope == pair.server.scope == doc.id
        pair.server.meet(server)
        boards.append(Presence(pair.directories[0].identity, doc.id))
        pair.client.meet(boards[-1])
    boards[0].set("ada")
    for _ in range(2):
        for pair in pairs:
            pair.client.touch_words()
            pair.server.touch_words()
            pair.run()
    assert list(server.peers.values()) == list(boards[1].peers.values()) == ["ada"] and boards[0].peers == {}


def test_a_client_speaks_for_itself_only():
    doc = ck.Doc()
    pair = Pair(ck.Doc(id=doc.id), doc).run()
    board = Presence(doc.identity, doc.id)
    pair.server.meet(board)
    eve = Presence(ck.Identity.generate(), doc.id)
    eve.set("somebody else, with a key of his own")
    pair.server.receive(f.write(f.Words(tuple(eve.since(0)[0]))))
    assert board.peers == {} and board.ignored == 1


def test_databases_meet_at_the_server():
    here, there = databases()
    with here, there:
        pair = Pair(here, there).run()
        assert pair.client.scope == pair.server.scope != here.identity.public_key


# ---- liars


class Liar:
    """A client that says what it likes, to a server that shares a database."""

    def __init__(self, db, *, limits=None, only=None):
        self.server = Conversation(Directory(db), OPEN, is_client=False, limits=limits or Limits())
        self.identity = ck.Identity.generate()
        hello = Handshake.hello(self.identity, OPEN, only=only)
        shake = Handshake(self.identity, OPEN, hello, is_client=True)
        self.says(hello)
        shake.hear(f.read(self.server.send()))
        self.says(shake.proof())
        shake.check(f.read(self.server.send()))

    def says(self, frame):
        assert self.server.receive(f.write(frame))

    def hears(self):
        heard = []
        while frame := self.server.send():
            heard.append(f.read(frame))
        return heard

    def is_shown_out(self, *frames):
        with pytest.raises(LinkError) as caught:
            for frame in frames:
                self.says(frame)
        return caught.value.code


@pytest.fixture
def db():
    with ck.Database(":memory:") as db:
        db.doc("notes")["x"] = 1
        yield db


@pytest.mark.parametrize(
    "frame",
    [
        f.Said(0, 0, b"nothing was announced"),
        f.Taken(0, 1),
        f.Gone(True, 0),
        f.Gone(False, 5),
        f.Hello(bytes(32), bytes(32), False, None, ""),
        f.Proof(bytes(64), b""),
    ],
)
def test_frames_that_do_not_fit(db, frame):
    liar = Liar(db)
    liar.hears()
    assert liar.is_shown_out(frame) == Code.MALFORMED


def test_before_the_handshake_nothing_is_heard(db):
    for frame in (f.Names((Entry("x", "doc", bytes(32)),)), f.Barrier(1), f.Said(0, 0, b""), f.Words(())):
        server = Conversation(Directory(db), OPEN, is_client=False)
        with pytest.raises(LinkError):
            server.receive(f.write(frame))
        assert server.send() is None
    assert db.names() == {"notes": "doc"}


@pytest.mark.parametrize("message", [b"", b"garbage", b"\x50\x01\x00" + bytes(60), bytes(2000)])
def test_garbage_in_a_session(db, message):
    liar = Liar(db)
    entry = Entry("notes", "doc", db.doc("notes").id)
    assert liar.is_shown_out(f.Names((entry,)), f.Said(0, 0, message)) == Code.MALFORMED
    assert db.doc("notes").to_py() == {"x": 1}


def test_a_session_that_goes_nowhere(db):
    liar = Liar(db)
    doc = ck.Doc(id=db.doc("notes").id)
    session = doc.session()
    first = session.send()
    assert liar.is_shown_out(f.Names((Entry("notes", "doc", doc.id),)), f.Said(0, 0, first), f.Said(0, 0, first)) in (
        Code.SESSION,
        Code.MALFORMED,
    )


def test_a_million_names(db):
    liar = Liar(db, limits=Limits(names=1000, new_names=10))
    names = iter(range(10**6))
    with pytest.raises(LinkError) as caught:
        for _ in range(4000):
            liar.says(f.Names(tuple(Entry(f"n{i}", "doc", i.to_bytes(32, "big")) for i, _ in zip(names, range(250)))))
    assert caught.value.code == Code.FLOOD and len(db.names()) == 11


def test_endless_small_talk(db):
    liar = Liar(db, limits=Limits(chatter=10))
    liar.hears()
    assert liar.is_shown_out(*[f.Barrier(i) for i in range(60)]) == Code.FLOOD
    liar = Liar(db, limits=Limits(chatter=10))
    assert liar.is_shown_out(*[f.Words(())] * 60) == Code.FLOOD
    liar = Liar(db, limits=Limits(chatter=10))
    assert liar.is_shown_out(*[f.Passed(9)] * 60) == Code.FLOOD


def test_one_object_that_announces_others(db):
    notes = Entry("", "doc", db.doc("notes").id)
    liar = Liar(db, only=notes)
    assert liar.is_shown_out(f.Names((Entry("more", "doc", bytes(32)),))) == Code.MALFORMED
    assert db.names() == {"notes": "doc"}


def test_numbers_of_what_was_taken_are_not_believed_beyond_what_was_sent(db):
    liar = Liar(db)
    liar.says(f.Names((Entry("notes", "doc", db.doc("notes").id),)))
    liar.hears()
    liar.says(f.Taken(0, 2**60))
    db.doc("notes")["y"] = 2
    liar.server.touch(db.doc("notes").id)
    assert len(liar.hears()) <= 4


def test_names_said_twice_are_one_object(db):
    liar = Liar(db)
    entry = Entry("notes", "doc", db.doc("notes").id)
    liar.says(f.Names((entry, entry, entry)))
    said = [frame for frame in liar.hears() if isinstance(frame, f.Said)]
    assert len(said) == 1


def test_names_are_made_a_few_at_a_time():
    """Each name that is made is written to a disk; the others wait no longer than a turn for it."""
    with ck.Database(":memory:") as db:
        db.doc("here")
        liar = Liar(db)
        liar.server.take_turns(0.0)
        entries = tuple(Entry(f"n{i}", "doc", bytes([1, i]) + bytes(30)) for i in range(20))
        frame = f.write(f.Names((*entries, Entry("here", "doc", bytes(32)))))
        seen = []
        while not liar.server.receive(frame):
            seen.append(len(db.names()))
        assert seen == [*range(2, 22), 21] and liar.server.frames_in == 3
        heard = liar.hears()
        assert f.Gone(False, 20) in heard and list(liar.server.conflicts) == ["here"]
        assert sum(isinstance(frame, f.Said) for frame in heard) == 20 == liar.server.names


def test_barriers_that_are_never_passed_are_bounded():
    doc = ck.Doc()
    liar = Liar(doc, limits=Limits(chatter=50), only=Entry("", "doc", doc.id))
    liar.server._chatter = Meter(1e9, 1e9)
    liar.says(f.Names((Entry("", "doc", doc.id),)))  # it has announced an object, and says nothing of it
    for n in range(250):
        liar.says(f.Barrier(n))
        liar.server.looked()
        assert f.Passed(n) not in liar.hears()
    with pytest.raises(LinkError) as caught:
        liar.says(f.Barrier(250))
    assert caught.value.code == Code.FLOOD


def test_a_client_has_few_words():
    doc = ck.Doc()
    liar = Liar(doc, only=Entry("", "doc", doc.id))
    board = Presence(doc.identity, doc.id)
    liar.server.meet(board)
    for _ in range(10):
        liar.says(f.Words(((0, b"what is no word costs nothing but its place in the count"),) * 64))
    assert 200 <= board.ignored < 400
