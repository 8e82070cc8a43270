"""Files that stay in sync: serve, sync, nats."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import click

from crdtkv import net
from crdtkv.cli.answers import BadBytesError, No, OfflineError
from crdtkv.cli.command import FILE, HOST, SECONDS, TEXT, arguments, command, host_of, screen_of
from crdtkv.cli.screen import clean, one_line
from crdtkv.cli.target import writing

__all__ = ["nats", "serve", "sync"]

TOKEN = click.option(
    "--token",
    envvar="CRDTKV_TOKEN",
    show_envvar=True,
    type=TEXT,
    help="A secret that both ends know; it does not travel.",
)
ALLOW = click.option(
    "--allow", multiple=True, metavar="KEY", help="The public key, in hex, of who may be at the other end (repeatable)."
)
URL = click.argument("url", type=TEXT)
log = logging.getLogger("crdtkv.net")


def keys_of(allow: tuple[str, ...]) -> list[bytes] | None:
    """Public keys from hex; None: everybody may."""
    try:
        keys = [bytes.fromhex(key) for key in allow]
    except ValueError:
        keys = [b""]
    if any(len(key) != 32 for key in keys):
        raise click.UsageError("a public key is 64 hex digits")
    return keys or None


def is_near(host: str) -> bool:
    """Only this machine reaches it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def asked_to_end() -> asyncio.Event:
    """Set when somebody says SIGTERM, from now on."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    return asked


class OneLine(logging.Formatter):
    """What libraries log, each on a line of its own, clean, and without tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with the error that it is about."""
        said = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and str(error) not in said:
            said += f": {type(error).__name__}: {error}"
        return f"crdtkv: {one_line(said)}"


def told_in_lines() -> None:
    """From now on warnings of links go to stderr, for whoever keeps a log."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


@contextmanager
def warned(tell: Callable[[str], object]) -> Iterator[None]:
    """What links warn of is told here, for Python would show lines of this program with it."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        tell(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = show
        yield


@contextmanager
def naming(file: str, what: str) -> Iterator[None]:
    """Errors of what reads this file say which one it is. BadBytesError: it is something else."""
    try:
        yield
    except ssl.SSLError:
        raise BadBytesError(f"{what}: {file!r}") from None
    except OSError as error:
        error.filename = file
        raise


def shown_url(url: str) -> str:
    """An address without the name and password in it, for whoever reads along.

    >>> shown_url("nats://ada:secret@localhost:4222/")
    'nats://localhost:4222/'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url


# ---- serve


@command("serve")
@FILE
@click.option("--host", type=HOST, default="127.0.0.1", help="Where to listen (127.0.0.1: only this machine).")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, help="0 takes a free one (8765).")
@TOKEN
@ALLOW
@click.option(
    "--hosts",
    multiple=True,
    type=TEXT,
    metavar="NAME:PORT",
    help="Only who dialled it under this name may come (repeatable): so nobody in between can pose as this server.",
)
@click.option("--cert", type=click.Path(), help="A certificate: the address is wss:// then.")
@click.option("--cert-key", type=click.Path(), help="Its key, if it is in a file of its own.")
@click.pass_context
def serve(
    ctx: click.Context,
    file: str,
    host: str,
    port: int,
    token: str | None,
    allow: tuple[str, ...],
    hosts: tuple[str, ...],
    cert: str | None,
    cert_key: str | None,
) -> None:
    """Serve all names in FILE over WebSocket, until Ctrl-C or SIGTERM. Prints where; stores are not served."""
    screen = screen_of(ctx)
    keys = keys_of(allow)
    tls = None
    if cert_key is not None and cert is None:
        raise click.UsageError("--cert-key is the key of a --cert: without one nothing is encrypted")
    if cert is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with naming(cert if cert_key is None else f"{cert} and {cert_key}", "no certificate with its key"):
            tls.load_cert_chain(cert, cert_key, password="")  # nobody is asked for one

    async def run() -> None:
        asked = asked_to_end()
        async with service as server:
            if screen.json:
                screen.value({"url": server.url, "port": server.port, "author": author})
            else:
                screen.write(f"{clean(file)} is at {server.url}\n")
            screen.flush()
            if token is None and keys is None and not is_near(host):
                screen.note(
                    f"whoever reaches {host or 'this machine'} may read and write: --token or --allow say who may"
                )
            await asked.wait()

    with writing(file) as db:
        author = db.identity.public_key.hex()
        with arguments():
            service = net.serve(db, host, port, tls=tls, allow=keys, token=token, hosts=hosts or None)
        told_in_lines()
        asyncio.run(run())


# ---- sync


