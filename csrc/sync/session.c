#include "sync/session.h"

#include "doc/absent.h"
#include "doc/live.h"
#include "sync/msg.h"
#include "sync/recon.h"

#include <stdlib.h>

#define BUNDLE_BYTES (1u << 20)        /* about, before packing */
#define MAX_BUNDLE   ((16u << 20) * 2) /* in pieces: a body and what leads to its signature */

#define WANTS 64u /* in one message */

#define BODIES 256u /* that are looked for at once */

CKV_VEC(hashes, uint64_t);

typedef struct promise { /* a change that the other end has and we have not */
    uint64_t hash;
    bool kept; /* it came */
} promise;
CKV_VEC(promises, promise);

struct ckv_session {
    ckv_doc *doc; /* borrowed */
    ckv_alloc a;
    uint64_t max_bytes;
    bool over;
    uint64_t sent, heard;      /* numbers of the last messages, out and in */
    uint64_t told;             /* the last message out that said something */
    uint64_t taken;            /* the last message out that the other end took in */
    bool owes;                 /* the other end said something that we have not answered */
    bool our_more, their_more; /* what each end said last: it is not finished */
    uint32_t idle;             /* messages in a row that brought nothing new */
    uint32_t n_short;          /* messages that compared but a little */
    uint64_t n_astray; /* changes that wait for ancestors, which an honest end sends first */

    ckv_hello hello, theirs; /* valid when sent, heard > 0 */
    uint32_t n_changes;      /* that our hello told of */
    bool met, comparing,
        stream; /* met: both hellos are known. stream: we know what the other end has */
    bool said_doc, heard_doc; /* which document, at the head of the comparison */
    uint8_t key[16];
    ckv_recon recon; /* if comparing */
    ckv_peer peer;
    promises promises; /* by hash */
    size_t n_promised; /* that are open */
    uint32_t
        n_arrived; /* changes that were looked at for that: another session may have brought them */

    ckv_buf wants, asked; /* ids of ancestors: to ask for; that were asked for, sorted */
    ckv_buf owed;         /* ids that the other end asks for */
    size_t n_owed;        /* in all */

    /* Documents with content: bodies that somebody calls dead are asked for, once. */
    bool asks;
    ckv_absent_walk walk; /* how far we asked */
    uint64_t n_asked;     /* bodies that the other end asked for */
    ckv_u32s owed_bodies; /* changes that it asked for, from owed_at on */
    size_t owed_at;

    bool said_later, heard_later; /* what each end has for a later version is known */
    uint64_t later_version;       /* of the set that was passed on last */
    ckv_buf our_later;            /* ids that our hello told of */
    ckv_buf known_later;          /* ids that the other end has, sorted */

    struct ckv_live *live; /* owned, NULL: none yet */
    ckv_buf bundle;        /* on its way out, from bundle_at on */
    size_t bundle_at;
    ckv_buf pieces; /* on their way in */
    uint64_t pieces_left;
    ckv_session_stats stats;
};

ckv_status ckv_session_new(ckv_session **out, ckv_doc *doc, uint64_t max_bytes)
{
    ckv_peer peer = ckv_peer_init(doc);
    const ckv_alloc a = peer.n.a;
    ckv_session *s = ckv_resize(a, NULL, 0, sizeof *s);
    if (!s) return CKV_ENOMEM;
    *s = (ckv_session){.doc = doc,
                       .a = a,
                       .max_bytes = max_bytes,
                       .their_more = true,
                       .peer = peer,
                       .promises = {.a = a},
                       .wants = ckv_buf_init(a),
                       .owed_bodies = {.a = a},
                       .asked = ckv_buf_init(a),
                       .owed = ckv_buf_init(a),
                       .our_later = ckv_buf_init(a),
                       .known_later = ckv_buf_init(a),
                       .bundle = ckv_buf_init(a),
                       .pieces = ckv_buf_init(a)};
    *out = s;
    return CKV_OK;
}

/* All but the struct: what an ended session has no use for. */
static void drop(ckv_session *s)
{
    if (s->comparing) ckv_recon_fini(&s->recon);
    s->comparing = false;
    ckv_peer_fini(&s->peer, s->doc);
    promises_fini(&s->promises);
    s->n_promised = 0;
    ckv_buf_fini(&s->wants);
    ckv_buf_fini(&s->asked);
    ckv_buf_fini(&s->owed);
    ckv_u32s_fini(&s->owed_bodies);
    ckv_buf_fini(&s->our_later);
    ckv_buf_fini(&s->known_later);
    ckv_buf_fini(&s->bundle);
    ckv_buf_fini(&s->pieces);
    ckv_release(s->a, s->live, s->live ? sizeof *s->live : 0);
    s->live = NULL;
}

