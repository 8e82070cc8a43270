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
MOST_FOUND = 1000  # concurrent values that are looked at
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
    """A store: its keys, and who put them.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> store = ck.Store("phone")
    >>> store["theme"] = "dark"
    >>> "dark" in notebook.store(store)
    True
    """
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
    """Keys and values of a store, with who put them and when.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> store = ck.Store("phone")
    >>> store["theme"] = "dark"
    >>> "dark" in notebook.entries(store.entries())
    True
    """
    page.put(title("Entries", plural(len(found), "key")))
    if found:
        table(page, ENTRY, ((key(k), *entry_cells(e)) for k, e in found.items()), len(found))


@shows
def store_entry(page: Page, e: StoreEntry) -> None:
    """One value of a store, with who put it and when.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> store = ck.Store("phone")
    >>> store["theme"] = "dark"
    >>> "dark" in notebook.store_entry(store.entries()["theme"])
    True
    """
    page.put(title("StoreEntry"))
    table(page, ENTRY[1:], [entry_cells(e)], 1)


@shows
def store_conflicts(page: Page, found: StoreConflicts) -> None:
    """Values of one key that were put at the same time.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> store = ck.Store("phone")
    >>> store["theme"] = "dark"
    >>> "nobody disagrees" in notebook.store_conflicts(store.conflicts("theme"))
    True
    """
    what = "nothing is there" if not found else "nobody disagrees" if len(found) == 1 else "put at the same time"
    page.put(title(plural(len(found), "value"), what))
    if found:
        rows = ((*entry_cells(e), word("shown") if i == 0 else "") for i, e in enumerate(found))
        table(page, (*ENTRY[1:], ""), rows, len(found))


@shows
def clock(page: Page, c: StoreClock) -> None:
    """The clock of a store.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> "at the beginning" in notebook.clock(ck.Store("phone").clock)
    True
    """
    page.put(title("StoreClock", name=hlc(c.last) if c.last else "at the beginning"))
    facts(page, (("last", tag("code", str(c.last))),))


@shows
def transaction(page: Page, t: Transaction) -> None:
    """What is to be written to a store together.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> store = ck.Store("phone")
    >>> with store.transaction() as t:
    ...     t["theme"] = "dark"
    ...     "dark" in notebook.transaction(t)
    True
    """
    page.put(title("Transaction", plural(len(t), "key"), "open: nobody else sees its writes"))
    if len(t):
        table(
            page, ("key", "value"), ((key(k), value(v)) for k, v in islice(iter(t.items()), FEW + 1)), len(t), most=FEW
        )


# ---- Datastore


def datastore_rows(kv: Datastore, crew: Crew) -> Iterator[tuple[object, ...]]:
    """Keys with who put them, and when: "open" while that change is. Where very many did, not all rows say it."""
    n_found = 0
    for name, v in kv.query(limit=FEW + 1):
        found = kv._values_of(name) if n_found <= MOST_FOUND else []
        n_found += len(found)
        who, when = "", ""
        if found:
            _, _, key_of_author, _, time = found[0]
            who, when = author(key_of_author, crew), "open" if time is None else moment(time)
        yield key(name), value(v), who, when, word(f"{len(found)} values") if len(found) > 1 else ""


@shows
def datastore(page: Page, kv: Datastore) -> None:
    """A datastore: its first keys, and who put them.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> kv = ck.Datastore()
    >>> kv["tea"] = "green"
    >>> "green" in notebook.datastore(kv)
    True
    """
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
            rows = datastore_rows(kv, crew)
            table(page, columns, rows, n_keys if n_keys <= FEW else None, most=FEW)
    if recent := kv._newest(RECENT):
        change_table(page, recent, figures["changes"], crew, "Newest changes")


