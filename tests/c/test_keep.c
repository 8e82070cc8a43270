/* Documents and stores that live in a file: what was acknowledged is there after opening again, what failed is not, whatever fails. */
#include "doc/keep.h"
#include "kept.h"
#include "story.h"

static ckv_status keep(ckv_doc *doc, ckv_file *f, ckv_alloc a)
{
    ckv_record_damage d = {.lines = ckv_buf_init(a)};
    const ckv_status s = ckv_doc_keep(doc, f, 1, &d);
    if (s == CKV_ECORRUPT) fprintf(stderr, "%.*s\n", (int)d.lines.len, (const char *)d.lines.ptr);
    ckv_buf_fini(&d.lines);
    return s;
}

static ckv_doc *kept(ckv_file *f)
{
    ckv_doc *doc;
    T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(keep(doc, f, ckv_alloc_libc), CKV_OK);
    return doc;
}

/* Both are closed, and agree in every change and value. */
static void same(ckv_doc *a, ckv_doc *b)
{
    ckv_id32 x, y;
    s_arena arena = {0};
    T_EQ(ckv_doc_n_changes(a), ckv_doc_n_changes(b));
    T_EQ(ckv_doc_root(a, &x), CKV_OK);
    T_EQ(ckv_doc_root(b, &y), CKV_OK);
    T_BYTES(x.b, 32, y.b, 32);
    S_SAME(s_load(&arena, a, NULL), s_load(&arena, b, NULL));
    s_arena_free(&arena);
    s_check(a);
    s_check(b);
}

static void edit(ckv_doc *doc, size_t n)
{
    while (n--) T_EQ(s_edit(doc), CKV_OK);
}

/* ---- documents */

static void a_document_comes_back_as_it_was(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        t_seed(seed);
        ckv_file *f = k_new();
        ckv_doc *doc = kept(f), *other;
        T_EQ(s_new(&other, ckv_alloc_libc, 2), CKV_OK);
        for (int n = 0; n < 40; n++) {
            ckv_doc *who = t_one_in(3) ? other : doc;
            edit(who, t_below(12));
            T_EQ(s_commit(who), CKV_OK);
            if (t_one_in(4)) s_both_ways(doc, other);
            if (t_one_in(8)) T_EQ(ckv_doc_consolidate(doc, t_one_in(2)), CKV_OK);
            if (!t_one_in(6)) continue;
            T_EQ(s_commit(doc), CKV_OK);
            ckv_doc *memory;
            T_EQ(s_new(&memory, ckv_alloc_libc, 3), CKV_OK);
            T_EQ(s_send(doc, memory, ckv_alloc_libc), CKV_OK);
            ckv_doc_free(doc);
            ckv_file_close(f);
            f = k_open(CKV_FILE_WRITE);
            doc = kept(f);
            same(doc, memory);
            ckv_doc_free(memory);
        }
        ckv_doc_free(doc);
        ckv_doc_free(other);
        ckv_file_close(f);
    }
}

/* The open change is dropped, and all else as it was; the next one goes on from there. */
static void a_full_disk_drops_the_open_change(void)
{
    size_t n_full = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        t_seed(seed);
        ckv_file *f = k_new();
        ckv_doc *doc = kept(f), *other, *twin;
        T_EQ(s_new(&other, ckv_alloc_libc, 2), CKV_OK);
        T_EQ(s_new(&twin, ckv_alloc_libc, 3), CKV_OK);
        for (int n = 0; n < 60; n++) {
            const bool full = t_one_in(3);
            if (t_one_in(3)) { /* others' */
                edit(other, 30);
                T_EQ(s_commit(other), CKV_OK);
                if (full) T_EQ(k_run(f, "PRAGMA max_page_count = 1"), CKV_OK);
                ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
                ckv_report report;
                ckv_err err;
                ckv_report_init(&report, ckv_alloc_libc);
                T_EQ(ckv_doc_export(other, NULL, 0, NULL, 0, &bundle), CKV_OK);
                const ckv_status s = ckv_doc_apply(doc, bundle.ptr, bundle.len, &report, &err);
                T_CHECK(s == CKV_OK || (full && s == CKV_EFULL));
                ckv_report_fini(&report);
                ckv_buf_fini(&bundle);
            } else {
                ckv_savepoint at;
                const bool block = t_one_in(2);
                if (block) T_EQ(ckv_doc_savepoint(doc, &at), CKV_OK);
                for (size_t k = 1 + t_below(300); k > 0; k--) T_EQ(s_edit(doc), CKV_OK);
                if (full) T_EQ(k_run(f, "PRAGMA max_page_count = 1"), CKV_OK);
                const ckv_status s = s_commit(doc);
                T_CHECK(s == CKV_OK || (full && s == CKV_EFULL));
                n_full += s != CKV_OK;
                if (block && s == CKV_OK) ckv_doc_release(doc, at);
                if (block && s != CKV_OK) ckv_doc_rollback(doc, at);
                T_CHECK(!ckv_doc_is_open(doc));
            }
            T_EQ(k_run(f, "PRAGMA max_page_count = 1000000"), CKV_OK);
            T_EQ(s_send(doc, twin, ckv_alloc_libc), CKV_OK);
            same(doc, twin);
            if (t_one_in(10)) {
                ckv_doc_free(doc);
                doc = kept(f);
                same(doc, twin);
            }
        }
        ckv_doc_free(doc);
        ckv_doc_free(twin);
        ckv_doc_free(other);
        ckv_file_close(f);
    }
    T_CHECK(n_full > 20);
}

