"""Displays of stores, datastores and databases, of what they hold, and of exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from crdtkv.notebook.documents import figure_table, lies, opened, part_table
from crdtkv.notebook.page import Page, joined, note, shows, tag, title
from crdtkv.notebook.palette import Crew
from crdtkv.notebook.past import change_table
from crdtkv.notebook.table import facts, table
from crdtkv.notebook.values import author, count, hlc, key, moment, peer, plural, short, size, value, word

if TYPE_CHECKING:
    from crdtkv import _core
    from crdtkv.crowd import Crowd
    from crdtkv.database import Database, Names
    from crdtkv.datastore import Counters, Datastore
    from crdtkv.event import Subscription
    from crdtkv.net.presence import Presence
    from crdtkv.session import SyncReport
    from crdtkv.store import Entries, Store, StoreClock, StoreConflicts, StoreEntry, Transaction

__all__ = [
    "batch",
    "clock",
    "counters",
    "crowd",
    "database",
    "datastore",
    "datastore_counter",
    "entries",
    "link",
    "names",
    "presence",
    "session",
    "store",
    "store_conflicts",
    "store_entry",
    "subscription",
    "sync_report",
    "transaction",
]

FEW = 50  # keys of a table
RECENT = 5  # changes below a datastore
ENTRY = ("key", "value", "put by", "time of its clock")


# ---- Store


def entry_cells(e: StoreEntry) -> tuple[object, ...]:
    return value(e.value), peer(e.peer), hlc(e.hlc)


def store_rows(s: Store) -> Iterator[tuple[object, ...]]:
    for name in islice(iter(s.keys()), FEW + 1):
        found = s.conflicts(name)
        if found:
            yield key(name), *entry_cells(found[0]), word(f"{len(found)} values") if len(found) > 1 else ""


@shows
def store(page: Page, s: Store) -> None:
    figures = s.stats()
    page.put(title("Store", plural(len(s), "key"), plural(figures["peers"], "incarnation"), name=key(s.peer_id)))
    write = "nothing was written here yet" if s.incarnation is None else joined(("writing as ", peer(s.incarnation)))
    page.put(note(write, " · clock at ", hlc(s.clock.last) if s.clock.last else "0"))
    if figures["waiting"]:
        page.put(note(plural(figures["waiting"], "message"), " ", word("waiting"), " for what lies before"))
    if len(s):
        table(page, (*ENTRY, ""), store_rows(s), len(s), most=FEW)


@shows
def entries(page: Page, found: Entries) -> None:
    page.put(title("Entries", plural(len(found), "key")))
    if found:
        table(page, ENTRY, ((key(k), *entry_cells(e)) for k, e in found.items()), len(found))


@shows
def store_entry(page: Page, e: StoreEntry) -> None:
    page.put(title("StoreEntry"))
    table(page, ENTRY[1:], [entry_cells(e)], 1)


@shows
def store_conflicts(page: Page, found: StoreConflicts) -> None:
    what = "nothing is there" if not found else "nobody disagrees" if len(found) == 1 else "put at the same time"
    page.put(title(plural(len(found), "value"), what))
    if found:
        rows = ((*entry_cells(e), word("shown") if i == 0 else "") for i, e in enumerate(found))
        table(page, (*ENTRY[1:], ""), rows, len(found))


@shows
def clock(page: Page, c: StoreClock) -> None:
    page.put(title("StoreClock", name=hlc(c.last) if c.last else "at the beginning"))
    facts(page, (("last", tag("code", str(c.last))),))


@shows
def transaction(page: Page, t: Transaction) -> None:
    page.put(title("Transaction", plural(len(t), "key"), "open: nobody else sees its writes"))
    if len(t):
        table(
            page, ("key", "value"), ((key(k), value(v)) for k, v in islice(iter(t.items()), FEW + 1)), len(t), most=FEW
        )


# ---- Datastore


def datastore_rows(kv: Datastore, crew: Crew, is_open: bool) -> Iterator[tuple[object, ...]]:
    """Who put a value is known where no change is open: to look for it would close it."""
    for name, v in kv.query(limit=FEW + 1):
        found = [] if is_open else kv._conflicts(name)
        change = kv._change(found[0][0]) if found else None
        who, when = (author(change.author, crew), moment(change.time)) if change is not None else ("", "")
        yield key(name), value(v), who, when, word(f"{len(found)} values") if len(found) > 1 else ""


@shows
def datastore(page: Page, kv: Datastore) -> None:
    figures = kv._glance()
    crew = Crew(kv.identity.public_key)
    n_keys = sum(1 for _ in kv.query(limit=FEW + 1, keys_only=True))
    keys = plural(n_keys, "key") if n_keys <= FEW else f"more than {FEW} keys"  # to count them takes long
    counts = [plural(figures[name], one) for name, one in (("changes", "change"), ("lanes", "lane"))]
    dags = plural(figures["dags"], "DAG") if figures["dags"] > 1 else None
    page.put(title("Datastore", keys, *counts, dags, name=tag("code", kv.id.hex()[:16])))
    page.put(note("writing as ", author(crew.you, crew)))
    opened(page, figures["open_edits"])
    lies(page, figures)
    if n_keys:
        columns = ("key", "value", "put by", "time it claims", "")
        with page.keeping(8000):
            rows = datastore_rows(kv, crew, figures["open_edits"] > 0)
            table(page, columns, rows, n_keys if n_keys <= FEW else None, most=FEW)
    if recent := kv._newest(RECENT):
        change_table(page, recent, figures["changes"], crew, "Newest changes")


@shows
def datastore_counter(page: Page, c: _core.DatastoreCounter) -> None:
    parts = c.by_author()
    page.put(
        title(
            "Counter", f"by {plural(len(parts), 'author')}", name=joined((key(c.name), " ", tag("code", value(int(c)))))
        )
    )
    if parts:
        part_table(page, parts, Crew(parts._you))


@shows
def counters(page: Page, some: Counters) -> None:
    page.put(title("Counters"))
    rows = ((key(k), count(n) if n.bit_length() < 4000 else value(n)) for k, n in islice(some.items(), FEW + 1))
    table(page, ("name", "#total"), rows, None, most=FEW)


@shows
def crowd(page: Page, c: Crowd) -> None:
    page.put(title("Crowd", name=key(c.name)))
    table(page, ("member",), ([key(member)] for member in islice(iter(c), FEW + 1)), None, most=FEW)


@shows
def batch(page: Page, b: _core.Batch) -> None:
    page.put(title("Batch", plural(len(b), "key"), "open: nobody else sees its writes" if b else "nothing to write"))


# ---- Database


def parts(db: Database) -> Iterator[tuple[object, ...]]:
    """Name, kind, how large, whether it is open. Sizes are read only of a file that is not large."""
    for row, n_bytes in db._sizes():
        is_open = word("open") if row.name in db._open.objects else ""
        uid = (
            tag("code", row.uid.hex()[:16])
            if row.kind != "store"
            else short(row.uid.partition(b":")[2].decode(errors="backslashreplace"), 60)
        )
        yield key(row.name), row.kind, uid, "" if n_bytes is None else size(n_bytes), is_open


@shows
def database(page: Page, db: Database) -> None:
    figures = db.stats()
    state = "read only" if db.read_only else None
    page.put(
        title(
            "Database",
            plural(figures["names"], "name"),
            size(figures["bytes"]),
            state,
            name=tag("code", short(db.path, 200)),
        )
    )
    if not db.read_only:
        page.put(note("writing as ", author(db.identity.public_key, Crew(db.identity.public_key))))
    if figures["poisoned"]:
        page.put(note("The device failed: nothing is written until the file is opened again.", cls="ckv-note ckv-warn"))
    if figures["names"]:
        table(page, ("name", "kind", "id", "#about", ""), parts(db), figures["names"])


@shows
def names(page: Page, found: Names) -> None:
    page.put(title("Names", plural(len(found), "object")))
    if found:
        table(page, ("name", "kind"), ((key(k), kind) for k, kind in found.items()), len(found))


# ---- exchange and observers


@shows
def session(page: Page, s: Any) -> None:
    words = repr(s).strip("<>").partition(":")[0]
    page.put(title(words.partition(" ")[0], words.partition(" ")[2]))
    rows = ((name.replace("_", " "), size(n) if "bytes" in name else count(n)) for name, n in s.stats().items())
    table(page, ("figure", "#"), rows, None)


@shows
def link(page: Page, s: Any) -> None:
    """A server, or a link of crdtkv.net."""
    figures = s.stats()
    state = {True: "connected", False: "not connected"}.get(figures.get("connected"))
    page.put(title(type(s).__name__, plural(len(s.peers), "peer"), state))
    figure_table(page, figures)
    for peer_key in islice(s.peers, 12):
        page.put(note(author(peer_key, Crew())))


@shows
def presence(page: Page, p: Presence) -> None:
    """What others say of themselves over a link."""
    said = p.peers
    page.put(title("Presence", plural(len(said), "other")))
    if said:
        crew = Crew()
        table(page, ("author", "says"), ((author(who, crew), value(word)) for who, word in said.items()), len(said))


@shows
def sync_report(page: Page, r: SyncReport) -> None:
    page.put(title("SyncReport", plural(r.changes, "change"), size(r.bytes), plural(r.rounds, "round")))


@shows
def subscription(page: Page, s: Subscription) -> None:
    page.put(title("Subscription", "cancelled" if s._cancel is None else "calls back"))
