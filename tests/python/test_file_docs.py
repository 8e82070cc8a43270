"""docs/file.md says what is in the file: each table and column of it, and what can be asked of them."""

import re
import sqlite3

import pytest

import crdtkv as ck
from house.pages import ROOT, blocks

PAGE = ROOT / "docs" / "file.md"
TEXT = PAGE.read_text()
HEAD, _, REST = TEXT.partition("## Tables\n")
SECTION = REST.partition("\n## ")[0]
NAME = re.compile(r"^\*\*(\w+)\*\*(?:, \*\*(\w+)\*\*)?: ", re.M)  # **meta**: ...
ASIDE = re.compile(r"`(\w+)` (TEXT|INTEGER|BLOB)")


def described():
    """Table -> what the page says of it."""
    at = [*NAME.finditer(SECTION)]
    ends = [m.start() for m in at[1:]] + [len(SECTION)]
    return {name: SECTION[m.start() : end] for m, end in zip(at, ends) for name in m.groups() if name}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """One that has something in every table."""
    path = tmp_path_factory.mktemp("file") / "app.db"
    with ck.Database(path) as db:
        db.doc("notes")["title"] = "Picnic"
        db.store("settings")["theme"] = "dark"
        pages = db.datastore("pages")
        for n in range(300):  # put again and again: most of it is dropped, and packed
            pages[f"page/{n % 10}"] = n
            pages.commit()
        pages.compact()
        ben = ck.Datastore(ck.Identity.generate(), id=pages.id)
        ben["page/ben"] = 1
        pages.merge(ben)
        with pages.batch() as b:
            b.put("plan", 1, dag="plans")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
        yield file
    file.close()


def test_pragmas(file):
    (id,) = re.findall(r"^\| `application_id` \| (0x\w+),", HEAD, re.M)
    (version,) = re.findall(r"^\| `user_version` \| (\d+) ", HEAD, re.M)
    (size,) = re.findall(r"^\| `page_size` `auto_vacuum` \| (\d+), incremental ", HEAD, re.M)
    for pragma, value in {"application_id": int(id, 16), "user_version": version, "page_size": size}.items():
        assert file.execute(f"PRAGMA {pragma}").fetchone() == (int(value),), pragma
    assert file.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_every_table_and_column_is_there(file):
    said = described()
    tables = {name: strict for _, name, kind, _, _, strict in file.execute("PRAGMA table_list") if kind == "table"}
    assert {name for name in tables if not name.startswith("sqlite_")} == set(said)
    for table, text in said.items():
        assert tables[table] == 1, f"{table} is not STRICT"
        columns = {name: kind for _, name, kind, *_ in file.execute(f"PRAGMA table_info({table})")}
        for column in columns:
            assert f"`{column}`" in text, f"{table}.{column} is not on the page"
        listed = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
        for cell in listed:
            assert set(re.findall(r"`(\w+)`", cell)) <= set(columns), f"{table}: {cell}"
            for column, kind in ASIDE.findall(cell):
                assert columns[column] == kind, f"{table}.{column}"


def test_what_the_page_asks_is_answered(file):
    (block,) = blocks(PAGE, "sql")
    answers = []
    for statement in re.findall(r"[^;]+;", block.text):
        found = file.execute(statement)
        answers.append([dict(zip([name for name, *_ in found.description], row)) for row in found])
    objects, dags, newest, indexes = answers
    assert {(row["name"], row["kind"]) for row in objects} == {
        ("notes", "doc"),
        ("pages", "datastore"),
        ("settings", "store"),
    }
    assert all(row["rows"] > 1 and row["bytes"] > 0 for row in objects if row["kind"] != "datastore")
    by_dag = {row["name"]: row for row in dags}  # that of the DAG: it comes second
    assert set(by_dag) == {"default", "plans"}
    default = by_dag["default"]
    assert default["changes"] + default["packed"] == 301 and default["packed"] > 0 and 11 <= default["bodies"] < 100
    assert by_dag["plans"]["changes"] == by_dag["plans"]["bodies"] == 1
    assert len(newest) == 10 and all(len(row["hex(substr(l.author, 1, 4))"]) == 8 for row in newest)
    assert {row["space"] for row in indexes} == {0}
