/* Sessions of datastores: few bytes for equal ones, a message each way; much in pieces, of one bundle at a time; names that come later, are purged meanwhile, or never end; messages
 * that are not as they should be; memory that fails.
 */
#include "warehouse.h"

#include "base/hash64.h"
#include "sync/datastore_session.h"
#include "sync/msg.h"

typedef struct pair {
    ckv_datastore *d[2];
    ckv_datastore_session *end[2];
    ckv_alloc a;
    size_t n_messages, n_bytes, n_longest;
} pair;

static ckv_status open_ends(pair *p)
{
    for (size_t i = 0; i < 2; i++) CKV_TRY(ckv_datastore_session_new(&p->end[i], p->d[i], 0));
    return CKV_OK;
}

static void close_ends(pair *p)
{
    for (size_t i = 0; i < 2; i++) ckv_datastore_session_free(p->end[i]);
    p->end[0] = p->end[1] = NULL;
}

static void make_pair(pair *p)
{
    *p = (pair){.a = ckv_alloc_libc};
    for (size_t i = 0; i < 2; i++) p->d[i] = w_made((uint8_t)(i + 1));
}

static void free_pair(pair *p)
{
    close_ends(p);
    for (size_t i = 0; i < 2; i++) ckv_datastore_free(p->d[i]);
}

static void write_one(ckv_datastore *d, const char *dag, uint64_t value)
{
    T_EQ(w_put(d, dag, "k", value), CKV_OK);
    T_EQ(w_commit(d), CKV_OK);
}

static ckv_status carry(pair *p, size_t from, bool *moved)
{
    ckv_buf m = ckv_buf_init(p->a);
    ckv_report report;
    ckv_err err;
    const char *why;
    ckv_report_init(&report, p->a);
    ckv_status s = ckv_datastore_session_send(p->end[from], &m);
    *moved = s == CKV_OK && m.len > 0;
    if (*moved) {
        p->n_messages++;
        p->n_bytes += m.len;
        if (m.len > p->n_longest) p->n_longest = m.len;
        T_CHECK(m.len <= CKV_MSG_MAX_BYTES);
        s = ckv_datastore_session_take(p->end[1 - from], m.ptr, m.len, &report, &err);
    }
    for (size_t i = 0; i < 2; i++) T_VALID(ckv_datastore_session_check(p->end[i], &why), why);
    ckv_report_fini(&report);
    ckv_buf_fini(&m);
    return s;
}

/* In turns until both are silent. */
static ckv_status talk(pair *p)
{
    for (bool any = true; any;) {
        any = false;
        for (size_t from = 0; from < 2; from++) {
            bool moved;
            CKV_TRY(carry(p, from, &moved));
            any = any || moved;
        }
    }
    return CKV_OK;
}

static void both_done(pair *p)
{
    for (size_t i = 0; i < 2; i++) T_CHECK(ckv_datastore_session_done(p->end[i]));
}

/* ---- honest ends */

static void equal_ones_need_one_message_each(void)
{
    for (size_t n_dags = 1; n_dags <= W_DAGS; n_dags++) {
        pair p;
        make_pair(&p);
        for (size_t i = 0; i < n_dags; i++) write_one(p.d[0], w_dags[i], i);
        T_EQ(w_send(p.d[0], p.d[1], p.a, NULL), CKV_OK);
        T_EQ(open_ends(&p), CKV_OK);
        T_CHECK(!ckv_datastore_session_done(p.end[0]));
        T_EQ(talk(&p), CKV_OK);
        both_done(&p);
        T_EQ(p.n_messages, 2);
        T_CHECK(p.n_longest <= 64);
        free_pair(&p);
    }
}

