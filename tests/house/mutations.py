"""Takes out the guards of csrc/ one at a time and demands that the test of the attack they stop then fails.

    make mutations                   all of them, a quarter of an hour
    make mutations ARGS="40 61"      those of some rows of the table in docs/security.md

The sources are copied to build/mutations and built there with assertions on. Each mutation is a text that occurs once
in a source, and what stands in its place while one test runs. The test fails, or the process is stopped by an assertion
or by the memory that it reads, or it hangs; if it passes, nobody would notice the guard missing, and this ends with 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPY = ROOT / "build" / "mutations"
WHAT = (
    "csrc",
    "crdtkv",
    "tests",
    "Makefile",
    "setup.py",
    "native_deps.py",
    "native-requirements.txt",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
KINDS = {".c", ".h", ".py", ".pyi", ".toml", ".txt", ".typed", ".md", ""}
PATIENCE = 60  # seconds for a test that takes one or two


@dataclass(frozen=True)
class Edit:
    """A text that occurs once in a file under csrc/, and what is put in its place."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutation:
    """A guard taken out, and the test that must see it. `test` is a file in tests/, for Python with a `::name`."""

    row: str
    what: str
    test: str
    edits: tuple[Edit, ...]


def m(row: str, what: str, test: str, *edits: tuple[str, str, str]) -> Mutation:
    """One line of the list below."""
    part = "identity" if int(row) <= 14 else "causality" if int(row) <= 26 or int(row) in (61, 62) else ""
    part = part or ("resources" if int(row) <= 41 else "network")
    test = test if "/" in test else f"python/test_attacks_{part}.py::{test}"
    return Mutation(row, what, test, tuple(Edit(*edit) for edit in edits))


VERIFY = "return crypto_sign_verify_detached(s->b, m, sizeof m, author->b) == 0;"
REDUCED = """uint8_t t[64], wide[64] = {0};
    memcpy(t, s->b, 32);
    memcpy(wide, s->b + 32, 32);
    crypto_core_ed25519_scalar_reduce(t + 32, wide);
    return crypto_sign_verify_detached(t, m, sizeof m, author->b) == 0;"""
LENIENT = """uint8_t wide[64], h[32], sb[32], ha[32], r[32];
    crypto_hash_sha512_state st;
    crypto_hash_sha512_init(&st);
    crypto_hash_sha512_update(&st, s->b, 32);
    crypto_hash_sha512_update(&st, author->b, 32);
    crypto_hash_sha512_update(&st, m, sizeof m);
    crypto_hash_sha512_final(&st, wide);
    crypto_core_ed25519_scalar_reduce(h, wide);
    static const uint8_t identity[32] = {1};
    if (crypto_scalarmult_ed25519_base_noclamp(sb, s->b + 32) != 0) memcpy(sb, identity, 32);
    if (crypto_scalarmult_ed25519_noclamp(ha, h, author->b) != 0) memcpy(ha, identity, 32);
    return crypto_core_ed25519_sub(r, sb, ha) == 0 && memcmp(r, s->b, 32) == 0;"""
VALID = "const bool valid = crypto_core_ed25519_is_valid_point(key->b) == 1 &&"
ANY_KEY = "const bool valid = crypto_core_ed25519_is_valid_point(key->b) >= 0 ||"
WALKED = "CKV_TRY(ckv_u32s_push(&x->crowds.walked, sibling));\n        passed"
SEQ_AND_PREV = "if (seq > CKV_MAX_SEQ || (seq > 0) != h->has_prev) return false;"

