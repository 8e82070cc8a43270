/* Bundles of datastores: networks in which everybody writes, somebody lies, bodies are compacted away, DAGs purged, and all show the same in the end; frames that are not as they
 * should be; names without end; memory that fails.
 */
#include "warehouse.h"

#include "base/hash64.h"
#include "dag/bundle.h"
#include "sync/datastore_session.h"

/* ---- networks */

enum { MOST = 5, KEEPER = MOST, MAIL = 8 };

typedef struct net {
    ckv_datastore *d[MOST + 1]; /* the last one keeps all bodies, and writes nothing */
    ckv_datastore *liar;        /* of the identity of d[1] */
    size_t n;
    uint64_t n_dags;
    ckv_buf mail[MAIL];
    size_t n_mail;
    bool purged;
} net;

static void give(ckv_datastore *to, const ckv_buf *bundle)
{
    ckv_report report;
    ckv_err err;
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(ckv_datastore_apply(to, bundle->ptr, bundle->len, &report, &err), CKV_OK);
    ckv_report_fini(&report);
}

/* A few messages of a session, which then breaks off. */
static void whisper(ckv_datastore *a, ckv_datastore *b, uint64_t n)
{
    ckv_datastore_session *ends[2];
    T_EQ(ckv_datastore_session_new(&ends[0], a, 0), CKV_OK);
    T_EQ(ckv_datastore_session_new(&ends[1], b, 0), CKV_OK);
    for (uint64_t silent = 0; n && silent < 2; n--) {
        ckv_buf m = ckv_buf_init(ckv_alloc_libc);
        ckv_report report;
        ckv_err err;
        const char *why;
        ckv_report_init(&report, ckv_alloc_libc);
        T_EQ(ckv_datastore_session_send(ends[n & 1], &m), CKV_OK);
        silent = m.len ? 0 : silent + 1;
        if (m.len)
            T_EQ(ckv_datastore_session_take(ends[1 - (n & 1)], m.ptr, m.len, &report, &err),
                 CKV_OK);
        T_VALID(ckv_datastore_session_check(ends[0], &why), why);
        T_VALID(ckv_datastore_session_check(ends[1], &why), why);
        ckv_report_fini(&report);
        ckv_buf_fini(&m);
    }
    for (size_t i = 0; i < 2; i++) ckv_datastore_session_free(ends[i]);
}

/* Goes on with a lane of d[1] where it stands by now, or stood. */
static void lie(net *w)
{
    if (t_one_in(2)) T_EQ(w_send(w->d[1], w->liar, ckv_alloc_libc, NULL), CKV_OK);
    for (uint32_t i = 0; i < ckv_datastore_n_dags(w->liar); i++) {
        ckv_doc *doc = ckv_datastore_dag(w->liar, i).doc;
        const uint32_t n = ckv_doc_n_changes(doc);
        for (uint32_t tries = 3; n && tries; tries--) {
            ckv_change_info info;
            ckv_doc_change(doc, (uint32_t)t_below(n), &info);
            if (ckv_doc_go_on_with_lane(doc, info.lane) == CKV_OK) break;
        }
    }
    T_EQ(w_edit(w->liar, w->n_dags), CKV_OK);
    T_EQ(w_commit(w->liar), CKV_OK);
    T_EQ(w_send(w->liar, w->d[KEEPER], ckv_alloc_libc, NULL), CKV_OK);
    T_EQ(w_send(w->liar, w->d[t_below(w->n)], ckv_alloc_libc, NULL), CKV_OK);
}

static void post(net *w, ckv_datastore *from)
{
    ckv_buf heads = ckv_buf_init(ckv_alloc_libc), *m = &w->mail[w->n_mail];
    *m = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_datastore_heads(w->d[t_below(w->n)], &heads), CKV_OK); /* somebody's */
    T_EQ(ckv_datastore_export(from, (const ckv_id32 *)(const void *)heads.ptr,
                              t_one_in(3) ? 0 : heads.len / 32, NULL, 0, m),
         CKV_OK);
    w->n_mail++;
    ckv_buf_fini(&heads);
}

static void deliver(net *w, ckv_datastore *to)
{
    const size_t i = t_below(w->n_mail);
    ckv_buf m = w->mail[i];
    give(to, &m);
    if (t_one_in(3)) return; /* it may come again */
    ckv_buf_fini(&m);
    w->mail[i] = w->mail[--w->n_mail];
}

