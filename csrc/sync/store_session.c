#include "sync/store_session.h"

#include <string.h>

#include "base/check.h"
#include "base/id32.h"
#include "crypto/digest.h"
#include "kv/message.h"

#define KIND        'T'
#define MAX_MESSAGE ((1u << 20) + 4096)
#define ROOM        (1u << 20) /* for pieces in a message */
#define DIFF_BYTES  (1u << 20) /* about, then the next one begins */
#define MAX_DIFF    (4u << 20) /* of the other end's: its last row may be long */
#define MAX_PIECES  16u        /* of a message: this end never makes more than four */
#define DIGEST      16u

enum { MORE = 1 };              /* flags */
enum { REQUEST = 1, DIFF = 2 }; /* what a piece is of */

struct ckv_store_session {
    ckv_store *store; /* borrowed */
    ckv_alloc a;
    bool over, met, differ; /* met: both hellos are known; differ: they were not equal */
    bool owes;              /* the other end said something that was not answered */
    bool their_more;        /* what it said last: it is not finished */
    bool has_digest, said_request,
        is_whole; /* our hello is fixed; our request is on its way or there; theirs is whole */
    uint64_t sent, heard; /* numbers of the last messages, out and in */
    uint64_t told, taken; /* the last message out that said something; that the other end took in */
    uint32_t idle;        /* messages in a row that brought nothing */
    bool is_news;         /* the message at hand brings something */
    uint8_t digest[DIGEST]; /* of our hello */
    ckv_buf ours;   /* request that the hello told of, until it is known whether it must go */
    ckv_buf theirs; /* their request, moved on by all that went and came */
    ckv_buf out;    /* what is being sent in pieces, from out_at on */
    size_t out_at;
    uint8_t out_kind;
    ckv_buf in;      /* what comes in pieces */
    uint8_t in_kind; /* 0: nothing */
    bool is_told;    /* told_version is good: the other end was told all of it */
    uint64_t told_version;
    ckv_store_session_stats stats;
};

/* ---- life */

ckv_status ckv_store_session_new(ckv_store_session **out, ckv_store *store)
{
    const ckv_alloc a = ckv_store_allocator(store);
    ckv_store_session *s = ckv_resize(a, NULL, 0, sizeof *s);
    if (!s) return CKV_ENOMEM;
    *s = (ckv_store_session){.store = store,
                             .a = a,
                             .their_more = true,
                             .ours = ckv_buf_init(a),
                             .theirs = ckv_buf_init(a),
                             .out = ckv_buf_init(a),
                             .in = ckv_buf_init(a)};
    *out = s;
    return CKV_OK;
}

void ckv_store_session_free(ckv_store_session *s)
{
    if (!s) return;
    ckv_buf_fini(&s->ours);
    ckv_buf_fini(&s->theirs);
    ckv_buf_fini(&s->out);
    ckv_buf_fini(&s->in);
    ckv_release(s->a, s, sizeof *s);
}

static ckv_bytes bytes_of(const ckv_buf *b) { return (ckv_bytes){b->ptr, b->len}; }

/* ---- what there is to say */

/* Our request as it is now, and its digest: the hello. */
static ckv_status prepare_hello(ckv_store_session *s)
{
    if (s->has_digest) return CKV_OK;
    const ckv_status status = ckv_store_request(s->store, &s->ours);
    if (status != CKV_OK) {
        ckv_buf_clear(&s->ours);
        return status;
    }
    ckv_id32 id;
    ckv_digest(&id, "crdtkv-request", s->ours.ptr, s->ours.len);
    memcpy(s->digest, &id, DIGEST);
    s->has_digest = true;
    return CKV_OK;
}

/* The next thing to send in pieces, if one is due: our request, then diffs. */
static ckv_status prepare_out(ckv_store_session *s)
{
    if (s->out_at < s->out.len || !s->met) return CKV_OK;
    ckv_buf_clear(&s->out);
    s->out_at = 0;
    if (s->differ && !s->said_request) {
        const ckv_buf empty = s->out;
        s->out = s->ours;
        s->ours = empty;
        s->out_kind = REQUEST;
        s->said_request = true;
        return CKV_OK;
    }
    if (!s->is_whole || (s->is_told && s->told_version == ckv_store_version(s->store)))
        return CKV_OK;
    ckv_buf after = ckv_buf_init(s->a);
    bool more = false;
    ckv_status status =
        ckv_store_diff(s->store, bytes_of(&s->theirs), DIFF_BYTES, &s->out, &more, NULL);
    if (status == CKV_OK && ckv_message_is_empty(bytes_of(&s->out)))
        ckv_buf_clear(&s->out);
    else if (status == CKV_OK)
        status = ckv_request_after(bytes_of(&s->theirs), bytes_of(&s->out), &after, NULL);
    if (status != CKV_OK) {
        ckv_buf_clear(&s->out);
        ckv_buf_fini(&after);
        return status;
    }
    if (after.len) {
        ckv_buf_fini(&s->theirs);
        s->theirs = after;
    }
    s->out_kind = DIFF;
    s->is_told = !more;
    s->told_version = ckv_store_version(s->store);
    return CKV_OK;
}