static void they_stay_in_step(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        pair p;
        t_seed(seed);
        make_pair(&p);
        for (size_t i = 0; i < 2; i++) {
            for (uint64_t n = t_below(20); n; n--) T_EQ(w_edit(p.d[i], W_DAGS), CKV_OK);
            T_EQ(w_commit(p.d[i]), CKV_OK);
        }
        T_EQ(open_ends(&p), CKV_OK);
        for (size_t n = 0; n < 30; n++) {
            bool moved;
            const size_t i = t_below(2);
            if (t_one_in(3)) T_EQ(w_edit(p.d[i], W_DAGS), CKV_OK);
            T_CHECK(!ckv_datastore_is_open(p.d[i]) || !ckv_datastore_session_done(p.end[i]));
            for (size_t k = 0; k < 2; k++) T_EQ(w_commit(p.d[k]), CKV_OK);
            T_EQ(carry(&p, i, &moved), CKV_OK);
        }
        T_EQ(talk(&p), CKV_OK);
        both_done(&p);
        w_same(p.d[0], p.d[1]);
        write_one(p.d[1], "green", 1); /* a DAG that the other end never heard of */
        T_CHECK(!ckv_datastore_session_done(p.end[1]));
        T_EQ(talk(&p), CKV_OK);
        both_done(&p);
        w_same(p.d[0], p.d[1]);
        free_pair(&p);
    }
}

/* A DAG is not made for its name. */
static void names_come_with_their_changes(void)
{
    pair p;
    bool moved;
    make_pair(&p);
    write_one(p.d[0], "blue", 1);
    T_EQ(open_ends(&p), CKV_OK);
    T_EQ(carry(&p, 0, &moved), CKV_OK);
    T_EQ(ckv_datastore_n_dags(p.d[1]), 1);
    T_EQ(carry(&p, 1, &moved), CKV_OK);
    T_EQ(ckv_datastore_n_dags(p.d[1]), 1);
    write_one(p.d[1], "blue", 2); /* made here in the midst of it */
    T_EQ(talk(&p), CKV_OK);
    both_done(&p);
    w_same(p.d[0], p.d[1]);
    free_pair(&p);
}

static void much_comes_in_pieces_of_one_bundle(void)
{
    pair p;
    make_pair(&p);
    static uint8_t bytes[900000];
    ckv_buf v = ckv_buf_init(ckv_alloc_libc);
    t_seed(1);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)t_rand();
    ckv_value_write(&v, &(ckv_value){.tag = CKV_TAG_BYTES, .ptr = bytes, .n_bytes = sizeof bytes});
    for (size_t i = 0; i < 5 * W_DAGS; i++) {
        ckv_batch *b;
        uint32_t dag, change;
        T_EQ(w_dag(p.d[0], w_dags[i % W_DAGS], &dag), CKV_OK);
        T_EQ(ckv_batch_new(&b, p.d[0]), CKV_OK);
        for (uint64_t k = 0; k < 1 + i % 4; k++)
            T_EQ(ckv_batch_put(b, dag, w_key(k), v.ptr, v.len), CKV_OK);
        T_EQ(ckv_batch_write(b, w_ms++, NULL, 0, &dag, &change), CKV_OK);
        ckv_batch_free(b);
    }
    T_EQ(open_ends(&p), CKV_OK);
    T_EQ(talk(&p), CKV_OK);
    both_done(&p);
    w_same(p.d[0], p.d[1]);
    T_CHECK(p.n_bytes > 13u * 900000 && p.n_messages < 60);
    ckv_buf_fini(&v);
    free_pair(&p);
}

static void very_many_dags(void)
{
    pair p;
    char name[16];
    make_pair(&p);
    for (uint32_t i = 0; i < 600; i++) { /* 1,200 in all: some find no place */
        for (size_t k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "%c%u", (int)('a' + k), (unsigned)i);
            T_EQ(w_put(p.d[k], name, name, i), CKV_OK);
            T_EQ(w_commit(p.d[k]), CKV_OK);
        }
    }
    T_EQ(open_ends(&p), CKV_OK);
    T_EQ(talk(&p), CKV_OK);
    both_done(&p);
    for (size_t k = 0; k < 2; k++) T_EQ(ckv_datastore_n_dags(p.d[k]), CKV_MAX_DAGS);
    free_pair(&p);
}

static void purge(ckv_datastore *d, const char *name)
{
    uint32_t dag;
    uint64_t n;
    T_EQ(w_dag(d, name, &dag), CKV_OK);
    T_EQ(ckv_datastore_purge(d, dag, &n), CKV_OK);
}