static void step(net *w)
{
    const size_t i = t_below(w->n), j = (i + 1 + t_below(w->n - 1)) % w->n;
    ckv_datastore *d = w->d[i];
    ckv_compaction done;
    if (t_one_in(2)) {
        T_EQ(t_one_in(3) ? w_batch(d, w->n_dags) : w_edit(d, w->n_dags), CKV_OK);
        if (t_one_in(3)) return; /* more may come */
    }
    T_EQ(w_commit(d), CKV_OK);
    T_EQ(w_send(d, w->d[KEEPER], ckv_alloc_libc, NULL), CKV_OK); /* before a body can go */
    switch (t_below(10)) {
    case 0:
    case 1:
        T_EQ(w_commit(w->d[j]), CKV_OK);
        T_EQ(w_send(d, w->d[j], ckv_alloc_libc, NULL), CKV_OK);
        break;
    case 2:
        if (w->n_mail < MAIL) post(w, d);
        break;
    case 3:
    case 4:
        if (w->n_mail) deliver(w, d);
        break;
    case 5:
        T_EQ(w_commit(w->d[j]), CKV_OK);
        T_EQ(w_send(w->d[j], w->d[KEEPER], ckv_alloc_libc, NULL), CKV_OK);
        whisper(d, w->d[j], 1 + t_below(9));
        break;
    case 6: T_EQ(ckv_datastore_compact(d, t_one_in(3), w_ms++, &done), CKV_OK); break;
    case 7:
        if (t_one_in(3)) lie(w);
        break;
    case 8:
        if (i == 0 && w->n_dags > 1 && t_one_in(6)) {
            uint32_t dag;
            uint64_t n;
            T_EQ(w_dag(d, w_dags[w->n_dags - 1], &dag) == CKV_ESTALE, w->purged);
            if (w->purged) {
                for (dag = 0; !ckv_datastore_dag(d, dag).purged; dag++) {
                }
                T_EQ(ckv_datastore_admit(d, dag), CKV_OK);
            } else {
                T_EQ(ckv_datastore_purge(d, dag, &n), CKV_OK);
            }
            w->purged = !w->purged;
        }
        break;
    default: break;
    }
}

static void settle(net *w)
{
    if (w->purged) {
        uint32_t dag = 0;
        while (!ckv_datastore_dag(w->d[0], dag).purged) dag++;
        T_EQ(ckv_datastore_admit(w->d[0], dag), CKV_OK);
    }
    while (w->n_mail) {
        deliver(w, w->d[t_below(w->n)]);
    }
    for (size_t i = 0; i < w->n; i++) T_EQ(w_commit(w->d[i]), CKV_OK);
    w->d[w->n] = w->d[KEEPER];
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i <= w->n; i++) {
            for (size_t j = 0; j <= w->n; j++) {
                if (i == j) continue;
                if (t_one_in(2))
                    T_EQ(w_send(w->d[i], w->d[j], ckv_alloc_libc, NULL), CKV_OK);
                else
                    whisper(w->d[i], w->d[j], 1000);
            }
        }
    }
}

static void play(uint64_t seed)
{
    net w = {.n = 0};
    t_seed(seed);
    w.n = 2 + t_below(MOST - 2);
    w.n_dags = 1 + t_below(W_DAGS);
    for (size_t i = 0; i < w.n; i++) w.d[i] = w_made((uint8_t)(i + 1));
    T_EQ(w_new(&w.d[KEEPER], ckv_alloc_libc, 100, true), CKV_OK);
    w.liar = w_made(2);
    for (int n = 0; n < 60; n++) step(&w);
    ckv_datastore *keeper = w.d[KEEPER];
    settle(&w);
    for (size_t i = 0; i < w.n; i++) {
        w_same(keeper, w.d[i]);
        w_check(w.d[i]);
    }
    ckv_buf want = w_tell(keeper), got = w_look(keeper);
    T_BYTES(want.ptr, want.len, got.ptr, got.len);
    ckv_buf_fini(&want);
    ckv_buf_fini(&got);
    for (size_t i = 0; i < w.n; i++) ckv_datastore_free(w.d[i]);
    ckv_datastore_free(keeper);
    ckv_datastore_free(w.liar);
}

static void networks_come_together(void)
{
    const char *word = getenv("CKV_NETWORKS");
    const uint64_t n = word ? strtoull(word, NULL, 0) : 40;
    for (uint64_t seed = 1; seed <= n; seed++) play(seed);
}