/* ---- memory */

/* Random edits will not do: some of them may do without memory that they ask for. */
static ckv_status write_some(ckv_doc *doc, int64_t n)
{
    ckv_value v = {.tag = CKV_TAG_INT, .i64 = n};
    uint32_t made;
    CKV_TRY(ckv_map_set(doc, CKV_ROOT, "n", 1, &v, &made));
    v.tag = CKV_TAG_TEXT;
    CKV_TRY(ckv_map_set(doc, CKV_ROOT, "t", 1, &v, &made));
    CKV_TRY(ckv_text_insert(doc, made, 0, "hello", 1, 5));
    return s_commit(doc);
}

static ckv_status scenario(ckv_alloc a)
{
    ckv_file *f;
    ckv_doc *doc = NULL, *again = NULL, *other = NULL;
    const ckv_file_options o = {.path = NULL};
    T_EQ(ckv_file_open(&f, ckv_alloc_libc, &o, NULL, NULL),
         CKV_OK); /* its own is tested elsewhere */
    T_EQ(k_object(f), CKV_OK);
    ckv_status s = s_new(&doc, a, 1);
    if (s == CKV_OK) s = s_new(&other, a, 2);
    if (s == CKV_OK) s = keep(doc, f, a);
    for (int n = 0; s == CKV_OK && n < 3; n++) {
        s = write_some(doc, n);
        if (s == CKV_OK) s = write_some(other, n);
        if (s == CKV_OK) s = s_send(other, doc, a);
        s_check(doc);
    }
    if (s == CKV_OK) s = ckv_doc_consolidate(doc, true);
    if (s == CKV_OK) s = s_new(&again, a, 1);
    if (s == CKV_OK) s = keep(again, f, a);
    if (s == CKV_OK) T_EQ(ckv_doc_n_changes(again), 6);
    ckv_doc_free(doc);
    ckv_doc_free(other);
    ckv_doc_free(again);
    ckv_file_close(f);
    return s;
}

static void no_memory_leaves_no_trace(void) { T_CHECK(t_oom(scenario) > 50); }

/* What is damaged is named; what is left can be had, and from then on is whole. */
static void damage_is_named_and_the_rest_salvaged(void)
{
    static const char *const harm[] = {
        "DELETE FROM record WHERE id = 4",
        "UPDATE record SET data = substr(data, 1, length(data) - 1) WHERE id = 4",
        "UPDATE record SET id = 100 WHERE id = 4",
        "UPDATE record SET kind = 4 WHERE id = 4",
        "UPDATE record SET kind = 77 WHERE id = 4",
        "UPDATE record SET object = 2 WHERE id = 4",
        "UPDATE record SET data = x'00' WHERE id = 4",
        "UPDATE record SET data = zeroblob(16) WHERE kind = 5",
        "UPDATE record SET data = x'' WHERE kind = 5",
        "DELETE FROM record WHERE kind = 5",
        "DELETE FROM record",
        "INSERT INTO record(object, kind, data) SELECT 1, 5, data FROM record WHERE kind = 5",
    };
    for (size_t i = 0; i < sizeof harm / sizeof *harm; i++) {
        ckv_file *f = k_new();
        ckv_doc *doc = kept(f), *again;
        for (int n = 0; n < 5; n++) T_EQ(write_some(doc, n), CKV_OK);
        ckv_doc_free(doc);
        T_EQ(ckv_file_begin(f), CKV_OK);
        T_EQ(k_run(f, harm[i]), CKV_OK);
        T_EQ(ckv_file_commit(f), CKV_OK);
        for (int salvage = 0; salvage < 3; salvage++) { /* the third time all is well again */
            ckv_record_damage d = {.salvage = salvage == 1, .lines = ckv_buf_init(ckv_alloc_libc)};
            T_EQ(s_new(&again, ckv_alloc_libc, 1), CKV_OK);
            const ckv_status s = ckv_doc_keep(again, f, 1, &d);
            T_EQ(s, salvage ? CKV_OK : CKV_ECORRUPT);
            T_EQ(d.lines.len > 0, salvage < 2);
            T_EQ(ckv_doc_is_kept(again), salvage > 0);
            if (salvage == 2) {
                T_CHECK(ckv_doc_n_changes(again) <= 5);
                T_EQ(write_some(again, 9), CKV_OK);
                T_EQ(ckv_doc_check_record(again, &d), CKV_OK);
                T_EQ(d.lines.len, 0);
            }
            s_check(again);
            ckv_doc_free(again);
            ckv_buf_fini(&d.lines);
        }
        ckv_file_close(f);
    }
}

