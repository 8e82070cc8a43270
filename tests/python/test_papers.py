"""What the papers behind the types promise, in their own examples, told through the Python face.

Peritext: Litt, Lim, Kleppmann, van Hardenberg, A CRDT for Collaborative Rich Text Editing (2022).
Moves: Kleppmann, Moving Elements in List CRDTs (2020). Fugue: Weidner, Gentle, Kleppmann, The Art of the Fugue (2023).
"""

import itertools

import pytest

import crdtkv as ck


def two(key, value):
    """Two replicas of a document that holds `value`."""
    ada = ck.Doc()
    ada[key] = value
    return ada, ada.fork(ck.Identity.generate())


def meet(*docs):
    """Everybody hears of everything; all agree."""
    for one, other in itertools.permutations(docs, 2):
        one.merge(other)
    first, *rest = docs
    assert all(doc.root == first.root and doc == first for doc in rest)


def rich(text):
    return [(words, dict(marks)) for words, marks in text.spans()]


def spans_of(*docs):
    meet(*docs)
    first, *rest = (rich(doc["t"]) for doc in docs)
    assert all(other == first for other in rest)
    return first


FOX = "The fox jumped."


def test_peritext_1_text_inserted_into_what_somebody_marks():
    ada, ben = two("t", ck.Text(FOX))
    ada["t"].mark(0, 15, "bold", True)
    ben["t"].insert(4, "brown ")
    assert spans_of(ada, ben) == [("The brown fox jumped.", {"bold": True})]


def test_peritext_2_overlapping_marks_of_one_kind():
    ada, ben = two("t", ck.Text(FOX))
    ada["t"].mark(0, 7, "bold", True)
    ben["t"].mark(4, 15, "bold", True)
    assert spans_of(ada, ben) == [(FOX, {"bold": True})]


def test_peritext_3_overlapping_marks_of_two_kinds():
    ada, ben = two("t", ck.Text(FOX))
    ada["t"].mark(0, 7, "bold", True)
    ben["t"].mark(4, 15, "italic", True)
    assert spans_of(ada, ben) == [
        ("The ", {"bold": True}),
        ("fox", {"bold": True, "italic": True}),
        (" jumped.", {"italic": True}),
    ]


def test_peritext_4_one_colour_wins_where_two_meet():
    ada, ben = two("t", ck.Text(FOX))
    ada["t"].mark(0, 7, "colour", "red")
    ben["t"].mark(4, 15, "colour", "blue")
    spans = spans_of(ada, ben)
    assert "".join(words for words, _ in spans) == FOX
    assert spans[0][1] == {"colour": "red"} and spans[-1][1] == {"colour": "blue"}
    assert spans in (
        [("The fox", {"colour": "red"}), (" jumped.", {"colour": "blue"})],
        [("The ", {"colour": "red"}), ("fox jumped.", {"colour": "blue"})],
    )


def test_peritext_5_a_mark_and_its_removal_at_once():
    ada, ben = two("t", ck.Text(FOX))
    ada["t"].mark(0, 15, "bold", True)
    meet(ada, ben)
    ada["t"].unmark(0, 7, "bold")
    ben["t"].mark(4, 15, "bold", True)
    spans = spans_of(ada, ben)
    assert (
        spans[0][0].startswith("The ")
        and spans[0][1] == {}
        and spans[-1]
        in (
            (" jumped.", {"bold": True}),
            ("fox jumped.", {"bold": True}),
        )
    )


def test_peritext_6_comments_overlap_without_conflict():
    ada, ben = two("t", ck.Text(FOX))
    ada["t"].mark(0, 7, "comment 1", "which one?", expand="none")
    ben["t"].mark(4, 15, "comment 2", "over what?", expand="none")
    assert [set(marks) for _, marks in spans_of(ada, ben)] == [{"comment 1"}, {"comment 1", "comment 2"}, {"comment 2"}]