static void what_is_purged_is_not_spoken_of(void)
{
    for (size_t which = 0; which < 2; which++) {
        pair p;
        const char *gone = w_dags[which], *other = w_dags[1 - which];
        make_pair(&p);
        write_one(p.d[0], gone, 1);
        write_one(p.d[0], other, 1);
        T_EQ(open_ends(&p), CKV_OK);
        T_EQ(talk(&p), CKV_OK);
        purge(p.d[1], gone); /* within a session */
        write_one(p.d[0], gone, 2);
        write_one(p.d[0], other, 2);
        T_EQ(talk(&p), CKV_OK);
        both_done(&p);
        close_ends(&p);
        T_EQ(open_ends(&p), CKV_OK); /* and from its beginning */
        write_one(p.d[0], gone, 3);
        write_one(p.d[0], other, 3);
        T_EQ(talk(&p), CKV_OK);
        both_done(&p);
        ckv_value_bytes value;
        T_EQ(ckv_datastore_get(p.d[1], (ckv_store_key){(const uint8_t *)"k", 1, false}, &value),
             CKV_OK);
        T_CHECK(value.ptr[2] == '3');
        uint32_t dag = 0;
        while (!ckv_datastore_dag(p.d[1], dag).purged) dag++;
        T_EQ(ckv_datastore_admit(p.d[1], dag), CKV_OK);
        close_ends(&p);
        T_EQ(open_ends(&p), CKV_OK);
        T_EQ(talk(&p), CKV_OK);
        both_done(&p);
        w_same(p.d[0], p.d[1]);
        free_pair(&p);
    }
}

/* Whoever asks for a message is told so; after that it is silent. */
static void ends_once(ckv_datastore_session *end)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_datastore_session_send(end, &out), CKV_ESYNC);
    T_EQ(ckv_datastore_session_send(end, &out), CKV_OK);
    T_EQ(out.len, 0);
    ckv_buf_fini(&out);
}

/* A DAG that is here again is another one: the session does not know what became of it. */
static void purged_and_admitted_within_a_session(void)
{
    pair p;
    make_pair(&p);
    write_one(p.d[0], "blue", 1);
    T_EQ(open_ends(&p), CKV_OK);
    T_EQ(talk(&p), CKV_OK);
    purge(p.d[1], "blue");
    T_EQ(ckv_datastore_admit(p.d[1], 1), CKV_OK);
    T_CHECK(!ckv_datastore_session_done(p.end[1]));
    T_CHECK(ckv_datastore_session_is_over(p.end[1]));
    ends_once(p.end[1]);
    write_one(p.d[0], "blue", 2);
    bool moved;
    T_EQ(carry(&p, 0, &moved), CKV_ESYNC);
    free_pair(&p);
}

/* Both ends have closed it by then, in whatever way, and know of no way to open it again. */
static void admitted_long_after_it_was_purged(void)
{
    static const char *names[] = {"default", "blue"};
    for (size_t how = 0; how < 4; how++) {
        const char *name = names[how % 2];
        const bool before = how / 2; /* the session began */
        pair p;
        uint32_t dag;
        make_pair(&p);
        write_one(p.d[0], name, 1);
        write_one(p.d[0], w_dags[2], 1);
        if (before) {
            T_EQ(w_dag(p.d[1], name, &dag), CKV_OK);
            purge(p.d[1], name);
        }
        T_EQ(open_ends(&p), CKV_OK);
        T_EQ(talk(&p), CKV_OK);
        T_EQ(w_dag(p.d[1], name, &dag), before ? CKV_ESTALE : CKV_OK);
        if (!before) purge(p.d[1], name);
        T_EQ(talk(&p), CKV_OK);
        both_done(&p);
        T_EQ(ckv_datastore_admit(p.d[1], dag), CKV_OK);
        if (how) T_CHECK(!ckv_datastore_session_done(p.end[1]));
        ends_once(p.end[1]);
        T_CHECK(ckv_datastore_session_is_over(p.end[1]));
        close_ends(&p);
        T_EQ(open_ends(&p), CKV_OK);
        T_EQ(talk(&p), CKV_OK);
        both_done(&p);
        w_same(p.d[0], p.d[1]);
        free_pair(&p);
    }
}

