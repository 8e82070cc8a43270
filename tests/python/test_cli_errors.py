"""What goes wrong on the command line: one line, one exit code, no traceback."""

import gzip
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib

import pytest

import crdtkv as ck
from crdtkv.cli import main as whole
from crdtkv.cli.answers import Exit
from house.kept import sql
from house.shell import ROOT, done, environment, process, run, said_no


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a file of ours, a damaged one, and others; nothing in it changes."""
    folder = tmp_path_factory.mktemp("files")
    with ck.Database(folder / "app.db") as db:
        db.datastore("kv").update({"a": 1, "b": "text"})
        db.doc("d")["x"] = 1
        db.store("s")["x"] = 1
    (folder / "letter").write_text("dear Ben" * 1000)
    data = bytearray((folder / "app.db").read_bytes())
    for at in range(4096, len(data), 997):
        data[at] ^= 0x55
    (folder / "broken.db").write_bytes(data)
    shutil.copy(folder / "app.db", folder / "hurt.db")  # opens, and nothing in it does
    shutil.copy(folder / "app.db.key", folder / "hurt.db.key")
    sql(folder / "hurt.db", "UPDATE record SET data = zeroblob(9) WHERE kind != 5")
    return folder


FAILURES = [
    (1, "get app.db kv nothing"),
    (1, "get app.db nothing a"),
    (1, "del app.db kv nothing"),
    (1, "query app.db nothing"),
    (1, "count app.db nothing"),
    (1, "show app.db nothing"),
    (1, "show app.db d y"),
    (1, "ls app.db nothing"),
    (1, "log app.db nothing"),
    (1, "graph app.db nothing"),
    (1, "stats app.db nothing"),
    (1, "diff app.db nothing empty heads"),
    (1, "diff app.db d 0000000000000000 heads"),
    (1, "blame app.db nothing x"),
    (1, "blame app.db d y"),
    (1, "export app.db nothing out"),
    (2, ""),
    (2, "frob"),
    (2, "get"),
    (2, "get app.db"),
    (2, "get app.db kv"),
    (2, "get app.db kv a b"),
    (2, "get app.db kv a --frob"),
    (2, "--frob get app.db kv a"),
    (2, "put app.db kv"),
    (2, "put app.db kv a"),
    (2, "put app.db kv a 1 --kind frob"),
    (2, "put app.db kv a 99999999999999999999"),
    (2, "query app.db kv --limit x"),
    (2, "query app.db kv --limit -1"),
    (2, "query app.db kv --limit"),
    (2, "log app.db s"),
    (2, "graph app.db s"),
    (2, "diff app.db s empty heads"),
    (2, "diff app.db d what heads"),
    (2, "blame app.db s x"),
    (2, "ls :memory:"),
    (2, "demo --seed x"),
    (2, "completion tcsh"),
    (2, "serve app.db --port 99999999"),
    (2, "sync app.db"),
    (2, "sync app.db ftp://127.0.0.1"),
    (2, "nats app.db http://127.0.0.1"),
    (2, "serve app.db --host .. --port 0"),
    (2, f"serve app.db --host {'a' * 70} --port 0"),
    (2, "serve app.db --port 0 --token="),
    (2, "serve app.db --port 0 --cert-key letter"),
    (2, f"sync app.db ws://{'a' * 70}:9"),
    (2, f"nats app.db nats://{'a' * 70}:9"),
    (2, "sync app.db ws://127.0.0.1:9 --timeout nan"),
    (2, f"query app.db kv --prefix {'k' * 5000}"),
    (1, f"show app.db kv {'k' * 5000}"),
    (1, f"show app.db kv {'[' * 100_000}"),
    (1, f"blame app.db d {'[' * 100_000}"),
    (3, "serve app.db --cert nothing"),
    (4, "serve app.db --cert letter"),
    (3, "sync app.db wss://127.0.0.1:9 --ca nothing"),
    (3, "ls nothing.db"),
    (3, "get nothing.db kv a"),
    (3, "put nothing.db kv a 1"),
    (3, "check nothing.db"),
    (3, "verify nothing.db"),
    (3, "compact nothing.db"),
    (3, "ls ."),
    (3, "get . kv a"),
    (3, "put . kv a 1"),
    (3, "check ."),
    (3, "ls no/where.db"),
    (3, "ls letter/app.db"),
    (3, "init app.db"),
    (3, "backup app.db letter"),
    (3, "import app.db kv nothing"),
    (3, "export app.db kv no/where"),
    (3, "replay nothing"),
    (3, "serve nothing.db"),
    (3, "sync nothing.db ws://127.0.0.1:9"),
    (3, "sync app.db ws://127.0.0.1:9 --timeout 0.2"),
    (3, "nats app.db nats://127.0.0.1:9 --timeout 0.2"),
    (3, "ls /dev/zero"),
    (3, "backup app.db no/where"),
    (4, "ls letter"),
    (4, "get letter kv a"),
    (4, "put letter kv a 1"),
    (4, "check letter"),
    (4, "verify letter"),
    (4, "compact letter"),
    (4, "get broken.db kv a"),
    (4, "put hurt.db s x 1"),
    (4, "put hurt.db d x 1"),
    (4, "del hurt.db s x"),
    (4, "del hurt.db d x"),
    (4, "import app.db kv letter"),
    (4, "import app.db new letter"),
    (4, "replay letter"),
    (4, "import app.db kv /dev/zero"),
    (4, "import app.db kv /dev/null"),
]


@pytest.mark.parametrize(("code", "words"), FAILURES, ids=[words[:60] for _, words in FAILURES])
def test_failures(files, monkeypatch, code, words):
    monkeypatch.chdir(files)
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    said_no(code, *words.split())
    assert {path.name: path.read_bytes() for path in files.iterdir()} == before


def test_a_file_of_an_older_version_is_no_damage(tmp_path):
    path = tmp_path / "app.db"
    with ck.Database(path) as db:
        db.doc("notes")["x"] = 1
    sql(path, "DROP TABLE sheaf")
    sql(path, "PRAGMA user_version = 1")
    said = said_no(4, "ls", path)
    assert "is of version 1" in said and "`crdtkv compact` does" in said and "damage" not in said
    done("compact", path)
    assert done("ls", path).out == "notes\tdoc\n"


@pytest.mark.parametrize(("command", "scheme"), [("sync", "ws"), ("nats", "nats")])
def test_a_password_in_an_address_is_not_printed(files, command, scheme):
    said = said_no(3, command, files / "app.db", f"{scheme}://ada:secret@127.0.0.1:9", "--timeout", "0.2")
    assert f"{scheme}://127.0.0.1:9" in said and "secret" not in said and "ada" not in said


def test_no_command_with_json_prints_no_help():
    assert run("--json").out == "" and "Usage" in run().out


@pytest.mark.parametrize(("code", "words"), FAILURES[::5], ids=[words[:60] for _, words in FAILURES[::5]])
def test_failures_with_json_print_null_or_nothing(files, monkeypatch, code, words):
    monkeypatch.chdir(files)
    result = run("--json", *words.split())
    assert result.code == code and result.stdout == (b"null\n" if code == 1 else b"")


def test_codes_in_a_process_of_its_own(files):
    for code, words in ((1, ["get", "kv", "nothing"]), (0, ["get", "kv", "a"]), (0, ["ls"])):
        assert process(words[0], files / "app.db", *words[1:]).code == code
    assert process().code == 2 and b"Usage" in process().stdout
    assert process("--version").out.startswith("crdtkv ")
    for help in (["--help"], ["-h"], ["get", "--help"]):
        result = process(*help)
        assert result.code == 0 and result.out.startswith("Usage: crdtkv") and not result.stderr


def test_every_command_has_help():
    overview = run("--help").out
    for name in whole.COMMANDS:
        assert f"  {name} " in overview
        help = run(name, "--help").out
        assert help.startswith(f"Usage: crdtkv {name} ") and "--json" in help and "Traceback" not in help


@pytest.mark.parametrize("command", ["ls {}", "put {} kv a 1", "check {}", "verify {}", "compact {}", "backup {} copy"])
def test_a_pipe_is_no_file_and_nobody_waits_for_its_other_end(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    assert "pipe" in said_no(3, *command.format("pipe").split())
    assert os.listdir() == ["pipe"]


@pytest.mark.parametrize("error", [ck.DecodeError("block 7"), OSError(5, "Input/output error")])
def test_what_fails_in_its_midst_leaves_no_half_of_json(files, monkeypatch, error):
    def rows(*args):
        yield from [("a", 1), ("b", 2)]
        raise error

    monkeypatch.setattr("crdtkv.cli.keys.entries", rows)
    ended = run("query", files / "app.db", "kv", "--json")
    assert ended.stdout == b"" and ended.code in (3, 4)


def test_a_message_has_an_end(files):
    assert 1500 < len(said_no(1, "get", files / "app.db", "x" * 100_000, "a")) < 2500


def test_numbers_beyond_all_bounds_are_bounds_of_nothing(files):
    path, many = files / "app.db", 10**30
    assert run("query", path, "kv", "--limit", many, "--json").json == [["a", 1], ["b", "text"]]
    assert run("query", path, "kv", "--limit", 2**63 - 1, "--offset", 1, "--json").json == [["b", "text"]]
    assert run("query", path, "kv", "--offset", many, "--json").json == []
    assert len(run("log", path, "-n", many, "--json").json) == len(run("graph", path, "--limit", many, "--json").json)


# ---- pipes, signals, terminals that know ASCII only


def shell(script, **more):
    command = f'crdtkv() {{ "{sys.executable}" -m crdtkv "$@"; }}\n{script}'
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, env=environment(**more), check=False, timeout=120
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A file with 100,000 keys."""
    path = tmp_path_factory.mktemp("large") / "large.db"
    with ck.Database(path) as db:
        db.datastore("kv").update({f"key/{n:06}": {"n": n} for n in range(100_000)})
        db.store("s").update({f"key/{n:06}": n for n in range(100_000)})
    return path