void ckv_session_free(ckv_session *s)
{
    if (!s) return;
    drop(s);
    ckv_release(s->a, s, sizeof *s);
}

bool ckv_session_is_over(const ckv_session *s) { return s->over; }
ckv_session_stats ckv_session_figures(const ckv_session *s) { return s->stats; }

/* ---- what both ends know of each other */

/* Of what the root does not tell of, with content: changes for a later version, and bodies that are not here. */
static ckv_status digest_absent(ckv_session *s)
{
    ckv_id32 digest;
    bool any;
    CKV_TRY(ckv_absent_digest(s->doc, &digest, &any));
    if (!any && s->our_later.len == 0) return CKV_OK;
    ckv_buf all = ckv_buf_init(s->a);
    ckv_buf_bytes(&all, &digest, 32);
    ckv_buf_bytes(&all, s->our_later.ptr, s->our_later.len);
    const ckv_status status = all.status;
    if (status == CKV_OK) ckv_digest(&digest, "crdtkv-later-v1", all.ptr, all.len);
    memcpy(s->hello.later, digest.b, sizeof s->hello.later);
    ckv_buf_fini(&all);
    return status;
}

static ckv_status say_hello(ckv_session *s)
{
    CKV_TRY(ckv_doc_root(s->doc, &s->hello.root));
    s->later_version = ckv_doc_later_version(s->doc);
    CKV_TRY(ckv_doc_later(s->doc, &s->our_later));
    if (ckv_doc_has_content(s->doc)) {
        CKV_TRY(digest_absent(s));
    } else if (s->our_later.len) {
        ckv_id32 digest;
        ckv_digest(&digest, "crdtkv-later-v1", s->our_later.ptr, s->our_later.len);
        memcpy(s->hello.later, digest.b, sizeof s->hello.later);
    }
    ckv_doc_random(s->doc, s->hello.salt, sizeof s->hello.salt);
    s->n_changes = ckv_doc_n_changes(s->doc);
    return CKV_OK;
}

/* The key of all hashes of this session: neither end, and nobody else, chose it alone. */
static void make_key(ckv_session *s)
{
    uint8_t m[32 + 8 + 8];
    ckv_id32 key;
    const bool first = memcmp(s->hello.salt, s->theirs.salt, 8) < 0;
    memcpy(m, ckv_doc_id(s->doc), 32);
    memcpy(m + 32, first ? s->hello.salt : s->theirs.salt, 8);
    memcpy(m + 40, first ? s->theirs.salt : s->hello.salt, 8);
    ckv_digest(&key, "crdtkv-sync-v1", m, sizeof m);
    memcpy(s->key, key.b, sizeof s->key);
}

static uint64_t hash_of(const ckv_session *s, const void *id)
{
    return ckv_siphash(s->key, id, sizeof(ckv_id32));
}

static int by_hash(const void *x, const void *y)
{
    const uint64_t *a = x, *b = y;
    return *a < *b ? -1 : *a > *b;
}

static bool is_among(const hashes *sorted, uint64_t hash)
{
    return sorted->len && bsearch(&hash, sorted->ptr, sorted->len, sizeof hash, by_hash);
}

static promise *find_promise(const promises *sorted, uint64_t hash)
{
    return bsearch(&hash, sorted->ptr, sorted->len, sizeof(promise), by_hash);
}

/* True if it was one that was open. */
static bool keep_promise(ckv_session *s, const void *id)
{
    promise *p = find_promise(&s->promises, hash_of(s, id));
    if (!p || p->kept) return false;
    p->kept = true;
    s->n_promised--;
    return true;
}

/* Both hellos are known. opener: this end begins the comparison. */
static ckv_status meet(ckv_session *s, bool opener)
{
    s->met = true;
    make_key(s);
    const bool same_later = memcmp(s->hello.later, s->theirs.later, sizeof s->hello.later) == 0;
    if (same_later) {
        s->said_later = s->heard_later = true;
        ckv_buf_bytes(&s->known_later, s->our_later.ptr, s->our_later.len);
        CKV_TRY(s->known_later.status);
    } else {
        s->later_version = UINT64_MAX; /* nothing is passed on yet */
    }
    const bool same_root = ckv_id32_eq(&s->hello.root, &s->theirs.root);
    if (ckv_doc_has_content(s->doc) && !(same_root && same_later)) {
        s->asks = true;
        /* What comes without body from now on comes from who has none, or says so: another session asks for it. */
        s->walk.below = s->n_changes;
    }
    if (same_root) {
        s->stream = true;
        if (same_later) s->our_more = s->their_more = false; /* it will see, as we do */
        return ckv_peer_raise_all(&s->peer, s->doc, s->n_changes);
    }
    s->comparing = true;
    s->n_arrived = ckv_doc_n_changes(s->doc);
    return ckv_recon_begin(&s->recon, s->doc, &s->peer, s->key, opener);
}

