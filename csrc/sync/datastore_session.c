#include "sync/datastore_session.h"

#include <string.h>

#include "base/check.h"
#include "base/hash64.h"
#include "base/utf8.h"
#include "crypto/digest.h"
#include "sync/msg.h"

#define KIND     0x60u
#define SAME     0x61u /* and a digest, a salt, a check */
#define SAME_LEN (1u + 32 + 8 + 4)
#define SEVERAL  16384u /* with less room than this another session is not asked */
#define NO_DAG   UINT32_MAX
#define PATIENCE CKV_SESSION_PATIENCE

typedef struct speaker {  /* of one DAG */
    ckv_session *session; /* owned; NULL: closed, nothing more is said of this DAG */
    ckv_doc *scratch;     /* owned, NULL: its session is of the DAG itself */
    uint32_t dag, life;   /* NO_DAG with a scratch, and when closed */
    char *name;           /* owned */
    uint32_t name_bytes;
    bool is_refused;    /* the other end must be told that it is closed */
    uint32_t purged;    /* the DAG, if it is closed because that was purged; else NO_DAG */
    size_t at, n_bytes; /* of its message, while one is being made */
    bool speaks;        /* likewise: it has one */
} speaker;
CKV_VEC(speakers, speaker);

struct ckv_datastore_session {
    ckv_datastore *d; /* borrowed */
    ckv_alloc a;
    uint64_t max_bytes;
    bool over;
    bool untold;                       /* it is over for a reason of its own, and nobody was told */
    speakers all;                      /* by name */
    size_t turn;                       /* who begins the next message */
    ckv_buf spoken;                    /* a byte for each DAG: does it have a speaker? */
    uint32_t n_heard_names;            /* that the other end spoke of first */
    uint32_t idle;                     /* messages in a row of which nothing was for us */
    ckv_buf held;                      /* our first message: only its digest was sent so far */
    ckv_id32 our_digest, their_digest; /* of what each end said first */
    uint8_t our_salt[8], their_salt[8];
    bool heard_digest;
    uint64_t messages_out, messages_in, bytes_out, bytes_in;
    uint64_t refused, hashes; /* of sessions that are closed */
};

static ckv_status misfit(ckv_err *err, const char *text)
{
    *err = (ckv_err){CKV_ESYNC, 0, text};
    return CKV_ESYNC;
}

static ckv_status malformed(ckv_err *err, const char *text)
{
    *err = (ckv_err){CKV_ECORRUPT, 0, text};
    return CKV_ECORRUPT;
}

static int name_order(const char *a, size_t n_a, const char *b, size_t n_b)
{
    const size_t n = n_a < n_b ? n_a : n_b;
    const int order = n ? memcmp(a, b, n) : 0;
    return order ? order : (n_a > n_b) - (n_a < n_b);
}

static bool is_default(const char *name, size_t n_bytes)
{
    return name_order(name, n_bytes, "default", 7) == 0;
}

/* ---- life */

ckv_status ckv_datastore_session_new(ckv_datastore_session **out, ckv_datastore *d,
                                     uint64_t max_bytes)
{
    const ckv_alloc a = ckv_datastore_allocator(d);
    ckv_datastore_session *s = ckv_resize(a, NULL, 0, sizeof *s);
    if (!s) return CKV_ENOMEM;
    *s = (ckv_datastore_session){.d = d,
                                 .a = a,
                                 .max_bytes = max_bytes,
                                 .all = {.a = a},
                                 .spoken = ckv_buf_init(a),
                                 .held = ckv_buf_init(a)};
    *out = s;
    return CKV_OK;
}

/* Is the document of its session gone? Then it must not be touched. */
static bool is_orphan(const ckv_datastore_session *s, const speaker *p)
{
    return p->session && p->dag != NO_DAG && ckv_datastore_dag(s->d, p->dag).life != p->life;
}

static void close_speaker(ckv_datastore_session *s, speaker *p)
{
    if (p->session) {
        const ckv_session_stats stats = ckv_session_figures(p->session);
        s->refused += stats.refused;
        s->hashes += stats.hashes;
    }
    if (is_orphan(s, p))
        ckv_session_abandon(p->session);
    else
        ckv_session_free(p->session);
    ckv_doc_free(p->scratch);
    p->session = NULL;
    p->scratch = NULL;
    p->dag = NO_DAG;
}