/* ---- bundles */

static ckv_buf export_all(ckv_datastore *d)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_datastore_export(d, NULL, 0, NULL, 0, &out), CKV_OK);
    return out;
}

static ckv_status try_bundle(ckv_datastore *d, const ckv_buf *b, ckv_report *report)
{
    ckv_err err = {CKV_OK, 0, NULL};
    const ckv_status s = ckv_datastore_bundle_check(d, b->ptr, b->len, &err);
    T_CHECK(s == CKV_OK || (err.code == s && err.text));
    T_EQ(ckv_datastore_apply(d, b->ptr, b->len, report, &err), s);
    T_CHECK(s == CKV_OK || (err.code == s && err.text));
    return s;
}

/* A frame around parts that somebody made. */
typedef struct form {
    const char *name;
    const ckv_buf *bundle;
} form;

static ckv_buf frame(const form *parts, size_t n)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    uint8_t id[32];
    memset(id, 0x2a, sizeof id);
    ckv_buf_bytes(&out, "CKD\x01", 4);
    ckv_buf_bytes(&out, id, 32);
    for (size_t i = 0; i < n; i++) {
        ckv_buf_blob(&out, parts[i].name, strlen(parts[i].name));
        ckv_buf_blob(&out, parts[i].bundle->ptr, parts[i].bundle->len);
    }
    ckv_buf_u64le(&out, ckv_hash64(out.ptr, out.len));
    return out;
}

static ckv_buf dag_bundle(ckv_datastore *d, const char *name)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    uint32_t dag;
    T_EQ(w_dag(d, name, &dag), CKV_OK);
    T_EQ(ckv_doc_export(ckv_datastore_dag(d, dag).doc, NULL, 0, NULL, 0, &out), CKV_OK);
    return out;
}

static void what_both_have_is_not_sent(void)
{
    ckv_datastore *a = w_made(1), *b = w_made(2);
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    for (size_t i = 0; i < 64; i++) { /* DAGs in which nothing happened cost nothing */
        char name[8];
        uint32_t dag;
        snprintf(name, sizeof name, "n%d", (int)i);
        T_EQ(w_dag(a, name, &dag), CKV_OK);
    }
    ckv_buf m = export_all(a);
    T_EQ(m.len, 44);
    T_EQ(try_bundle(b, &m, &report), CKV_OK);
    T_EQ(ckv_datastore_n_dags(b), 1);
    ckv_buf_fini(&m);
    for (size_t i = 0; i < W_DAGS; i++) T_EQ(w_put(a, w_dags[i], "k", i), CKV_OK);
    T_EQ(w_commit(a), CKV_OK);
    m = export_all(a);
    T_EQ(try_bundle(b, &m, &report), CKV_OK);
    T_EQ(report.applied.len, 3 * 32);
    w_same(a, b);
    T_EQ(try_bundle(b, &m, &report), CKV_OK);
    T_EQ(report.known, 3);
    T_EQ(report.applied.len, 0);
    ckv_buf_fini(&m);
    ckv_buf heads = ckv_buf_init(ckv_alloc_libc), since = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_datastore_heads(b, &heads), CKV_OK);
    T_EQ(ckv_datastore_common(a, b, &since), CKV_OK);
    T_EQ(heads.len, 3 * 32);
    T_EQ(since.len, 3 * 32);
    m = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_datastore_export(a, (const ckv_id32 *)(const void *)heads.ptr, 3, NULL, 0, &m),
         CKV_OK);
    T_EQ(m.len, 44);
    T_EQ(try_bundle(b, &m, &report), CKV_OK);
    T_EQ(report.applied.len + report.voided.len + report.waiting.len + report.refused.len, 0);
    T_EQ(report.known, 0);
    ckv_buf_fini(&m);
    ckv_buf_fini(&heads);
    ckv_buf_fini(&since);
    ckv_report_fini(&report);
    ckv_datastore_free(a);
    ckv_datastore_free(b);
}

