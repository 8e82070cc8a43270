"""One of each object that a notebook may be asked to show, with a liar, a void change and waiting ones among them."""

from __future__ import annotations

from typing import Any

import crdtkv as ck
from crdtkv import testing
from crdtkv.net import Limits


def ident(n: int) -> ck.Identity:
    return ck.Identity.from_seed(bytes([n]) * 32)


def troubled(make: Any = ck.Doc) -> Any:
    """Ada's replica: Ben wrote at the same time, Mallory told two stories, Cleo forged a void change, Eve's waits."""
    ada = make(ident(1))
    ada["title"] = "start"
    ada.commit("first words")
    ben = ada.fork(ident(2))
    ada["title"], ben["title"] = "by Ada", "by Ben"
    ada.merge(ben)
    ada["merged"] = True
    ada.commit()
    mallory = testing.Forger(ada, ident(3))
    for story in mallory.fork(lambda d: d.__setitem__("lie", "yes"), lambda d: d.__setitem__("lie", "no")):
        ada.apply(story)
    ada.apply(testing.Forger(ada, ident(4)).forge(lambda d: d.__setitem__("void", 1), n_ops=77))
    eve = ada.fork(ident(5))
    eve["late"] = 1
    then = eve.heads
    for n in range(3):
        eve["late"] = n
        eve.commit()
    ada.apply(eve.export(then))
    assert len(ada.waiting) == 3 and len(ada.equivocations()) == 1 and ada.stats()["void"] == 1
    return ada


def animals(path: str) -> dict[str, Any]:
    """By the name of what is shown. `path`: where a database may be."""
    doc = troubled()
    doc["map"] = {"a": {"b": [1, 2.5, None, True, b"x", "text"]}, "empty": {}}
    doc["list"] = [1, {"n": 2}, ["deep", ["deeper"]]]
    doc["set"] = {1, "two", b"three"}
    doc["text"] = ck.Text("hello")
    doc["count"] = ck.Counter(5)
    doc["text"].mark(0, 2, "bold", True)
    before = doc.heads
    doc["text"] += " world"
    doc["count"] += 2
    events: list[Any] = []
    stack = doc.undo_stack()
    subscription = doc.observe(events.append)
    doc["title"] = "new"
    doc.commit()
    subscription.cancel()

    phone, laptop = ck.Store("phone"), ck.Store("laptop")
    phone["theme"], laptop["theme"], laptop[b"\0"] = {"dark": True}, "light", b"\1"
    pulled = phone.integrate_diff(laptop.build_diff(phone.request_diff()))
    phone.observe(events.append)
    phone["volume"] = 7
    closing = phone.begin()
    closing["x"] = 1
    other = ck.Store("other")
    other["k"] = "v"

    kv = troubled(ck.Datastore)
    kv["user/ada"] = {"langs": ["en", "fr"]}
    kv.counter("views").increment(3)
    kv.put("elsewhere", 1, dag="side")
    kv.crowd("fans").add("ada")
    kv.commit()

    db = ck.Database(path)
    db.doc("notes")["title"] = "Picnic"
    db.store("settings")["a"] = 1
    db.datastore("stats")["b"] = 2
    db.commit()

    refused = doc.apply(testing.Forger(doc, ident(6)).forge(signature=bytes(64)))
    batch = kv.batch()
    batch.put("b", 1)
    return {
        "Batch": batch,
        "Blame": doc["text"].blame(),
        "ByAuthor": kv.counter("views").by_author(),
        "Change": doc.changes()[0],
        "Change, void": next(c for c in doc.changes() if c.void),
        "ChangeList": doc.changes(),
        "Conflicts": troubled().conflicts("title"),
        "Counter": doc["count"],
        "Counters": kv.counters(),
        "Crowd": kv.crowd("fans"),
        "Cursor": doc["text"].cursor(3),
        "Database": db,
        "Datastore": kv,
        "DatastoreCounter": kv.counter("views"),
        "Doc": doc,
        "Doc, empty": ck.Doc(),
        "Edit": testing.Edit("doc['<script>'] = '\\x1b[31m'"),
        "Entries": other.entries(),
        "Entry": doc.history("title")[0],
        "Equivocation": doc.equivocations()[0],
        "EquivocationList": doc.equivocations(),
        "Event": next(e for e in events if isinstance(e, ck.Event)),
        "Faults": testing.Faults(drop=0.5, crash=0),
        "Forger": testing.Forger(doc, ident(7)),
        "Graph": doc.graph(),
        "Graph, of a datastore": kv.graph(),
        "Graph, empty": ck.Doc().graph(),
        "History": kv.history("title"),
        "HostilePeer": testing.HostilePeer(doc, "flood"),
        "Identity": doc.identity,
        "KeyEvent": next(e for e in events if isinstance(e, ck.KeyEvent)),
        "Limits": Limits(bytes=1000, links=3),
        "List": doc["list"],
        "List, detached": ck.List([1, [2]]),
        "Map": doc["map"],
        "Map, of the past": doc.at(before)["map"],
        "Names": db.names(),
        "Network": testing.Network(3, replicas=3).run(60),
        "Network, of datastores": testing.Network(3, replicas=3, kind="datastore").run(60),
        "Network, healed": testing.Network(3, replicas=3).run(60).heal(),
        "Network, new": testing.Network(3, replicas=1, byzantine=0),
        "Patch": doc.diff((), doc.heads)[0],
        "PatchList": doc.diff(before, doc.heads),
        "Refusal": refused.refused[0],
        "Report": refused,
        "Report, of a store": pulled,
        "Session": doc.session(),
        "Set": doc["set"],
        "Stats": doc.stats(),
        "Stats, of a database": db.stats(),
        "Store": phone,
        "Store, empty": ck.Store(),
        "StoreClock": phone.clock,
        "StoreConflicts": phone.conflicts("theme"),
        "StoreEntry": phone.conflicts("theme")[0],
        "StoreSession": other.session(),
        "Subscription": subscription,
        "SyncReport": ck.sync(ck.Doc(id=doc.id), doc),
        "Text": doc["text"],
        "Text, detached": ck.Text("alone"),
        "Text, of the past": doc.at(before)["text"],
        "Timeline": doc.timeline(),
        "Timeline, empty": ck.Datastore().timeline(),
        "Transaction": closing,
        "UndoStack": stack,
        "View": doc.at(before),
        "keys of a Map": doc["map"].keys(),
        "values of a Doc": doc.values(),
        "items of a Store": phone.items(),
        "keys of a Datastore": kv.keys(),
    }