/* Will this end say more without being asked? */
static bool has_more(const ckv_store_session *s)
{
    return !s->is_whole || s->out_at < s->out.len || !s->is_told ||
           s->told_version != ckv_store_version(s->store);
}

/* ---- out */

static void write_piece(ckv_store_session *s, ckv_buf *out, size_t room)
{
    const size_t left = s->out.len - s->out_at, n = left < room ? left : room;
    ckv_buf_u8(out, s->out_kind);
    ckv_buf_u8(out, n == left);
    ckv_buf_blob(out, s->out.ptr + s->out_at, n);
    s->out_at += n;
}

static ckv_status write(ckv_store_session *s, ckv_buf *out)
{
    const size_t begin = ckv_message_begin(out, KIND), flags = out->len;
    ckv_buf_u8(out, 0);
    ckv_buf_varint(out, s->sent + 1);
    ckv_buf_varint(out, s->heard);
    if (s->sent == 0) ckv_buf_bytes(out, s->digest, DIGEST);
    bool has_piece = false;
    while (s->out_at < s->out.len && out->len - begin < ROOM && out->status == CKV_OK) {
        write_piece(s, out, ROOM - (out->len - begin));
        has_piece = true;
        CKV_TRY(prepare_out(s));
    }
    if (out->status == CKV_OK && has_more(s)) out->ptr[flags] = MORE;
    ckv_message_end(out, begin);
    CKV_TRY(out->status);
    CKV_ASSERT(out->len - begin <= MAX_MESSAGE);
    s->sent++;
    if (has_piece || (s->sent == 1 && !(s->met && !s->differ))) s->told = s->sent;
    s->owes = false;
    s->stats.messages_out++;
    s->stats.bytes_out += out->len - begin;
    return CKV_OK;
}

ckv_status ckv_store_session_send(ckv_store_session *s, ckv_buf *out)
{
    if (s->over) return CKV_OK;
    const size_t n = out->len;
    ckv_status status = s->sent == 0 ? prepare_hello(s) : CKV_OK;
    if (status == CKV_OK) status = prepare_out(s);
    if (status == CKV_OK && (s->sent == 0 || s->owes || s->out_at < s->out.len))
        status = write(s, out);
    if (status != CKV_OK) {
        out->len = n;
        s->over = true; /* what was said cannot be said again */
    }
    return status;
}

/* ---- in */

static ckv_status wrong(ckv_err *err, ckv_status status, const char *text)
{
    if (err) *err = (ckv_err){status, 0, text};
    return status;
}

/* Something that came in pieces is whole. */
static ckv_status take_whole(ckv_store_session *s, uint64_t latest, ckv_store_report *report,
                             ckv_err *err)
{
    const ckv_bytes whole = bytes_of(&s->in);
    if (s->in_kind == REQUEST) {
        CKV_TRY(ckv_request_check(whole, err));
        const ckv_buf empty = s->theirs;
        s->theirs = s->in;
        s->in = empty;
        s->is_whole = true;
    } else {
        const uint64_t version = ckv_store_version(s->store), n_settled = report->n_settled;
        CKV_TRY(ckv_store_integrate(s->store, whole, latest, report, err));
        s->is_news = s->is_news || version != ckv_store_version(s->store);
        if (s->is_whole) { /* they have what they told of */
            ckv_buf after = ckv_buf_init(s->a);
            const ckv_status status = ckv_request_after(bytes_of(&s->theirs), whole, &after, err);
            if (status != CKV_OK) ckv_buf_fini(&after);
            CKV_TRY(status);
            s->is_news = s->is_news || after.len != s->theirs.len ||
                         memcmp(after.ptr, s->theirs.ptr, after.len) != 0;
            ckv_buf_fini(&s->theirs);
            s->theirs = after;
        }
        /* All of it came from there: if nothing else was new, nothing is now. But what waited here may be of somebody else. */
        if (s->is_told && s->told_version == version && report->refused.len == 0 &&
            report->n_settled == n_settled)
            s->told_version = ckv_store_version(s->store);
    }
    ckv_buf_clear(&s->in);
    s->in_kind = 0;
    return CKV_OK;
}