@pytest.mark.parametrize(
    "command", ["query FILE kv", "query FILE kv --json", "query FILE s", "ls FILE kv", "show FILE kv"]
)
def test_whoever_reads_may_go(large, command):
    command = command.replace("FILE", str(large))
    ended = shell(f"crdtkv {command} | head -c 20; echo ${{PIPESTATUS[0]}}")
    assert ended.stderr == b"" and ended.stdout.endswith(b"141\n"), ended


@pytest.mark.parametrize(
    "command", ["--help", "get --help", "completion bash", "check FILE", "ls FILE nothing --json", ""]
)
def test_whoever_reads_may_go_before_we_speak(files, command):
    """Also where little is said, at the very end, and where the answer is no."""
    command = command.replace("FILE", str(files / "app.db"))
    ended = shell(f"exec 3>&1; {{ sleep 0.3; crdtkv {command}; echo $? >&3; }} | true")
    assert ended.stdout == b"141\n" and ended.stderr == b"", ended


def test_output_that_nobody_can_take():
    ended = shell("crdtkv demo > /dev/full")
    assert ended.returncode == 3 and ended.stderr.startswith(b"crdtkv: No space left"), ended
    assert ended.stderr.count(b"\n") == 1


def test_output_for_nobody(large):
    for redirection in (">&-", "2>&-", ">&- 2>&-"):
        for command, code in ((f"get {large} kv key/000001", 0), (f"get {large} kv nothing", 1), (f"ls {large}x", 3)):
            ended = shell(f"crdtkv {command} {redirection}")
            assert ended.returncode == code and b"Traceback" not in ended.stderr, ended