/* Bodies that one end compacted away reach nobody who still shows them as live, and newcomers agree. */
static void newcomers_agree_with_those_who_compacted(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        pair p;
        ckv_compaction done;
        t_seed(seed);
        make_pair(&p);
        for (size_t n = 0; n < 60; n++) {
            T_EQ(w_batch(p.d[0], W_DAGS), CKV_OK);
            if (n == 20) T_EQ(w_send(p.d[0], p.d[1], p.a, NULL), CKV_OK);
            if (n > 20 && t_one_in(3)) T_EQ(w_batch(p.d[1], W_DAGS), CKV_OK);
        }
        T_EQ(ckv_datastore_compact(p.d[0], t_one_in(2), w_ms++, &done), CKV_OK);
        T_CHECK(done.dropped > 0 && done.bytes_after < done.bytes_before);
        if (t_one_in(2)) T_EQ(ckv_datastore_compact(p.d[1], true, w_ms++, &done), CKV_OK);
        T_EQ(open_ends(&p), CKV_OK);
        T_EQ(talk(&p), CKV_OK);
        both_done(&p);
        w_same(p.d[0], p.d[1]);
        close_ends(&p);
        ckv_datastore *old = p.d[0];
        p.d[0] = w_made(3);
        T_EQ(open_ends(&p), CKV_OK);
        T_EQ(talk(&p), CKV_OK);
        both_done(&p);
        w_same(p.d[0], p.d[1]);
        w_same(p.d[0], old);
        ckv_datastore_free(old);
        free_pair(&p);
    }
}

/* ---- by hand */

static ckv_buf frame(const char *const *names, const ckv_buf *said, size_t n)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_u8(&out, 0x60);
    ckv_buf_varint(&out, n);
    for (size_t i = 0; i < n; i++) {
        ckv_buf_blob(&out, names[i], strlen(names[i]));
        ckv_buf_blob(&out, said[i].ptr, said[i].len);
    }
    ckv_buf_u32le(&out, (uint32_t)ckv_hash64(out.ptr, out.len));
    return out;
}

/* What a session comes to that hears this first. */
static ckv_status hear(ckv_datastore *d, const uint8_t *p, size_t n, uint64_t max_bytes)
{
    ckv_datastore_session *s;
    ckv_report report;
    ckv_err err = {CKV_OK, 0, NULL};
    ckv_buf m = ckv_buf_init(ckv_alloc_libc);
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(ckv_datastore_session_new(&s, d, max_bytes), CKV_OK);
    const ckv_status status = ckv_datastore_session_take(s, p, n, &report, &err);
    T_CHECK(status == CKV_OK || (err.code == status && err.text));
    T_EQ(ckv_datastore_session_is_over(s), status != CKV_OK);
    if (status != CKV_OK) {
        T_EQ(ckv_datastore_session_send(s, &m), CKV_OK);
        T_EQ(m.len, 0);
        T_EQ(ckv_datastore_session_take(s, p, n, &report, &err), CKV_ESYNC);
        T_CHECK(!ckv_datastore_session_done(s));
    }
    ckv_report_fini(&report);
    ckv_buf_fini(&m);
    ckv_datastore_session_free(s);
    return status;
}