MUTATIONS = [
    m("1", "no lane ever counts as forked", "test_01_equivocation",
      ("doc/evidence.c", "if (l->n_branches < 2) continue;", "if (l->n_branches < 99) continue;")),
    m("2", "no search for the fork", "test_02_deep_equivocation",
      ("sync/recon.c", "if (low < 2) continue;", "if (low < UINT32_MAX) continue;")),
    m("3", "signatures are not verified", "test_03_forged_author",
      ("crypto/sign.c", VERIFY, VERIFY.replace("== 0", ">= -1"))),
    m("3", "an opening opens any lane", "test_03_forged_author",
      ("doc/unpack.c", "form == 1 || memcmp(&computed, id, 32) == 0;",
       "form == 1 || memcmp(&computed, id, 32) < 999;")),
    m("4", "no checksum", "test_04_tampering",
      ("dag/bundle.c", "if (ckv_rd_u64le(&tail) != ckv_hash64(data, body))",
       "if (ckv_rd_u64le(&tail) != ckv_hash64(data, body) && data == NULL)")),
    m("4", "bodies are not hashed", "test_04_tampering",
      ("doc/unpack.c", "memcmp(&hash, h.body_hash, 32) != 0) {", "memcmp(&hash, h.body_hash, 32) > 999) {")),
    m("5", "prev may be of another lane", "test_05_splicing",
      ("doc/admit.c", "if (ckv_lanes_branch(&g->lanes, j.prev_branch)->lane != j.lane)",
       "if (false && ckv_lanes_branch(&g->lanes, j.prev_branch)->lane != j.lane)")),
    m("5", "chains are not linked by prev", "test_05_splicing",
      ("doc/unpack.c", "(h.has_prev && !ckv_id32_eq(&h.prev, &chain->prev)) ||", "")),
    m("6", "a library that reduces S", "test_06_signature_malleability", ("crypto/sign.c", VERIFY, REDUCED)),
    m("7", "a lenient library, keys unchecked", "test_07_small_order_keys_and_r",
      ("crypto/sign.c", VERIFY, LENIENT), ("crypto/sign.c", VALID, ANY_KEY)),
    m("8", "keys are not checked", "test_08_mixed_order_key", ("crypto/sign.c", VALID, ANY_KEY)),
    m("9", "what is here is not recognised", "test_09_many_signatures_of_one_change",
      ("doc/import.c", "if (ckv_id32_eq(ckv_ids_at(&g->ids, c), &item->id)) item->change = c;",
       "if (false && ckv_id32_eq(ckv_ids_at(&g->ids, c), &item->id)) item->change = c;")),
    m("10", "varints need not be minimal", "test_10_non_canonical_bytes",
      ("base/buf.c", "if (shift && c == 0) return", "if (shift > 99 && c == 0) return")),
    m("10", "any NaN", "test_10_non_canonical_bytes",
      ("log/value.c", "if (out->f64 != out->f64 && bits != NAN_BITS)", "if (out->f64 != out->f64 && bits == 0)")),
    m("10", "inserts that would be one", "test_10_non_canonical_bytes",
      ("log/body.c", "if (b->last_kind == op->kind && op->left.code == CKV_REF_OWN && op->left.value == 1 &&",
       "if (b->last_kind == op->kind && op->left.code == CKV_REF_OWN && op->left.value == 99 &&")),
    m("10", "tables that nothing uses", "test_10_non_canonical_bytes",
      ("doc/perform.c", "if (!j->used.ptr[i]) return", "if (j->used.ptr[i] > 1) return")),
    m("10", "bytes behind a header", "test_10_non_canonical_bytes",
      ("dag/header.c", "if (!ckv_rd_done(&r) || has_prev > 1", "if (r.status != CKV_OK || has_prev > 1")),
    m("11", "NaN is written as it is", "test_11_honest_encodings_do_not_depend_on_the_machine",
      ("log/value.c", "if (v->f64 == v->f64) memcpy(&bits, &v->f64, 8);", "memcpy(&bits, &v->f64, 8);")),
    m("12", "neither lane nor message hold the document", "test_12_replay_in_another_document",
      ("crypto/digest.c", "memcpy(m, doc, 32);", "memset(m, doc == NULL, 32);"),
      ("crypto/sign.c", "memcpy(m + 13, doc, 32);", "memset(m + 13, doc == NULL, 32);")),
    m("13", "half of the hash is signed", "test_13_truncated_and_joined_fields",
      ("crypto/sign.c", "memcpy(m + 81, id, 32);", "memset(m + 81, 0, 32), memcpy(m + 81, id, 16);")),
    m("14", "one personalisation for all", "test_14_hash_type_confusion",
      ("crypto/digest.c", "memcpy(p, person, n);", "memcpy(p, person, n > 6 ? 6 : n);")),
    m("15", "what waits is not recognised", "test_15_replay",
      ("doc/import.c", "const uint32_t waits = doc->inbox.n_waiting + doc->inbox.n_later",
       "const uint32_t waits = false")),
    m("16", "missing ancestors are not missed", "test_16_withheld_ancestor",
      ("doc/admit.c", "    if (missing) {", "    if (false && missing) {")),
    m("17", "no bound for a lane or a peer", "test_17_dangling_hashes",
      ("dag/inbox.c", "while (*kept && b->accounts.ptr[account].bytes > b->limit) {",
       "while (false && b->accounts.ptr[account].bytes > b->limit) {")),
    m("17", "no bound for a document", "test_17_dangling_hashes",
      ("dag/inbox.c", "while (x->bytes > x->limit) {", "while (false && x->bytes > x->limit) {")),
    m("19", "all items of a parent's chain", "test_19_further_on_in_the_lane_of_a_parent",
      ("doc/names.c", "end = j->parent_items[i];", "end = ckv_lanes_branch(lanes, branch)->off_end;")),
    m("19", "all items of a lane", "test_19_outside_the_causal_past",
      ("doc/names.c", "if (j->view.past->all) return ckv_lanes_branch(&g->lanes, branch)->off_end;",
       "if (j) return ckv_lanes_branch(&g->lanes, branch)->off_end;")),
    m("20", "n_ops is not counted", "test_20_children_of_the_void_and_of_the_refused",
      ("doc/perform.c", "if (b->n_ops != j->c->header.n_ops) return", "if (b->n_ops == UINT32_MAX) return")),
    m("20", "the refused releases what waits for it", "test_20_children_of_the_void_and_of_the_refused",
      ("doc/import.c", "if (s == CKV_OK && is_in(&j)) s =", "if (s == CKV_OK) s =")),
    m("21", "seq without prev", "test_21_wrong_seq",
      ("dag/header.c", SEQ_AND_PREV, "if (seq > CKV_MAX_SEQ) return false;")),
    m("21", "any seq behind prev", "test_21_wrong_seq",
      ("doc/admit.c", "if (at.seq + 1 != c->header.seq)", "if (at.seq == UINT32_MAX)")),
    m("22", "released by recursion", "test_22_reversed_chain",
      ("doc/import.c", "is_in(&j)) s = ckv_id32s_push(&todo, l.id);",
       "is_in(&j)) s = release_waiters(m, &l.id);")),
    m("23", "ties go by id alone", "test_23_lying_about_logical_time",
      ("graph/graph.c", "if (ca != cb) return ca < cb ? -1 : 1;\n    return ckv_id32_cmp",
       "if (ca + cb == 0) return 0;\n    return ckv_id32_cmp"),
      ("types/integrate.c", "if (clock != v->clock) return v->clock > clock;",
       "if (clock == 0) return v->clock > clock;")),
    m("24", "any time travels in columns", "test_24_far_future_then_far_past",
      ("doc/export.c", "if (time < -MAX_TIME || time > MAX_TIME) return",
       "if (time < -MAX_TIME && time > MAX_TIME) return")),
    m("26", "totals of 64 bits", "test_26_overflow",
      ("types/counter.h", "(ckv_count){ckv_counts_total(x, last) + amount, lv, last}",
       "(ckv_count){(int64_t)(ckv_counts_total(x, last) + amount), lv, last}")),
    m("26", "one seq too many", "test_26_overflow",
      ("dag/header.c", SEQ_AND_PREV, "if ((seq > 0) != h->has_prev) return false;")),
    m("27", "plain values of any depth", "test_27_deep_values",
      ("py/plain_in.c", "if (depth > f->max_depth)\n", "if (depth > 100000)\n"),
      ("doc/edit.c", "if (ckv_tree_at(&doc->tree, container)->depth >= doc->limits.depth) s = CKV_ELIMIT;",
       "if (ckv_tree_at(&doc->tree, container)->depth >= 100000) s = CKV_ELIMIT;")),
    m("28", "containers of any depth", "test_28_deep_containers",
      ("doc/perform.c", "return ckv_tree_at(&j->doc->tree, holder)->depth >= CKV_MAX_DEPTH",
       "return ckv_tree_at(&j->doc->tree, holder)->depth >= 100000")),
    m("29", "any ratio of unpacking", "test_29_decompression_bomb",
      ("base/squeeze.c", "if (raw_len / CKV_SQUEEZE_RATIO > n_bytes) return",
       "if (raw_len / UINT32_MAX > n_bytes) return")),
    m("30", "counts need not fit", "test_30_oversized_prefixes_of_changes",
      ("base/buf.c", "if (n > ckv_rd_left(r) / min_bytes) return",
       "if (n / UINT64_MAX > ckv_rd_left(r) / min_bytes) return")),
    m("30", "lengths need not fit", "test_30_oversized_prefixes_of_bundles",
      ("base/buf.c", "if (r->status != CKV_OK || len > ckv_rd_left(r)) {", "if (r->status != CKV_OK) {"),
      ("base/buf.c", "if (r->status != CKV_OK || ckv_rd_left(r) < n) {", "if (r->status != CKV_OK) {")),
    m("31", "lists of tips of any length", "test_31_parameters_of_the_comparison",
      ("sync/recon.c", "if (n > CKV_RECON_MOST && n > (b - a) / 8) return",
       "if (n > UINT32_MAX && n > (b - a) / 8) return")),
    m("35", "no knots", "test_35_head_flood",
      ("doc/txn.c", "return foreign > CKV_MAX_PARENTS ? (foreign - 1) / CKV_MAX_PARENTS : 0;",
       "return foreign > UINT32_MAX ? (foreign - 1) / CKV_MAX_PARENTS : 0;")),
    m("36", "any number of tips", "test_36_equivocation_flood",
      ("doc/admit.c", "n_branches >= doc->limits.tips)", "n_branches >= UINT32_MAX)")),
    m("36", "refused although an honest change builds on it", "test_36_equivocation_flood",
      ("doc/admit.c", "if (ckv_inbox_waiter(&doc->inbox, c->id, &at) == CKV_HMAP_NONE)",
       "if (at && ckv_inbox_waiter(&doc->inbox, c->id, &at) <= CKV_HMAP_NONE)")),
    m("38", "one hash for all processes", "c/test_flooding.c",
      ("ds/hmap.h", "* (m->secret | (uint64_t)m->secret << 32);", "* 0x9e3779b99e3779b9u;")),
    m("38", "ids with known fingerprints", "c/test_flooding.c",
      ("graph/ids.h", "return (uint32_t)((a * (secret | 1) ^ b) * (secret | 1) >> 32);",
       "return (uint32_t)((a ^ b) * (secret ? 1 : 0) >> 32);")),
    m("38", "keys with known fingerprints", "c/test_flooding.c",
      ("types/keys.c", "const uint32_t fingerprint = (uint32_t)ckv_siphash(x->secret, bytes, n_bytes);",
       "const uint32_t fingerprint = (uint32_t)ckv_siphash((const uint8_t[16]){0}, bytes, n_bytes);")),
    m("39", "ties go by arrival", "test_39_ground_ids",
      ("graph/graph.c", "return ckv_id32_cmp(ckv_ids_at(&g->ids, a), ckv_ids_at(&g->ids, b));",
       "return a < b ? -1 : 1;"),
      ("types/integrate.c", "return ckv_id32_cmp(v->id, ckv_ids_at(&v->graph->ids, c)) > 0;", "return true;")),
    m("40", "endless patience", "test_40_endless_sessions",
      ("sync/session.c", "s->idle > CKV_SESSION_PATIENCE ?", "s->idle > 100000 ?")),
    m("40", "messages of any length", "test_40_endless_sessions",
      ("sync/session.c", "if (n_bytes > CKV_MSG_MAX_BYTES)", "if (n_bytes > UINT32_MAX)")),
    m("40", "more bytes than allowed", "test_40_endless_sessions",
      ("sync/session.c", "if (s->max_bytes && s->stats.bytes_in > s->max_bytes)",
       "if (s->max_bytes && s->stats.bytes_in > UINT32_MAX)")),
    m("40", "bundles of any length", "test_40_endless_sessions",
      ("sync/session.c", "if (s->pieces.len == 0 && (left > MAX_BUNDLE || n + left > MAX_BUNDLE))",
       "if (left == UINT64_MAX)")),
    m("40", "pieces need not fit together", "test_40_endless_sessions",
      ("sync/session.c", "if (s->pieces.len && (n > s->pieces_left || left != s->pieces_left - n))",
       "if (left == UINT64_MAX)")),
    m("40", "a part may be the whole range", "test_40_comparisons_end",
      ("sync/recon.c", "if (end == b && a == first) end =", "if (end == b && a == first && b == UINT32_MAX) end =")),
    m("41", "covered signatures are verified again", "test_41_verifying_over_and_over",
      ("doc/import.c", "if (!news &&\n", "if (news && !news &&\n")),
    m("44", "missing parents are not named", "test_44_eclipse",
      ("doc/evidence.c", "for (uint32_t k = 0; k < h.n_parents; k++) {\n            ckv_id32 id;",
       "for (uint32_t k = h.n_parents; k < h.n_parents; k++) {\n            ckv_id32 id;")),
    m("48", "one lane for all lives of an author", "test_48_rollback_from_a_backup",
      ("doc/txn.c", "doc->env.random(doc->env.random_ctx, nonce, sizeof nonce);", "memset(nonce, 0, sizeof nonce);")),
    m("49", "unsigned changes are taken", "test_49_framing",
      ("doc/import.c", "item->state = CKV_ITEM_REFUSED;\n        item->why = !lane->has_opening",
       "item->state = CKV_ITEM_ACCEPTED;\n        item->why = !lane->has_opening")),
    m("49", "one side of a proof is not verified", "test_49_framing",
      ("dag/proof.c", "if (!ckv_verify_change(&a.signature, &key, &doc, &lane, a.last_seq, &a.last) ||",
       "if (key.b[0] == a.signature.b[0] ||")),
    m("49", "sides need not follow one change", "test_49_two_honest_changes_are_no_fork",
      ("dag/proof.c", "if (a.has_prev != b.has_prev || (a.has_prev && !ckv_id32_eq(&a.prev, &b.prev)))",
       "if (n_bytes > UINT32_MAX)"),
      ("dag/proof.c", "if (!a.linked || !b.linked)", "if (n_bytes > UINT32_MAX)")),
    m("50", "the same salt in every session", "test_50_fingerprint_collisions",
      ("sync/session.c", "ckv_doc_random(s->doc, s->hello.salt, sizeof s->hello.salt);",
       "memset(s->hello.salt, 1, sizeof s->hello.salt);")),
    m("53", "files are believed", "test_53_poisoned_snapshot",
      ("crypto/sign.c", VERIFY, VERIFY.replace("== 0", ">= -1"))),
    m("54", "one bad change ends all", "test_54_one_bad_among_a_thousand",
      ("doc/import.c", "CKV_TRY(report_refusal(m, &item->id, kind_of(item->why), item->why));",
       "return kind_of(item->why) ? CKV_ECORRUPT : CKV_ESIGN;")),
    m("54", "any number of bad changes", "test_54_a_session_goes_on",
      ("sync/session.c", "s->stats.refused > CKV_SESSION_BAD ?", "s->stats.refused > UINT32_MAX ?")),
    m("60", "a child goes on with its parent's lane", "test_60_copied_process",
      ("py/module.c", "static void count_child(void) { ckpy_generation++; }", "static void count_child(void) {}")),
    m("61", "siblings that the author knows", "test_61_origins_that_never_were_neighbours",
      ("types/integrate.c", f"if (ckv_author_knows(new->v, sibling)) return CKV_EVOID;\n        {WALKED}", WALKED)),
    m("61", "origins in two sequences", "test_61_origins_that_never_were_neighbours",
      ("types/integrate.c", "(!ckv_space_locate(x, right, &r) || x->leaves.ptr[r.leaf].seq != s->number))",
       "!ckv_space_locate(x, right, &r))")),
    m("62", "what comes later", "test_62_operations_that_lean_forward",
      ("doc/names.c", "if (at + n > next) return", "if (at + n > UINT64_MAX / 2) return")),
    m("62", "deleted twice", "test_62_operations_that_lean_forward",
      ("doc/perform.c", "if (deleted_for(j, ckv_space_span(&doc->space, gap.leaf, gap.slot)->del))\n        return",
       "if (doc == NULL)\n        return")),
]  # fmt: skip


