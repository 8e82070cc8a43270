"""Displays of what happened: changes, patches, events, histories, conflicts, reports; and of who lied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from crdtkv.notebook.page import Html, Page, joined, note, shows, tag, title
from crdtkv.notebook.palette import Crew, fingerprint
from crdtkv.notebook.table import facts, table
from crdtkv.notebook.values import author, count, is_there, key, moment, peer, plural, ref, short, value, word

if TYPE_CHECKING:
    from crdtkv._core import Change, Report
    from crdtkv.entry import Conflicts, Entry, History
    from crdtkv.equivocation import Equivocation, EquivocationList
    from crdtkv.event import Event, KeyEvent
    from crdtkv.patch import Patch, PatchList
    from crdtkv.replica import ChangeList
    from crdtkv.report import Refusal

__all__ = [
    "change",
    "change_table",
    "changes",
    "conflicts",
    "entry",
    "equivocation",
    "equivocations",
    "event",
    "history",
    "key_event",
    "patch",
    "patches",
    "refusal",
    "report",
]

LONGEST_PLACE = 160  # characters of a path
NEWEST = 100  # rows of a long list of changes
COLUMNS = ("change", "author", "#seq", "time it claims", "#ops", "message", "")


# ---- changes


def marks(c: Change) -> Html:
    words = [word("fork", bad=True)] if c._has_twin else []
    words += [word("void")] if c.void is not None else []
    words += [word(f"DAG {c.dag}"[:60])] if c.dag not in (None, "default") else []
    return joined(words, " ")


def change_rows(some: Iterable[Change], crew: Crew) -> Iterator[tuple[object, ...]]:
    for c in some:
        said = "" if c.message is None else short(c.message, 160)
        yield ref(c.id), author(c.author, crew), c.seq, moment(c.time), count(c.n_ops), said, marks(c)


def change_table(page: Page, some: Sequence[Change], n_all: int, crew: Crew, caption: str | None = None) -> None:
    """Write changes, the newest first."""
    table(page, COLUMNS, change_rows(reversed(some), crew), n_all, caption=caption, most=NEWEST, more="older ones")


@shows
def changes(page: Page, some: ChangeList) -> None:
    """A list of changes, the newest first.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> c = doc.commit("a start")
    >>> "a start" in notebook.changes(doc.changes())
    True
    """
    page.put(title(plural(len(some), "change"), "the newest first" if len(some) > 1 else None))
    if some:
        change_table(page, some[-NEWEST:], len(some), Crew(some._you))


@shows
def change(page: Page, c: Change) -> None:
    """One change: who, when, what about.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> c = doc.commit("a start")
    >>> "a start" in notebook.change(c)
    True
    """
    crew = Crew()
    page.put(title("Change", marks(c), name=tag("code", c.id.hex()[:16])))
    facts(
        page,
        (
            ("author", author(c.author, crew)),
            ("time it claims", moment(c.time)),
            ("message", None if c.message is None else short(c.message)),
            ("ops", count(c.n_ops)),
            ("number", joined((c.seq, " of lane ", ref(c.lane)))),
            ("behind", ref(c.prev) if c.prev else "nothing: it opens its lane"),
            ("also builds on", joined(map(ref, c.parents), " ") if c.parents else None),
            ("signature", "covered by one that is here" if c.signed else "none yet: it is signed when it leaves"),
            ("void because", c.void),
            ("DAG", c.dag),
            ("id", tag("code", c.id.hex())),
        ),
    )


# ---- patches and events


def place(path: tuple[str | int, ...]) -> Html:
    """A path, as one would write it."""
    shown = ""
    for step in path:  # it may be deep, and its keys long
        if len(shown) > LONGEST_PLACE:
            return tag("code", f"{shown[:LONGEST_PLACE]} … {len(path)} steps")
        shown += f"[{(step[:LONGEST_PLACE] if isinstance(step, str) else step)!r}]"
    return tag("code", short(shown, LONGEST_PLACE) or "the document")


def old_and_new(p: Patch) -> Html:
    """What went and what came."""
    parts: list[object] = []
    if p.kind == "move":
        return joined(("to ", tag("code", p.new)))
    for element, thing in (("del", p.old), ("ins", p.new)):
        if is_there(thing):
            inside = short(thing, 400) if isinstance(thing, str) and p.kind in ("insert", "remove") else value(thing)
            parts.append(tag(element, inside))
    return joined(parts, " → " if p.kind in ("set", "count", "mark") else " ")


def patch_rows(some: Iterable[Patch]) -> Iterator[tuple[object, ...]]:
    for p in some:
        at = "" if p.position is None else value(p.position)
        yield place(p.path), p.kind, at, old_and_new(p)


def patch_table(page: Page, some: Sequence[Patch]) -> None:
    table(page, ("where", "what", "at", "old and new"), patch_rows(some), len(some))


@shows
def patches(page: Page, some: PatchList) -> None:
    """A difference, step by step.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> "Picnic" in notebook.patches(doc.diff((), doc.heads))
    True
    """
    page.put(title(plural(len(some), "patch", "patches"), None if some else "the two versions are alike"))
    if some:
        patch_table(page, some)


@shows
def patch(page: Page, p: Patch) -> None:
    """One thing that a change did.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc, seen = ck.Doc(), []
    >>> with doc.observe(seen.append):
    ...     doc["title"] = "Picnic"
    ...     c = doc.commit()
    >>> "Picnic" in notebook.patch(seen[0].patches[0])
    True
    """
    page.put(title("Patch"))
    patch_table(page, [p])


@shows
def event(page: Page, e: Event) -> None:
    """What an observer was told.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc, seen = ck.Doc(), []
    >>> with doc.observe(seen.append):
    ...     doc["title"] = "Picnic"
    ...     c = doc.commit()
    >>> "Picnic" in notebook.event(seen[0])
    True
    """
    crew = Crew()
    page.put(title("Event", "made here" if e.is_local else "from elsewhere", plural(len(e.changes), "change")))
    origin = None if e.origin is None else short(repr(e.origin), 160)
    facts(page, (("author", author(e.author, crew)), ("observed", place(e.path)), ("origin", origin)))
    patch_table(page, e.patches)


@shows
def key_event(page: Page, e: KeyEvent) -> None:
    """What became of a key of a datastore.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> kv, seen = ck.Datastore(), []
    >>> with kv.observe(seen.append):
    ...     kv["tea"] = "green"
    >>> "green" in notebook.key_event(seen[0])
    True
    """
    what = "put" if is_there(e.new) else "delete"
    page.put(title("KeyEvent", what, "made here" if e.is_local else "from elsewhere", name=key(e.key)))
    is_key = e.author is not None and len(e.author) == 32
    who = None if e.author is None else author(e.author, Crew()) if is_key else peer(e.author)
    facts(
        page,
        (
            ("author", who),
            ("old", tag("del", value(e.old)) if is_there(e.old) else "was not there"),
            ("new", tag("ins", value(e.new)) if is_there(e.new) else "is gone"),
        ),
    )


# ---- what was written to a key


def entry_rows(some: Iterable[Entry], crew: Crew) -> Iterator[tuple[object, ...]]:
    for e in some:
        what = tag("del", "deleted") if e.kind == "delete" else value(e.value)
        change = ref(e.change) if e.change is not None else word("open change")
        yield what, author(e.author, crew), moment(e.time), change


def entry_table(page: Page, some: Sequence[Entry], crew: Crew) -> None:
    table(page, ("value", "author", "time it claims", "change"), entry_rows(some, crew), len(some), more="older ones")


@shows
def history(page: Page, some: History) -> None:
    """What was ever written to a key, the newest first.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> kv = ck.Datastore()
    >>> kv["tea"] = "green"; kv["tea"] = "black"
    >>> shown = notebook.history(kv.history("tea"))
    >>> "green" in shown and "black" in shown
    True
    """
    name = key(some[0].key) if some else None
    page.put(title("History", plural(len(some), "write"), "the newest first" if len(some) > 1 else None, name=name))
    if some:
        entry_table(page, some, Crew(some._you))


@shows
def entry(page: Page, e: Entry) -> None:
    """One row of a history.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> kv = ck.Datastore()
    >>> kv["tea"] = "green"
    >>> "green" in notebook.entry(kv.history("tea")[0])
    True
    """
    page.put(title("Entry", e.kind, name=key(e.key)))
    entry_table(page, [e], Crew())


def conflict_rows(found: Conflicts, crew: Crew) -> Iterator[tuple[object, ...]]:
    of = getattr(found, "_of", None)
    for i, (op, v) in enumerate(found.items()):
        id = bytes.fromhex(op.partition(":")[0])
        change = of._change(id) if of is not None else None
        who, when = (author(change.author, crew), moment(change.time)) if change is not None else ("", "")
        plain = v.to_py() if hasattr(v, "_container") and len_of(v) < 1000 else v
        yield value(plain), who, when, ref(id), word("shown") if i == 0 else ""


def len_of(thing: Any) -> int:
    return len(thing) if hasattr(thing, "__len__") else 0


@shows
def conflicts(page: Page, found: Conflicts) -> None:
    """Values that were written at the same time, the one that shows first.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> other = doc.fork(ck.Identity.generate())
    >>> doc["title"], other["title"] = "Lunch", "Supper"
    >>> report = doc.merge(other)
    >>> shown = notebook.conflicts(doc.conflicts("title"))
    >>> "Lunch" in shown and "Supper" in shown
    True
    """
    what = "nothing is there" if not found else "nobody disagrees" if len(found) == 1 else "written at the same time"
    page.put(title(plural(len(found), "value"), what))
    if found:
        of = getattr(found, "_of", None)
        crew = Crew(of.identity.public_key if of is not None else None)
        columns = ("value", "author", "time it claims", "change", "")
        table(page, columns, conflict_rows(found, crew), len(found))


# ---- what became of foreign changes


def refusal_rows(some: Iterable[Refusal]) -> Iterator[tuple[object, ...]]:
    for r in some:
        name = tag("code", r.id.hex()[:8], title=r.id.hex()) if r.id is not None else "no id"
        yield name, r.reason, r.error.__name__


def refusal_table(page: Page, some: Sequence[Refusal]) -> None:
    table(page, ("refused", "because", "error"), refusal_rows(some), len(some))


@shows
def refusal(page: Page, r: Refusal) -> None:
    """What was not taken in, and why.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> from crdtkv import testing
    >>> doc = ck.Doc()
    >>> lie = testing.Forger(doc, ck.Identity.generate()).forge(lambda d: d.update(a=1), signature=bytes(64))
    >>> "signature" in notebook.refusal(doc.apply(lie).refused[0])
    True
    """
    page.put(title("Refusal"))
    refusal_table(page, [r])


@shows
def report(page: Page, r: Report) -> None:
    """What became of a bundle.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> "1 applied" in notebook.report(ck.Doc(id=doc.id).apply(doc.export()))
    True
    """
    applied = r.applied
    page.put(title("Report", plural(len(applied), "applied", "applied"), "nothing new" if not r else None))
    rows = [
        ("applied", len(applied), applied),
        ("waiting", len(r.waiting), r.waiting),
        ("void", len(r.void), r.void),
        ("refused", len(r.refused), ()),
        ("known before", r.known, ()),
    ]
    shown = (
        (name, count(n), joined(map(item, islice(ids, 8)), " ")) for name, n, ids in rows if n or name == "applied"
    )
    table(page, ("", "#", "ids"), shown, None)
    if r.refused:
        refusal_table(page, r.refused)


def item(id: object) -> Html:
    """What a report names: a change, a key of a store, or an incarnation."""
    if isinstance(id, bytes) and len(id) == 32:
        return ref(id)
    return key(id)


# ---- who lied


def said(e: Equivocation) -> Iterator[tuple[object, ...]]:
    for id in (e.a, e.b):
        c = e._witness._change(id)
        if c is None:
            yield ref(id), "", "", "", "it is not here any more"
        else:
            yield (
                ref(id),
                moment(c.time),
                count(c.n_ops),
                "" if c.message is None else short(c.message, 160),
                deed(e, c),
            )


def deed(e: Equivocation, c: Change) -> Html:
    """What a change did, where that can be seen without closing the open change, and soon."""
    witness: Any = e._witness
    figures = witness._glance()
    is_open = figures.get("open_ops") or witness._version is None  # the second: a block is
    if not hasattr(witness, "diff") or is_open or figures["changes"] > 10_000:
        return Html("")
    before = (*([c.prev] if c.prev else []), *c.parents)
    steps = list(islice(witness.diff(before, (*before, c.id)), 5))
    shown = [joined((place(target(p)), " ", old_and_new(p))) for p in steps]
    return joined((*shown[:4], *(["…"] if len(steps) > 4 else [])), " ; ")


def target(p: Patch) -> tuple[str | int, ...]:
    """The path of what a patch sets or removes, not only of what holds it."""
    return (*p.path, p.position) if p.kind in ("set", "remove") and isinstance(p.position, str | int) else p.path


def accusation(page: Page, e: Equivocation, crew: Crew) -> None:
    words = f" signed two changes as number {e.seq} of lane "
    page.put(note(word("fork", bad=True), " ", author(e.author, crew), words, ref(e.lane), cls="ckv-note ckv-warn"))
    table(page, ("story", "time it claims", "#ops", "message", "what it did"), said(e), 2)


@shows
def equivocation(page: Page, e: Equivocation) -> None:
    """Somebody who told two stories, and both of them.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> from crdtkv import testing
    >>> doc, eve = ck.Doc(), ck.Identity.generate()
    >>> for story in testing.Forger(doc, eve).fork(lambda d: d.update(vote="yes"), lambda d: d.update(vote="no")):
    ...     report = doc.apply(story)
    >>> shown = notebook.equivocation(doc.equivocations()[0])
    >>> "yes" in shown and "no" in shown
    True
    """
    page.put(title("Equivocation", name=tag("code", fingerprint(e.author))))
    accusation(page, e, Crew())
    page.put(
        note("Its ", tag("code", ".proof"), " convinces anybody: ", tag("code", "crdtkv.verify_equivocation(proof)"))
    )


@shows
def equivocations(page: Page, some: EquivocationList) -> None:
    """All who told two stories.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> "nobody told two stories" in notebook.equivocations(ck.Doc().equivocations())
    True
    """
    n = len({e.author for e in some})
    page.put(
        title(plural(len(some), "equivocation"), f"by {plural(n, 'author')}" if some else "nobody told two stories")
    )
    crew = Crew()
    for i, e in enumerate(some):
        if i == 20 or page.room < 8000:
            page.end(note(f"… and {len(some) - i:,} more"))
            break
        accusation(page, e, crew)
