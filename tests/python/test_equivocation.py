import random

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


# ---- liars


def liar(start=1):
    """A document of one author whose lane has `start` changes, and the replica that wrote them."""
    doc = ck.Doc(clock=lambda: 0)
    doc["t"] = ck.Text("hello")
    for i in range(start - 1):
        doc.commit()
        doc["n"] = i
    doc.commit()
    return doc


def split(doc, *stories):
    """A bundle for each story (how many changes, or an edit) in which the lane of doc goes on in its own way."""
    lane, then, bundles = doc.changes()[-1].lane, doc.heads, []
    for i, story in enumerate(stories):
        copy = doc.fork()
        copy._go_on_with_lane(lane)
        for k in range(story):
            copy[f"story {i}"] = k
            copy["t"].insert(k, str(i % 10))
            copy.commit(f"{i} {k}")
        bundles.append(copy.export(then))
    return bundles


def alike(*docs):
    first = docs[0]
    for doc in docs:
        assert doc == first and doc.root == first.root and doc.heads == first.heads
        assert doc.equivocations() == first.equivocations() and not doc.waiting


def test_no_lane_to_go_on_with():
    doc = liar()
    other = doc.fork(ck.Identity.generate())
    for wrong in (bytes(32), doc.changes()[0].lane):
        with pytest.raises(KeyError):
            other._go_on_with_lane(wrong)
    with doc.change(), pytest.raises(RuntimeError):
        doc._go_on_with_lane(doc.id)


def test_two_stories():
    doc = liar()
    one, two = split(doc, 1, 1)
    ada, ben = (ck.Doc.load(doc.save()) for _ in range(2))
    assert ada.apply(one).applied and ben.apply(two).applied
    assert not ada.equivocations() and not ben.equivocations() and ada.root != ben.root
    assert not ada.apply(two).refused and not ben.apply(one).refused
    alike(ada, ben)
    (e,) = ada.equivocations()
    tips = sorted(c.id for c in ada.changes() if c.seq == 1)
    assert (e.author, e.lane, e.seq) == (doc.identity.public_key, doc.changes()[0].lane, 1)
    assert [e.a, e.b] == tips and e.a < e.b and ada.stats()["equivocations"] == 1
    assert ck.verify_equivocation(e.proof) == doc.identity.public_key and len(e.proof) <= 16 << 10
    assert ck.verify_equivocation(memoryview(ben.equivocations()[0].proof)) == e.author
    assert "seq 1" in repr(e) and hash(e) == hash(ben.equivocations()[0])


def test_six_branches_at_one_point_are_one_entry():
    doc = liar(3)
    bundles = split(doc, 1, 2, 3, 1, 2, 1)
    rng = random.Random(5)
    docs = []
    for _ in range(6):
        rng.shuffle(bundles)
        reader = ck.Doc.load(doc.save())
        for bundle in bundles:
            reader.apply(bundle)
        docs.append(reader)
    alike(*docs)
    (e,) = docs[0].equivocations()
    ids = sorted(c.id for c in docs[0].changes() if c.seq == 3)
    assert len(ids) == 6 and [e.a, e.b] == ids[:2] and e.seq == 3
    for each in docs:
        assert ck.verify_equivocation(each.equivocations()[0].proof) == doc.identity.public_key


def test_forks_of_forks():
    doc = liar(2)
    one, two = split(doc, 3, 3)
    branch = ck.Doc.load(doc.save(), doc.identity)
    branch.apply(one)
    deeper = split(branch, 2, 4)
    reader, other = (ck.Doc.load(doc.save()) for _ in range(2))
    for bundle in (one, two, *deeper):
        reader.apply(bundle)
    for bundle in (deeper[1], deeper[0], two, one, two):  # they wait for `one`
        other.apply(bundle)
    alike(reader, other)
    assert [e.seq for e in reader.equivocations()] == [2, 5]
    for e in reader.equivocations():
        assert ck.verify_equivocation(e.proof) == e.author and len(e.proof) <= 16 << 10


@pytest.mark.parametrize("depth", [1, 63, 300, 1500])
def test_deep_stories(depth):
    doc = liar()
    one, two = split(doc, depth, 64)
    ada, ben = (ck.Doc.load(doc.save()) for _ in range(2))
    ada.apply(one), ada.apply(two)
    ben.apply(two), ben.apply(one)
    alike(ada, ben)
    (e,) = ada.equivocations()
    assert e.seq == 1 and ck.verify_equivocation(e.proof) == e.author
    assert len(e.proof) <= (16 << 10 if depth <= 64 else 2 << 20)


