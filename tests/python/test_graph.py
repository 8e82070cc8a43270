"""The hash graph as nodes and as DOT: forks are told in words; nothing hostile gets out of a label."""

import shutil
import subprocess

import pytest

import crdtkv as ck
from crdtkv import testing


def test_nodes_are_the_changes():
    a = ck.Doc()
    a["x"] = 1
    b = a.fork(ck.Identity.generate())
    a["y"], b["y"] = 2, 3
    a.merge(b)
    graph = a.graph()
    assert [n.id for n in graph] == [c.id for c in a.changes()]
    assert {n.id for n in graph if n.is_head} == set(a.heads) and not any(n.is_fork for n in graph)
    assert repr(graph) == "<Graph: 3 changes in 2 lanes>" and graph.n_left_out == 0
    assert len(a.graph(limit=1)) == 1 and a.graph(1).n_left_out == 2 and graph[-1] in graph
    with pytest.raises(ValueError, match="limit"):
        a.graph(0)
    assert len(ck.Doc().graph()) == 0


@pytest.mark.parametrize("make", [ck.Doc, ck.Datastore])
def test_forks_are_marked(make):
    honest = make()
    honest["x"] = 1
    liar = testing.Forger(honest, ck.Identity.generate())
    for bundle in liar.fork(lambda d: d.__setitem__("k", 1), lambda d: d.__setitem__("k", 2)):
        honest.apply(bundle)
    graph = honest.graph()
    assert sum(n.is_fork for n in graph) == 2
    dot = graph.to_dot()
    assert dot.count("fork") == 2 and dot.count("cluster_") == 2 and dot.count(" -> ") == 2


def test_dags_and_hostile_names():
    kv = ck.Datastore()
    name = 'a"]; } \\ \n <b>'
    kv.put("k", 1, dag=name)
    kv.put("k", 2)
    dot = kv.graph().to_dot()
    assert 'a\\"]; } \\\\ \\n <b>' in dot
    if shutil.which("dot"):
        assert subprocess.run(["dot", "-Tsvg"], input=dot.encode(), capture_output=True, check=True).stdout
