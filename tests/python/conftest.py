"""Where a datastore lives: in memory, and in a file."""

import pytest

import crdtkv as ck
from house.datastores import ID, datastore, identity


@pytest.fixture(params=["memory", "file"])
def kv(request, tmp_path):
    if request.param == "memory":
        yield datastore()
        return
    with ck.Database(tmp_path / "one.db", identity(1)) as db:
        yield db.datastore("kv", id=ID)
