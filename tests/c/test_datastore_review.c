/* What must not cost much: a liar's short operations on a key that shows a long value, while somebody looks on.
 * And what must not be the end: a refresh for which there is no memory.
 */
#include "tape.h"
#include "warehouse.h"

#define LONG_VALUE (512u << 10)

static size_t in_use, most;
static uint64_t left = UINT64_MAX; /* requests until there is no more memory */

/* Knows the most that there was. */
static void *counted(void *ctx, void *old, size_t old_size, size_t new_size)
{
    (void)ctx;
    if (new_size > old_size && left == 0) return NULL;
    left -= new_size > old_size && left != UINT64_MAX;
    void *p = ckv_resize(ckv_alloc_libc, old, old_size, new_size);
    if (new_size && !p) return NULL;
    in_use += new_size - old_size;
    if (in_use > most) most = in_use;
    return p;
}

static void put(ckv_buf *body, uint8_t value)
{
    ckv_kv_write_op(body,
                    &(ckv_kv_op){.kind = CKV_KV_PUT,
                                 .key = {(const uint8_t *)"k", 1, false},
                                 .value = {w_value(value, 1).ptr, w_value(value, 1).n_bytes}});
}

static void delete(ckv_buf *body)
{
    ckv_kv_write_op(body,
                    &(ckv_kv_op){.kind = CKV_KV_DELETE, .key = {(const uint8_t *)"k", 1, false}});
}