/* The comparison is over: what it found is in `peer`, and what we may expect in `promised`. */
static ckv_status end_comparison(ckv_session *s)
{
    const ckv_foreign_tips *f = &s->recon.foreign;
    CKV_TRY(promises_reserve(&s->promises, f->len));
    for (size_t i = 0; i < f->len; i++) promises_put(&s->promises, (promise){.hash = f->ptr[i].id});
    if (f->len) qsort(s->promises.ptr, f->len, sizeof *s->promises.ptr, by_hash);
    s->n_promised = f->len;
    s->stats.hashes = s->recon.hashes;
    s->stream = true;
    return CKV_OK;
}

/* ---- out */

/* May there be changes for a later version that the other end has not? */
static bool owes_later(const ckv_session *s)
{
    return s->heard_later && s->later_version != ckv_doc_later_version(s->doc);
}

static bool has_news(ckv_session *s)
{
    return (s->comparing && s->recon.out.len) || (s->met && !s->said_later) || owes_later(s) ||
           s->asks || s->owed_at < s->owed_bodies.len || s->wants.len || s->owed.len ||
           s->bundle_at < s->bundle.len || (s->stream && ckv_peer_lacks(&s->peer, s->doc));
}

/* Promises that others kept: who made them has these changes, and is not sent them. */
static ckv_status note_arrivals(ckv_session *s)
{
    const uint32_t n = ckv_doc_n_changes(s->doc);
    for (; s->stream && s->n_arrived < n && s->n_promised; s->n_arrived++) {
        if (keep_promise(s, ckv_doc_id_of(s->doc, s->n_arrived)))
            CKV_TRY(ckv_peer_raise_change(&s->peer, s->doc, s->n_arrived));
    }
    return CKV_OK;
}

/* Is there nothing that we want to say or wait for? */
static bool is_settled(ckv_session *s)
{
    if (note_arrivals(s) != CKV_OK) return false; /* no memory: it may say so again */
    return s->stream && s->heard_later && s->n_promised == 0 && s->pieces_left == 0 && !has_news(s);
}

bool ckv_session_settled(ckv_session *s)
{
    return !s->over && is_settled(s) && !ckv_doc_is_open(s->doc);
}

bool ckv_session_done(ckv_session *s)
{
    return ckv_session_settled(s) && !s->their_more && s->taken >= s->told;
}

static void put_later(ckv_session *s, ckv_buf *parts)
{
    ckv_buf_varint(parts, CKV_PART_LATER);
    ckv_buf_varint(parts, s->our_later.len / 4);
    for (size_t i = 0; i < s->our_later.len; i += 32)
        ckv_buf_u64le(parts, hash_of(s, s->our_later.ptr + i));
    s->said_later = true;
    ckv_buf_fini(&s->our_later);
}

/* What there is to say in the comparison, as far as there is room. */
static void put_compare(ckv_session *s, ckv_buf *parts, size_t room)
{
    ckv_buf *ranges = &s->recon.out;
    const size_t n = ranges->len < room ? ranges->len : room, name = s->said_doc ? 0 : 8;
    ckv_buf_varint(parts, CKV_PART_COMPARE);
    ckv_buf_varint(parts, n + name);
    if (name) ckv_buf_u64le(parts, hash_of(s, ckv_doc_id(s->doc)));
    s->said_doc = true;
    ckv_buf_bytes(parts, ranges->ptr, n);
    memmove(ranges->ptr, ranges->ptr + n, ranges->len - n);
    ranges->len -= n;
}

static ckv_status need_live(ckv_session *s)
{
    if (s->live) return CKV_OK;
    s->live = ckv_resize(s->a, NULL, 0, sizeof *s->live);
    if (!s->live) return CKV_ENOMEM;
    memset(s->live, 0, sizeof *s->live);
    return CKV_OK;
}