static void what_is_no_message_ends_it(void)
{
    pair p;
    make_pair(&p);
    write_one(p.d[0], "default", 1);
    write_one(p.d[0], "blue", 1);
    T_EQ(open_ends(&p), CKV_OK);
    ckv_buf m = ckv_buf_init(ckv_alloc_libc), hello = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_datastore_session_send(p.end[0], &m), CKV_OK);
    T_EQ(hear(p.d[1], m.ptr, m.len, 0), CKV_OK);
    T_EQ(hear(p.d[1], m.ptr, m.len, m.len), CKV_OK);
    T_EQ(hear(p.d[1], m.ptr, m.len, m.len - 1), CKV_ESYNC);
    for (size_t i = 0; i < m.len; i++) {
        m.ptr[i] ^= 4;
        T_EQ(hear(p.d[1], m.ptr, m.len, 0), CKV_ECORRUPT);
        m.ptr[i] ^= 4;
        T_EQ(hear(p.d[1], m.ptr, i, 0), CKV_ECORRUPT);
    }
    T_EQ(hear(p.d[1], NULL, 0, 0), CKV_ECORRUPT);
    ckv_buf_clear(&m);
    ckv_session *one;
    T_EQ(ckv_session_new(&one, ckv_datastore_dag(p.d[0], 0).doc, 0), CKV_OK);
    T_EQ(ckv_session_send(one, &hello), CKV_OK);
    const ckv_buf nothing = ckv_buf_init(ckv_alloc_libc), said[3] = {hello, nothing, nothing},
                  other[2] = {nothing, hello};
    char long_name[300];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    const struct {
        const char *names[3];
        const ckv_buf *said;
        size_t n;
        ckv_status want;
    } frames[] = {
        {{"default", "green", "red"}, said, 3, CKV_OK},
        {{"default"}, other, 1, CKV_OK}, /* it gave the default DAG up */
        {{"default"}, said, 0, CKV_ECORRUPT},
        {{"default"}, said, 1, CKV_ECORRUPT}, /* there is a shorter way */
        {{"default", "default"}, said, 2, CKV_ECORRUPT},
        {{"default", "blue"}, said, 2, CKV_ECORRUPT},
        {{"default", "r\xff"}, said, 2, CKV_ECORRUPT},
        {{long_name}, other, 1, CKV_ECORRUPT},
        {{"default", "x"}, (const ckv_buf[]){hello, {.ptr = hello.ptr, .len = 9}}, 2, CKV_ECORRUPT},
        {{"blue", "default"}, other, 2, CKV_OK},
    };
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        ckv_buf f = frame(frames[i].names, frames[i].said, frames[i].n);
        T_EQ(hear(p.d[1], f.ptr, f.len, 0), frames[i].want);
        ckv_buf_fini(&f);
    }
    T_EQ(ckv_datastore_n_dags(p.d[1]), 1);
    T_CHECK(ckv_buf_reserve(&m, CKV_MSG_MAX_BYTES + 1));
    memset(m.ptr, 0x60, CKV_MSG_MAX_BYTES + 1);
    T_EQ(hear(p.d[1], m.ptr, CKV_MSG_MAX_BYTES + 1, 0), CKV_ESYNC); /* not even looked at */
    T_EQ(hear(p.d[1], m.ptr, CKV_MSG_MAX_BYTES, 0), CKV_ECORRUPT);
    ckv_session_free(one);
    ckv_buf_fini(&hello);
    ckv_buf_fini(&m);
    free_pair(&p);
}

/* The digest that stands for a greeting, sealed again after a change of one byte; CKV_NONE: of none. */
static ckv_buf digest_with(const ckv_buf *m, uint32_t at)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&out, m->ptr, m->len - 4);
    if (at != CKV_NONE) out.ptr[at] ^= 1;
    ckv_buf_u32le(&out, (uint32_t)ckv_hash64(out.ptr, out.len));
    return out;
}

static ckv_status take(ckv_datastore_session *s, const ckv_buf *m)
{
    ckv_report report;
    ckv_err err;
    const char *why;
    ckv_report_init(&report, ckv_alloc_libc);
    const ckv_status status = ckv_datastore_session_take(s, m->ptr, m->len, &report, &err);
    T_VALID(ckv_datastore_session_check(s, &why), why);
    ckv_report_fini(&report);
    return status;
}