static void drop(ckv_datastore_session *s)
{
    for (size_t i = 0; i < s->all.len; i++) {
        speaker *p = &s->all.ptr[i];
        close_speaker(s, p);
        ckv_release(s->a, p->name, (size_t)p->name_bytes + 1);
    }
    speakers_fini(&s->all);
    ckv_buf_fini(&s->spoken);
    ckv_buf_fini(&s->held);
}

void ckv_datastore_session_free(ckv_datastore_session *s)
{
    if (!s) return;
    drop(s);
    ckv_release(s->a, s, sizeof *s);
}

static ckv_status end(ckv_datastore_session *s, ckv_status status)
{
    drop(s);
    s->over = true;
    return status;
}

/* A DAG is not what it was. Whoever asks next for a message hears so, or he would ask for ever. Always false. */
static bool end_by_itself(ckv_datastore_session *s)
{
    const ckv_status status = end(s, CKV_ESYNC);
    s->untold = status != CKV_OK;
    return false;
}

bool ckv_datastore_session_is_over(const ckv_datastore_session *s) { return s->over; }

ckv_session_stats ckv_datastore_session_figures(const ckv_datastore_session *s)
{
    ckv_session_stats sum = {.messages_out = s->messages_out,
                             .messages_in = s->messages_in,
                             .bytes_out = s->bytes_out,
                             .bytes_in = s->bytes_in,
                             .refused = s->refused,
                             .hashes = s->hashes};
    for (size_t i = 0; i < s->all.len; i++) {
        if (!s->all.ptr[i].session) continue;
        const ckv_session_stats one = ckv_session_figures(s->all.ptr[i].session);
        sum.refused += one.refused;
        sum.hashes += one.hashes;
    }
    return sum;
}

/* ---- who speaks of what */