/* A bundle of the next bodies that were asked for and matter. None: the bundle stays empty. */
static ckv_status next_bodies(ckv_session *s)
{
    uint32_t changes[BODIES];
    size_t at[BODIES], n = 0, n_done = 0;
    while (s->owed_at < s->owed_bodies.len && n < BODIES) {
        bool live;
        at[n] = s->owed_at;
        changes[n] = s->owed_bodies.ptr[s->owed_at++];
        CKV_TRY(ckv_doc_body_matters(s->doc, changes[n], &live));
        n += live;
    }
    if (n) CKV_TRY(ckv_doc_export_bodies(s->doc, changes, n, BUNDLE_BYTES, &s->bundle, &n_done));
    if (n_done < n) s->owed_at = at[n_done];
    if (s->owed_at == s->owed_bodies.len) s->owed_bodies.len = s->owed_at = 0;
    return CKV_OK;
}

/* The next bundle, or, if little is to be sent, changes right into the message. */
static ckv_status next_content(ckv_session *s, ckv_buf *parts)
{
    ckv_buf_clear(&s->bundle);
    s->bundle_at = 0;
    if (owes_later(s)) {
        size_t n;
        CKV_TRY(ckv_doc_export_later(s->doc, (const ckv_id32 *)(const void *)s->known_later.ptr,
                                     s->known_later.len / 32, &s->bundle, &n));
        ckv_buf_clear(&s->known_later);
        CKV_TRY(ckv_doc_later(s->doc, &s->known_later));
        s->later_version = ckv_doc_later_version(s->doc);
        if (n) return CKV_OK;
        ckv_buf_clear(&s->bundle);
    }
    if (s->owed.len) {
        bool found;
        CKV_TRY(ckv_doc_export_these(s->doc, (const ckv_id32 *)(const void *)s->owed.ptr,
                                     s->owed.len / 32, &s->bundle, &found));
        ckv_buf_clear(&s->owed);
        if (found) return CKV_OK;
    }
    if (s->owed_at < s->owed_bodies.len) {
        CKV_TRY(next_bodies(s));
        if (s->bundle.len) return CKV_OK;
    }
    if (!s->stream || !ckv_peer_lacks(&s->peer, s->doc)) return CKV_OK;
    CKV_TRY(need_live(s));
    bool fits;
    ckv_buf changes = ckv_buf_init(s->a);
    ckv_status status = ckv_live_write(s->live, s->doc, &s->peer, &changes, &fits);
    if (status == CKV_OK && fits) {
        ckv_buf_varint(parts, CKV_PART_LIVE);
        ckv_buf_blob(parts, changes.ptr, changes.len);
    }
    ckv_buf_fini(&changes);
    if (status != CKV_OK || fits) return status;
    return ckv_peer_bundle(&s->peer, s->doc, BUNDLE_BYTES, &s->bundle);
}

static void put_piece(ckv_session *s, ckv_buf *parts, size_t room)
{
    const size_t left = s->bundle.len - s->bundle_at, n = left < room ? left : room;
    ckv_buf_varint(parts, CKV_PART_BUNDLE);
    ckv_buf_varint(parts, ckv_varint_size(left - n) + n);
    ckv_buf_varint(parts, left - n);
    ckv_buf_bytes(parts, s->bundle.ptr + s->bundle_at, n);
    s->bundle_at += n;
    if (s->bundle_at == s->bundle.len) ckv_buf_fini(&s->bundle), s->bundle_at = 0;
}

static ckv_status put_absent(ckv_session *s, ckv_buf *parts, size_t room)
{
    if (parts->len + CKV_ABSENT_ENTRY_BYTES > room) return CKV_OK;
    ckv_buf question = ckv_buf_init(s->a);
    ckv_status status = ckv_absent_ask(s->doc, &s->walk, room - parts->len, &question, &s->asks);
    if (status == CKV_OK && question.len) {
        ckv_buf_varint(parts, CKV_PART_ABSENT);
        ckv_buf_blob(parts, question.ptr, question.len);
    }
    ckv_buf_fini(&question);
    return status;
}

