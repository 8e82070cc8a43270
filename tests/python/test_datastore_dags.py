"""Named DAGs: heads of their own over one key space; what they supersede in each other; purge and admit."""

import itertools

import pytest

import crdtkv as ck
from house.datastores import ID, LONG, assert_equal, content, datastore, identity, meet


def test_each_has_heads_of_its_own(kv):
    assert kv.dags() in ({}, {"default": ()})
    kv["a"] = 1
    kv.put("b", 2, dag="other")
    kv.put("c", 3, dag="other")
    dags = kv.dags()
    assert set(dags) == {"default", "other"}
    assert kv.heads == tuple(sorted(dags["default"] + dags["other"]))
    assert kv == {"a": 1, "b": 2, "c": 3}


def test_a_put_supersedes_what_its_author_saw_anywhere(kv):
    """Whatever the clocks of the DAGs are."""
    for n in range(10):
        kv["k"] = n
        kv.commit()
    for n, dag in enumerate(["x", "y", "default", "x", "z"]):
        kv.put("k", f"{n} in {dag}", dag=dag)
        kv.commit()
        assert kv["k"] == f"{n} in {dag}" and len(kv.conflicts("k")) == 1, dag


def test_a_delete_supersedes_everywhere(kv):
    kv.put("k", 1, dag="x")
    kv.put("k", 2, dag="y")
    del kv["k"]
    assert "k" not in kv and kv.conflicts("k") == {}
    kv.commit()
    assert "k" not in kv and list(kv) == []


def test_concurrent_puts_in_two_dags_are_conflicts():
    a, b = datastore(1), datastore(2)
    a.put("k", "a", dag="x")
    b.put("k", "b", dag="y")
    meet(a, b)
    assert_equal(a, b)
    assert set(a.conflicts("k").values()) == {"a", "b"}
    a.put("k", "both", dag="x")
    meet(a, b)
    assert_equal(a, b)
    assert list(b.conflicts("k").values()) == ["both"]


def test_names_act_whichever_dag_comes_first():
    a = datastore(1)
    a["k"] = "default"
    a.commit()
    first = a.export()
    before = a.heads
    a.put("k", "x", dag="x")
    second = a.export(before)
    b, c = datastore(2), datastore(3)
    b.apply(first), b.apply(second)
    assert c.apply(second).applied and c == {"k": "x"}
    c.apply(first)
    assert_equal(a, b, c)
    assert list(c.conflicts("k").values()) == ["x"]


def test_purge_forgets_a_dag_and_what_it_superseded_shows_again(kv):
    kv["k"] = "default"
    kv["l"] = "default"
    kv.commit()
    kv.put("k", "x", dag="x")
    kv.commit()
    kv.put("k", "x2", dag="x")
    kv.put("m", "x", dag="x")
    kv.commit()
    assert kv == {"k": "x2", "l": "default", "m": "x"}
    root_before = kv.root
    assert kv.purge("x") == 2
    assert kv == {"k": "default", "l": "default"} and kv.root != root_before
    assert list(kv.conflicts("k").values()) == ["default"]
    assert "x" not in kv.dags() or kv.dags()["x"] == ()
    assert [e.value for e in kv.history("k")] == ["default"]


def test_what_a_third_dag_saw_stays_superseded(kv):
    for n in range(5):
        kv.put("k", n, dag="x")
        kv.commit()
    kv.put("k", "y", dag="y")
    kv.commit()
    kv.put("k", "z", dag="z")
    kv.commit()
    kv.purge("y")
    assert kv["k"] == "z" and len(kv.conflicts("k")) == 1