/* The place of a name, or the one where it would stand. */
static size_t place_of(const ckv_datastore_session *s, const char *name, size_t n_bytes,
                       bool *found)
{
    size_t lo = 0, hi = s->all.len;
    *found = false;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const speaker *p = &s->all.ptr[mid];
        const int order = name_order(p->name, p->name_bytes, name, n_bytes);
        if (order == 0) {
            *found = true;
            return mid;
        }
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* A closed one, at its place. */
static ckv_status add_speaker(ckv_datastore_session *s, size_t at, const char *name, size_t n_bytes)
{
    CKV_TRY(speakers_reserve(&s->all, 1));
    char *copy = ckv_resize(s->a, NULL, 0, n_bytes + 1);
    if (!copy) return CKV_ENOMEM;
    if (n_bytes) memcpy(copy, name, n_bytes);
    copy[n_bytes] = 0;
    memmove(s->all.ptr + at + 1, s->all.ptr + at, (s->all.len - at) * sizeof *s->all.ptr);
    s->all.ptr[at] =
        (speaker){.dag = NO_DAG, .purged = NO_DAG, .name = copy, .name_bytes = (uint32_t)n_bytes};
    s->all.len++;
    s->turn += s->turn > at;
    return CKV_OK;
}

/* It is closed, for what it spoke of was purged here. The other end is told. */
static void refuse_purged(speaker *p, uint32_t dag)
{
    p->purged = dag;
    p->is_refused = true;
}

/* From now on its session is of this DAG. */
static ckv_status adopt(speaker *p, const ckv_dag_info *dag)
{
    if (p->session) {
        ckv_session_move(p->session, dag->doc);
        ckv_doc_free(p->scratch);
        p->scratch = NULL;
    } else {
        CKV_TRY(ckv_session_new(&p->session, dag->doc, 0));
    }
    p->dag = dag->number;
    p->life = dag->life;
    return CKV_OK;
}

/* DAGs that have got something to say, and the default one, speak from now on; closed ones stay closed. */
static ckv_status call_speakers(ckv_datastore_session *s)
{
    const uint32_t n = ckv_datastore_n_dags(s->d);
    while (s->spoken.len < n && s->spoken.status == CKV_OK) ckv_buf_u8(&s->spoken, 0);
    CKV_TRY(s->spoken.status);
    for (uint32_t i = 0; i < n; i++) {
        if (s->spoken.ptr[i]) continue;
        const ckv_dag_info dag = ckv_datastore_dag(s->d, i);
        if (i && !ckv_dag_speaks(&dag)) continue;
        bool found;
        const size_t at = place_of(s, dag.name, dag.name_bytes, &found);
        if (!found) CKV_TRY(add_speaker(s, at, dag.name, dag.name_bytes));
        speaker *p = &s->all.ptr[at];
        if (dag.purged)
            refuse_purged(p, i); /* the default one: the other end will speak of it */
        else if (!found || p->scratch)
            CKV_TRY(adopt(p, &dag));
        s->spoken.ptr[i] = 1;
    }
    return CKV_OK;
}

/* DAGs that were purged since are closed. False: one is another object now, or is admitted again although both ends have closed it, and this session cannot go on. */
static bool look_after(ckv_datastore_session *s)
{
    for (size_t i = 0; i < s->all.len; i++) {
        speaker *p = &s->all.ptr[i];
        if (is_orphan(s, p)) {
            const uint32_t dag = p->dag;
            close_speaker(s, p);
            refuse_purged(p, dag);
        }
        if (p->purged != NO_DAG && !ckv_datastore_dag(s->d, p->purged).purged) return false;
    }
    return true;
}

/* ---- out */

/* What a speaker says is appended to `said`. */
static ckv_status ask_speaker(speaker *p, size_t room, ckv_buf *said)
{
    p->at = said->len;
    if (p->is_refused) {
        p->is_refused = false;
        p->speaks = true;
    } else if (p->session) {
        CKV_TRY(ckv_session_send_within(p->session, room, said));
        p->speaks = said->len > p->at;
    }
    p->n_bytes = said->len - p->at;
    return CKV_OK;
}

static size_t frame_bytes(const speaker *p) { return (size_t)p->name_bytes + 2 + 4; }

/* Who is in the middle of a bundle comes first, then the others in turn, while there is room. */
static ckv_status ask_all(ckv_datastore_session *s, ckv_buf *said)
{
    size_t used = 0, first = s->turn < s->all.len ? s->turn : 0;
    const size_t n = s->all.len;
    for (size_t i = 0; i < n; i++) s->all.ptr[i].speaks = false;
    for (size_t i = 0; i < n; i++) {
        if (s->all.ptr[i].session && ckv_session_is_midway(s->all.ptr[i].session)) first = i;
    }
    for (size_t k = 0; k < n; k++) {
        const size_t i = first + k < n ? first + k : first + k - n;
        speaker *p = &s->all.ptr[i];
        s->turn = i;
        if (used + SEVERAL > CKV_SESSION_ROOM) return CKV_OK;
        CKV_TRY(ask_speaker(p, CKV_SESSION_ROOM - used, said));
        if (p->speaks) used += p->n_bytes + frame_bytes(p);
        if (p->session && ckv_session_is_midway(p->session)) break; /* all the room is used */
    }
    s->turn = s->turn + 1 < n ? s->turn + 1 : 0;
    return CKV_OK;
}

/* A message of what they said. */
static void write_message(const ckv_datastore_session *s, const ckv_buf *said, ckv_buf *out)
{
    const size_t start = out->len;
    const speaker *last = NULL;
    size_t n = 0;
    for (size_t i = 0; i < s->all.len; i++) {
        if (!s->all.ptr[i].speaks) continue;
        last = &s->all.ptr[i];
        n++;
    }
    if (n == 0) return;
    if (n == 1 && last->n_bytes && is_default(last->name, last->name_bytes)) {
        ckv_buf_bytes(out, said->ptr, said->len);
        return;
    }
    ckv_buf_u8(out, KIND);
    ckv_buf_varint(out, n);
    for (size_t i = 0; i < s->all.len; i++) {
        const speaker *p = &s->all.ptr[i];
        if (!p->speaks) continue;
        ckv_buf_blob(out, p->name, p->name_bytes);
        ckv_buf_varint(out, p->n_bytes);
        if (p->n_bytes) ckv_buf_bytes(out, said->ptr + p->at, p->n_bytes);
    }
    if (out->status == CKV_OK)
        ckv_buf_u32le(out, (uint32_t)ckv_hash64(out->ptr + start, out->len - start));
}

/* Is this a first message of greetings, of several DAGs and of all that are spoken of? Then their digest may stand for it. */
static bool is_greeting(const ckv_datastore_session *s)
{
    if (s->messages_out || s->messages_in != s->heard_digest || s->all.len < 2) return false;
    for (size_t i = 0; i < s->all.len; i++) {
        if (!s->all.ptr[i].speaks || !s->all.ptr[i].session) return false;
    }
    return true;
}

/* Of names, roots and what the roots do not tell of. */
static ckv_status digest_greeting(ckv_datastore_session *s)
{
    ckv_buf all = ckv_buf_init(s->a);
    for (size_t i = 0; i < s->all.len; i++) {
        const speaker *p = &s->all.ptr[i];
        const ckv_hello *hello = ckv_session_said(p->session);
        ckv_buf_blob(&all, p->name, p->name_bytes);
        ckv_buf_bytes(&all, &hello->root, sizeof hello->root);
        ckv_buf_bytes(&all, hello->later, sizeof hello->later);
        memcpy(s->our_salt, hello->salt, sizeof s->our_salt);
    }
    const ckv_status status = all.status;
    if (status == CKV_OK) ckv_digest(&s->our_digest, "crdtkv-same-v1", all.ptr, all.len);
    ckv_buf_fini(&all);
    return status;
}

static bool is_same(const ckv_datastore_session *s)
{
    return s->heard_digest && ckv_id32_eq(&s->our_digest, &s->their_digest);
}

/* The other end said of every DAG what we did. */
static ckv_status greet_as_same(ckv_datastore_session *s)
{
    for (size_t i = 0; i < s->all.len; i++) {
        speaker *p = &s->all.ptr[i];
        if (p->speaks && p->session)
            CKV_TRY(ckv_session_take_same(p->session, s->our_salt, s->their_salt));
    }
    return CKV_OK;
}

/* Instead of a greeting: its digest, unless the other end said already that its own is another one. */
static ckv_status shorten(ckv_datastore_session *s, size_t start, ckv_buf *out)
{
    CKV_TRY(digest_greeting(s));
    if (s->heard_digest && !is_same(s)) return CKV_OK;
    if (is_same(s))
        CKV_TRY(greet_as_same(s));
    else
        ckv_buf_bytes(&s->held, out->ptr + start, out->len - start);
    CKV_TRY(s->held.status);
    out->len = start;
    ckv_buf_u8(out, SAME);
    ckv_buf_bytes(out, &s->our_digest, sizeof s->our_digest);
    ckv_buf_bytes(out, s->our_salt, sizeof s->our_salt);
    ckv_buf_u32le(out, (uint32_t)ckv_hash64(out->ptr + start, out->len - start));
    return out->status;
}

/* What the speakers have to say now, after what was held back. */
static ckv_status write_next(ckv_datastore_session *s, ckv_buf *out)
{
    const size_t start = out->len;
    if (s->held.len && s->messages_in) {
        ckv_buf_bytes(out, s->held.ptr, s->held.len);
        ckv_buf_fini(&s->held);
        return out->status;
    }
    if (s->held.len) return CKV_OK; /* it is for the other end to speak */
    ckv_buf said = ckv_buf_init(s->a);
    ckv_status status = call_speakers(s);
    if (status == CKV_OK) status = ask_all(s, &said);
    if (status == CKV_OK) {
        write_message(s, &said, out);
        status = out->status;
    }
    ckv_buf_fini(&said);
    return status == CKV_OK && is_greeting(s) ? shorten(s, start, out) : status;
}

ckv_status ckv_datastore_session_send(ckv_datastore_session *s, ckv_buf *out)
{
    if (!s->over && !look_after(s)) (void)end_by_itself(s);
    if (s->over) {
        const bool is_news = s->untold;
        s->untold = false;
        return is_news ? CKV_ESYNC : CKV_OK;
    }
    const size_t start = out->len;
    const ckv_status status = write_next(s, out);
    if (status != CKV_OK) return end(s, status);
    CKV_ASSERT(out->len - start <= CKV_MSG_MAX_BYTES);
    s->messages_out += out->len > start;
    s->bytes_out += out->len - start;
    return CKV_OK;
}

/* Is the session of each DAG where it says it is? */
static bool all_are(ckv_datastore_session *s, bool (*there)(ckv_session *))
{
    if (s->over || s->messages_out == 0 || s->messages_in == 0 || s->held.len ||
        ckv_datastore_is_open(s->d))
        return false;
    if (!look_after(s)) return end_by_itself(s);
    if (call_speakers(s) != CKV_OK) return false; /* no memory: it may say so again */
    for (size_t i = 0; i < s->all.len; i++) {
        const speaker *p = &s->all.ptr[i];
        if (p->is_refused || (p->session && !there(p->session))) return false;
    }
    return true;
}

bool ckv_datastore_session_done(ckv_datastore_session *s) { return all_are(s, ckv_session_done); }

bool ckv_datastore_session_settled(ckv_datastore_session *s)
{
    return all_are(s, ckv_session_settled);
}

/* ---- in */

typedef struct saying {
    const char *name; /* borrowed, as the message */
    size_t name_bytes;
    const uint8_t *data;
    size_t n_bytes;
} saying;
CKV_VEC(sayings, saying);

/* The frame; what is said in it is not looked into. */
static ckv_status read_message(const uint8_t *data, size_t n_bytes, sayings *out, ckv_err *err)
{
    if (n_bytes && data[0] != KIND) return sayings_push(out, (saying){"default", 7, data, n_bytes});
    if (n_bytes < 6) return malformed(err, "not a message of a session of datastores");
    ckv_rd tail = ckv_rd_init(data + n_bytes - 4, 4), r = ckv_rd_init(data + 1, n_bytes - 5);
    if (ckv_rd_u32le(&tail) != (uint32_t)ckv_hash64(data, n_bytes - 4))
        return malformed(err, "message: checksum does not match");
    const size_t n = ckv_rd_count(&r, 2);
    for (size_t i = 0; i < n && r.status == CKV_OK; i++) {
        size_t n_chars;
        uint32_t max_char;
        saying one;
        one.name = (const char *)ckv_rd_blob(&r, &one.name_bytes);
        one.data = ckv_rd_blob(&r, &one.n_bytes);
        if (r.status != CKV_OK) break;
        const saying *last = i ? &out->ptr[i - 1] : NULL;
        if (one.name_bytes > CKV_MAX_DAG_NAME ||
            !ckv_utf8_valid((const uint8_t *)one.name, one.name_bytes, &n_chars, &max_char) ||
            (last && name_order(last->name, last->name_bytes, one.name, one.name_bytes) >= 0))
            return malformed(err, "message: names of DAGs");
        CKV_TRY(sayings_push(out, one));
    }
    if (!ckv_rd_done(&r) || n == 0) return malformed(err, "message: DAGs");
    if (n == 1 && out->ptr[0].n_bytes && is_default(out->ptr[0].name, out->ptr[0].name_bytes))
        return malformed(err, "message: the default DAG alone stands alone");
    return CKV_OK;
}

/* The other end speaks of a name first. */
static ckv_status meet(ckv_datastore_session *s, const saying *one, size_t at, ckv_err *err)
{
    uint32_t number, n_scratch = 0;
    if (++s->n_heard_names > CKV_DATASTORE_SESSION_NAMES)
        return misfit(err, "it speaks of more than 1,024 DAGs");
    ckv_status status = ckv_datastore_find_dag(s->d, one->name, one->name_bytes, false, &number);
    if (status != CKV_OK && status != CKV_ENOENT && status != CKV_ESTALE) return status;
    CKV_TRY(add_speaker(s, at, one->name, one->name_bytes));
    speaker *p = &s->all.ptr[at];
    for (size_t i = 0; i < s->all.len; i++) n_scratch += s->all.ptr[i].scratch != NULL;
    if (status == CKV_OK) {
        const ckv_dag_info dag = ckv_datastore_dag(s->d, number);
        CKV_TRY(adopt(p, &dag));
        s->spoken.ptr[number] = 1; /* call_speakers was here before */
    } else if (status == CKV_ESTALE) {
        refuse_purged(p, number);
    } else if (ckv_datastore_n_dags(s->d) + n_scratch >= CKV_MAX_DAGS) {
        p->is_refused = true;
    } else {
        CKV_TRY(ckv_dag_scratch(&p->scratch, s->d, one->name, one->name_bytes));
        CKV_TRY(ckv_session_new(&p->session, p->scratch, 0));
    }
    return CKV_OK;
}

/* Does it bring changes, or the last piece of some? */
static bool brings_changes(const saying *one)
{
    ckv_msg m;
    ckv_err err;
    if (ckv_msg_read(&m, one->data, one->n_bytes, &err) != CKV_OK) return false;
    if (m.has[CKV_PART_LIVE]) return true;
    ckv_rd piece = m.parts[CKV_PART_BUNDLE];
    return m.has[CKV_PART_BUNDLE] && ckv_rd_varint(&piece) == 0;
}

/* A DAG is made when it gets a change, not before. */
static ckv_status make_dag(ckv_datastore_session *s, speaker *p)
{
    uint32_t number;
    const ckv_status status = ckv_datastore_find_dag(s->d, p->name, p->name_bytes, true, &number);
    if (status == CKV_ELIMIT || status == CKV_ESTALE) {
        close_speaker(s, p);
        p->is_refused = true;
        if (status == CKV_ESTALE) p->purged = number;
        return CKV_OK;
    }
    CKV_TRY(status);
    const ckv_dag_info dag = ckv_datastore_dag(s->d, number);
    CKV_TRY(adopt(p, &dag));
    while (s->spoken.len <= number && s->spoken.status == CKV_OK) ckv_buf_u8(&s->spoken, 0);
    CKV_TRY(s->spoken.status);
    s->spoken.ptr[number] = 1;
    return CKV_OK;
}

/* *heard: it was for somebody. */
static ckv_status take_saying(ckv_datastore_session *s, const saying *one, bool *heard,
                              ckv_report *report, ckv_err *err)
{
    bool found;
    const size_t at = place_of(s, one->name, one->name_bytes, &found);
    if (!found) {
        CKV_TRY(meet(s, one, at, err));
        *heard = true;
    }
    speaker *p = &s->all.ptr[at];
    if (!p->session) return CKV_OK;
    *heard = true;
    if (one->n_bytes == 0) { /* that end wants nothing of it */
        close_speaker(s, p);
        return CKV_OK;
    }
    if (p->scratch && brings_changes(one)) CKV_TRY(make_dag(s, p));
    if (!p->session) return CKV_OK;
    if (p->dag != NO_DAG) ckv_dag_bound(s->d, p->dag);
    ckv_report part;
    ckv_report_init(&part, s->a);
    ckv_status status = ckv_session_take(p->session, one->data, one->n_bytes, &part, err);
    const ckv_status joined = ckv_report_join(report, &part);
    ckv_report_fini(&part);
    return status == CKV_OK ? joined : status;
}

/* What each DAG's session bounds for itself is bounded for all of them. */
static ckv_status check_bounds(const ckv_datastore_session *s, ckv_err *err)
{
    uint64_t refused = s->refused, waiting = 0;
    size_t n_pieces = 0;
    for (size_t i = 0; i < s->all.len; i++) {
        const ckv_session *one = s->all.ptr[i].session;
        if (!one) continue;
        refused += ckv_session_figures(one).refused;
        waiting += ckv_session_waiting(one);
        n_pieces += ckv_session_pieces(one) > 0;
    }
    if (refused > CKV_SESSION_BAD) return misfit(err, "more than 1,000 changes did not hold");
    if (waiting > CKV_DATASTORE_SESSION_WAITING)
        return misfit(err, "more than 8 MiB wait for what it did not send");
    return n_pieces > 1 ? misfit(err, "pieces of two bundles at once") : CKV_OK;
}

/* The digest of the other end's greeting, as its first message. */
static ckv_status take_digest(ckv_datastore_session *s, const uint8_t *data, size_t n_bytes,
                              ckv_err *err)
{
    ckv_rd tail = ckv_rd_init(data + n_bytes - 4, 4);
    if (n_bytes != SAME_LEN || ckv_rd_u32le(&tail) != (uint32_t)ckv_hash64(data, n_bytes - 4))
        return malformed(err, "message: checksum does not match");
    if (s->messages_in) return misfit(err, "a message was lost, repeated or overtaken");
    memcpy(&s->their_digest, data + 1, sizeof s->their_digest);
    memcpy(s->their_salt, data + 1 + 32, sizeof s->their_salt);
    s->heard_digest = true;
    if (s->held.len == 0 || !is_same(s)) return CKV_OK;
    if (memcmp(s->our_salt, s->their_salt, sizeof s->our_salt) == 0)
        return misfit(err, "the other end is this one");
    ckv_buf_fini(&s->held);
    return greet_as_same(s);
}

static ckv_status take_message(ckv_datastore_session *s, const uint8_t *data, size_t n_bytes,
                               sayings *said, ckv_report *report, ckv_err *err)
{
    bool heard = false;
    if (!look_after(s))
        return misfit(err, "a DAG was made anew, or admitted: begin another session");
    if (n_bytes > CKV_MSG_MAX_BYTES) return misfit(err, "a message of more than 1 MiB and 4 KiB");
    const bool is_digest = n_bytes >= 5 && data[0] == SAME;
    CKV_TRY(is_digest ? take_digest(s, data, n_bytes, err)
                      : read_message(data, n_bytes, said, err));
    s->messages_in++;
    s->bytes_in += n_bytes;
    if (s->max_bytes && s->bytes_in > s->max_bytes)
        return misfit(err, "more bytes than this session may take");
    CKV_TRY(call_speakers(s));
    for (size_t i = 0; i < said->len; i++)
        CKV_TRY(take_saying(s, &said->ptr[i], &heard, report, err));
    CKV_TRY(check_bounds(s, err));
    s->idle = heard ? 0 : s->idle + 1;
    return s->idle > PATIENCE ? misfit(err, "64 messages brought nothing new") : CKV_OK;
}

ckv_status ckv_datastore_session_take(ckv_datastore_session *s, const uint8_t *data, size_t n_bytes,
                                      ckv_report *report, ckv_err *err)
{
    *err = (ckv_err){0};
    if (s->over) return misfit(err, "the session is over");
    sayings said = {.a = s->a};
    const ckv_status status = take_message(s, data, n_bytes, &said, report, err);
    sayings_fini(&said);
    return status == CKV_OK ? CKV_OK : end(s, status);
}

/* ---- invariants */

bool ckv_datastore_session_check(const ckv_datastore_session *s, const char **why)
{
    size_t n_pieces = 0;
    for (size_t i = 0; i < s->all.len; i++) {
        const speaker *p = &s->all.ptr[i], *last = i ? p - 1 : NULL;
        *why = "session of datastores: names ascend";
        if (last && name_order(last->name, last->name_bytes, p->name, p->name_bytes) >= 0)
            return false;
        *why = "session of datastores: a scratch document without a session, or beside a DAG";
        if (p->scratch && (!p->session || p->dag != NO_DAG)) return false;
        *why = "session of datastores: a session without a document";
        if (p->session && !p->scratch && p->dag == NO_DAG) return false;
        *why = "session of datastores: a scratch document has changes";
        if (p->scratch && ckv_doc_n_changes(p->scratch)) return false;
        if (!p->session || is_orphan(s, p)) continue;
        if (!ckv_session_check(p->session, why)) return false;
        n_pieces += ckv_session_pieces(p->session) > 0;
    }
    *why = "session of datastores: pieces of two bundles";
    return n_pieces <= 1;
}
