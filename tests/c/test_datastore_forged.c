/* What a liar can write into a datastore, who holds a key of his own: bodies that break each rule of docs/format.md, "Body of a datastore's change", bodies that are said to be dead, names
 * and restated parts of what is none of his business. Whoever takes it says the same of it, in any order, and what others wrote stays.
 */
#include "tape.h"
#include "warehouse.h"

#include "base/hash64.h"

/* ---- bodies by hand */

static ckv_buf head(uint64_t flags)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_varint(&b, flags);
    ckv_buf_zigzag(&b, 5);
    return b;
}

static void put_op(ckv_buf *b, uint64_t kind, const ckv_buf *payload)
{
    ckv_buf_varint(b, kind);
    ckv_buf_blob(b, payload->ptr, payload->len);
}

/* A payload from hexadecimal digits; spaces are skipped. */
static ckv_buf hex(const char *text)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    for (; *text; text++) {
        char two[3] = {text[0], text[1], 0};
        if (*text == ' ') continue;
        ckv_buf_u8(&b, (uint8_t)strtoul(two, NULL, 16));
        text++;
    }
    return b;
}

static ckv_id32 dag_id(const ckv_datastore *d, const char *name)
{
    ckv_id32 id;
    T_EQ(ckv_dag_id(d, name, strlen(name), &id), CKV_OK);
    return id;
}

