/* Two datastores talk while both write, over wires that lose, repeat, overtake and damage. The input is a script of steps; checksums are made right, those of single sessions inside, too.
 *
 * Whatever comes, both stay sound; a session that broke off stays over; and over honest wires a new one brings both to the same.
 */
#include "sync/datastore_session.h"
#include "warehouse_kit.h"

enum { QUEUE = 6, MOST_STEPS = 48 };

typedef struct end {
    ckv_datastore *d;
    ckv_datastore_session *session;
    ckv_buf queue[QUEUE]; /* on the way to it */
    size_t n;
} end;

static ckv_buf take_off(end *e, size_t i)
{
    const ckv_buf m = e->queue[i];
    memmove(e->queue + i, e->queue + i + 1, (--e->n - i) * sizeof m);
    return m;
}

static void hang_up(end ends[2])
{
    for (size_t i = 0; i < 2; i++) {
        ckv_datastore_session_free(ends[i].session);
        ends[i].session = NULL;
        while (ends[i].n) {
            ckv_buf m = take_off(&ends[i], 0);
            ckv_buf_fini(&m);
        }
    }
}

static void meet(end ends[2])
{
    hang_up(ends);
    for (size_t i = 0; i < 2; i++)
        CKV_MUST(ckv_datastore_session_new(&ends[i].session, ends[i].d, 0) == CKV_OK);
}

static void say(end *from, end *to)
{
    if (to->n == QUEUE) return;
    ckv_buf m = ckv_buf_init(ckv_alloc_libc);
    const char *why;
    const ckv_status s = ckv_datastore_session_send(from->session, &m);
    CKV_ASSERT(s == CKV_OK || (s == CKV_ESYNC && ckv_datastore_session_is_over(from->session)));
    T_VALID(ckv_datastore_session_check(from->session, &why), why);
    if (m.len)
        to->queue[to->n++] = m;
    else
        ckv_buf_fini(&m);
}

static bool hear(end *to, const ckv_buf *m)
{
    ckv_err err = {CKV_OK, 0, NULL};
    ckv_report report;
    const char *why;
    ckv_report_init(&report, ckv_alloc_libc);
    const bool was_over = ckv_datastore_session_is_over(to->session);
    const ckv_status s = ckv_datastore_session_take(to->session, m->ptr, m->len, &report, &err);
    CKV_ASSERT(s == CKV_OK || ((s == CKV_ECORRUPT || s == CKV_ESYNC) && err.code == s && err.text));
    CKV_ASSERT(ckv_datastore_session_is_over(to->session) == (s != CKV_OK));
    CKV_ASSERT(!was_over || s == CKV_ESYNC);
    T_VALID(ckv_datastore_session_check(to->session, &why), why);
    ckv_report_fini(&report);
    return s == CKV_OK;
}

/* Both ends in turns until they are silent. False: one broke off. */
static bool talk(end ends[2])
{
    bool good = true;
    for (size_t quiet = 0, n = 0; quiet < 2; n++) {
        CKV_ASSERT(n < 200);
        end *from = &ends[n & 1], *to = &ends[!(n & 1)];
        say(from, to);
        quiet = to->n ? 0 : quiet + 1;
        while (to->n) {
            ckv_buf m = take_off(to, 0);
            good &= hear(to, &m);
            ckv_buf_fini(&m);
        }
    }
    return good;
}

static void mend(uint8_t *p, size_t n)
{
    const uint64_t check = ckv_hash64(p, n - 4);
    for (size_t i = 0; i < 4; i++) p[n - 4 + i] = (uint8_t)(check >> 8 * i);
}

/* The frame says something else, or one of the sessions in it. */
static void damage(ckv_buf *m, ckv_rd *script)
{
    if (m->len < 8) return;
    ckv_rd r = ckv_rd_init(m->ptr + 1, m->len - 5);
    uint32_t which = wk_below(script, 5);
    if (m->ptr[0] == 0x60 && which) {
        ckv_rd_varint(&r);
        while (ckv_rd_left(&r)) {
            size_t n;
            ckv_rd_blob(&r, &n);
            const uint8_t *said = ckv_rd_blob(&r, &n);
            if (n < 8 || --which) continue;
            uint8_t *p = m->ptr + (said - m->ptr);
            wk_spoil(p, n - 4, script);
            mend(p, n);
            break;
        }
    } else {
        wk_spoil(m->ptr, m->len - 4, script);
    }
    mend(m->ptr, m->len);
}

/* A DAG that is not the default one is forgotten, or welcome again. */
static void purge_or_admit(ckv_datastore *d, uint32_t which)
{
    const uint32_t n = ckv_datastore_n_dags(d);
    uint64_t n_changes;
    if (n == 1) return;
    const uint32_t dag = 1 + which % (n - 1);
    if (ckv_datastore_dag(d, dag).purged)
        CKV_MUST(ckv_datastore_admit(d, dag) == CKV_OK);
    else
        CKV_MUST(ckv_datastore_purge(d, dag, &n_changes) == CKV_OK);
}

static void admit_all(ckv_datastore *d)
{
    for (uint32_t dag = 0; dag < ckv_datastore_n_dags(d); dag++)
        if (ckv_datastore_dag(d, dag).purged) CKV_MUST(ckv_datastore_admit(d, dag) == CKV_OK);
}

static void step(end ends[2], ckv_rd *script)
{
    const uint8_t what = ckv_rd_u8(script);
    if (what >= 248) {
        purge_or_admit(ends[what & 1].d, what >> 1 & 3);
        return;
    }
    end *e = &ends[what & 1], *other = &ends[!(what & 1)];
    switch ((what >> 1) % 9) {
    case 0:
    case 1: wk_edit(e->d, script); break;
    case 2:
    case 3: say(e, other); break;
    case 4: meet(ends); break;
    case 5:
        if (e->n) damage(&e->queue[e->n - 1], script);
        break;
    case 6: {
        ckv_compaction done;
        CKV_MUST(ckv_datastore_compact(e->d, (what >> 6) & 1, w_ms++, &done) == CKV_OK);
        break;
    }
    default:
        if (e->n) { /* mostly the oldest; now and then it comes again */
            const uint32_t i = wk_below(script, 8);
            ckv_buf m = take_off(e, i < e->n ? i : 0);
            (void)hear(e, &m);
            if (i == 7 && e->n < QUEUE)
                e->queue[e->n++] = m;
            else
                ckv_buf_fini(&m);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    wk_begin();
    ckv_rd script = ckv_rd_init(data, n_bytes);
    end ends[2] = {{.d = w_made(1)}, {.d = w_made(2)}};
    meet(ends);
    for (uint32_t n = 0; n < MOST_STEPS && ckv_rd_left(&script); n++) step(ends, &script);
    for (size_t i = 0; i < 2; i++) admit_all(ends[i].d);
    for (int n = 0; n < 2; n++) {
        meet(ends);
        CKV_ASSERT(talk(ends));
        for (size_t i = 0; i < 2; i++) CKV_ASSERT(ckv_datastore_session_done(ends[i].session));
    }
    hang_up(ends);
    w_same(ends[0].d, ends[1].d);
    wk_agree(ends[0].d, ends[1].d);
    for (size_t i = 0; i < 2; i++) ckv_datastore_free(ends[i].d);
    return 0;
}
