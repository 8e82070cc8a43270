"""Links under random damage: a conversation raises LinkError, or goes on; what it shares stays whole."""

import random
import zlib

import pytest

import crdtkv as ck
from crdtkv.net import Limits, Presence
from crdtkv.net import frame as f
from crdtkv.net.conversation import Conversation
from crdtkv.net.directory import Directory
from crdtkv.net.handshake import gate
from crdtkv.net.limits import LinkError

OPEN = gate(None, None)


def mutated(rng, frame):
    """Something else, under a good checksum."""
    body = bytearray(frame[:-4])
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(body) + 1)
        match rng.randrange(4):
            case 0 if at < len(body):
                body[at] ^= 1 << rng.randrange(8)
            case 1:
                body[at:at] = rng.randbytes(rng.choice([1, 2, 40]))
            case 2:
                del body[at : at + rng.choice([1, 2, 33])]
            case _:
                body[at : at + 4] = rng.choice([b"\xff" * 4, bytes(4), b"\x80\x80\x80\x01"])
    return bytes(body) + zlib.crc32(body).to_bytes(4, "little")


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_are_frames_or_refused(seed):
    rng = random.Random(seed)
    for _ in range(5000):
        body = bytes([rng.randrange(12)]) + rng.randbytes(rng.randrange(200))
        data = body + zlib.crc32(body).to_bytes(4, "little")
        try:
            frame = f.read(data)
        except (ck.DecodeError, LinkError):
            continue
        assert frame is None or f.write(frame) == data


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(60))
def test_a_conversation_survives_whatever_the_other_end_becomes(seed):
    rng = random.Random(seed)
    with ck.Database(":memory:") as here, ck.Database(":memory:") as there:
        here.doc("notes")["x"] = 1
        here.datastore("kv")["k"] = [1, 2]
        there.doc("plans")["text"] = ck.Text("hello")
        limits = Limits(names=100, new_names=5)
        ends = [
            Conversation(Directory(db), OPEN, is_client=is_client, limits=limits)
            for db, is_client in ((here, True), (there, False))
        ]
        met = False
        old = []
        try:
            for step in range(200):
                speaker, listener = ends if step % 2 else reversed(ends)
                if not met and all(end.is_open for end in ends):
                    met = True
                    for end, db in zip(ends, (here, there)):
                        end.meet(Presence(db.identity, end.scope))
                        end.board.set({"step": step})
                if step % 10 == 9 and met:
                    here.doc("notes")[f"s{step}"] = step
                    ends[0].touch(here.doc("notes").id)
                    ends[1].board.set(step)
                    ends[1].touch_words()
                frame = speaker.send()
                if frame is None:
                    continue
                old.append(frame)
                if met and rng.random() < 0.15:
                    frame = mutated(rng, rng.choice([frame, frame, rng.choice(old)]))
                listener.receive(frame)
        except LinkError:
            pass
        for db in (here, there):
            assert db.check() == [] and len(db.names()) <= 8
        assert here.doc("notes")["x"] == 1 and str(there.doc("plans")["text"]) == "hello"
