"""tests/golden/session.txt: every version must understand it, and must compare in these very words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from golden.make_session import DOC_ID, NAMES, salt, seed, story

import crdtkv as ck
from oracle.message import COMPARE, LATER, read_message
from oracle.model import Replica
from oracle.session import Session

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "session.txt"
LINES = [line.split() for line in GOLDEN.read_text().splitlines()]
ROOT = bytes.fromhex(LINES[-1][2])


def words(messages: list[bytes]) -> tuple[Any, ...]:
    """What the format leaves no choice about: hello, the comparison as a stream, what waits for a later version."""
    read = [read_message(message) for message in messages]
    stream = b"".join(message.parts.get(COMPARE, b"") for message in read)
    later = [message.parts[LATER] for message in read if LATER in message.parts]
    return read[0].hello, stream, later


def replay(replica: Any, end: Any, name: str) -> list[bytes]:
    """The other end says what is written; what this one says."""
    said: list[bytes] = []

    def speak() -> None:
        while (message := end.send()) is not None:
            said.append(message)

    for who, what, data in LINES[:-1]:
        if what == "has" and who == name:
            replica.apply(bytes.fromhex(data))
        elif what == "says" and who == name:
            speak()
        elif what == "says":
            end.receive(bytes.fromhex(data))
    speak()
    return said


def of(name: str) -> list[bytes]:
    return [bytes.fromhex(data) for who, what, data in LINES if (who, what) == (name, "says")]


def test_the_story_is_told_as_before() -> None:
    assert story() == GOLDEN.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_the_oracle_says_every_byte_again(name: str) -> None:
    replica = Replica(DOC_ID)
    end = Session(replica, salt(name))
    assert replay(replica, end, name) == of(name)
    assert end.done and replica.root == ROOT


@pytest.mark.parametrize("name", NAMES)
def test_the_core_understands_and_is_understood(name: str) -> None:
    doc = ck.Doc(id=DOC_ID)
    doc._seed(seed(name))
    end = doc.session()
    said = replay(doc, end, name)
    assert words(said) == words(of(name))
    assert end.done and doc.root == ROOT and doc.stats()["later"] == 2
    assert len(doc.equivocations()) == 3