static void until_holds_what_its_ids_build_on(void)
{
    ckv_datastore *a = w_made(1), *b = w_made(2);
    ckv_buf heads = ckv_buf_init(ckv_alloc_libc), m = ckv_buf_init(ckv_alloc_libc);
    ckv_report report;
    const ckv_id32 nobody = {{1}};
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(w_put(a, "default", "k", 1), CKV_OK);
    T_EQ(w_commit(a), CKV_OK);
    T_EQ(ckv_datastore_heads(a, &heads), CKV_OK);
    T_EQ(w_put(a, "default", "k", 2), CKV_OK);
    T_EQ(w_put(a, "blue", "k", 2), CKV_OK);
    T_EQ(w_commit(a), CKV_OK);
    T_EQ(ckv_datastore_export(a, NULL, 0, (const ckv_id32 *)(const void *)heads.ptr, 1, &m),
         CKV_OK);
    T_EQ(try_bundle(b, &m, &report), CKV_OK);
    T_EQ(report.applied.len, 32);
    T_EQ(ckv_datastore_n_dags(b), 1);
    ckv_buf_clear(&m);
    T_EQ(ckv_datastore_export(a, NULL, 0, &nobody, 1, &m), CKV_ENOENT);
    ckv_buf_clear(&m);
    T_EQ(ckv_datastore_export(a, NULL, 0, &nobody, 0, &m), CKV_OK);
    T_EQ(m.len, 44);
    ckv_buf_fini(&m);
    ckv_buf_fini(&heads);
    ckv_report_fini(&report);
    ckv_datastore_free(a);
    ckv_datastore_free(b);
}

static void a_bundle_is_taken_whole_or_not_at_all(void)
{
    ckv_datastore *a = w_made(1), *b = w_made(2);
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    for (size_t i = 0; i < W_DAGS; i++) T_EQ(w_put(a, w_dags[i], "k", i), CKV_OK);
    T_EQ(w_commit(a), CKV_OK);
    ckv_buf first = dag_bundle(a, "default"), blue = dag_bundle(a, "blue"),
            red = dag_bundle(a, "red"), cut = red;
    cut.len -= 9;
    const struct {
        form parts[3];
        size_t n;
        ckv_status want;
    } frames[] = {
        {{{"blue", &blue}, {"default", &first}, {"red", &cut}}, 3, CKV_ECORRUPT},
        {{{"default", &first}, {"red", &cut}}, 2, CKV_ECORRUPT},
        {{{"blue", &cut}}, 1, CKV_ECORRUPT},
        {{{"blue", &blue}, {"default", &blue}}, 2, CKV_ECORRUPT}, /* another DAG's */
        {{{"green", &blue}}, 1, CKV_ECORRUPT},
        {{{"red", &blue}}, 1, CKV_ECORRUPT},
        {{{"default", &first}, {"blue", &blue}}, 2, CKV_ECORRUPT}, /* out of order */
        {{{"blue", &blue}, {"red\xff", &red}}, 2, CKV_ECORRUPT},
        {{{"blue", &blue}, {"default", &first}, {"red", &red}}, 3, CKV_OK},
        {{{"blue", &blue}, {"blue", &blue}}, 2, CKV_OK},
    };
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        ckv_buf m = frame(frames[i].parts, frames[i].n);
        const ckv_id32 before = w_root(b);
        const uint32_t n_dags = ckv_datastore_n_dags(b);
        T_EQ(try_bundle(b, &m, &report), frames[i].want);
        if (frames[i].want != CKV_OK) {
            const ckv_id32 after = w_root(b);
            T_BYTES(&before, 32, &after, 32);
            T_EQ(ckv_datastore_n_dags(b), n_dags);
            T_EQ(report.applied.len + report.refused.len, 0);
        }
        ckv_buf_fini(&m);
    }
    w_same(a, b);
    ckv_buf_fini(&first);
    ckv_buf_fini(&blue);
    ckv_buf_fini(&red);
    ckv_report_fini(&report);
    ckv_datastore_free(a);
    ckv_datastore_free(b);
}

static void every_flip_and_cut_is_seen(void)
{
    ckv_datastore *a = w_made(1), *b = w_made(2);
    ckv_report report;
    ckv_err err;
    ckv_id32 id;
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(w_put(a, "blue", "k", 1), CKV_OK);
    T_EQ(w_commit(a), CKV_OK);
    ckv_buf m = export_all(a);
    for (size_t i = 0; i < m.len; i++) {
        m.ptr[i] ^= 1;
        T_EQ(try_bundle(b, &m, &report), CKV_ECORRUPT);
        T_EQ(ckv_datastore_bundle_id(m.ptr, m.len, &id, &err), CKV_ECORRUPT);
        m.ptr[i] ^= 1;
        ckv_buf part = m;
        part.len = i;
        T_EQ(try_bundle(b, &part, &report), CKV_ECORRUPT);
    }
    T_EQ(ckv_datastore_n_dags(b), 1);
    T_EQ(try_bundle(b, &m, &report), CKV_OK);
    T_EQ(ckv_datastore_bundle_id(m.ptr, m.len, &id, &err), CKV_OK);
    T_BYTES(&id, 32, ckv_datastore_id(a), 32);
    ckv_buf_fini(&m);
    ckv_report_fini(&report);
    ckv_datastore_free(a);
    ckv_datastore_free(b);
}

