import pytest

import crdtkv as ck


def test_an_honest_document_has_none():
    doc = ck.Doc()
    for i in range(5):
        fork = doc.fork()
        fork[str(i)] = i
        doc.merge(fork)
    assert doc.equivocations() == [] and doc.stats()["equivocations"] == 0


def test_what_is_no_proof():
    doc = ck.Doc()
    doc["a"] = 1
    for wrong in (b"", b"CKP", b"hearsay", doc.export()):
        with pytest.raises(ck.DecodeError):
            ck.verify_equivocation(wrong)
    for wrong in ("text", 5, None):
        with pytest.raises(TypeError):
            ck.verify_equivocation(wrong)


def test_subscription():
    doc = ck.Doc()
    with pytest.raises(TypeError):
        doc.observe_equivocations(5)
    heard = []
    subscription = doc.observe_equivocations(heard.append)
    subscription.cancel()
    subscription.cancel()
    with doc.observe_equivocations(heard.append):
        doc.apply(doc.export())
    assert heard == []
