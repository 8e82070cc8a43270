"""What objects look like in a notebook: HTML that is escaped, bounded, and readable in light, in dark and on paper.

Nothing needs to be installed: objects have `_repr_html_`, which notebooks ask for. `import crdtkv` does not load this
package; the first display does. It is a low floor: it knows HTML and plain data, asks the objects that it is given, and
imports none of their modules.

    page       escaping and room                   palette   authors' colours and signs
    values     keys, ids, times, values            table, tree, words   rows, nested content, coloured text
    past       what happened, who lied             documents, stores    objects and what they hold
    lanes      the hash graph                      pictures  graph and timeline
    trials     simulated networks, liars, limits
    frame      rows for pandas

docs/notebooks.md is the manual.
"""

from crdtkv.notebook.documents import blame, by_author, container, cursor, doc, identity, keys, stats, undo_stack, view
from crdtkv.notebook.past import (
    change,
    changes,
    conflicts,
    entry,
    equivocation,
    equivocations,
    event,
    history,
    key_event,
    patch,
    patches,
    refusal,
    report,
)
from crdtkv.notebook.pictures import graph, graph_svg, timeline, timeline_svg
from crdtkv.notebook.stores import (
    batch,
    clock,
    counters,
    crowd,
    database,
    datastore,
    datastore_counter,
    entries,
    link,
    names,
    presence,
    session,
    store,
    store_conflicts,
    store_entry,
    subscription,
    sync_report,
    transaction,
)
from crdtkv.notebook.trials import edit, faults, forger, hostile_peer, limits, network

__all__ = [
    "batch",
    "blame",
    "by_author",
    "change",
    "changes",
    "clock",
    "conflicts",
    "container",
    "counters",
    "crowd",
    "cursor",
    "database",
    "datastore",
    "datastore_counter",
    "doc",
    "edit",
    "entries",
    "entry",
    "equivocation",
    "equivocations",
    "event",
    "faults",
    "forger",
    "graph",
    "graph_svg",
    "history",
    "hostile_peer",
    "identity",
    "key_event",
    "keys",
    "limits",
    "link",
    "names",
    "network",
    "patch",
    "patches",
    "presence",
    "refusal",
    "report",
    "session",
    "stats",
    "store",
    "store_conflicts",
    "store_entry",
    "subscription",
    "sync_report",
    "timeline",
    "timeline_svg",
    "transaction",
    "undo_stack",
    "view",
]