def test_peritext_7_bold_grows_behind_and_not_before():
    ada, ben = two("t", ck.Text(FOX))
    ada["t"].mark(4, 7, "bold", True)
    meet(ada, ben)
    ben["t"].insert(7, "es")
    ben["t"].insert(4, "red ")
    assert spans_of(ada, ben) == [("The red ", {}), ("foxes", {"bold": True}), (" jumped.", {})]


def test_peritext_8_a_link_does_not_grow():
    ada, ben = two("t", ck.Text(FOX))
    ada["t"].mark(4, 7, "link", "fox.example", expand="none")
    meet(ada, ben)
    ben["t"].insert(7, "es")
    ben["t"].insert(4, "red ")
    assert spans_of(ada, ben) == [("The red ", {}), ("fox", {"link": "fox.example"}), ("es jumped.", {})]


@pytest.mark.parametrize(("expand", "grows"), [("none", False), ("after", True)])
def test_peritext_9_typing_where_the_end_of_a_mark_was_deleted(expand, grows):
    ada, ben = two("t", ck.Text(FOX))
    ada["t"].mark(4, 7, "m", 1, expand=expand)
    meet(ada, ben)
    ada["t"].delete(6, 5)  # "x jum"
    ada["t"].insert(6, "!")
    assert spans_of(ada, ben) == (
        [("The ", {}), ("fo!", {"m": 1}), ("ped.", {})] if grows else [("The ", {}), ("fo", {"m": 1}), ("!ped.", {})]
    )


# ---- moves


def test_two_move_one_element():
    ada, ben = two("l", ["milk", "eggs", "bread", "joghurt"])
    ada["l"].move(3, 0)
    ben["l"].move(3, 1)
    meet(ada, ben)
    assert sorted(ada["l"]) == ["bread", "eggs", "joghurt", "milk"]
    assert list(ada["l"]) in (["joghurt", "milk", "eggs", "bread"], ["milk", "joghurt", "eggs", "bread"])


def test_a_moved_element_keeps_what_is_written_into_it():
    ada, ben = two("l", [{"n": 1}, {"n": 2}, {"n": 3}])
    handle = ada["l"][2]
    ada["l"].move(2, 0)
    ben["l"][2]["n"] = 30
    ben["l"][2]["new"] = True
    meet(ada, ben)
    assert ada["l"] == [{"n": 30, "new": True}, {"n": 1}, {"n": 2}] and ada["l"][0] is handle


def test_delete_beats_a_move():
    ada, ben = two("l", [1, 2, 3])
    ada["l"].move(0, 2)
    del ben["l"][0]
    meet(ada, ben)
    assert ada["l"] == [2, 3]


def test_moves_of_neighbours_do_not_lose_anything():
    for i, j, k, m in itertools.product(range(4), repeat=4):
        ada, ben = two("l", [0, 1, 2, 3])
        ada["l"].move(i, j)
        ben["l"].move(k, m)
        meet(ada, ben)
        assert sorted(ada["l"]) == [0, 1, 2, 3]


def test_two_reverse_a_list():
    ada, ben = two("l", [1, 2, 3, 4, 5])
    ada["l"].reverse()
    ben["l"].reverse()
    meet(ada, ben)
    assert sorted(ada["l"]) == [1, 2, 3, 4, 5]


# ---- interleaving


@pytest.mark.parametrize("make", [ck.Text, list])
@pytest.mark.parametrize("backwards", [(False, False), (True, True), (True, False)])
def test_what_two_people_write_does_not_interleave(make, backwards):
    docs = two("t", make(""))
    for doc, words, back in zip(docs, ("Eggs", "Milk"), backwards, strict=True):
        for letter in reversed(words) if back else words:
            doc["t"].insert(0 if back else len(doc["t"]), letter)
            doc.commit()
    meet(*docs)
    assert "".join(docs[0]["t"]) in ("EggsMilk", "MilkEggs")