@shows
def datastore_counter(page: Page, c: _core.DatastoreCounter) -> None:
    """A counter, and everybody's part of it.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> kv = ck.Datastore()
    >>> kv.counter("views").increment(7)
    >>> "views" in notebook.datastore_counter(kv.counter("views"))
    True
    """
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
    """The counters of a datastore.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> kv = ck.Datastore()
    >>> kv.counter("views").increment(7)
    >>> "views" in notebook.counters(kv.counters())
    True
    """
    page.put(title("Counters"))
    rows = ((key(k), count(n) if n.bit_length() < 4000 else value(n)) for k, n in islice(some.items(), FEW + 1))
    table(page, ("name", "#total"), rows, None, most=FEW)


@shows
def crowd(page: Page, c: Crowd) -> None:
    """Who is in a crowd.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> kv = ck.Datastore()
    >>> guests = kv.crowd("guests")
    >>> guests.add("ada")
    >>> "ada" in notebook.crowd(guests)
    True
    """
    page.put(title("Crowd", name=key(c.name)))
    table(page, ("member",), ([key(member)] for member in islice(iter(c), FEW + 1)), None, most=FEW)


@shows
def batch(page: Page, b: _core.Batch) -> None:
    """What is to be written to a datastore together.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> kv = ck.Datastore()
    >>> with kv.batch() as b:
    ...     b.put("tea", "green")
    ...     "1 key" in notebook.batch(b)
    True
    """
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
    """A file: what is in it, under which names, and how large.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> with ck.Database(":memory:") as db:
    ...     db.doc("notes")["title"] = "Picnic"
    ...     "notes" in notebook.database(db)
    True
    """
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
    """The names of a database, and of what kind each is.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> with ck.Database(":memory:") as db:
    ...     db.doc("notes")["title"] = "Picnic"
    ...     "notes" in notebook.names(db.names())
    True
    """
    page.put(title("Names", plural(len(found), "object")))
    if found:
        table(page, ("name", "kind"), ((key(k), kind) for k, kind in found.items()), len(found))


# ---- exchange and observers


@shows
def session(page: Page, s: Any) -> None:
    """A session: how much went over it.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> "Session" in notebook.session(ck.Doc().session())
    True
    """
    words = repr(s).strip("<>").partition(":")[0]
    page.put(title(words.partition(" ")[0], words.partition(" ")[2]))
    rows = ((name.replace("_", " "), size(n) if "bytes" in name else count(n)) for name, n in s.stats().items())
    table(page, ("figure", "#"), rows, None)


@shows
def link(page: Page, s: Any) -> None:
    """A server, or a link of crdtkv.net.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> from crdtkv import net
    >>> "0 peers" in notebook.link(net.asgi(ck.Doc()))
    True
    """
    figures = s.stats()
    state = {True: "connected", False: "not connected"}.get(figures.get("connected"))
    page.put(title(type(s).__name__, plural(len(s.peers), "peer"), state))
    figure_table(page, figures)
    for peer_key in islice(s.peers, 12):
        page.put(note(author(peer_key, Crew())))


@shows
def presence(page: Page, p: Presence) -> None:
    """What others say of themselves over a link.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> from crdtkv import net
    >>> "0 others" in notebook.presence(net.Presence(ck.Identity.generate(), bytes(32)))
    True
    """
    said = p.peers
    page.put(title("Presence", plural(len(said), "other")))
    if said:
        crew = Crew()
        table(page, ("author", "says"), ((author(who, crew), value(word)) for who, word in said.items()), len(said))


@shows
def sync_report(page: Page, r: SyncReport) -> None:
    """What an exchange brought, and what it cost.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> "1 change" in notebook.sync_report(ck.sync(doc, ck.Doc(id=doc.id)))
    True
    """
    page.put(title("SyncReport", plural(r.changes, "change"), size(r.bytes), plural(r.rounds, "round")))


@shows
def subscription(page: Page, s: Subscription) -> None:
    """Is an observer still told?

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> "calls back" in notebook.subscription(ck.Doc().observe(print))
    True
    """
    page.put(title("Subscription", "cancelled" if s._cancel is None else "calls back"))
