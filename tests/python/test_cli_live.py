"""crdtkv serve and sync: two files, two processes, real sockets."""

import logging
import os
import signal
import socket

import pytest

import crdtkv as ck
from crdtkv.cli.live import OneLine
from house.shell import done, process, run, said_no, staying

pytest.importorskip("websockets")


def serving(path, *args, **how):
    return staying("serve", path, "--port", "0", *args, **how)


@pytest.fixture
def files(tmp_path):
    """Two files: there is something in the first."""
    here, there = tmp_path / "here.db", tmp_path / "there.db"
    with ck.Database(here) as db:
        db.doc("notes")["title"] = "Picnic"
        db.datastore("kv").update({"a": 1, b"b": [2]})
        db.store("mine")["x"] = 1
    done("init", there)
    return here, there


def test_two_files_come_to_the_same_content(files):
    here, there = files
    with serving(here) as server:
        assert server["url"] == f"ws://127.0.0.1:{server['port']}"
        assert server["author"] == ck.Identity.load(f"{here}.key").public_key.hex()
        said = process("sync", there, server["url"], "--json")
        assert (said.code, said.err) == (0, "")
        assert said.json["names"] == 2 and said.json["conflicts"] == {} and said.json["peers"] == [server["author"]]
        done("put", there, "kv", "c", "3")
        done("put", there, "new", "k", "v", "--kind", "doc")
        result = process("sync", there, server["url"])
        assert (result.code, result.err) == (0, "") and "3 names in step" in result.out
        assert done("get", here, "kv", "c").out == "3\n"  # while it is served
    assert done("ls", there, "--json").json == {"kv": "datastore", "new": "doc", "notes": "doc"}
    assert done("get", here, "new", "k").out == "v\n"
    for name in ("kv", "notes", "new"):
        assert done("show", here, name, "--json").json == done("show", there, name, "--json").json
    assert done("check", here).out == done("check", there).out == "all is well\n"


def test_ctrl_c_ends_a_server(files):
    with serving(files[0], stop=signal.SIGINT, code=130):
        pass
    assert done("check", files[0]).out == "all is well\n"
    assert sorted(os.listdir(files[0].parent)) == ["here.db", "here.db.key", "there.db", "there.db.key"]


def test_a_name_that_is_something_else_there(files):
    here, there = files
    done("put", there, "notes", "title", "mine", "--kind", "doc")
    with serving(here, warns="'notes' is one document here and another") as server:
        result = run("sync", there, server["url"], "--json")
    assert result.code == 1 and "'notes' is one document here and another" in result.err and result.err.count("\n") == 1
    assert list(result.json["conflicts"]) == ["notes"]
    assert done("get", there, "notes", "title").out == "mine\n" and done("get", there, "kv", "a").out == "1\n"


def test_a_name_that_was_not_taken_over_is_not_in_step(files):
    here, there = files
    done("put", there, "mine", "x", "1", "--kind", "doc")
    with serving(here, warns="'mine' is a store here and a document there") as server:
        result = run("sync", there, server["url"], "--json")
        assert result.code == 1 and result.json["unshared"] == 1 and result.json["names"] == 2
        assert "1 of the names here were not taken over there" in result.err


@pytest.mark.parametrize(
    ("args", "warns"),
    [
        (["--host", "0.0.0.0"], "whoever reaches 0.0.0.0 may read and write"),
        (["--host", "0.0.0.0", "--token", "open sesame"], ""),
        (["--host", "0.0.0.0", "--allow", "00" * 32], ""),
        (["--host", "localhost"], ""),
    ],
)
def test_a_server_that_others_reach_says_who_may_write(files, args, warns):
    with serving(files[0], *args, warns=warns) as server:
        assert server["port"]


def test_what_fails_at_a_server_is_a_line_that_says_why():
    def line(error, text="a link ends"):
        return OneLine().format(logging.LogRecord("x", logging.ERROR, "", 0, text, (), (type(error), error, None)))

    assert line(ZeroDivisionError("so it\nis\x1b")) == "crdtkv: a link ends: ZeroDivisionError: so it is\\x1b"
    assert line(OSError("full"), "full: no room") == "crdtkv: full: no room"


def test_only_who_may(files):
    here, there = files
    mine = done("init", here.parent / "other.db", "--json").json["author"]
    other = here.parent / "other.db"
    with serving(here, "--token", "open sesame", "--allow", mine) as server:
        for args in ([], ["--token", "wrong"], ["--token", "open sesame"]):
            assert said_no(3, "sync", there, server["url"], *args)
        assert process("sync", other, server["url"], CRDTKV_TOKEN="open sesame").code == 0
        assert said_no(3, "sync", other, server["url"], "--token", "open sesame", "--allow", "00" * 32)
    assert done("ls", there, "--json").json == {} and len(done("ls", other, "--json").json) == 2
    said_no(2, "serve", here, "--allow", "xyz")
    said_no(2, "serve", here, "--allow", "00")


def test_only_who_dialled_this_server(files):
    here, there = files
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with staying("serve", here, "--port", port, "--hosts", f"LocalHost:{port}", "--hosts", "other:80") as server:
        assert server["url"] == f"ws://127.0.0.1:{port}"
        assert "dialled under a name" in said_no(3, "sync", there, server["url"])
        assert process("sync", there, f"ws://localhost:{port}").code == 0
    for wrong in ("localhost", ":80", "localhost:0", "localhost:http", ""):
        assert "name:port" in said_no(2, "serve", here, "--hosts", wrong)


def test_nobody_answers(files):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        assert "nobody answers after 0.5 seconds" in said_no(
            3, "sync", files[1], f"ws://127.0.0.1:{port}", "--timeout", "0.5"
        )
    assert "nobody answers" in said_no(3, "sync", files[1], f"ws://127.0.0.1:{port}", "--timeout", "0.3")
    said_no(2, "sync", files[1], "http://127.0.0.1")
    said_no(2, "sync", files[1], "ws://127.0.0.1:1", "--timeout", "-1")
    said_no(3, "sync", files[1], "wss://127.0.0.1:1", "--ca", files[1].parent / "nothing.pem")


def test_a_place_that_is_taken(files):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said_no(3, "serve", files[0], "--port", taken.getsockname()[1])
    said_no(3, "serve", files[0], "--host", "192.0.2.1", "--port", 0)
    said_no(3, "serve", files[0], "--cert", files[0].parent / "nothing.pem")


def test_one_server_writes(files):
    with serving(files[0]) as server:
        assert "has it open for writing" in said_no(3, "put", files[0], "kv", "a", "2")
        assert "has it open for writing" in said_no(3, "sync", files[0], server["url"])
        assert done("get", files[0], "kv", "a").out == "1\n"
