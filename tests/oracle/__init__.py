"""The oracle: a second crdtkv, written from docs/format.md alone, to be read aloud.

    wire.py     numbers, names, signatures, header of a change
    body.py     body of a change: operations, refs, the table
    columns.py  the column form of changes: read, and write
    bundle.py   bundles: read, and write (forged ones too)
    proof.py    proofs of equivocation: read, verify, write
    fugue.py    the order of a text or list, by the tree of the FugueMax paper
    effects.py  what operations do: items, registers, containers, what is deleted
    graph.py    changes, what they have done, and how a change names the items of its past
    judge.py    canonical form and rule 14
    view.py     what a set of changes says
    model.py    Replica: what a set of changes means
    message.py  messages of sessions: the frame, the keyed hash
    compare.py  what an end finds out about the other one: ranges of tips, the search in forked lanes
    live.py     live changes, and the tracks that they follow
    session.py  Session: one end of an exchange
    author.py   Author, Pen, Draft: write honest changes and odd ones, all from a seed
    lies.py     one lie for each rule, with its verdict
    nested.py   values of stores: read, and write

It caches nothing and is thousands of times slower than the library. It needs pynacl, zstandard and xxhash.
"""