@command("sync")
@FILE
@URL
@click.option("--timeout", type=SECONDS, default=10.0, help="Give up after so many seconds (10).")
@TOKEN
@ALLOW
@click.option("--ca", type=click.Path(), help="Whose certificates to trust, for wss://.")
@click.pass_context
def sync(
    ctx: click.Context, file: str, url: str, timeout: float, token: str | None, allow: tuple[str, ...], ca: str | None
) -> None:
    """Bring FILE and the file that is served at URL (ws://host:port) to the same content.

    Exit code 1: a name is something else there, or was not taken over, and stays as it is. 3: nobody answers in time.
    """
    screen = screen_of(ctx)
    keys = keys_of(allow)
    tls = None
    found: list[str] = []
    if ca is not None:
        with naming(ca, "no certificate"):
            tls = ssl.create_default_context(cafile=ca)
    with writing(file) as db:
        with arguments():
            host_of(urlsplit(url).hostname or "")
            link = net.connect(db, url, token=token, allow=keys, tls=tls)
        url = shown_url(url)
        told_in_lines()
        with screen.busy(f"syncing with {url}"), warned(found.append):
            stats, peers = asyncio.run(in_step(link, url, timeout))
        db.commit()
    if screen.json:
        screen.value({"url": url, "peers": [peer.hex() for peer in peers], **in_hex(stats)})
    else:
        n, size = stats["names"], stats["bytes_in"] + stats["bytes_out"]
        screen.write(f"{n} name{'s' * (n != 1)} in step with {clean(url)}, {size:,} bytes both ways\n")
    for n, here, there in (stats["unshared"], "here", "there"), (stats["refused"], "there", "here"):
        why = "at most 1,024 at once are, and none that a store has"
        found += [f"{n} of the names {here} were not taken over {there}: {why}; sync again"] * bool(n)
    must_agree(found)


def in_hex(stats: dict[str, Any]) -> dict[str, Any]:
    """The figures of a link for JSON: `conflicts` are ids, here and there."""

    def pair(ids: tuple[bytes | str | None, ...]) -> list[str | None]:
        return [id.hex() if isinstance(id, bytes) else id for id in ids]

    return stats | {"conflicts": {name: pair(ids) for name, ids in stats["conflicts"].items()}}


def must_agree(found: list[str]) -> None:
    """No: some names mean something else at the other end."""
    if found:
        raise No(f"not in step: {'; '.join(found)}")


async def in_step(link: Any, url: str, timeout: float) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    """The figures of a link, and who is at its other end, once both ends have the same."""
    async with link:
        try:
            async with asyncio.timeout(timeout):
                await link.synced()
        except TimeoutError:
            why = "not in step yet" if link.peers else "nobody answers"
            raise OfflineError(f"{why} after {timeout:g} seconds: {url}; --timeout gives it longer") from None
        return link.stats(), link.peers


# ---- nats


@command("nats")
@FILE
@URL
@click.option("--stream", type=TEXT, default="crdtkv", help="Of JetStream; made if it is not there (crdtkv).")
@click.option(
    "--timeout", type=SECONDS, default=10.0, help="Give up if the server is not there in so many seconds (10)."
)
@click.option("--once", is_flag=True, help="Leave when both have the same, instead of staying.")
@click.pass_context
def nats(ctx: click.Context, file: str, url: str, stream: str, timeout: float, once: bool) -> None:
    """Keep all names in FILE in step with a stream of NATS JetStream (nats://host:port), until Ctrl-C or SIGTERM."""
    screen = screen_of(ctx)
    found: list[str] = []
    with arguments():
        parts = urlsplit(url)
        if parts.scheme not in ("nats", "tls", "ws", "wss") or not parts.hostname or parts.port == 0:
            raise ValueError(f"not a nats:// address: {url!r}")
        host_of(parts.hostname)

    async def run() -> None:
        asked = asked_to_end()
        async with link:
            try:
                async with asyncio.timeout(timeout):
                    await link.synced()
            except TimeoutError:
                why = link.stats()["trouble"] or "not in step yet"
                raise OfflineError(f"{why} after {timeout:g} seconds: {url}; --timeout gives it longer") from None
            stats = link.stats()
            if screen.json:
                peers = [peer.hex() for peer in link.peers]
                screen.value({"url": url, "stream": stream, **in_hex(stats), "peers": peers})
            else:
                n = stats["objects"]
                screen.write(f"{n} name{'s' * (n != 1)} in step with the stream {clean(stream)} of {clean(url)}\n")
            screen.flush()
            if once:
                left = stats["unwelcome"] - len(stats["conflicts"])
                found.extend(
                    [f"{left} of the names there were not taken over here: at most 1,024 at once are"] * (left > 0)
                )
                must_agree(found)
            else:
                await asked.wait()

    with writing(file) as db:
        with arguments():
            link = net.nats(db, url, stream=stream)
        url = shown_url(url)
        told_in_lines()
        with warned(found.append if once else lambda text: log.warning("%s", text)):
            asyncio.run(run())