def mutated(source: str, edit: Edit) -> str:
    """The text with the edit made; ValueError unless what it replaces occurs once."""
    if source.count(edit.old) != 1:
        raise ValueError(f"csrc/{edit.file} has this {source.count(edit.old)} times, not once: {edit.old!r}")
    return source.replace(edit.old, edit.new)


def check() -> list[str]:
    """What is wrong with the list: texts that are not in the sources, or tests that are gone."""
    wrong = []
    for each in MUTATIONS:
        for edit in each.edits:
            try:
                mutated((ROOT / "csrc" / edit.file).read_text(), edit)
            except ValueError as error:
                wrong.append(f"row {each.row}, {each.what}: {error}")
        path, _, name = each.test.partition("::")
        test = ROOT / "tests" / path
        if not test.exists() or (name and f"def {name}(" not in test.read_text()):
            wrong.append(f"row {each.row}, {each.what}: there is no test {each.test}")
    return wrong


# ---- running them


def files(root: Path) -> Iterator[Path]:
    """What is copied, by its path below root."""
    for name in WHAT:
        top = root / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and path.suffix in KINDS and "__pycache__" not in path.parts:
                yield path.relative_to(root)


def copy() -> None:
    """Makes the copy equal to the tree; what is equal already keeps its age, so that it is not compiled again."""
    wanted = set(files(ROOT))
    for path in set(files(COPY)) - wanted:
        (COPY / path).unlink()
    for path in wanted:
        data = (ROOT / path).read_bytes()
        target = COPY / path
        if not target.exists() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    venv = COPY / ".venv"
    if not venv.exists() and (ROOT / ".venv").exists():
        venv.symlink_to((ROOT / ".venv").resolve())