/* What two equal ends say of themselves, one of which may lie: it is told once, first, by another one, and in its full length. */
static void a_digest_is_told_once(void)
{
    enum { SALT = 1 + 32 };
    pair p;
    make_pair(&p);
    for (size_t i = 0; i < W_DAGS; i++) write_one(p.d[0], w_dags[i], i);
    T_EQ(w_send(p.d[0], p.d[1], p.a, NULL), CKV_OK);
    for (int how = 0; how < 8; how++) {
        ckv_buf m = ckv_buf_init(ckv_alloc_libc), more = ckv_buf_init(ckv_alloc_libc);
        T_EQ(open_ends(&p), CKV_OK);
        T_EQ(ckv_datastore_session_send(p.end[0], &m), CKV_OK);
        T_EQ(ckv_datastore_session_send(p.end[0], &more), CKV_OK);
        T_EQ(more.len, 0); /* the rest is held back */
        T_CHECK(!ckv_datastore_session_done(p.end[0]));
        ckv_buf same = digest_with(&m, SALT), other = digest_with(&m, 1);
        switch (how) {
        case 0: T_EQ(take(p.end[0], &m), CKV_ESYNC); break; /* his own words */
        case 1:                                             /* twice */
            T_EQ(take(p.end[0], &same), CKV_OK);
            T_CHECK(ckv_datastore_session_done(p.end[0]));
            T_EQ(take(p.end[0], &same), CKV_ESYNC);
            break;
        case 2: /* another one, and then in its full length; the other end does not hold it back */
            T_EQ(take(p.end[0], &other), CKV_OK);
            T_CHECK(!ckv_datastore_session_done(p.end[0]));
            T_EQ(ckv_datastore_session_send(p.end[0], &more), CKV_OK);
            T_CHECK(more.len > 64);
            T_EQ(take(p.end[1], &other), CKV_OK);
            T_EQ(take(p.end[1], &more), CKV_OK);
            break;
        case 3: /* after a greeting */
            T_EQ(take(p.end[1], &other), CKV_OK);
            T_EQ(ckv_datastore_session_send(p.end[1], &more), CKV_OK);
            T_EQ(take(p.end[0], &more), CKV_OK);
            T_EQ(take(p.end[0], &same), CKV_ESYNC);
            break;
        case 4: /* what was said is no longer so: a change, a new DAG, one that is purged */
            write_one(p.d[0], w_dags[1], 9);
            write_one(p.d[0], "green", 9);
            purge(p.d[0], w_dags[2]);
            T_EQ(take(p.end[0], &same), CKV_OK);
            T_CHECK(!ckv_datastore_session_done(p.end[0]));
            break;
        case 5: /* both at once */
            T_EQ(ckv_datastore_session_send(p.end[1], &more), CKV_OK);
            T_EQ(more.len, m.len);
            T_EQ(take(p.end[0], &more), CKV_OK);
            T_EQ(take(p.end[1], &m), CKV_OK);
            break;
        case 6: /* too short, too long */
            more.len = 0;
            ckv_buf_bytes(&more, same.ptr, same.len - 5);
            ckv_buf_u32le(&more, (uint32_t)ckv_hash64(more.ptr, more.len));
            T_EQ(take(p.end[0], &more), CKV_ECORRUPT);
            break;
        default:
            ckv_buf_bytes(&more, same.ptr, same.len - 3);
            ckv_buf_u32le(&more, (uint32_t)ckv_hash64(more.ptr, more.len));
            T_EQ(take(p.end[0], &more), CKV_ECORRUPT);
        }
        ckv_buf_clear(&more);
        if (!ckv_datastore_session_is_over(p.end[0]))
            T_EQ(ckv_datastore_session_send(p.end[0], &more), CKV_OK);
        close_ends(&p);
        ckv_buf_fini(&same);
        ckv_buf_fini(&other);
        ckv_buf_fini(&more);
        ckv_buf_fini(&m);
        if (how != 4) continue;
        free_pair(&p);
        make_pair(&p);
        for (size_t i = 0; i < W_DAGS; i++) write_one(p.d[0], w_dags[i], i);
        T_EQ(w_send(p.d[0], p.d[1], p.a, NULL), CKV_OK);
    }
    free_pair(&p);
}

static void names_have_an_end(void)
{
    ckv_datastore *d = w_made(1);
    ckv_datastore_session *s;
    ckv_report report;
    ckv_err err;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    const ckv_buf nothing = ckv_buf_init(ckv_alloc_libc);
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(ckv_datastore_session_new(&s, d, 0), CKV_OK);
    for (uint32_t i = 0; i <= CKV_DATASTORE_SESSION_NAMES; i++) {
        char name[16];
        const char *names[] = {name};
        snprintf(name, sizeof name, "n%u", (unsigned)i);
        ckv_buf f = frame(names, &nothing, 1);
        T_EQ(ckv_datastore_session_take(s, f.ptr, f.len, &report, &err),
             i < CKV_DATASTORE_SESSION_NAMES ? CKV_OK : CKV_ESYNC);
        ckv_buf_fini(&f);
    }
    T_EQ(ckv_datastore_n_dags(d), 1);
    ckv_datastore_session_free(s);
    T_EQ(ckv_datastore_session_new(&s, d, 0), CKV_OK); /* and the patience for what is ignored */
    for (uint32_t i = 0; i <= CKV_SESSION_PATIENCE + 1; i++) {
        const char *names[] = {"x"};
        ckv_buf f = frame(names, &nothing, 1);
        T_EQ(ckv_datastore_session_take(s, f.ptr, f.len, &report, &err),
             i <= CKV_SESSION_PATIENCE ? CKV_OK : CKV_ESYNC);
        ckv_buf_fini(&f);
    }
    ckv_datastore_session_free(s);
    ckv_datastore_session_free(NULL);
    ckv_report_fini(&report);
    ckv_buf_fini(&out);
    ckv_datastore_free(d);
}

