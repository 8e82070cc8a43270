"""Sheaves: tests/golden/sheaf.txt is what the oracle writes, and of what stands in a file it makes headers."""

import hashlib
import sqlite3

import pytest
from golden.make_sheaf import FOLDER, lines

import crdtkv as ck
from house.datastores import LONG, datastore, identity
from oracle.sheaf import CLAIMED, DROPPED, HERE, digest_of, header_of, read_sheaf, write_sheaf
from oracle.wire import Broken


def test_the_golden_lines_are_what_the_oracle_writes():
    written = [line.split() for line in lines()]
    golden = [line.split() for line in (FOLDER / "sheaf.txt").read_text().splitlines()]
    assert len(written) == len(golden)
    for new, old in zip(written, golden, strict=True):
        if old[0] == "packed":  # as another version of Zstandard may write it
            new[2], old[2] = (read_sheaf(bytes.fromhex(data), int(old[1])) for data in (new[2], old[2]))
        assert new == old


def test_bytes_that_end_early_are_none():
    good = next(line for line in lines() if line.startswith("plain")).split()
    data = bytes.fromhex(good[2])
    with pytest.raises((Broken, AssertionError)):
        read_sheaf(data[:-1], int(good[1]))


def test_a_file_has_them_as_the_oracle_reads_them(tmp_path):
    """Two authors, two DAGs, all states: each header has the id that the change is known by, and the row says so."""
    path = tmp_path / "x.db"
    full = datastore(2)
    with ck.Database(path, identity(1), durability="normal") as db:
        kv = db.datastore("kv", id=full.id)
        for n in range(300):
            who = full if n % 7 == 3 else kv
            dag = "feed" if n % 5 == 4 else "default"
            who.put(f"k{n % 3}", f"{n} {LONG}" if n % 4 else n, dag=dag)
            who.commit(f"lone {n}" if n % 9 == 0 else None)
            if n % 40 == 0 and n < 200:
                ck.sync(kv, full)
        full.apply(kv.export())
        for dag in ("default", "feed"):
            for key in ("k0", "k1", "k2"):
                full.put(key, "settled", dag=dag)
            full.commit()
        full.compact()
        kv.apply(full.export())
        kv.compact()
        by_id = {change.id: (change.seq, change.message) for change in kv.changes()}
        lanes = {row: bytes(key + nonce) for row, key, nonce in db._open.file.run("SELECT id, author, nonce FROM lane")}
    states = set()
    with sqlite3.connect(path) as file:
        rows = file.execute("SELECT id, last, n, data FROM sheaf ORDER BY id").fetchall()
        change_rows = file.execute("SELECT id, lane, header FROM change").fetchall()
        dags = dict(file.execute("SELECT id, name FROM dag").fetchall())
    file.close()
    for dag, name in dags.items():
        doc = (
            full.id
            if name == "default"
            else hashlib.blake2b(full.id + name.encode(), digest_size=32, person=b"crdtkv-dag-v1").digest()
        )
        found = {id & 0xFFFFFFFF: (lane, header) for id, lane, header in change_rows if id >> 32 == dag}
        sheaves = []
        for id, last, n, data in rows:
            if id >> 32 != dag:
                continue
            items, ids = read_sheaf(data, id & 0xFFFFFFFF)
            assert len(items) == n and items[-1].number == last
            assert read_sheaf(write_sheaf(items, ids), id & 0xFFFFFFFF) == (items, ids)
            sheaves.append((items, ids))
            found.update({item.number: (item.lane, item) for item in items})
        names: list[bytes] = []
        seqs: list[int] = []
        for number in range(len(found)):
            lane, item = found[number]
            header = item if isinstance(item, bytes) else header_of(item, names, seqs)
            opening = hashlib.blake2b(doc + lanes[dag << 32 | lane], digest_size=32, person=b"crdtkv-lane-v1").digest()
            change = hashlib.blake2b(header, digest_size=32, salt=opening[:16], person=opening[16:]).digest()
            assert change in by_id, "the header that was hashed"
            names.append(change)
            seqs.append(by_id[change][0])
            if not isinstance(item, bytes):
                states.add(item.state)
                assert by_id[change][1] == item.message
        for items, ids in sheaves:
            assert ids == digest_of([names[item.number] for item in items])
    assert states == {HERE, DROPPED, CLAIMED}