static ckv_status say(ckv_session *s, size_t room, ckv_buf *parts)
{
    CKV_TRY(note_arrivals(s));
    const size_t n_later = s->our_later.len / 4;
    const bool later = s->met && !s->said_later && (n_later < room || room >= CKV_SESSION_ROOM);
    const size_t rest = !later ? room : n_later < room ? room - n_later : 0;
    if (s->comparing && s->recon.out.len && rest) put_compare(s, parts, rest);
    if (later) put_later(s, parts);
    if (s->bundle_at == s->bundle.len) CKV_TRY(next_content(s, parts));
    if (s->bundle_at < s->bundle.len && parts->len < room) put_piece(s, parts, room - parts->len);
    if (s->wants.len) {
        ckv_buf_varint(parts, CKV_PART_WANT);
        ckv_buf_blob(parts, s->wants.ptr, s->wants.len);
        ckv_buf_clear(&s->wants);
    }
    /* When all is here that the other end promised, what it might have besides. */
    if (s->asks && s->stream && s->n_promised == 0 && s->pieces_left == 0)
        CKV_TRY(put_absent(s, parts, room));
    return parts->status;
}

static ckv_status end(ckv_session *s, ckv_status status)
{
    drop(s);
    s->over = true;
    return status;
}

ckv_status ckv_session_send_within(ckv_session *s, size_t room, ckv_buf *out)
{
    if (s->over) return CKV_OK;
    const bool first = s->sent == 0;
    ckv_buf parts = ckv_buf_init(s->a);
    ckv_status status = CKV_OK;
    if (first) {
        status = say_hello(s);
        if (status == CKV_OK && s->heard) status = meet(s, true);
    }
    if (status == CKV_OK && s->met) status = say(s, room, &parts);
    const bool more = !is_settled(s);
    if (status == CKV_OK && (first || parts.len || s->owes || (s->our_more && !more))) {
        const size_t start = out->len;
        s->sent++;
        s->owes = false;
        s->our_more = more;
        if (parts.len) s->told = s->sent;
        ckv_msg_begin(out, more, s->sent, s->heard, &s->hello);
        ckv_buf_bytes(out, parts.ptr, parts.len);
        ckv_msg_end(out, start);
        status = out->status;
        s->stats.messages_out++;
        s->stats.bytes_out += out->len - start;
    }
    ckv_buf_fini(&parts);
    return status == CKV_OK ? CKV_OK : end(s, status);
}

ckv_status ckv_session_send(ckv_session *s, ckv_buf *out)
{
    return ckv_session_send_within(s, CKV_SESSION_ROOM, out);
}

bool ckv_session_is_midway(const ckv_session *s) { return s->bundle_at < s->bundle.len; }

/* ---- in */

static ckv_status misfit(ckv_err *err, const char *text)
{
    *err = (ckv_err){CKV_ESYNC, 0, text};
    return CKV_ESYNC;
}

static ckv_status take_compare(ckv_session *s, ckv_rd part, ckv_err *err)
{
    const char *why = NULL;
    if (!s->comparing || s->stream) return misfit(err, "it compares what is compared");
    if (!s->heard_doc) {
        const uint64_t doc = ckv_rd_u64le(&part);
        if (part.status != CKV_OK || doc != hash_of(s, ckv_doc_id(s->doc)))
            return misfit(err, "the other end has another document: replicas of one are made by "
                               "fork, by save and load, or under its id");
        s->heard_doc = true;
    }
    const ckv_status status = ckv_recon_take(&s->recon, part.p, ckv_rd_left(&part), &why);
    if (status == CKV_ESYNC || status == CKV_ELIMIT) return misfit(err, why);
    if (status == CKV_OK && ckv_recon_done(&s->recon)) return end_comparison(s);
    return status;
}

/* Which of our changes for a later version the other end has. */
static ckv_status take_later(ckv_session *s, ckv_rd part, ckv_err *err)
{
    const size_t n = ckv_rd_left(&part) / 8;
    if (s->heard_later || ckv_rd_left(&part) % 8) return misfit(err, "changes for a later version");
    hashes theirs = {.a = s->a};
    CKV_TRY(hashes_reserve(&theirs, n + 1));
    for (size_t i = 0; i < n; i++) hashes_put(&theirs, ckv_rd_u64le(&part));
    qsort(theirs.ptr, n, sizeof *theirs.ptr, by_hash);
    ckv_buf ours = ckv_buf_init(s->a), both = ckv_buf_init(s->a);
    ckv_status status = ckv_doc_later(s->doc, &ours);
    for (size_t i = 0; i < ours.len; i += 32) {
        if (is_among(&theirs, hash_of(s, ours.ptr + i))) ckv_buf_bytes(&both, ours.ptr + i, 32);
    }
    if (status == CKV_OK) status = both.status;
    hashes_fini(&theirs);
    ckv_buf_fini(&ours);
    s->known_later = both;
    s->heard_later = true;
    return status;
}