def run(command: Sequence[str | Path], patience: int | None = None) -> tuple[int | None, str]:
    """(exit code, output) of a command in the copy; None if it hangs."""
    env = os.environ | {"CRDTKV_DEV": "1", "PYTHONPATH": f"{COPY}{os.pathsep}{COPY / 'tests'}"}
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        env.pop(name, None)
    try:
        done = subprocess.run(
            command, cwd=COPY, env=env, timeout=patience, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout


def build(test: str) -> str:
    """Builds what this test needs: "" or what the compiler says."""
    command: list[str | Path] = [sys.executable, "setup.py", "--quiet", "build_ext", "-i"]
    if test.endswith(".c"):
        command = [
            "make",
            "--no-print-directory",
            f"-j{os.cpu_count()}",
            "FLAVOUR=test",
            f"build/c/test/{Path(test).stem}",
        ]
    code, output = run(command)
    return "" if code == 0 else output


def outcome(*tests: str) -> str:
    """What the tests do: pass, fail, crash, hang, or an account of why they did not run."""
    if tests[0].endswith(".c"):
        code, output = run([COPY / "build" / "c" / "test" / Path(tests[0]).stem], PATIENCE)
        return "hangs" if code is None else "passes" if code == 0 else "fails"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        *(f"tests/{test}" for test in tests),
    ]
    code, output = run(command, PATIENCE * len(tests))
    otherwise = "crashes" if code and code < 0 else f"did not run:\n{output}"
    return {None: "hangs", 0: "passes", 1: "fails"}.get(code, otherwise)