def test_a_purged_dag_is_refused_until_it_is_admitted():
    a, b = datastore(1), datastore(2)
    a.put("k", 1, dag="x")
    a["d"] = 2
    meet(a, b)
    assert b.purge("x") == 1
    assert b == {"d": 2}
    report = b.apply(a.export())
    assert not report.applied and len(report.refused) >= 1 and b == {"d": 2}
    meet(a, b)
    assert b == {"d": 2} and a == {"d": 2, "k": 1}
    with pytest.raises(ck.Error):
        b.put("k", 2, dag="x")
    a["e"] = 3
    meet(a, b)
    assert b == {"d": 2, "e": 3}, "the other DAGs go on"
    b.admit("x")
    meet(a, b)
    assert b == a == {"d": 2, "e": 3, "k": 1}
    assert_equal(a, b)


@pytest.mark.parametrize("ask_first", [True, False])
def test_whoever_steps_a_session_hears_that_a_dag_was_admitted(ask_first):
    """Both ends have closed it: who waited for `done` would wait for ever."""
    a = ck.Datastore()
    a.put("k", 1, dag="x")
    b = a.fork(ck.Identity.generate())
    here, there = a.session(), b.session()

    def step():
        while not (here.done and there.done):
            for one, other in (here, there), (there, here):
                while message := one.send():
                    other.receive(message)

    step()
    b.purge("x")
    step()
    assert "k" not in b
    b.admit("x")
    if ask_first:
        assert not there.done
    with pytest.raises(ck.SyncError, match="begin another session"):
        step()
    assert there.send() is None and not there.done
    assert ck.sync(a, b).changes == 1 and b["k"] == 1


def test_purge_is_local_and_survives_reopening(tmp_path):
    with ck.Database(tmp_path / "x.db") as db:
        kv = db.datastore("kv")
        kv.put("k", 1, dag="x")
        kv["d"] = 1
        data = kv.export()
        assert kv.purge("x") == 1
    with ck.Database(tmp_path / "x.db") as db:
        kv = db.datastore("kv")
        assert kv == {"d": 1}
        kv.apply(data)
        assert kv == {"d": 1}
        kv.admit("x")
        kv.apply(data)
        assert kv == {"d": 1, "k": 1}
        kv.put("k", 2, dag="x")
        kv.commit()
        assert kv["k"] == 2 and len(kv.dags()["x"]) == 1


def test_purge_of_what_is_not_there(kv):
    with pytest.raises(KeyError):
        kv.purge("nothing")


def test_the_default_dag_may_be_purged_too(kv):
    kv["a"] = 1
    kv.counter("n").increment()
    kv.put("b", 2, dag="x")
    kv.commit()
    assert kv.purge("default") >= 1
    assert kv == {"b": 2} and int(kv.counter("n")) == 0
    kv.admit("default")
    kv["a"] = 3
    kv.commit()
    assert kv == {"a": 3, "b": 2}


def test_purging_again_and_again(kv):
    for n in range(5):
        kv.put("k", n, dag="x")
        kv.commit()
        assert kv["k"] == n
        assert kv.purge("x") == 1
        assert kv == {}
        kv.admit("x")


def test_names_of_dags_have_limits(kv):
    kv.put("k", 1, dag="x" * 255)
    with pytest.raises(ck.LimitError):
        kv.put("k", 1, dag="x" * 256)
    with pytest.raises(ck.LimitError):
        kv.put("k", 1, dag="ä" * 128)
    for bad in (5, None, b"x"):
        with pytest.raises(TypeError):
            kv.put("k", 1, dag=bad)
    with pytest.raises(ValueError, match=r".*"):
        kv.put("k", 1, dag="\ud800")
    kv.commit()
    assert set(kv.dags()) - {"default"} == {"x" * 255}


def test_there_may_be_many():
    a, b = datastore(1), datastore(2)
    for n in range(100):
        a.put(f"{n}", n, dag=f"dag {n}")
    meet(a, b)
    assert_equal(a, b)
    assert len(b.dags()) >= 100 and len(b) == 100 and len(b.heads) == 100