/* All of these ids came: what was promised is kept, whatever became of it. */
static void note_kept(ckv_session *s, const ckv_buf *ids)
{
    for (size_t i = 0; i < ids->len && s->n_promised; i += 32) {
        keep_promise(s, ids->ptr + i);
    }
}

/* Those of them that are kept for a later version need not be sent back. */
static ckv_status note_later(ckv_session *s, const ckv_buf *ids)
{
    ckv_buf *known = &s->known_later;
    for (size_t i = 0; i < ids->len; i += 32) {
        if (!ckv_doc_is_later(s->doc, (const ckv_id32 *)(const void *)(ids->ptr + i))) continue;
        size_t lo = 0, hi = known->len;
        while (lo < hi) {
            const size_t mid = lo + (hi - lo) / 64 * 32;
            if (ckv_id32_order(known->ptr + mid, ids->ptr + i) < 0)
                lo = mid + 32;
            else
                hi = mid;
        }
        if (lo < known->len && ckv_id32_order(known->ptr + lo, ids->ptr + i) == 0) continue;
        if (!ckv_buf_reserve(known, 32)) return known->status;
        memmove(known->ptr + lo + 32, known->ptr + lo, known->len - lo);
        memcpy(known->ptr + lo, ids->ptr + i, 32);
        known->len += 32;
    }
    return CKV_OK;
}

/* Changes that do not hold are skipped, and counted. Local limits are no fault of the other end. */
static ckv_status count_refused(ckv_session *s, const ckv_report *report, ckv_err *err)
{
    for (size_t i = 0; i < report->refused.len; i += sizeof(ckv_refusal)) {
        ckv_refusal r;
        memcpy(&r, report->refused.ptr + i, sizeof r);
        s->stats.refused += r.kind != CKV_REFUSED_LIMIT;
    }
    return s->stats.refused > CKV_SESSION_BAD ? misfit(err, "more than 1,000 changes did not hold")
                                              : CKV_OK;
}

/* What came and waits misses something. The other end must have it, and may have sent it: a tip that was refused for their number, say, is
 * taken when somebody else builds on it. Asked for once. */
static ckv_status note_missing(ckv_session *s)
{
    ckv_buf missing = ckv_buf_init(s->a);
    ckv_status status = CKV_OK;
    if (s->wants.len == 0 && s->asked.len < 32 * CKV_SESSION_WANTS)
        status = ckv_peer_missing(&s->peer, s->doc, WANTS, &missing);
    missing.len = 32 * ckv_id32_sort_unique(missing.ptr, missing.len / 32);
    for (size_t i = 0; i < missing.len; i += 32) {
        if (s->asked.len &&
            bsearch(missing.ptr + i, s->asked.ptr, s->asked.len / 32, 32, ckv_id32_order))
            continue;
        ckv_buf_bytes(&s->wants, missing.ptr + i, 32);
    }
    ckv_buf_bytes(&s->asked, s->wants.ptr, s->wants.len);
    if (status == CKV_OK) status = s->wants.status != CKV_OK ? s->wants.status : s->asked.status;
    if (status == CKV_OK) s->asked.len = 32 * ckv_id32_sort_unique(s->asked.ptr, s->asked.len / 32);
    ckv_buf_fini(&missing);
    return status;
}

static ckv_status take_want(ckv_session *s, ckv_rd part, ckv_err *err)
{
    const size_t n_bytes = ckv_rd_left(&part), n = n_bytes / 32;
    if (n == 0 || n_bytes % 32 || n > WANTS) return misfit(err, "wants");
    s->n_owed += n;
    if (s->n_owed > CKV_SESSION_WANTS) return misfit(err, "it wants without end");
    ckv_buf_bytes(&s->owed, part.p, n_bytes);
    return s->owed.status;
}

/* Bodies that did not come to the other end. We look for each once. */
static ckv_status take_absent(ckv_session *s, ckv_rd part, ckv_err *err)
{
    if (!ckv_doc_has_content(s->doc)) return CKV_OK; /* nothing that this version knows */
    const uint64_t most = UINT64_C(65536) + ckv_doc_n_changes(s->doc);
    uint64_t credit = most > s->n_asked ? most - s->n_asked : 0;
    const uint64_t before = credit;
    const ckv_status status = ckv_absent_read(s->doc, part, &credit, &s->owed_bodies);
    s->n_asked += before - credit;
    if (status == CKV_ECORRUPT) return misfit(err, "bodies that did not come");
    if (status == CKV_ELIMIT) return misfit(err, "it asks for bodies without end");
    return status;
}