def measure(each: Mutation) -> str:
    """What the test does without the guard; puts the guard back."""
    before = {edit.file: (COPY / "csrc" / edit.file).read_text() for edit in each.edits}
    try:
        for edit in each.edits:
            path = COPY / "csrc" / edit.file
            path.write_text(mutated(path.read_text(), edit))
        trouble = build(each.test)
        return f"did not compile:\n{trouble}" if trouble else outcome(each.test)
    finally:
        for file, source in before.items():
            (COPY / "csrc" / file).write_text(source)


def main(rows: Sequence[str]) -> int:
    """Runs the mutations of these rows, all of them if none are named; 0 if every one was noticed."""
    wanted = [each for each in MUTATIONS if not rows or each.row in rows]
    wrong = check() or ([] if wanted else ["no mutation of these rows"])
    if not wrong:
        copy()
        tests = sorted({each.test for each in wanted})
        python = [test for test in tests if not test.endswith(".c")]
        for some in (python, *([test] for test in tests if test.endswith(".c"))):
            whole = (build(some[0]) or outcome(*some)) if some else "passes"
            if whole != "passes":
                wrong.append(f"with all guards in place: {whole}")
    if wrong:
        print("\n".join(wrong))
        return 1
    unnoticed = 0
    print(f"{'row':<4}{'guard taken out':<50}{'the test':<12}")
    for each in wanted:
        found = measure(each)
        unnoticed += found not in ("fails", "crashes", "hangs")
        print(f"{each.row:<4}{each.what:<50}{found:<12}{each.test.rpartition('::')[2]}", flush=True)
    print(f"{len(wanted)} guards taken out, {unnoticed} not noticed")
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