/* Rows that another key sealed, or none, are verified; those of this one are believed. */
static void a_seal_spares_the_signatures(void)
{
    ckv_file *f = k_new();
    ckv_doc *doc = kept(f);
    ckv_stats stats;
    for (int n = 0; n < 5; n++) T_EQ(write_some(doc, n), CKV_OK);
    for (int k = 0; k < 3; k++) {
        ckv_doc *again;
        ckv_id32 key;
        memset(&key, 0x5a + k, sizeof key);
        ckv_file_set_key(f, k == 2 ? NULL : &key);
        T_EQ(s_new(&again, ckv_alloc_libc, 2), CKV_OK);
        T_EQ(keep(again, f, ckv_alloc_libc), CKV_OK);
        T_EQ(ckv_doc_stats(again, &stats), CKV_OK);
        T_EQ(stats.verified, k ? 5 : 0);
        same(doc, again);
        ckv_doc_free(again);
    }
    ckv_doc_free(doc);
    ckv_file_close(f);
}

/* Its own changes go on in a lane of its own after every opening. */
static void a_reader_follows(void)
{
    ckv_file *f = k_new(), *r;
    ckv_doc *doc = kept(f), *reader;
    T_EQ(write_some(doc, 0), CKV_OK);
    r = k_open(CKV_FILE_READ);
    reader = kept(r);
    same(doc, reader);
    for (int n = 0; n < 60; n++) {
        T_EQ(write_some(doc, n), CKV_OK);
        if (n % 20 == 10) T_EQ(ckv_doc_consolidate(doc, true), CKV_OK);
        if (n % 7) continue;
        ckv_record_damage d = {.lines = ckv_buf_init(ckv_alloc_libc)};
        T_EQ(ckv_file_refresh(r), CKV_OK);
        T_EQ(ckv_doc_refresh(reader, &d), CKV_OK);
        ckv_buf_fini(&d.lines);
        same(doc, reader);
    }
    T_EQ(write_some(reader, 1), CKV_EDISK); /* and dropped */
    T_CHECK(!ckv_doc_is_open(reader));
    ckv_doc_free(reader);
    ckv_doc_free(doc);
    ckv_file_close(r);
    ckv_file_close(f);
}

/* A document that lived in memory, with lanes of several authors, and one that is bound where something is already. */
static void what_lived_in_memory_moves_in(void)
{
    ckv_file *f = k_new();
    ckv_doc *a, *b;
    t_seed(3);
    T_EQ(s_new(&a, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(s_new(&b, ckv_alloc_libc, 2), CKV_OK);
    edit(a, 40);
    edit(b, 40);
    s_both_ways(a, b);
    T_EQ(keep(a, f, ckv_alloc_libc), CKV_OK);
    T_EQ(keep(b, f, ckv_alloc_libc), CKV_EEXIST);
    edit(a, 10);
    T_EQ(s_commit(a), CKV_OK);
    ckv_doc *again = kept(f);
    same(a, again);
    ckv_doc_free(again);
    ckv_doc_unkeep(a);
    edit(a, 10);
    T_EQ(a->journal.log.len, 0); /* in memory again: nobody may go back */
    T_EQ(s_commit(a), CKV_OK);
    ckv_doc_free(a);
    ckv_doc_free(b);
    ckv_file_close(f);
}

int main(void)
{
    k_begin();
    T_RUN(a_document_comes_back_as_it_was);
    T_RUN(a_full_disk_drops_the_open_change);
    T_RUN(damage_is_named_and_the_rest_salvaged);
    T_RUN(a_seal_spares_the_signatures);
    T_RUN(a_reader_follows);
    T_RUN(what_lived_in_memory_moves_in);
    T_RUN(no_memory_leaves_no_trace);
    return k_end();
}
