"""Handshake: each end proves that it has the key it says it has, and that it knows the token, if there is one.

    client                                                     server
    hello: key, nonce, endpoint   ->
                                  <-   hello: key, nonce
    proof over both hellos        ->   allowed? else the link ends
                                  <-   proof over both hellos
    allowed? else the link ends

What is signed names who says it (client or server), both keys, both nonces and the endpoint that the client dialled.
So a proof holds for one connection only, cannot be turned around, and is of no use for anybody who was dialled under
another name, if the server knows its names (`hosts=`). Who forwards every byte between two ends can do so: that is
what TLS is for. Without input or output.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

from crdtkv.identity import Identity
from crdtkv.net.directory import Entry
from crdtkv.net.frame import Hello, Proof, write
from crdtkv.net.limits import Code, LinkError

__all__ = ["Allow", "Gate", "Handshake", "gate"]

CLIENT, SERVER = b"crdtkv-net-v1\x01", b"crdtkv-net-v1\x02"  # what signatures begin with
Allow: TypeAlias = Callable[[bytes], object] | Collection[bytes]  # public keys


@dataclass(frozen=True, slots=True)
class Gate:
    """Who may link with this end."""

    allow: Callable[[bytes], object] | None = None  # public key -> may it?
    token: bytes | None = None
    hosts: frozenset[str] | None = None  # endpoints under which a server is dialled


def gate(allow: Allow | None, token: str | bytes | None, hosts: Collection[str] | None = None) -> Gate:
    """A gate, from what people write.

    >>> import crdtkv as ck
    >>> ada = ck.Identity.generate()
    >>> gate([ada.public_key], "secret").allow(ada.public_key)
    True
    """
    if isinstance(hosts, str) or isinstance(allow, bytes | bytearray | str):
        raise TypeError("allow= and hosts= are collections")
    if allow is not None and not callable(allow):
        allow = frozenset(map(checked_key, allow)).__contains__
    if not isinstance(token, str | bytes | None):
        raise TypeError(f"token must be str or bytes, not {type(token).__name__}")
    secret = token.encode() if isinstance(token, str) else token
    if secret is not None and not secret:
        raise ValueError("an empty token keeps nobody out")
    return Gate(allow, secret, None if hosts is None else frozenset(map(checked_endpoint, hosts)))


def checked_endpoint(name: str) -> str:
    """A "name:port", as clients say it that dialled it: in small letters, an IPv6 address without brackets.

    >>> checked_endpoint("Example.org:443"), checked_endpoint("[::1]:8765")
    ('example.org:443', '::1:8765')
    """
    if not isinstance(name, str):
        raise TypeError(f'hosts= are "name:port", as str, not {type(name).__name__}')
    host, _, port = name.lower().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not port.isdecimal() or not port.isascii() or not 0 < int(port) < 1 << 16:
        raise ValueError(f'hosts= are "name:port", with a port of 1 to 65535, not {name!r}')
    return f"{host}:{int(port)}"


def checked_key(key: bytes) -> bytes:
    """A public key, if it is one."""
    if not isinstance(key, bytes | bytearray | memoryview):
        raise TypeError(f"a public key is bytes, not {type(key).__name__}")
    if len(key := bytes(key)) != 32:
        raise ValueError("a public key has 32 bytes")
    return key


class Handshake:
    """One end of it."""

    __slots__ = ("_gate", "_hello", "_identity", "_is_client", "theirs")

    def __init__(self, identity: Identity, gate: Gate, hello: Hello, *, is_client: bool) -> None:
        self._identity, self._gate, self._is_client = identity, gate, is_client
        self._hello = hello
        self.theirs: Hello | None = None

    @staticmethod
    def hello(identity: Identity, gate: Gate, only: Entry | None = None, endpoint: str = "") -> Hello:
        """What an end says first."""
        return Hello(identity.public_key, secrets.token_bytes(32), gate.token is not None, only, endpoint)

    def hear(self, hello: Hello) -> None:
        """The other end's hello. LinkError."""
        if self.theirs is not None:
            raise LinkError(Code.MALFORMED, "a second hello")
        if hello.nonce == self._hello.nonce:
            raise LinkError(Code.MALFORMED, "an echo")
        if hello.with_token != self._hello.with_token:
            raise LinkError(Code.NOT_ALLOWED, "a token is needed" if self._gate.token else "there is no token here")
        if not self._is_client and self._gate.hosts is not None and hello.endpoint not in self._gate.hosts:
            raise LinkError(Code.NOT_ALLOWED, "dialled under a name that is not one of this server's")
        self.theirs = hello

    def proof(self) -> Proof:
        """That this end is who it says."""
        return self._proof(CLIENT if self._is_client else SERVER)

    def check(self, proof: Proof) -> None:
        """The other end's proof. LinkError: it does not hold, or whoever it is may not be here."""
        theirs = self.theirs
        if theirs is None:
            raise LinkError(Code.MALFORMED, "a proof before a hello")
        role = SERVER if self._is_client else CLIENT
        if not hmac.compare_digest(proof.mac, self._mac(role)):
            raise LinkError(Code.NOT_ALLOWED, "wrong token")
        if not Identity._verifies(theirs.key, role + self._said(), proof.signature):
            raise LinkError(Code.NOT_ALLOWED, "the proof of the key does not hold")
        if self._gate.allow is not None and not self._gate.allow(theirs.key):
            raise LinkError(Code.NOT_ALLOWED, f"key {theirs.key[:8].hex()} is not allowed here")

    def _proof(self, role: bytes) -> Proof:
        return Proof(self._identity._sign(role + self._said()), self._mac(role))

    def _mac(self, role: bytes) -> bytes:
        if self._gate.token is None:
            return b""
        return hmac.digest(self._gate.token, role + self._said(), "sha256")

    def _said(self) -> bytes:
        """A digest of both hellos, the client's first."""
        assert self.theirs is not None
        ours, theirs = write(self._hello), write(self.theirs)
        both = ours + theirs if self._is_client else theirs + ours
        return blake2b(both, digest_size=32, person=b"crdtkv-link-v1").digest()
