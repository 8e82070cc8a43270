"""Files of every version there was: brought up to date, they say what they said, and go on."""

import gzip
import re

import pytest
from golden.make_file import FOLDER, describe

import crdtkv as ck
from crdtkv import openfile
from house.datastores import LONG, identity

FILES = {int(re.sub(r"\D", "", path.name)): path for path in FOLDER.glob("file_v*.db.gz")}


def unpacked(tmp_path, version):
    path = tmp_path / "x.db"
    path.write_bytes(gzip.decompress(FILES[version].read_bytes()))
    return path, (FOLDER / f"file_v{version}.txt").read_text()


def test_there_is_one_of_each_version():
    assert sorted(FILES) == list(range(1, openfile.SCHEMA + 1))


@pytest.mark.parametrize("version", sorted(FILES))
def test_it_says_what_it_said(tmp_path, version):
    path, said = unpacked(tmp_path, version)
    if version < openfile.SCHEMA:
        with pytest.raises(ck.StoreError, match="once for writing"):
            ck.Database(path, read_only=True)
    assert describe(path) == said
    with ck.Database(path, read_only=True) as db:
        assert db._open.file.run("PRAGMA user_version") == [(openfile.SCHEMA,)]


@pytest.mark.parametrize("version", sorted(FILES))
def test_it_goes_on(tmp_path, version):
    path, said = unpacked(tmp_path, version)
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        root = kv.root
        kv.compact()
        assert kv.root == root and kv.check() == []
        ((packed,),) = db._open.file.run("SELECT sum(n) FROM sheaf")
        assert packed > 80, "lone puts that were superseded stand in columns by now, whoever dropped them"
    assert describe(path) == said
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        kv["more"] = LONG
        kv.commit()
        other = ck.Datastore(identity(4), id=kv.id)
        ck.sync(kv, other)
        assert other["more"] == LONG and other.root == kv.root and db.check() == []
