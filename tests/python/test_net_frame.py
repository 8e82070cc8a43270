"""Frames: what is written is read; what is cut, flipped, boundless or of another version is not."""

import zlib

import pytest

import crdtkv as ck
from crdtkv.net import frame as f
from crdtkv.net.directory import Entry
from crdtkv.net.limits import FRAME, Code, LinkError
from crdtkv.net.wire import Reader, varint

KEY, NONCE, ID = bytes(range(32)), bytes(32), b"\xff" * 32
FRAMES = [
    f.Hello(KEY, NONCE, False, None, ""),
    f.Hello(KEY, NONCE, True, Entry("", "datastore", ID), "example.org:443"),
    f.Proof(bytes(64), b""),
    f.Proof(bytes(64), bytes(32)),
    f.Names((Entry("notes", "doc", ID), Entry("", "datastore", KEY), Entry("é" * 127, "doc", NONCE))),
    f.Gone(True, 0),
    f.Gone(False, 2**32 - 1),
    f.Said(300, 2**40, b"message"),
    f.Said(0, 0, b""),
    f.Taken(7, 0),
    f.Barrier(2**64 - 1),
    f.Passed(1),
    f.Words(((0, b"word"), (30_000, b""))),
    f.Words(()),
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
def test_what_is_written_is_read_and_no_flipped_bit_is(frame):
    data = f.write(frame)
    assert f.read(data) == frame
    for at in range(8 * len(data)):
        hurt = bytearray(data)
        hurt[at // 8] ^= 1 << at % 8
        with pytest.raises(ck.DecodeError):
            f.read(bytes(hurt))
    for n in range(len(data)):
        with pytest.raises(ck.DecodeError):
            f.read(data[:n])
    with pytest.raises(ck.DecodeError):
        f.read(data + b"\0")


def sealed(body):
    return body + zlib.crc32(body).to_bytes(4, "little")


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
def test_every_prefix_under_a_good_checksum_is_read_or_refused(frame):
    body = f.write(frame)[:-4]
    for n in range(1, len(body)):
        try:
            found = f.read(sealed(body[:n]))
        except (ck.DecodeError, LinkError):
            continue
        assert f.write(found) == sealed(body[:n])


@pytest.mark.parametrize(
    "body",
    [
        b"\x04\x02\x00",  # flags
        b"\x04\x01\x80\x00",  # a number that is longer than it must be
        b"\x06" + b"\xff" * 10,
        b"\x04\x01" + varint(1 << 32),
        b"\x03",  # no names
        b"\x03\x00" + ID + b"\x01x",  # a kind that is none
        b"\x03\x03" + ID + b"\x01x",
        b"\x03\x01" + ID + b"\x80\x02" + b"x" * 256,  # a name of 256 bytes
        b"\x03\x01" + ID + b"\x01\xff",  # not UTF-8
        b"\x03" + (b"\x01" + ID + b"\x00") * 257,
        b"\x08" + b"\x00\x00" * 65,
        b"\x08\x00" + varint(5000) + bytes(5000),
        b"\x01CKX\x01\x00" + bytes(66),
        b"\x01CKL\x01\x02" + bytes(66),
        b"\x01CKL\x01\x00" + bytes(65) + varint(301) + b"x" * 301,
        b"\x02" + bytes(63),
        b"\x07\x01\x00",
    ],
)
def test_what_breaks_a_rule_is_no_frame(body):
    with pytest.raises(ck.DecodeError):
        f.read(sealed(body))


def test_a_kind_of_a_later_version_is_skipped():
    assert f.read(sealed(b"\x0awhatever")) is None and f.read(sealed(b"\x00")) is None


def test_another_version_is_told_so():
    with pytest.raises(LinkError) as caught:
        f.read(sealed(b"\x01CKL\x02\x00" + bytes(66)))
    assert caught.value.code == Code.VERSION and caught.value.code.is_final


def test_too_long_is_refused_unread():
    with pytest.raises(ck.DecodeError):
        f.read(bytes(FRAME + 1))
    with pytest.raises(ck.DecodeError):
        f.read(b"")


def test_numbers_of_every_size():
    for n in (0, 1, 127, 128, 300, 2**32, 2**63, 2**64 - 1):
        assert Reader(varint(n)).varint() == n
    with pytest.raises(ck.DecodeError):
        Reader(varint(2**64)).varint()