def test_errors_that_nobody_can_be_told(files):
    path = files / "app.db"
    for command, code in (
        (f"ls {path}x", 3),
        (f"get {path} kv nothing", 1),
        ("frob", 2),
        (f"get {path} kv a >/dev/full", 3),
    ):
        assert shell(f"crdtkv {command} 2>/dev/full").returncode == code, command


def test_input_of_nobody(tmp_path):
    done("init", tmp_path / "app.db")
    ended = shell(f"crdtkv put {tmp_path}/app.db kv a --stdin <&-; crdtkv get {tmp_path}/app.db kv a --json <&-")
    assert (ended.stdout, ended.stderr) == (b'""\n', b""), ended
    ended = shell(f"crdtkv import {tmp_path}/app.db new - <&-")
    assert ended.returncode == 4 and ended.stderr.count(b"\n") == 1, ended


def test_input_without_end(tmp_path, monkeypatch):
    path = tmp_path / "app.db"
    done("init", path)
    began = time.monotonic()
    ended = shell(f"ulimit -v 1000000; crdtkv put {path} kv a --stdin --bytes </dev/zero")
    assert ended.returncode == 2 and b"more than 64 MiB" in ended.stderr and time.monotonic() - began < 20, ended
    monkeypatch.setattr("crdtkv.cli.keys.LARGEST", 100)
    assert "more than" in said_no(2, "put", path, "kv", "a", "--stdin", stdin=b"[1" * 100)
    monkeypatch.setattr("crdtkv.cli.bundles.LARGEST", 10_000)
    for kind in (b"CKB", b"CKD", b"V"):
        assert "does not end" in said_no(4, "import", path, "new", "-", stdin=kind + bytes(10_000))
    assert run("ls", path, "--json").json == {}


def test_a_trace_that_unpacks_to_very_much(tmp_path, monkeypatch):
    monkeypatch.setattr("crdtkv.traces.LARGEST", 1 << 20)
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b"[" + b"1," * (10 << 20)))
    assert "bomb" in said_no(4, "replay", tmp_path / "bomb.json.gz")
    os.mkfifo(tmp_path / "pipe.json.gz")  # in a folder nobody meant it
    assert "bomb" in said_no(4, "replay", tmp_path)


def test_100_000_keys(large):
    rows = run("query", large, "kv", "--json").json
    assert len(rows) == 100_000 and rows[77] == ["key/000077", {"n": 77}]
    assert run("count", large, "kv", "--json").json == 100_000
    assert run("query", large, "kv", "--keys-only", "--reverse", "--limit", 1, "--json").json == ["key/099999"]
    assert run("query", large, "s", "--after", "key/099997", "--json").json == [
        ["key/099998", 99998],
        ["key/099999", 99999],
    ]
    assert run("get", large, "kv", "key/050000", "--json").json == {"n": 50000}
    assert run("ls", large, "kv").out.count("\n") == 100_000
    assert run("verify", large).code == 0