/* A DAG is made for a change that somebody signed, and for nothing less. */
static void names_alone_make_nothing(void)
{
    ckv_datastore *a = w_made(1), *b = w_made(2);
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    uint32_t dag;
    T_EQ(w_dag(a, "blue", &dag), CKV_OK);
    ckv_buf empty = dag_bundle(a, "blue");
    T_EQ(w_put(a, "blue", "k", 1), CKV_OK);
    T_EQ(w_commit(a), CKV_OK);
    ckv_buf blue = dag_bundle(a, "blue");
    ckv_buf m = frame((const form[]){{"blue", &empty}}, 1);
    T_EQ(try_bundle(b, &m, &report), CKV_OK);
    T_EQ(ckv_datastore_n_dags(b), 1);
    ckv_buf_fini(&m);
    /* Its signature is false: the last section but one holds it, and the frame's checksum is mended. */
    ckv_bundle parts;
    ckv_err err;
    T_EQ(ckv_bundle_open(&parts, ckv_alloc_libc, blue.ptr, blue.len, &err), CKV_OK);
    ckv_buf sections[CKV_N_SECTIONS], bad = ckv_buf_init(ckv_alloc_libc);
    for (size_t i = 0; i < CKV_N_SECTIONS; i++) {
        sections[i] = ckv_buf_init(ckv_alloc_libc);
        ckv_buf_bytes(&sections[i], parts.sections[i].p, ckv_rd_left(&parts.sections[i]));
    }
    sections[CKV_SEC_SIGNATURES].ptr[3] ^= 1;
    T_EQ(ckv_bundle_write(&bad, &parts.head, sections), CKV_OK);
    m = frame((const form[]){{"blue", &bad}}, 1);
    T_EQ(try_bundle(b, &m, &report), CKV_OK);
    T_EQ(report.refused.len, sizeof(ckv_refusal));
    T_EQ(ckv_datastore_n_dags(b), 1);
    ckv_buf_fini(&m);
    for (size_t i = 0; i < CKV_N_SECTIONS; i++) ckv_buf_fini(&sections[i]);
    ckv_bundle_fini(&parts);
    ckv_buf_fini(&bad);
    ckv_buf_fini(&blue);
    ckv_buf_fini(&empty);
    ckv_report_fini(&report);
    ckv_datastore_free(a);
    ckv_datastore_free(b);
}

static void a_purged_dag_is_refused_as_a_whole(void)
{
    ckv_datastore *a = w_made(1), *b = w_made(2);
    ckv_report report;
    uint32_t dag;
    uint64_t n;
    ckv_value_bytes value;
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(w_put(a, "default", "k", 1), CKV_OK);
    T_EQ(w_put(a, "blue", "k", 2), CKV_OK);
    T_EQ(w_commit(a), CKV_OK);
    ckv_buf m = export_all(a);
    T_EQ(try_bundle(b, &m, &report), CKV_OK);
    T_EQ(w_dag(b, "blue", &dag), CKV_OK);
    T_EQ(ckv_datastore_purge(b, dag, &n), CKV_OK);
    T_EQ(n, 1);
    T_EQ(try_bundle(b, &m, &report), CKV_OK);
    T_EQ(report.known, 1);
    T_EQ(report.refused.len, sizeof(ckv_refusal));
    ckv_refusal r;
    memcpy(&r, report.refused.ptr, sizeof r);
    T_CHECK(!r.has_id && r.kind == CKV_REFUSED_OTHER);
    const ckv_store_key key = {(const uint8_t *)"k", 1, false};
    T_EQ(ckv_datastore_get(b, key, &value), CKV_OK);
    T_CHECK(value.ptr[2] == '1'); /* what it superseded shows again */
    bool news;
    T_EQ(w_send(a, b, ckv_alloc_libc, &news), CKV_OK); /* it is not even sent */
    T_CHECK(!news);
    T_EQ(ckv_datastore_purge(b, 0, &n), CKV_OK);
    ckv_datastore *fresh = w_made(3);
    const ckv_id32 x = w_root(b), y = w_root(fresh);
    T_BYTES(&x, 32, &y, 32); /* nothing is here */
    T_EQ(ckv_datastore_admit(b, dag), CKV_OK);
    T_EQ(ckv_datastore_admit(b, 0), CKV_OK);
    T_EQ(try_bundle(b, &m, &report), CKV_OK);
    w_same(a, b);
    ckv_buf_fini(&m);
    ckv_report_fini(&report);
    ckv_datastore_free(a);
    ckv_datastore_free(b);
    ckv_datastore_free(fresh);
}