/* Pieces of the bundles of two DAGs, which an honest end never has on the way at once. */
static void pieces_of_two_bundles(void)
{
    ckv_datastore *d = w_made(1);
    write_one(d, "default", 1);
    write_one(d, "blue", 1);
    ckv_datastore_session *s;
    ckv_report report;
    ckv_err err;
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(ckv_datastore_session_new(&s, d, 0), CKV_OK);
    const char *names[] = {"blue", "default"};
    ckv_buf said[2] = {ckv_buf_init(ckv_alloc_libc), ckv_buf_init(ckv_alloc_libc)},
            out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_datastore_session_send(s, &out), CKV_OK);
    for (uint64_t number = 1; number <= 2; number++) {
        for (size_t i = 0; i < 2; i++) {
            const ckv_hello hello = {.root = {{9}}, .salt = {(uint8_t)i, 1}};
            ckv_buf_clear(&said[i]);
            ckv_msg_begin(&said[i], true, number, 1, &hello);
            if (number == 2) {
                ckv_buf_varint(&said[i], CKV_PART_BUNDLE);
                ckv_buf_blob(&said[i], "\x09", 2); /* nine bytes are to follow */
            }
            ckv_msg_end(&said[i], 0);
        }
        ckv_buf f = frame(names, said, 2);
        T_EQ(ckv_datastore_session_take(s, f.ptr, f.len, &report, &err),
             number == 1 ? CKV_OK : CKV_ESYNC);
        ckv_buf_fini(&f);
    }
    for (size_t i = 0; i < 2; i++) ckv_buf_fini(&said[i]);
    ckv_buf_fini(&out);
    ckv_report_fini(&report);
    ckv_datastore_session_free(s);
    ckv_datastore_free(d);
}

/* ---- memory */

static ckv_status short_talk(ckv_alloc a)
{
    pair p = {.a = a};
    ckv_status s = CKV_OK;
    ckv_id32 root[2];
    for (size_t i = 0; i < 2 && s == CKV_OK; i++) s = w_new(&p.d[i], a, (uint8_t)(i + 1), false);
    for (uint64_t i = 0; i < 4 && s == CKV_OK; i++) s = w_put(p.d[i & 1], w_dags[i % 3], "k", i);
    for (size_t i = 0; i < 2 && s == CKV_OK; i++) s = w_commit(p.d[i]);
    if (s == CKV_OK) s = open_ends(&p);
    if (s == CKV_OK) s = talk(&p);
    if (s == CKV_OK) s = w_put(p.d[0], "green", "k", 1);
    if (s == CKV_OK) s = w_commit(p.d[0]);
    if (s == CKV_OK) s = talk(&p);
    close_ends(&p);
    if (s == CKV_OK) s = open_ends(&p); /* equal ones: digests of greetings */
    if (s == CKV_OK) s = talk(&p);
    for (size_t i = 0; i < 2 && s == CKV_OK; i++) s = ckv_datastore_root(p.d[i], &root[i]);
    if (s == CKV_OK) T_BYTES(&root[0], 32, &root[1], 32);
    free_pair(&p);
    return s;
}

static void memory_may_fail_anywhere(void) { T_CHECK(t_oom(short_talk) > 100); }

int main(void)
{
    T_RUN(equal_ones_need_one_message_each);
    T_RUN(they_stay_in_step);
    T_RUN(names_come_with_their_changes);
    T_RUN(much_comes_in_pieces_of_one_bundle);
    T_RUN(very_many_dags);
    T_RUN(what_is_purged_is_not_spoken_of);
    T_RUN(purged_and_admitted_within_a_session);
    T_RUN(admitted_long_after_it_was_purged);
    T_RUN(newcomers_agree_with_those_who_compacted);
    T_RUN(what_is_no_message_ends_it);
    T_RUN(a_digest_is_told_once);
    T_RUN(names_have_an_end);
    T_RUN(pieces_of_two_bundles);
    T_RUN(memory_may_fail_anywhere);
    return t_done();
}