def test_export_with_forks_loads_equal():
    doc = liar(2)
    reader = ck.Doc.load(doc.save())
    for bundle in split(doc, 1, 3, 2):
        reader.apply(bundle)
    honest = reader.fork(ck.Identity.generate())
    honest["t"].insert(0, "honest ")
    honest["t"].delete(8, 2)
    assert reader.merge(honest)
    copy, merged = ck.Doc.load(reader.save()), ck.Doc(id=doc.id)
    merged.merge(reader)
    alike(reader, copy, merged, reader.fork(), ck.Doc.load(copy.save()))
    assert reader.save() == reader.save() and len(reader.equivocations()) == 1
    assert not copy.merge(reader) and not reader.merge(copy)
    assert len(reader.export(reader.heads)) < 512
    for e in copy.equivocations():
        assert ck.verify_equivocation(e.proof) == doc.identity.public_key
    for branch in split(doc, 1, 3, 2):  # other stories with the same number: the same entry
        copy.apply(branch)
    assert len(copy.equivocations()) == 1


def test_no_byte_of_a_proof_can_be_changed():
    doc = liar()
    reader = ck.Doc.load(doc.save())
    for bundle in split(doc, 1, 2):
        reader.apply(bundle)
    proof = reader.equivocations()[0].proof
    for i in range(len(proof)):
        for value in {*(proof[i] ^ 1 << bit for bit in range(8)), 0, 255, (proof[i] + 1) % 256} - {proof[i]}:
            with pytest.raises((ck.DecodeError, ck.SignatureError)):
                ck.verify_equivocation(proof[:i] + bytes([value]) + proof[i + 1 :])
        with pytest.raises(ck.DecodeError):
            ck.verify_equivocation(proof[:i])
    with pytest.raises(ck.DecodeError):
        ck.verify_equivocation(proof + b"\0")
    assert ck.verify_equivocation(proof) == doc.identity.public_key


def test_told_once_for_each_place():
    doc = liar()
    first = split(doc, 2, 1, 1)
    branch = ck.Doc.load(doc.save(), doc.identity)
    branch.apply(first[0])
    second = split(branch, 1, 1)
    for way in ("apply", "merge"):
        heard, also = [], []
        reader = ck.Doc.load(doc.save())
        with reader.observe_equivocations(heard.append), reader.observe_equivocations(also.append):
            for bundle in [*first, *second] * 2:
                if way == "apply":
                    reader.apply(bundle)
                else:
                    bearer = ck.Doc.load(doc.save())
                    for each in (first[0], bundle):
                        bearer.apply(each)
                    reader.merge(bearer)
        assert sorted(e.seq for e in heard) == [1, 3] and heard == also
        assert [e.seq for e in reader.equivocations()] == [1, 3]
        reader.observe_equivocations(heard.append)  # what is known already is not told
        reader.apply(first[0])
        assert len(heard) == 2


def test_a_callback_that_raises_undoes_nothing():
    doc = liar()
    reader = ck.Doc.load(doc.save())

    def angry(e):
        raise ZeroDivisionError

    heard = []
    reader.observe_equivocations(angry)
    reader.observe_equivocations(heard.append)
    one, two = split(doc, 1, 1)
    reader.apply(one)
    with pytest.raises(ExceptionGroup) as caught:
        reader.apply(two)
    assert caught.group_contains(ZeroDivisionError) if hasattr(caught, "group_contains") else caught
    assert len(heard) == 1 == len(reader.equivocations()) and not reader.apply(two)


def test_a_callback_may_use_the_document():
    doc = liar()
    reader = ck.Doc.load(doc.save())
    reader.observe_equivocations(lambda e: reader.update({"seen": e.seq, "proof": e.proof}))
    for bundle in split(doc, 1, 1):
        reader.apply(bundle)
    assert reader["seen"] == 1 and ck.verify_equivocation(reader["proof"]) == doc.identity.public_key


def test_what_waits_is_no_evidence():
    doc = liar()
    one, two = split(doc, 1, 1)
    reader = ck.Doc(id=doc.id)
    reader.apply(one), reader.apply(two)
    assert len(reader.waiting) == 2 and reader.equivocations() == []
    heard = []
    with reader.observe_equivocations(heard.append):
        reader.merge(doc)
    assert len(heard) == 1 == len(reader.equivocations())