static ckv_status take_content(ckv_session *s, const uint8_t *data, size_t n_bytes, bool live,
                               ckv_report *report, ckv_err *err)
{
    ckv_buf ids = ckv_buf_init(s->a);
    const uint64_t version = ckv_doc_later_version(s->doc);
    ckv_status status = live ? need_live(s) : CKV_OK;
    if (status == CKV_OK)
        status = live ? ckv_live_apply(s->live, s->doc, &s->peer, data, n_bytes, report, &ids, err)
                      : ckv_peer_apply(&s->peer, s->doc, data, n_bytes, report, &ids, err);
    if (status == CKV_OK) {
        note_kept(s, &ids);
        const uint64_t later = ckv_doc_later_version(s->doc) - version;
        if (later) status = note_later(s, &ids);
        /* Nothing here was released, so all that is new came from there: there is none to pass on. */
        if (s->later_version == version && report->applied.len + report->voided.len == 0)
            s->later_version += later;
        if (report->waiting.len / 32 > later) s->n_astray += report->waiting.len / 32 - later;
    }
    if (status == CKV_OK) status = count_refused(s, report, err);
    /* What waits for several learns of the next one when the first is here. */
    if (status == CKV_OK &&
        (report->waiting.len || (s->asked.len && report->applied.len + report->voided.len)))
        status = note_missing(s);
    ckv_buf_fini(&ids);
    return status;
}

/* A piece of a bundle; with the last one it is taken in. */
static ckv_status take_piece(ckv_session *s, ckv_rd part, ckv_report *report, ckv_err *err)
{
    const uint64_t left = ckv_rd_varint(&part);
    const size_t n = ckv_rd_left(&part);
    const uint8_t *bytes = ckv_rd_bytes(&part, n);
    if (part.status != CKV_OK || n == 0) return misfit(err, "an empty piece of a bundle");
    if (s->pieces.len == 0 && (left > MAX_BUNDLE || n + left > MAX_BUNDLE))
        return misfit(err, "a bundle of more than 32 MiB");
    if (s->pieces.len && (n > s->pieces_left || left != s->pieces_left - n))
        return misfit(err, "a piece is missing");
    s->pieces_left = left;
    if (left == 0 && s->pieces.len == 0) return take_content(s, bytes, n, false, report, err);
    ckv_buf_bytes(&s->pieces, bytes, n);
    if (s->pieces.status != CKV_OK) return s->pieces.status;
    if (left) return CKV_OK;
    const ckv_status status = take_content(s, s->pieces.ptr, s->pieces.len, false, report, err);
    ckv_buf_fini(&s->pieces);
    return status;
}

/* The hello of the other end. Whoever heard the other one first opens the comparison; if both spoke at once, the smaller salt. */
static ckv_status take_hello(ckv_session *s, const ckv_msg *m, ckv_err *err)
{
    s->theirs = m->hello;
    if (s->sent == 0) return m->empty ? CKV_OK : misfit(err, "it speaks before it could hear us");
    const int order = memcmp(s->hello.salt, s->theirs.salt, sizeof s->hello.salt);
    if (order == 0) return misfit(err, "the other end is this one");
    return meet(s, m->heard == 0 && order < 0);
}

static ckv_status take_parts(ckv_session *s, const ckv_msg *m, ckv_report *report, bool *news,
                             ckv_err *err)
{
    const uint64_t lacked = s->n_promised;
    if (m->empty) return CKV_OK;
    if (!s->met) return misfit(err, "it speaks before it could hear us");
    if (m->has[CKV_PART_COMPARE]) {
        CKV_TRY(take_compare(s, m->parts[CKV_PART_COMPARE], err));
        *news |=
            ckv_rd_left(&m->parts[CKV_PART_COMPARE]) >= 4096 || ++s->n_short <= CKV_SESSION_SHORT;
    }
    if (m->has[CKV_PART_LATER]) {
        CKV_TRY(take_later(s, m->parts[CKV_PART_LATER], err));
        *news = true;
    }
    if (m->has[CKV_PART_BUNDLE] && m->has[CKV_PART_LIVE])
        return misfit(err, "a bundle and live changes at once");
    if (m->has[CKV_PART_BUNDLE]) {
        CKV_TRY(take_piece(s, m->parts[CKV_PART_BUNDLE], report, err));
        *news |= s->pieces.len > 0 && ckv_rd_left(&m->parts[CKV_PART_BUNDLE]) >= 4096;
    }
    if (m->has[CKV_PART_LIVE]) {
        const ckv_rd part = m->parts[CKV_PART_LIVE];
        if (s->pieces.len) return misfit(err, "live changes within a bundle");
        CKV_TRY(take_content(s, part.p, ckv_rd_left(&part), true, report, err));
    }
    if (m->has[CKV_PART_WANT]) CKV_TRY(take_want(s, m->parts[CKV_PART_WANT], err));
    if (m->has[CKV_PART_ABSENT]) {
        CKV_TRY(take_absent(s, m->parts[CKV_PART_ABSENT], err));
        *news |= ckv_rd_left(&m->parts[CKV_PART_ABSENT]) >= 4096;
    }
    *news |= report->applied.len || report->voided.len || s->n_promised < lacked ||
             (report->waiting.len && s->n_astray <= CKV_SESSION_ASTRAY);
    return CKV_OK;
}