/* What a liar says, who has seen nothing of the long value: operations, n to a change. A change before them puts their clocks above its own. */
static ckv_buf bundle_of(const ckv_datastore *d, uint32_t n_changes, uint32_t n_ops)
{
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_id32 id;
    tape x;
    T_EQ(ckv_dag_id(d, "default", 7, &id), CKV_OK);
    tape_open(&x, 9, &id);
    for (uint32_t i = 0, k = 0; i <= n_changes; i++) {
        ckv_buf body = ckv_buf_init(ckv_alloc_libc);
        ckv_kv_write_head(&body, &(ckv_body_head){.time = 5});
        if (i == 0) delete (&body);
        for (uint32_t n = 0; i && n < n_ops; n++, k++) {
            if (k % 2)
                delete (&body); /* now the long one shows again */
            else
                put(&body, (uint8_t)k);
        }
        tape_write(&x, &body, i ? n_ops : 1);
        ckv_buf_fini(&body);
    }
    T_EQ(ckv_doc_export(x.doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
    tape_close(&x);
    return bundle;
}

/* A replica that watches, and shows a long value at "k". */
static ckv_datastore *watching(void)
{
    ckv_datastore *d;
    T_EQ(w_new(&d, (ckv_alloc){counted, NULL}, 1, false), CKV_OK);
    ckv_buf value = ckv_buf_init(ckv_alloc_libc), text = ckv_buf_init(ckv_alloc_libc);
    for (size_t i = 0; i < LONG_VALUE; i++) ckv_buf_u8(&text, 'x');
    ckv_value_write(&value, &(ckv_value){.tag = CKV_TAG_STR, .ptr = text.ptr, .n_bytes = text.len});
    T_EQ(ckv_datastore_put(d, 0, (ckv_store_key){(const uint8_t *)"k", 1, false}, value.ptr,
                           value.len, w_ms++),
         CKV_OK);
    T_EQ(w_commit(d), CKV_OK);
    ckv_buf_fini(&value);
    ckv_buf_fini(&text);
    ckv_datastore_watch(d, true);
    return d;
}

static void events_of_short_operations(uint32_t n_changes, uint32_t n_ops, uint32_t want)
{
    ckv_datastore *d = watching();
    ckv_buf bundle = bundle_of(d, n_changes, n_ops);
    ckv_report report;
    ckv_err err;
    ckv_kv_event e;
    uint32_t n = 0;
    bool was_long = true;
    ckv_report_init(&report, ckv_alloc_libc);
    const size_t before = most = in_use;
    T_EQ(ckv_doc_apply(ckv_datastore_dag(d, 0).doc, bundle.ptr, bundle.len, &report, &err), CKV_OK);
    T_EQ(ckv_datastore_absorb(d), CKV_OK);
    T_EQ(report.applied.len, 32 * (n_changes + 1));
    T_CHECK(most - before < 16u << 20);
    for (; ckv_datastore_next_event(d, &e) == CKV_OK; n++) { /* they go on from each other */
        T_CHECK((e.old.n_bytes > LONG_VALUE) == was_long);
        was_long = e.new_.n_bytes > LONG_VALUE;
        if (was_long) T_EQ(e.new_.ptr[e.new_.n_bytes - 1], 'x');
        T_CHECK(e.key.n_bytes == 1 && e.key.ptr[0] == 'k');
    }
    T_EQ(n, want);
    ckv_buf_fini(&bundle);
    ckv_report_fini(&report);
    ckv_datastore_free(d);
}

static void many_in_one_change(void)
{
    events_of_short_operations(1, 2000, 0); /* in the end the long value shows, as before */
    events_of_short_operations(1, 2001, 1);
}

static void many_changes(void) { events_of_short_operations(400, 1, 400); }

static void a_refresh_without_memory(void)
{
    const ckv_store_key key = {(const uint8_t *)"k", 1, false};
    ckv_value_bytes value;
    ckv_datastore *d = watching();
    bool done = false;
    for (uint64_t n = 0; !done; n += 1 + n / 8) {
        left = n;
        const ckv_status s = ckv_datastore_refresh(d);
        done = s == CKV_OK;
        T_CHECK(done || s == CKV_ENOMEM);
        left = 0;
        if (!done) T_EQ(ckv_datastore_get(d, key, &value), CKV_ENOMEM);
        if (!done) T_EQ(ckv_datastore_repair(d), CKV_ENOMEM);
        left = UINT64_MAX;
        T_EQ(ckv_datastore_get(d, key, &value), CKV_OK);
        T_CHECK(value.n_bytes > LONG_VALUE);
    }
    ckv_datastore_free(d);
}

/* Values of another DAG, each of which whoever writes their key names: once, however often he writes it. */
static void names_in_an_open_change(void)
{
    enum { VALUES = 1024 };
    ckv_datastore *d = w_made(1);
    ckv_report report;
    ckv_err err;
    ckv_id32 id;
    uint32_t blue;
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(ckv_dag_id(d, "blue", 4, &id), CKV_OK);
    T_EQ(w_dag(d, "blue", &blue), CKV_OK);
    for (int i = 0; i < VALUES; i++) {
        tape x;
        ckv_buf body = ckv_buf_init(ckv_alloc_libc), bundle = ckv_buf_init(ckv_alloc_libc);
        tape_open(&x, 9, &id);
        ckv_kv_write_head(&body, &(ckv_body_head){.time = 5});
        put(&body, (uint8_t)i);
        tape_write(&x, &body, 1);
        T_EQ(ckv_doc_export(x.doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
        T_EQ(ckv_doc_apply(ckv_datastore_dag(d, blue).doc, bundle.ptr, bundle.len, &report, &err),
             CKV_OK);
        ckv_buf_fini(&body);
        ckv_buf_fini(&bundle);
        tape_close(&x);
    }
    for (int n = 0; n < 600; n++) T_EQ(w_put(d, "default", "k", (uint64_t)n), CKV_OK);
    T_EQ(w_commit(d), CKV_OK);
    const ckv_shown_ops *ops;
    T_EQ(ckv_datastore_conflicts(d, (ckv_store_key){(const uint8_t *)"k", 1, false}, &ops), CKV_OK);
    T_EQ(ops->len, 1); /* all of theirs are named */
    ckv_report_fini(&report);
    ckv_datastore_free(d);
}

/* A lane that was opened for a change that could not be made is gone with it: the file keeps lanes by number, and knows none without a change. */
static void a_lane_whose_first_change_was_taken_back(void)
{
    ckv_datastore *d = w_made(1), *other = w_made(2), *third = w_made(3);
    ckv_batch *b;
    uint64_t n;
    uint32_t blue, dag, change;
    const ckv_store_key key = {(const uint8_t *)"k", 1, false};
    const ckv_value_bytes one = w_value(1, 1);
    T_EQ(w_dag(d, "blue", &blue), CKV_OK);
    T_EQ(ckv_batch_new(&b, d), CKV_OK);
    T_EQ(ckv_batch_put(b, 0, key, one.ptr, one.n_bytes), CKV_OK);
    T_EQ(ckv_batch_put(b, blue, w_key(1), one.ptr, one.n_bytes), CKV_OK);
    T_EQ(ckv_datastore_purge(d, blue, &n), CKV_OK);
    T_EQ(ckv_batch_write(b, w_ms++, NULL, 0, &dag, &change), CKV_ESTALE);
    ckv_batch_free(b);
    T_EQ(w_put(other, "default", "a", 1), CKV_OK);
    T_EQ(w_commit(other), CKV_OK);
    T_EQ(w_send(other, d, ckv_alloc_libc, NULL), CKV_OK);
    for (int i = 0; i < 3; i++) { /* another lane comes, the one that was there goes on */
        T_EQ(ckv_datastore_refresh(d), CKV_OK);
        T_EQ(w_put(i == 1 ? other : third, "default", "b", 2), CKV_OK);
        T_EQ(w_commit(i == 1 ? other : third), CKV_OK);
        T_EQ(w_send(i == 1 ? other : third, d, ckv_alloc_libc, NULL), CKV_OK);
    }
    T_EQ(ckv_datastore_refresh(d), CKV_OK);
    T_EQ(w_put(d, "default", "c", 3), CKV_OK);
    T_EQ(w_commit(d), CKV_OK);
    T_EQ(ckv_datastore_refresh(d), CKV_OK);
    w_check(d);
    ckv_datastore_free(d);
    ckv_datastore_free(other);
    ckv_datastore_free(third);
}

int main(void)
{
    T_RUN(a_lane_whose_first_change_was_taken_back);
    T_RUN(names_in_an_open_change);
    T_RUN(a_refresh_without_memory);
    T_RUN(many_in_one_change);
    T_RUN(many_changes);
    return t_done();
}