def test_ctrl_c(large):
    with subprocess.Popen(
        [sys.executable, "-m", "crdtkv", "query", large, "kv", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        process.stdout.read(1)  # it is at work, and waits for us to read the rest
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.stdout.read()
        assert process.wait(60) == 130
        assert process.stderr.read() == b"crdtkv: interrupted\n"


@pytest.mark.parametrize(
    "more", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_terminal_that_knows_ascii_only(tmp_path, more):
    path = tmp_path / "ü.db"
    with ck.Database(path) as db:
        db.datastore("größe")["schlüssel"] = "Wörter 🎉"
    assert process("get", path, "größe", "schlüssel", **more).stdout == rb"W\xf6rter \U0001f389" + b"\n"
    assert process("get", path, "größe", "schlüssel", "--json", **more).json == "Wörter 🎉"
    assert process("ls", path, **more).stdout == rb"gr\xf6\xdfe" + b"\tdatastore\n"
    missing = process("get", path, "größe", "nö", **more)
    assert missing.code == 1 and missing.stderr.count(b"\n") == 1 and b"Traceback" not in missing.stderr
    assert process("put", path, "größe", "neu", "schön", **more).code == 0
    assert process("get", path, "größe", "neu", "--json", **more).json == "schön"


def test_ctrl_c_while_a_file_is_being_opened(files, monkeypatch):
    def names(self):
        raise KeyboardInterrupt

    def leave(self, *error):
        self.close()
        raise RuntimeError("1 objects of the file are still bound")

    monkeypatch.setattr(ck.Database, "names", names)
    monkeypatch.setattr(ck.Database, "__exit__", leave)
    assert said_no(Exit.INTERRUPTED, "ls", files / "app.db") == "crdtkv: interrupted\n"


def test_without_what_it_needs(tmp_path):
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError('no click', name='click')")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    ended = process("demo", PYTHONPATH=path)
    assert ended.code == 3 and ended.err == "crdtkv: the command line needs click: pip install 'crdtkv[cli]'\n"


def test_the_script_that_is_installed():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["crdtkv"].partition(":")
    assert getattr(importlib.import_module(module), name)(["count"]) == 2


def test_import_of_the_library_needs_nothing_of_it():
    code = "import sys, crdtkv; sys.exit(any(name in sys.modules for name in ('click', 'rich', 'crdtkv.cli')))"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0


def test_a_bug_is_one_line_too(monkeypatch):
    def buggy(self, ctx, name):
        raise ZeroDivisionError("what\nnow")

    monkeypatch.setattr(whole.App, "get_command", buggy)
    assert "a bug of crdtkv: ZeroDivisionError: what now" in said_no(Exit.BUG, "ls", "x")
    monkeypatch.setenv("CRDTKV_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        run("ls", "x")


# ---- completion


def completed(folder, line):
    words = f"crdtkv {line}"
    more = {"_CRDTKV_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    program = "import sys; from crdtkv.__main__ import main; sys.exit(main())"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(**more),
        check=False,
    )
    assert not ended.stderr and ended.returncode == 0
    return [line.split(",", 1)[1] for line in ended.stdout.split()]


def test_completion(files):
    assert completed(files, "ex") == ["export"]
    assert completed(files, "get app.db ") == ["d", "kv", "s"]
    assert completed(files, "get app.db k") == ["kv"]
    assert completed(files, "get letter k") == [] == completed(files, "get nothing.db ")
    assert completed(files, "query app.db kv --pre") == ["--prefix"]
    for name in ("bash", "zsh", "fish"):
        assert "_CRDTKV_COMPLETE" in run("completion", name).out


def test_completion_offers_nothing_that_a_shell_would_run(tmp_path):
    """Whoever we are linked with chooses names, and bash puts what is completed on the line as it is."""
    good = ["plain", "with-dash.2", "größe/1", "a:b@c"]
    bad = [
        "$(touch evil)",
        "`id`",
        "a b",
        "a;id",
        "a|id",
        "a>b",
        "a&b",
        "'",
        '"',
        "*",
        "~root",
        "-x",
        "--help",
        "!!",
        "\\",
        "#",
    ]
    with ck.Database(tmp_path / "app.db") as db:
        for name in [*good, *bad, "a\nb"]:
            db.doc(name)
    assert sorted(completed(tmp_path, "get app.db ")) == sorted(good)
    assert completed(tmp_path, "get app.db $") == [] == completed(tmp_path, "get app.db -x")


def test_completion_does_not_wait_for_the_other_end_of_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert completed(tmp_path, "get pipe ") == []