def test_roots_are_equal_whatever_the_order():
    writes = [("a", "x"), ("b", "default"), ("c", "y")]
    parts = []
    a = datastore(1)
    for key, dag in writes:
        before = a.heads
        a.put(key, 1, dag=dag)
        parts.append(a.export(before))
    roots = set()
    for order in itertools.permutations(parts):
        b = datastore(2)
        for part in order:
            b.apply(part)
        assert content(b) == content(a)
        roots.add(b.root)
    assert roots == {a.root}


def test_a_dag_that_only_one_side_has_is_made_on_the_other():
    a, b = datastore(1), datastore(2)
    a.put("k", 1, dag="x")
    b.put("l", 2, dag="y")
    ck.sync(a, b)
    assert_equal(a, b)
    assert set(a.dags()) - {"default"} == {"x", "y"}


def test_history_is_over_all(kv):
    kv["k"] = 1
    kv.commit()
    kv.put("k", 2, dag="x")
    kv.commit()
    assert {e.value for e in kv.history("k")} == {1, 2}


def test_compaction_keeps_what_purge_needs(kv):
    kv["k"] = LONG
    kv.commit()
    kv.put("k", LONG + "x", dag="x")
    kv.commit()
    kv.compact()
    kv.purge("x")
    assert kv == {"k": LONG}


def test_compaction_keeps_what_hides_something_elsewhere():
    a, b = datastore(1), datastore(2)
    a["k"] = LONG
    meet(a, b)
    b.put("k", LONG + "b", dag="x")
    meet(a, b)
    c = datastore(3)
    c.apply(b.export())
    fresh = datastore(4)  # sees only the DAG x
    for _ in range(1):
        b.put("k", LONG + "b2", dag="x")
    meet(a, b, c)
    for kv in (a, b, c):
        kv.compact()
        assert kv["k"] == LONG + "b2" and len(kv.conflicts("k")) == 1
    meet(c, fresh)
    assert_equal(a, b, c, fresh)


def test_reading_knows_no_dags(kv):
    kv.put("b", 1, dag="x")
    kv["a"] = 2
    kv.put("c", 3, dag="y")
    assert list(kv.query()) == [("a", 2), ("b", 1), ("c", 3)]


def test_a_name_that_was_dead_counts_again_when_its_dag_is_purged(kv):
    """compact() forgets that a put names what was overwritten in its own DAG; purge() forgets that it was."""
    kv.put("k", 1, dag="x")
    kv["k"] = 2  # names the one in x
    kv.put("k", 3, dag="x")
    kv["k"] = 4
    kv.commit()
    kv.compact()
    assert kv.check() == []
    assert kv.purge("x") == 2
    assert kv.check() == [] and dict(kv) == {"k": 4}


@pytest.mark.parametrize("in_file", [False, True])
def test_what_was_dropped_on_account_of_a_purged_dag_is_asked_for(tmp_path, in_file):
    """The DAG comes back in part: what the dropped body named would show again, where it was dropped alone."""
    with ck.Database(tmp_path / "a.db", identity(1)) as db:
        a = db.datastore("kv", id=ID) if in_file else datastore(1)
        b, c = datastore(2), datastore(3)
        a.put("k", ["x6", LONG], dag="x")
        a.commit()
        meet(a, b, c)
        a["k"] = ["names x6", LONG]
        a.commit()
        ck.sync(a, b)
        b.purge("x")
        a.put("k", ["x7", LONG], dag="x")
        a["k"] = ["names x7", LONG]
        a.commit()
        assert a.compact()["dropped"] == 2
        ck.sync(a, b)
        assert a.purge("x") == 2 and a.stats()["left_out"] == 1
        if in_file:
            db.close()
            with ck.Database(tmp_path / "a.db", identity(1)) as db:
                come_back(db.datastore("kv"), b, c)
        else:
            come_back(a, b, c)


def come_back(a, b, c):
    for kv in (a, b):
        kv.admit("x")
    meet(a, b, c)
    meet(a, b, c)
    assert_equal(a, b, c)
    assert [value[0] for value in a.conflicts("k").values()] == ["names x7"]
    assert a.stats()["left_out"] == 0 and a.check() == []