/* Hands all of a liar's changes over, as a part of that DAG. */
static void hand_over(tape *x, ckv_datastore *to, const char *dag, ckv_report *report)
{
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_err err;
    uint32_t number;
    T_EQ(ckv_doc_export(x->doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
    T_EQ(w_dag(to, dag, &number), CKV_OK);
    T_EQ(ckv_doc_apply(ckv_datastore_dag(to, number).doc, bundle.ptr, bundle.len, report, &err),
         CKV_OK);
    ckv_buf_fini(&bundle);
}

enum { APPLIED, VOIDED, LATER };

static void judge(const ckv_buf *body, uint32_t n_ops, int want)
{
    ckv_datastore *d = w_made(1), *newcomer = w_made(2);
    const ckv_id32 id = dag_id(d, "default");
    ckv_report report;
    tape x;
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(w_put(d, "default", "k", 1), CKV_OK);
    T_EQ(w_commit(d), CKV_OK);
    tape_open(&x, 9, &id);
    tape_write(&x, body, n_ops);
    hand_over(&x, d, "default", &report);
    T_EQ(report.applied.len, want == APPLIED ? 32 : 0);
    T_EQ(report.voided.len, want == VOIDED ? 32 : 0);
    T_EQ(report.waiting.len, want == LATER ? 32 : 0);
    T_EQ(report.refused.len, 0);
    w_check(d);
    T_EQ(w_send(d, newcomer, ckv_alloc_libc, NULL), CKV_OK);
    w_same(d, newcomer); /* who says the same */
    ckv_compaction done;
    T_EQ(ckv_datastore_compact(d, true, w_ms++, &done), CKV_OK);
    w_check(d);
    T_EQ(ckv_datastore_repair(d), CKV_OK);
    w_check(d);
    tape_close(&x);
    ckv_report_fini(&report);
    ckv_datastore_free(d);
    ckv_datastore_free(newcomer);
}

static void judge_op(uint64_t kind, const char *digits, int want)
{
    ckv_buf body = head(0), payload = hex(digits);
    put_op(&body, kind, &payload);
    judge(&body, 1, want);
    ckv_buf_fini(&body);
    ckv_buf_fini(&payload);
}

#define ID  "11111111111111111111111111111111 22222222222222222222222222222222"
#define ID2 "11111111111111111111111111111111 33333333333333333333333333333333"

static void every_rule_of_an_operation(void)
{
    const struct {
        uint64_t kind;
        const char *payload;
        int want;
    } ops[] = {
        {1, "02 6b 00 00 00", APPLIED},                      /* k = None */
        {1, "00 00 00 00", APPLIED},                         /* the empty key */
        {1, "03 ff 00 00 00", APPLIED},                      /* bytes need not be UTF-8 */
        {1, "02 ff 00 00 00", VOIDED},                       /* text must */
        {1, "8200 6b 00 00 00", VOIDED},                     /* a varint that is not minimal */
        {1, "02 6b 00 00 00 00", VOIDED},                    /* something behind the value */
        {1, "02 6b 00 00", VOIDED},                          /* half a value */
        {1, "02 6b 00", VOIDED},                             /* none */
        {1, "02 6b", VOIDED},                                /* no names */
        {1, "04 6b", VOIDED},                                /* half a key */
        {1, "", VOIDED},                                     /* nothing */
        {1, "02 6b 00 03 02 8000", VOIDED},                  /* an int with a byte too many */
        {1, "02 6b 00 05 01 ff", VOIDED},                    /* a str that is none */
        {1, "02 6b 00 21 08 01 61 0000 01 61 0000", VOIDED}, /* a key twice in a dict */
        {1, "02 6b 00 3f 00", LATER},                        /* a value of a later version */
        {1, "02 6b 00 20 02 3f 00", LATER},                  /* within a list */
        {1, "02 6b 00 20 02 3f 01", VOIDED},                 /* that does not come apart */
        {1, "02 6b 01 " ID " 00 0000", APPLIED},             /* names what is not here */
        {1, "02 6b 02 " ID " 00 " ID2 " 00 0000", APPLIED},
        {1, "02 6b 02 " ID " 00 " ID " 01 0000", APPLIED},
        {1, "02 6b 02 " ID2 " 00 " ID " 00 0000", VOIDED}, /* names descend */
        {1, "02 6b 02 " ID " 00 " ID " 00 0000", VOIDED},  /* twice */
        {1, "02 6b 02 " ID " 00 0000", VOIDED},            /* one too few */
        {1, "02 6b 8108 " ID " 00 0000", VOIDED},          /* 1,025 of them */
        {1, "02 6b 01 " ID " 80808008 0000", APPLIED},     /* index 2^24 */
        {1, "02 6b 01 " ID " 81808008 0000", VOIDED},
        {2, "02 6b 00", APPLIED},
        {2, "02 6b 00 00", VOIDED}, /* a DELETE has no value */
        {2, "02 6b", VOIDED},
        {3, "02 6b 02", APPLIED}, /* 1 */
        {3, "02 6b 00", APPLIED},
        {3, "02 6b", VOIDED},
        {3, "02 6b 02 00", VOIDED},
        {3, "02 6b 8200", VOIDED},
        {3, "02 6b fdffffffffffffffffffffffff 3f", APPLIED},  /* 1 - 2^96 */
        {3, "02 6b ffffffffffffffffffffffffff 3f", VOIDED},   /* -2^96 */
        {3, "02 6b 80808080808080808080808080 40", VOIDED},   /* 2^96 */
        {3, "02 6b 8080808080808080808080808080 01", VOIDED}, /* 15 bytes */
        {4, "02 6b " ID " 00 02", APPLIED}, /* restates what is not here: nothing */
        {4, "02 6b " ID " 00", VOIDED},
        {4, "02 6b " ID " 81808008 02", VOIDED},
        {4, "02 6b 1111", VOIDED},
        {0, "", LATER},
        {5, "02 6b 00", LATER},
        {1u << 20, "", LATER},
    };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        judge_op(ops[i].kind, ops[i].payload, ops[i].want);
}

static void every_rule_of_a_body(void)
{
    ckv_buf payload = hex("02 6b 00 00 00"), broken = hex("02 ff 00 00 00"),
            newer = hex("02 6b 00 3f 00"), body = head(0);
    judge(&body, 0, APPLIED); /* no operations */
    judge(&body, 1, VOIDED);
    put_op(&body, 1, &payload);
    judge(&body, 0, VOIDED);
    judge(&body, 2, VOIDED);
    put_op(&body, 1, &payload); /* the same key again */
    judge(&body, 2, APPLIED);
    put_op(&body, 1, &broken);
    judge(&body, 3, VOIDED);
    for (int kind = 0; kind < 2; kind++) { /* of a later version, whatever else is wrong with it */
        ckv_buf more = ckv_buf_init(ckv_alloc_libc);
        ckv_buf_bytes(&more, body.ptr, body.len);
        put_op(&more, kind ? 99 : 1, kind ? &payload : &newer);
        judge(&more, 4, LATER);
        ckv_buf_u8(&more, 1); /* but for its framing */
        judge(&more, 5, VOIDED);
        ckv_buf_fini(&more);
    }
    ckv_buf_fini(&body);
    body = head(2);
    judge(&body, 0, LATER);
    ckv_buf_fini(&body);
    body = head(1);
    judge(&body, 0, VOIDED); /* the message is missing */
    ckv_buf_blob(&body, "\xff", 1);
    judge(&body, 0, VOIDED);
    ckv_buf_fini(&body);
    body = head(1);
    ckv_buf_blob(&body, "", 0);
    judge(&body, 0, APPLIED);
    ckv_buf_fini(&body);
    body = ckv_buf_init(ckv_alloc_libc);
    judge(&body, 0, VOIDED); /* nothing at all */
    ckv_buf_fini(&body);
    ckv_buf_fini(&payload);
    ckv_buf_fini(&broken);
    ckv_buf_fini(&newer);
}

static void long_keys_values_and_deep_ones(void)
{
    for (uint32_t more = 0; more < 2; more++) {
        ckv_buf key = ckv_buf_init(ckv_alloc_libc), value = ckv_buf_init(ckv_alloc_libc),
                deep = ckv_buf_init(ckv_alloc_libc), body = head(0);
        const uint32_t n_key = CKV_MAX_KEY + more;
        ckv_buf_varint(&key, (uint64_t)n_key << 1);
        for (uint32_t i = 0; i < n_key; i++) ckv_buf_u8(&key, 'x');
        ckv_buf_bytes(&key, "\0\0\0", 3);
        put_op(&body, 1, &key);
        judge(&body, 1, more ? VOIDED : APPLIED);
        ckv_buf_fini(&body);
        body = head(0);
        const uint32_t n_value = CKV_MAX_STORED_VALUE - 4 + more; /* tag, length of three bytes */
        ckv_buf_bytes(&value, "\2k\0\6", 4);
        ckv_buf_varint(&value, n_value);
        for (uint32_t i = 0; i < n_value; i++) ckv_buf_u8(&value, 0);
        put_op(&body, 1, &value);
        judge(&body, 1, more ? VOIDED : APPLIED);
        ckv_buf_fini(&body);
        body = head(0);
        ckv_buf inner = hex("00 00");
        for (uint32_t i = 0; i < 64 + more; i++) {
            ckv_buf outer = hex("20");
            ckv_buf_blob(&outer, inner.ptr, inner.len);
            ckv_buf_fini(&inner);
            inner = outer;
        }
        ckv_buf_bytes(&deep, "\2k\0", 3);
        ckv_buf_bytes(&deep, inner.ptr, inner.len);
        put_op(&body, 1, &deep);
        judge(&body, 1, more ? VOIDED : APPLIED);
        ckv_buf_fini(&inner);
        ckv_buf_fini(&body);
        ckv_buf_fini(&key);
        ckv_buf_fini(&value);
        ckv_buf_fini(&deep);
    }
}

/* ---- what is none of his business */

static char shown(ckv_datastore *d, const char *key)
{
    ckv_value_bytes v;
    const ckv_status s = ckv_datastore_get(
        d, (ckv_store_key){(const uint8_t *)key, (uint32_t)strlen(key), false}, &v);
    if (s == CKV_ENOENT) return 0;
    T_EQ(s, CKV_OK);
    return (char)v.ptr[2];
}

static ckv_id32 last_id(ckv_datastore *d, const char *dag)
{
    uint32_t number;
    T_EQ(w_dag(d, dag, &number), CKV_OK);
    ckv_doc *doc = ckv_datastore_dag(d, number).doc;
    return *ckv_doc_id_of(doc, ckv_doc_n_changes(doc) - 1);
}

/* A DELETE of a key that names an operation. */
static ckv_buf deletes(const char *key, const ckv_id32 *id, uint32_t index)
{
    ckv_buf body = head(0), payload = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_varint(&payload, strlen(key) << 1);
    ckv_buf_bytes(&payload, key, strlen(key));
    ckv_buf_varint(&payload, 1);
    ckv_kv_write_name(&payload, id, index);
    put_op(&body, 2, &payload);
    ckv_buf_fini(&payload);
    return body;
}

static void names_act_on_their_key_in_another_dag(void)
{
    const struct {
        const char *dag, *key;
        uint32_t index;
        char want;
    } names[] = {
        {"default", "k", 0, '7'}, /* its own DAG, which it has not seen */
        {"blue", "other", 0, '7'},
        {"blue", "k", 1, '7'},
        {"blue", "k", 0, 0},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int late = 0; late < 2; late++) {
            ckv_datastore *d = w_made(1), *e = w_made(2);
            ckv_report report;
            tape x;
            ckv_report_init(&report, ckv_alloc_libc);
            T_EQ(w_put(d, "default", "k", 7), CKV_OK);
            T_EQ(w_commit(d), CKV_OK);
            const ckv_id32 id = last_id(d, "default"), doc = dag_id(d, names[i].dag);
            tape_open(&x, 9, &doc);
            ckv_buf body = deletes(names[i].key, &id, names[i].index);
            tape_write(&x, &body, 1);
            if (late) { /* before what it names is here */
                hand_over(&x, e, names[i].dag, &report);
                T_EQ(w_send(d, e, ckv_alloc_libc, NULL), CKV_OK);
            } else {
                T_EQ(w_send(d, e, ckv_alloc_libc, NULL), CKV_OK);
                hand_over(&x, e, names[i].dag, &report);
            }
            T_EQ(shown(e, "k"), names[i].want);
            ckv_compaction done;
            T_EQ(ckv_datastore_compact(e, true, w_ms++, &done), CKV_OK);
            T_EQ(shown(e, "k"), names[i].want);
            hand_over(&x, d, names[i].dag, &report);
            T_EQ(w_send(e, d, ckv_alloc_libc, NULL), CKV_OK);
            w_same(d, e);
            ckv_buf want = w_tell(d), got = w_look(d);
            T_BYTES(want.ptr, want.len, got.ptr, got.len);
            ckv_buf_fini(&want);
            ckv_buf_fini(&got);
            ckv_buf_fini(&body);
            tape_close(&x);
            ckv_report_fini(&report);
            ckv_datastore_free(d);
            ckv_datastore_free(e);
        }
    }
}

/* A live body that he says is dead comes from whoever knows better; and what came without stays in step. */
static void a_live_body_is_fetched_again(void)
{
    ckv_datastore *d = w_made(1), *e = w_made(2), *f = w_made(3);
    ckv_report report;
    tape x;
    const ckv_id32 id = dag_id(d, "default");
    ckv_report_init(&report, ckv_alloc_libc);
    tape_open(&x, 9, &id);
    for (int i = 0; i < 3; i++) { /* three keys, each in a body that is not inline */
        ckv_buf body = head(0), payload = ckv_buf_init(ckv_alloc_libc);
        const char key[] = {'a', (char)('a' + i), 0};
        ckv_buf_varint(&payload, 4);
        ckv_buf_bytes(&payload, key, 2);
        ckv_buf_u8(&payload, 0);
        const ckv_value_bytes v = w_value((uint64_t)i + 3, 80);
        ckv_buf_bytes(&payload, v.ptr, v.n_bytes);
        put_op(&body, 1, &payload);
        tape_write(&x, &body, 1);
        ckv_buf_fini(&body);
        ckv_buf_fini(&payload);
    }
    hand_over(&x, d, "default", &report); /* the truth */
    for (uint32_t c = 0; c < 3; c++) tape_leave_out(&x, c);
    hand_over(&x, e, "default", &report);
    T_EQ(report.applied.len, 3 * 32);
    T_EQ(shown(e, "aa"), 0);
    const ckv_id32 p = w_root(d), q = w_root(e);
    T_BYTES(&p, 32, &q, 32);                          /* equal changes */
    T_EQ(w_send(e, f, ckv_alloc_libc, NULL), CKV_OK); /* and the lie goes on */
    T_EQ(w_send(d, e, ckv_alloc_libc, NULL), CKV_OK);
    w_same(d, e); /* all three at once */
    T_EQ(shown(e, "ac"), '5');
    T_EQ(w_send(e, f, ckv_alloc_libc, NULL), CKV_OK);
    w_same(e, f);
    hand_over(&x, e, "default", &report); /* again: nothing happens */
    T_EQ(report.known, 3);
    w_same(d, e);
    w_check(e);
    tape_close(&x);
    ckv_report_fini(&report);
    ckv_datastore_free(d);
    ckv_datastore_free(e);
    ckv_datastore_free(f);
}

/* A PART of somebody else's lane, or of its own, counts for nothing. */
static void parts_of_others_count_for_nothing(void)
{
    for (uint8_t who = 8; who < 10; who++) { /* 8 is who counted; 9 is not */
        ckv_datastore *d = w_made(8), *e = w_made(2);
        ckv_report report;
        ckv_i128 total;
        tape x;
        const ckv_store_key name = {(const uint8_t *)"n", 1, false};
        ckv_report_init(&report, ckv_alloc_libc);
        T_EQ(ckv_datastore_count(d, name, 5, w_ms++), CKV_OK);
        T_EQ(w_commit(d), CKV_OK);
        const ckv_id32 counted = last_id(d, "default"), id = dag_id(d, "default");
        tape_open(&x, who, &id);
        for (int seen = 0; seen < 2; seen++) {
            if (seen) { /* now it knows of the change */
                ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
                ckv_err err;
                T_EQ(ckv_doc_export(ckv_datastore_dag(d, 0).doc, NULL, 0, NULL, 0, &bundle),
                     CKV_OK);
                T_EQ(ckv_doc_apply(x.doc, bundle.ptr, bundle.len, &report, &err), CKV_OK);
                ckv_buf_fini(&bundle);
            }
            ckv_buf body = head(0), payload = hex("02 6e");
            ckv_kv_write_name(&payload, &counted, 0);
            ckv_buf_u8(&payload, 2 * 9);
            put_op(&body, 4, &payload);
            tape_write(&x, &body, 1);
            hand_over(&x, e, "default", &report);
            T_EQ(w_send(d, e, ckv_alloc_libc, NULL), CKV_OK);
            T_EQ(ckv_datastore_total(e, name, &total), CKV_OK);
            T_EQ(total, seen && who == 8 ? 9 : 5);
            ckv_buf_fini(&body);
            ckv_buf_fini(&payload);
        }
        hand_over(&x, d, "default", &report);
        T_EQ(ckv_datastore_total(d, name, &total), CKV_OK);
        T_EQ(total, who == 8 ? 9 : 5);
        tape_close(&x);
        ckv_report_fini(&report);
        ckv_datastore_free(d);
        ckv_datastore_free(e);
    }
}

/* Names without end on one key, in changes that know nothing of each other: reading, writing and compacting stay in proportion to the bytes that he sent. */
static void a_flood_of_names(void)
{
    enum { CHANGES = 120, NAMES = 1024 };
    for (int here = 0; here < 2; here++) { /* names of what is here, and of what never was */
        ckv_datastore *d = w_made(1);
        ckv_report report;
        ckv_compaction done;
        ckv_report_init(&report, ckv_alloc_libc);
        T_EQ(w_put(d, "default", "other", 1), CKV_OK);
        T_EQ(w_put(d, "default", "k", 2), CKV_OK);
        T_EQ(w_commit(d), CKV_OK);
        ckv_id32 target = last_id(d, "default");
        const ckv_id32 doc = dag_id(d, "blue");
        if (!here) target.b[0] ^= 1;
        for (uint32_t i = 0; i < CHANGES; i++) {
            tape x;
            tape_open(&x, 9, &doc);
            ckv_buf body = head(0), payload = hex("02 6b 8008");
            for (uint32_t k = 0; k < NAMES; k++) ckv_kv_write_name(&payload, &target, k + 2);
            ckv_buf_bytes(&payload, "\0\0", 2);
            put_op(&body, 1, &payload);
            tape_write(&x, &body, 1);
            hand_over(&x, d, "blue", &report);
            T_EQ(report.applied.len, 32);
            ckv_buf_fini(&body);
            ckv_buf_fini(&payload);
            tape_close(&x);
        }
        ckv_value_bytes value;
        const ckv_store_key key = {(const uint8_t *)"k", 1, false};
        for (int n = 0; n < 3; n++) T_EQ(ckv_datastore_get(d, key, &value), CKV_OK);
        T_EQ(w_put(d, "blue", "k", 3), CKV_OK);
        T_EQ(w_commit(d), CKV_OK);
        T_EQ(shown(d, "k"), '3'); /* who writes later wins */
        T_EQ(ckv_datastore_compact(d, true, w_ms++, &done), CKV_OK);
        /* What is not here may come: the names are kept, those of one change for all. */
        T_EQ(done.dropped, here ? CHANGES : CHANGES - 1);
        T_EQ(shown(d, "k"), '3');
        ckv_report_fini(&report);
        ckv_datastore_free(d);
    }
}

/* What a liar and a crowd say of one key: more than an entry keeps, so that values and names are read out of bodies. names: of what, if anything. */
static void tell_of_k(ckv_datastore *to, const char *dag, uint64_t n, const ckv_id32 *targets,
                      uint32_t n_names)
{
    const ckv_id32 doc = dag_id(to, dag);
    ckv_report report;
    tape x;
    ckv_buf body = head(0), payload = hex("02 6b");
    ckv_report_init(&report, ckv_alloc_libc);
    tape_open(&x, 9, &doc);
    ckv_buf_varint(&payload, n_names);
    for (uint32_t i = 0; i < n_names; i++) ckv_kv_write_name(&payload, &targets[i], 0);
    const ckv_value_bytes value = w_value(n, 300);
    ckv_buf_bytes(&payload, value.ptr, value.n_bytes);
    put_op(&body, 1, &payload);
    tape_write(&x, &body, 1);
    hand_over(&x, to, dag, &report);
    T_EQ(report.applied.len, 32);
    ckv_buf_fini(&body);
    ckv_buf_fini(&payload);
    tape_close(&x);
    ckv_report_fini(&report);
}

static int by_id(const void *a, const void *b) { return memcmp(a, b, 32); }

static void a_long_entry_says_what_a_short_one_would(void)
{
    enum { VALUES = 240, LIES = 12, NAMES = 300 };
    ckv_datastore *d = w_made(1), *e = w_made(2);
    static ckv_id32 real[VALUES];
    ckv_id32 names[NAMES];
    ckv_shown_ops const *ops;
    ckv_compaction done;
    ckv_datastore_stats figures;
    uint64_t n;
    uint32_t blue;
    const ckv_store_key key = {(const uint8_t *)"k", 1, false};
    t_seed(5);
    for (uint32_t i = 0; i < VALUES; i++) {
        tell_of_k(d, "default", i, NULL, 0);
        real[i] = last_id(d, "default");
    }
    T_EQ(ckv_datastore_conflicts(d, key, &ops), CKV_OK);
    T_EQ(ops->len, VALUES);
    for (uint32_t i = 0; i < LIES; i++) { /* all but 3 of 240 are named, and much that is not */
        for (uint32_t k = 0; k < NAMES; k++)
            for (uint32_t b = 0; b < 32; b++) names[k].b[b] = (uint8_t)t_rand();
        for (uint32_t k = 0; k < VALUES / LIES; k++)
            if (i * (VALUES / LIES) + k >= 3) names[k] = real[i * (VALUES / LIES) + k];
        qsort(names, NAMES, sizeof *names, by_id);
        tell_of_k(d, "blue", i, names, NAMES);
        if (i == LIES / 2) T_EQ(ckv_datastore_flush(d), CKV_OK); /* some of it in a run */
    }
    T_EQ(ckv_datastore_conflicts(d, key, &ops), CKV_OK);
    T_EQ(ops->len, 3 + LIES);
    T_EQ(ckv_datastore_figures(d, &figures), CKV_OK);
    T_CHECK(figures.memory + figures.index_bytes < 3 * CKV_LONG_ENTRY + (1u << 20));
    ckv_buf told = w_tell(d), shown_here = w_look(d); /* the oracle looks at bodies */
    T_BYTES(shown_here.ptr, shown_here.len, told.ptr, told.len);
    ckv_buf_fini(&told);
    ckv_buf_fini(&shown_here);
    T_EQ(w_send(d, e, ckv_alloc_libc, NULL), CKV_OK);
    w_same(d, e);
    w_check(d);
    w_check(e);
    T_EQ(ckv_datastore_compact(d, true, w_ms++, &done), CKV_OK);
    w_same(d, e);
    w_check(d);
    T_EQ(ckv_datastore_repair(e), CKV_OK);
    T_EQ(ckv_datastore_refresh(d), CKV_OK);
    w_same(d, e);
    T_EQ(w_put(d, "default", "k", 1), CKV_OK); /* one who has seen it all */
    T_EQ(w_commit(d), CKV_OK);
    T_EQ(w_send(d, e, ckv_alloc_libc, NULL), CKV_OK);
    T_EQ(ckv_datastore_conflicts(d, key, &ops), CKV_OK);
    T_EQ(ops->len, 1);
    w_same(d, e);
    T_EQ(w_dag(d, "blue", &blue), CKV_OK);
    T_EQ(ckv_datastore_purge(d, blue, &n), CKV_OK);
    T_EQ(ckv_datastore_conflicts(d, key, &ops), CKV_OK);
    T_EQ(ops->len, 1);
    w_check(d);
    ckv_datastore_free(d);
    ckv_datastore_free(e);
}

/* Changes whose ancestors never come, in many DAGs: what waits is bounded for all of them together. */
static void what_waits_in_many_dags(void)
{
    ckv_datastore *d = w_made(1);
    ckv_report report;
    ckv_err err;
    ckv_report_init(&report, ckv_alloc_libc);
    uint64_t waiting = 0;
    for (int i = 0; i < 24; i++) {
        char name[16];
        uint32_t dag;
        snprintf(name, sizeof name, "n%d", i);
        T_EQ(w_dag(d, name, &dag), CKV_OK);
        const ckv_id32 id = dag_id(d, name);
        tape x;
        tape_open(&x, 9, &id);
        ckv_buf body = head(0), payload = hex("02 6b 00 06"), bundle = ckv_buf_init(ckv_alloc_libc),
                frame = ckv_buf_init(ckv_alloc_libc);
        ckv_buf_varint(&payload, 1000000);
        for (int k = 0; k < 1000000; k++) ckv_buf_u8(&payload, (uint8_t)t_rand());
        put_op(&body, 1, &payload);
        const ckv_id32 first = tape_write(&x, &body, 1);
        for (int k = 0; k < 3; k++) tape_write(&x, &body, 1);
        T_EQ(ckv_doc_export(x.doc, &first, 1, NULL, 0, &bundle), CKV_OK);
        ckv_buf_bytes(&frame, "CKD\1", 4);
        ckv_buf_bytes(&frame, ckv_datastore_id(d), 32);
        ckv_buf_blob(&frame, name, strlen(name));
        ckv_buf_blob(&frame, bundle.ptr, bundle.len);
        ckv_buf_u64le(&frame, ckv_hash64(frame.ptr, frame.len));
        T_EQ(ckv_datastore_apply(d, frame.ptr, frame.len, &report, &err), CKV_OK);
        waiting += report.waiting.len / 32;
        ckv_buf_fini(&body);
        ckv_buf_fini(&payload);
        ckv_buf_fini(&bundle);
        ckv_buf_fini(&frame);
        tape_close(&x);
    }
    T_EQ(waiting, CKV_DAGS_WAITING / 1000000); /* of 72 */
    ckv_report_fini(&report);
    ckv_datastore_free(d);
}

int main(void)
{
    T_RUN(what_waits_in_many_dags);
    T_RUN(a_flood_of_names);
    T_RUN(a_long_entry_says_what_a_short_one_would);
    T_RUN(every_rule_of_an_operation);
    T_RUN(every_rule_of_a_body);
    T_RUN(long_keys_values_and_deep_ones);
    T_RUN(names_act_on_their_key_in_another_dag);
    T_RUN(a_live_body_is_fetched_again);
    T_RUN(parts_of_others_count_for_nothing);
    return t_done();
}