static void there_are_so_many_dags_and_no_more(void)
{
    ckv_datastore *a = w_made(1), *b = w_made(2);
    ckv_report report;
    char name[16];
    uint32_t dag;
    ckv_report_init(&report, ckv_alloc_libc);
    for (uint32_t i = 0; i < CKV_MAX_DAGS - 1; i++) {
        snprintf(name, sizeof name, "n%u", (unsigned)i);
        T_EQ(w_dag(b, name, &dag), CKV_OK);
    }
    T_EQ(w_dag(b, "more", &dag), CKV_ELIMIT);
    T_EQ(w_put(a, "default", "k", 1), CKV_OK);
    T_EQ(w_put(a, "blue", "k", 1), CKV_OK);
    T_EQ(w_commit(a), CKV_OK);
    ckv_buf m = export_all(a);
    T_EQ(try_bundle(b, &m, &report), CKV_OK);
    T_EQ(report.applied.len, 32);
    T_EQ(report.refused.len, sizeof(ckv_refusal));
    ckv_refusal r;
    memcpy(&r, report.refused.ptr, sizeof r);
    T_CHECK(!r.has_id && r.kind == CKV_REFUSED_LIMIT);
    ckv_buf_fini(&m);
    ckv_report_fini(&report);
    ckv_datastore_free(a);
    ckv_datastore_free(b);
}

/* ---- memory */

static ckv_status exchange(ckv_alloc a)
{
    ckv_datastore *d[2] = {NULL, NULL};
    ckv_buf m = ckv_buf_init(a), heads = ckv_buf_init(a);
    ckv_report report;
    ckv_err err;
    ckv_id32 root[2];
    ckv_report_init(&report, a);
    ckv_status s = w_new(&d[0], a, 1, false);
    if (s == CKV_OK) s = w_new(&d[1], a, 2, false);
    for (uint64_t i = 0; i < 6 && s == CKV_OK; i++) s = w_put(d[i & 1], w_dags[i % 3], "k", i);
    for (size_t i = 0; i < 2 && s == CKV_OK; i++) s = w_commit(d[i]);
    if (s == CKV_OK) s = ckv_datastore_heads(d[1], &heads);
    if (s == CKV_OK)
        s = ckv_datastore_export(d[0], (const ckv_id32 *)(const void *)heads.ptr, heads.len / 32,
                                 NULL, 0, &m);
    if (s == CKV_OK) s = ckv_datastore_bundle_check(d[1], m.ptr, m.len, &err);
    if (s == CKV_OK) s = ckv_datastore_apply(d[1], m.ptr, m.len, &report, &err);
    if (s == CKV_OK) s = w_send(d[1], d[0], a, NULL);
    for (size_t i = 0; i < 2 && s == CKV_OK; i++) s = ckv_datastore_root(d[i], &root[i]);
    if (s == CKV_OK) T_BYTES(&root[0], 32, &root[1], 32);
    ckv_buf_fini(&m);
    ckv_buf_fini(&heads);
    ckv_report_fini(&report);
    for (size_t i = 0; i < 2; i++) ckv_datastore_free(d[i]);
    return s;
}

static void memory_may_fail_anywhere(void) { T_CHECK(t_oom(exchange) > 100); }

int main(void)
{
    T_RUN(what_both_have_is_not_sent);
    T_RUN(until_holds_what_its_ids_build_on);
    T_RUN(a_bundle_is_taken_whole_or_not_at_all);
    T_RUN(every_flip_and_cut_is_seen);
    T_RUN(names_alone_make_nothing);
    T_RUN(a_purged_dag_is_refused_as_a_whole);
    T_RUN(there_are_so_many_dags_and_no_more);
    T_RUN(networks_come_together);
    T_RUN(memory_may_fail_anywhere);
    return t_done();
}