static ckv_status take_message(ckv_session *s, const uint8_t *data, size_t n_bytes,
                               ckv_report *report, ckv_err *err)
{
    ckv_msg m;
    if (n_bytes > CKV_MSG_MAX_BYTES) return misfit(err, "a message of more than 1 MiB and 4 KiB");
    CKV_TRY(ckv_msg_read(&m, data, n_bytes, err));
    s->stats.messages_in++;
    s->stats.bytes_in += n_bytes;
    if (s->max_bytes && s->stats.bytes_in > s->max_bytes)
        return misfit(err, "more bytes than this session may take");
    if (m.number != s->heard + 1) return misfit(err, "a message was lost, repeated or overtaken");
    if (m.heard < s->taken || m.heard > s->sent)
        return misfit(err, "it has heard what was not said");
    /* To hear that we were heard is news, once. */
    bool news = m.number == 1 || (s->taken < s->told && m.heard > s->taken);
    s->heard = m.number;
    s->taken = m.heard;
    s->their_more = m.more;
    if (m.number == 1) CKV_TRY(take_hello(s, &m, err));
    CKV_TRY(take_parts(s, &m, report, &news, err));
    if (!m.empty) s->owes = true;
    s->idle = news ? 0 : s->idle + 1;
    return s->idle > CKV_SESSION_PATIENCE ? misfit(err, "64 messages brought nothing new") : CKV_OK;
}

ckv_status ckv_session_take(ckv_session *s, const uint8_t *data, size_t n_bytes, ckv_report *report,
                            ckv_err *err)
{
    *err = (ckv_err){0};
    if (s->over) return misfit(err, "the session is over");
    const ckv_status status = take_message(s, data, n_bytes, report, err);
    return status == CKV_OK ? CKV_OK : end(s, status);
}

const ckv_hello *ckv_session_said(const ckv_session *s)
{
    CKV_ASSERT(s->sent > 0);
    return &s->hello;
}

ckv_status ckv_session_take_same(ckv_session *s, const uint8_t ours[8], const uint8_t theirs[8])
{
    if (s->over) return CKV_OK;
    CKV_ASSERT(s->sent == 1 && s->heard == 0);
    s->heard = 1;
    s->theirs = s->hello;
    memcpy(s->hello.salt, ours, sizeof s->hello.salt);
    memcpy(s->theirs.salt, theirs, sizeof s->theirs.salt);
    const ckv_status status = meet(s, false);
    return status == CKV_OK ? CKV_OK : end(s, status);
}

size_t ckv_session_pieces(const ckv_session *s) { return s->pieces.len; }

uint64_t ckv_session_waiting(const ckv_session *s)
{
    return s->peer.number ? ckv_peer_waiting(&s->peer, s->doc) : 0;
}

void ckv_session_move(ckv_session *s, ckv_doc *doc)
{
    if (s->over) return;
    ckv_peer_fini(&s->peer, s->doc);
    s->doc = doc;
    s->peer = ckv_peer_init(doc);
    if (s->comparing) s->recon.doc = doc;
    s->later_version = UINT64_MAX; /* what it has for a later version was not told of */
}

void ckv_session_abandon(ckv_session *s)
{
    if (s) s->peer.number = 0; /* what waits is not asked to forget it */
    ckv_session_free(s);
}

bool ckv_session_check(const ckv_session *s, const char **why)
{
    size_t open = 0;
    for (size_t i = 0; i < s->promises.len; i++) open += !s->promises.ptr[i].kept;
    *why = "session: promises are counted";
    if (open != s->n_promised) return false;
    *why = "session: numbers";
    if (s->taken > s->sent || s->told > s->sent) return false;
    return !s->comparing || ckv_recon_check(&s->recon, why);
}
