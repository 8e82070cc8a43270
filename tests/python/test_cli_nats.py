"""crdtkv nats: two files on one stream of a real nats-server."""

import time

import pytest
from links.streams import needs_server

import crdtkv as ck
from crdtkv.net.directory import Quota
from crdtkv.net.jetstream import state
from house.nats_server import NatsServer
from house.shell import done, run, said_no, staying


@pytest.fixture
def server(tmp_path):
    with NatsServer(tmp_path) as server:
        yield server


@pytest.fixture
def files(tmp_path):
    here, there = tmp_path / "here.db", tmp_path / "there.db"
    with ck.Database(here) as db:
        db.doc("notes")["title"] = "Picnic"
        db.datastore("kv").update({"a": 1, b"b": [2]})
    done("init", there)
    return here, there


@needs_server
def test_two_files_come_to_the_same_content(server, files):
    here, there = files
    warns = "'kv' is one datastore here and another one there"
    with staying("nats", here, server.url, "--stream", "ours", warns=warns) as said:
        assert said["stream"] == "ours" and said["connected"] and said["objects"] == 2 and said["conflicts"] == {}
        other = there.parent / "other.db"
        done("init", other)
        assert (
            "2 names in step with the stream ours" in done("nats", other, server.url, "--once", "--stream", "ours").out
        )
        assert done("show", other, "notes", "--json").json == {"title": "Picnic"}
        done("put", other, "kv", "c", "4")
        done("nats", other, server.url, "--once", "--stream", "ours", "--json")
        until = time.monotonic() + 30
        while run("get", here, "kv", "c").code and time.monotonic() < until:
            time.sleep(0.1)
        assert done("get", here, "kv", "c").out == "4\n"
        done("put", there, "kv", "c", "3")  # a name that means something else here
        result = run("nats", there, server.url, "--once", "--stream", "ours")
        assert (
            result.code == 1 and "'kv' is one datastore here and another" in result.err and result.err.count("\n") == 1
        )
        result = run("nats", there, server.url, "--once", "--stream", "ours", "--json")
        assert result.code == 1 and list(result.json["conflicts"]) == ["kv"]
    assert done("check", here).out == "all is well\n"


@needs_server
def test_names_that_are_not_taken_over(server, files, monkeypatch):
    here, there = files
    done("nats", here, server.url, "--once")
    monkeypatch.setattr(state, "Quota", lambda: Quota(1))
    result = run("nats", there, server.url, "--once")
    assert (
        result.code == 1 and result.out.startswith("1 name in step") and "1 of the names there were not" in result.err
    )


def test_nobody_answers(files):
    started = time.monotonic()
    said = said_no(3, "nats", files[0], "nats://127.0.0.1:9", "--timeout", "0.5")
    assert "after 0.5 seconds" in said and time.monotonic() - started < 20


def test_what_is_no_address_and_no_stream(files):
    said_no(2, "nats", files[0], "http://127.0.0.1")
    said_no(2, "nats", files[0], "nats://127.0.0.1", "--stream", "a.b")
    said_no(2, "nats", files[0], "nats://127.0.0.1:nine")