static ckv_status take_piece(ckv_store_session *s, ckv_rd *r, uint64_t latest,
                             ckv_store_report *report, ckv_err *err)
{
    const uint8_t kind = ckv_rd_u8(r), last = ckv_rd_u8(r);
    size_t n;
    const uint8_t *p = ckv_rd_blob(r, &n);
    if (r->status != CKV_OK || n == 0 || last > 1 || (kind != REQUEST && kind != DIFF))
        return wrong(err, CKV_ECORRUPT, "not a message of a session");
    if ((s->in_kind && s->in_kind != kind) || (kind == REQUEST && s->is_whole))
        return wrong(err, CKV_ESYNC, "a piece that does not fit");
    if (s->in.len + n > (kind == REQUEST ? CKV_STORE_SESSION_REQUEST : MAX_DIFF))
        return wrong(err, CKV_ESYNC, "more than the other end may send");
    s->in_kind = kind;
    s->is_news = s->is_news || kind == REQUEST;
    ckv_buf_bytes(&s->in, p, n);
    CKV_TRY(s->in.status);
    return last ? take_whole(s, latest, report, err) : CKV_OK;
}

/* What the two hellos say together. */
static ckv_status meet(ckv_store_session *s, const uint8_t *digest)
{
    CKV_TRY(prepare_hello(s));
    s->met = true;
    s->differ = memcmp(s->digest, digest, DIGEST) != 0;
    if (s->differ) return CKV_OK;
    s->told = 0;                                         /* what equal hellos say needs no answer */
    ckv_buf_bytes(&s->theirs, s->ours.ptr, s->ours.len); /* they have what we said we have */
    CKV_TRY(s->theirs.status);
    ckv_buf_fini(&s->ours);
    s->is_whole = true;
    return CKV_OK;
}

static ckv_status take(ckv_store_session *s, ckv_bytes message, uint64_t latest,
                       ckv_store_report *report, ckv_err *err)
{
    if (s->over) return wrong(err, CKV_ESYNC, "the session is over");
    if (message.n_bytes > MAX_MESSAGE) return wrong(err, CKV_ESYNC, "a message that is too long");
    ckv_rd r;
    CKV_TRY(ckv_message_open(message, KIND, &r, err));
    const uint64_t flags = ckv_rd_u8(&r), number = ckv_rd_varint(&r), heard = ckv_rd_varint(&r);
    const uint8_t *digest = number == 1 ? ckv_rd_bytes(&r, DIGEST) : NULL;
    if (r.status != CKV_OK || flags > MORE)
        return wrong(err, CKV_ECORRUPT, "not a message of a session");
    if (number != s->heard + 1 || heard > s->sent || heard < s->taken)
        return wrong(err, CKV_ESYNC, "a message is missing, repeated or of another session");
    const bool has_piece = ckv_rd_left(&r) > 0;
    s->is_news = digest || (heard >= s->told && s->taken < s->told);
    if (digest) CKV_TRY(meet(s, digest));
    for (unsigned n = 0; ckv_rd_left(&r); n++) { /* each one moves all of their request on */
        if (n == MAX_PIECES) return wrong(err, CKV_ESYNC, "a message of too many pieces");
        CKV_TRY(take_piece(s, &r, latest, report, err));
    }
    s->idle = s->is_news ? 0 : s->idle + 1;
    if (s->idle >= CKV_STORE_SESSION_PATIENCE)
        return wrong(err, CKV_ESYNC, "too many messages without anything new");
    s->heard = number;
    s->taken = heard;
    /* Equal digests alone need no answer but our own hello, and what their sender still wanted it has now. */
    const bool is_greeting = digest && !s->differ && !has_piece;
    s->owes = s->owes || (is_greeting ? s->sent == 0 : digest || has_piece);
    s->their_more = flags & MORE && !is_greeting;
    s->stats.messages_in++;
    s->stats.bytes_in += message.n_bytes;
    return CKV_OK;
}

ckv_status ckv_store_session_take(ckv_store_session *s, ckv_bytes message, uint64_t latest,
                                  ckv_store_report *report, ckv_err *err)
{
    const ckv_status status = take(s, message, latest, report, err);
    if (status != CKV_OK) s->over = true; /* I2 */
    return status;
}

/* ---- looking */

bool ckv_store_session_done(const ckv_store_session *s)
{
    return !s->over && s->met && !s->owes && !s->their_more && !has_more(s) && s->in_kind == 0 &&
           s->taken >= s->told;
}

bool ckv_store_session_is_over(const ckv_store_session *s) { return s->over; }

ckv_store_session_stats ckv_store_session_figures(const ckv_store_session *s) { return s->stats; }
