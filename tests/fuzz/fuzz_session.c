/* Sessions between three documents in a row, over wires that lose, repeat, overtake, damage and invent. The input is a script of steps.
 *
 * Documents 1 and 2 have one author, so that a lane can fork. Signatures are real. Whatever happens: what a document has it keeps, it has nothing
 * that none of them made, and sessions over honest wires bring all of them together in the end.
 */
#include "kit.h"
#include "sync/msg.h"
#include "sync/session.h"

enum { DOCS = 3, LINKS = 2, QUEUE = 6, MOST_STEPS = 64, MOST_CHANGES = 40 };

typedef struct wire { /* to one end */
    ckv_buf queue[QUEUE];
    uint32_t n;
} wire;

typedef struct end {
    ckv_session *session;
    uint32_t doc;
    wire in;
} end;

typedef struct world {
    ckv_doc *docs[DOCS];
    uint32_t n_changes[DOCS];
    end ends[LINKS][2];
    ckv_buf made; /* ids of all changes that one of them made */
    ckv_report report;
} world;

static void say(end *from, end *to)
{
    while (to->in.n < QUEUE) {
        ckv_buf out = ckv_buf_init(ckv_alloc_libc);
        const ckv_status s = ckv_session_send(from->session, &out);
        CKV_ASSERT(s == CKV_OK && out.len <= CKV_MSG_MAX_BYTES);
        if (out.len == 0) {
            ckv_buf_fini(&out);
            break;
        }
        to->in.queue[to->in.n++] = out;
    }
}

static ckv_buf take_off(wire *in, uint32_t i)
{
    const ckv_buf message = in->queue[i];
    in->n--;
    memmove(in->queue + i, in->queue + i + 1, (in->n - i) * sizeof *in->queue);
    return message;
}

static bool hear(world *w, end *to, const ckv_buf *message)
{
    ckv_err err;
    const char *why = "";
    ckv_doc *doc = w->docs[to->doc];
    const bool was_over = ckv_session_is_over(to->session);
    const ckv_status s =
        ckv_session_take(to->session, message->ptr, message->len, &w->report, &err);
    CKV_ASSERT(s == CKV_OK || (s == CKV_ECORRUPT && err.text) || (s == CKV_ESYNC && err.text));
    CKV_ASSERT(ckv_session_is_over(to->session) == (s != CKV_OK) && (s != CKV_OK || !was_over));
    if (s == CKV_OK) T_VALID(ckv_session_check(to->session, &why), why);
    CKV_ASSERT(ckv_doc_n_changes(doc) >= w->n_changes[to->doc]);
    w->n_changes[to->doc] = ckv_doc_n_changes(doc);
    return s == CKV_OK;
}

static void meet(world *w, uint32_t link)
{
    for (uint32_t side = 0; side < 2; side++) {
        end *e = &w->ends[link][side];
        ckv_session_free(e->session);
        while (e->in.n) {
            ckv_buf message = take_off(&e->in, 0);
            ckv_buf_fini(&message);
        }
        CKV_MUST(ckv_session_new(&e->session, w->docs[e->doc], 0) == CKV_OK);
    }
}

/* Both ends until they are silent. False: an end broke off. */
static bool talk(world *w, uint32_t link)
{
    bool good = true;
    for (uint32_t quiet = 0, n = 0; quiet < 2; n++) {
        end *from = &w->ends[link][n & 1], *to = &w->ends[link][!(n & 1)];
        say(from, to);
        quiet = to->in.n ? 0 : quiet + 1;
        while (to->in.n) {
            ckv_buf message = take_off(&to->in, 0);
            good &= hear(w, to, &message);
            ckv_buf_fini(&message);
        }
        CKV_ASSERT(n < 100);
    }
    return good;
}

/* Some bytes of one part are others; lengths and checksums, that of a bundle too, are right. */
static void damage(ckv_buf *message, ckv_rd *script)
{
    ckv_msg m;
    ckv_err err;
    if (ckv_msg_read(&m, message->ptr, message->len, &err) != CKV_OK) return;
    const uint32_t chosen = k_below(script, CKV_N_PARTS);
    const uint8_t numbers = ckv_rd_u8(script);
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_msg_begin(&out, numbers & 1 ? !m.more : m.more, m.number + (numbers >> 6 == 1),
                  m.heard - (numbers >> 6 == 2), &m.hello);
    for (uint32_t tag = 0; tag < CKV_N_PARTS; tag++) {
        if (!m.has[tag]) continue;
        const size_t n = ckv_rd_left(&m.parts[tag]);
        ckv_buf part = ckv_buf_init(ckv_alloc_libc);
        ckv_buf_bytes(&part, m.parts[tag].p, n);
        for (uint32_t k = 1 + k_below(script, 3); k && n && tag == chosen; k--) {
            const size_t at = ckv_rd_u8(script) | (size_t)k_below(script, 4) << 8;
            part.ptr[at % n] ^= ckv_rd_u8(script);
        }
        if (tag == CKV_PART_BUNDLE && n > 16 && part.ptr[0] == 0) {
            part.len -= 8;
            ckv_buf_u64le(&part, ckv_hash64(part.ptr + 1, part.len - 1));
        }
        ckv_buf_varint(&out, tag);
        ckv_buf_blob(&out, part.ptr, part.len);
        ckv_buf_fini(&part);
    }
    ckv_msg_end(&out, 0);
    ckv_buf_fini(message);
    *message = out;
}

/* A message with the number that is expected, and any part. */
static ckv_buf invent(const end *to, ckv_rd *script)
{
    const ckv_session_stats stats = ckv_session_figures(to->session);
    ckv_hello hello;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    memset(&hello, ckv_rd_u8(script), sizeof hello);
    const uint8_t how = ckv_rd_u8(script);
    ckv_msg_begin(&out, how & 1, stats.messages_in + 1, how & 2 ? stats.messages_out : 0, &hello);
    uint64_t tag = 0;
    for (uint32_t n = how >> 2 & 3; n; n--) {
        tag += 1 + k_below(script, 3);
        const size_t len = ckv_rd_u8(script), left = ckv_rd_left(script);
        ckv_buf_varint(&out, tag);
        ckv_buf_blob(&out, script->p, len < left ? len : left);
        if (len) (void)ckv_rd_bytes(script, len < left ? len : left);
    }
    ckv_msg_end(&out, 0);
    return out;
}

/* Goes on with a lane that somebody wrote: a fork, if its author does likewise. */
static void lie(ckv_doc *doc, ckv_rd *script)
{
    ckv_change_info info;
    if (ckv_doc_n_changes(doc) == 0) return;
    ckv_doc_change(doc, k_below(script, ckv_doc_n_changes(doc)), &info);
    const ckv_id32 lane = *info.lane;
    const ckv_status s = ckv_doc_go_on_with_lane(doc, &lane);
    CKV_ASSERT(s == CKV_OK || s == CKV_ENOENT);
}

static void edit(world *w, uint32_t who, ckv_rd *script)
{
    ckv_doc *doc = w->docs[who];
    k_edit(doc, script);
    while (w->n_changes[who] < ckv_doc_n_changes(doc)) {
        ckv_change_info info;
        ckv_doc_change(doc, w->n_changes[who]++, &info);
        ckv_buf_bytes(&w->made, info.id, 32);
    }
}

static void step(world *w, ckv_rd *script)
{
    const uint8_t what = ckv_rd_u8(script);
    const uint32_t link = what >> 4 & 1, side = what >> 5 & 1, who = (what >> 4) % DOCS;
    end *to = &w->ends[link][side], *from = &w->ends[link][!side];
    wire *in = &to->in;
    switch (what & 15) {
    case 0:
    case 1:
        if (ckv_doc_n_changes(w->docs[who]) > MOST_CHANGES) break;
        edit(w, who, script);
        break;
    case 2: lie(w->docs[who], script); break;
    case 3: meet(w, link); break;
    case 4:
    case 5:
    case 6: say(from, to); break;
    case 7:
    case 8: (void)talk(w, link); break;
    case 9: /* repeated */
        if (in->n == 0 || in->n == QUEUE) break;
        in->queue[in->n] = ckv_buf_init(ckv_alloc_libc);
        ckv_buf_bytes(&in->queue[in->n], in->queue[0].ptr, in->queue[0].len);
        in->n++;
        break;
    case 10: /* overtaken */
        if (in->n > 1) {
            const ckv_buf first = take_off(in, 0);
            in->queue[in->n++] = first;
        }
        break;
    case 15: {
        ckv_buf message = invent(to, script);
        (void)hear(w, to, &message);
        ckv_buf_fini(&message);
        break;
    }
    default: /* 11 is lost, 12 is damaged, 13 and 14 arrive */
        if (in->n) {
            ckv_buf message = take_off(in, 0);
            if ((what & 15) == 12) damage(&message, script);
            if ((what & 15) != 11) (void)hear(w, to, &message);
            ckv_buf_fini(&message);
        }
    }
}

static bool was_made(const world *w, const ckv_id32 *id)
{
    for (size_t i = 0; i < w->made.len; i += 32) {
        if (memcmp(w->made.ptr + i, id, 32) == 0) return true;
    }
    return false;
}

static void judge(world *w)
{
    for (uint32_t d = 0; d < DOCS; d++) {
        s_check(w->docs[d]);
        for (uint32_t c = 0; c < ckv_doc_n_changes(w->docs[d]); c++) {
            ckv_change_info info;
            ckv_doc_change(w->docs[d], c, &info);
            CKV_ASSERT(was_made(w, info.id));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    k_begin();
    ckv_rd script = ckv_rd_init(data, n_bytes);
    world w = {.docs = {k_new(1), k_new(2), k_new(2)},
               .made = ckv_buf_init(ckv_alloc_libc),
               .ends = {{{.doc = 0}, {.doc = 1}}, {{.doc = 1}, {.doc = 2}}}};
    ckv_report_init(&w.report, ckv_alloc_libc);
    for (uint32_t link = 0; link < LINKS; link++) meet(&w, link);
    for (uint32_t n = 0; n < MOST_STEPS && ckv_rd_left(&script); n++) step(&w, &script);
    judge(&w);
    for (uint32_t n = 0; n < 3; n++) { /* there, on, and back */
        meet(&w, n & 1);
        CKV_ASSERT(talk(&w, n & 1));
        for (uint32_t side = 0; side < 2; side++)
            CKV_ASSERT(ckv_session_done(w.ends[n & 1][side].session));
    }
    judge(&w);
    k_same(w.docs[0], w.docs[1]);
    k_same(w.docs[1], w.docs[2]);
    for (uint32_t link = 0; link < LINKS; link++) {
        meet(&w, link);
        for (uint32_t side = 0; side < 2; side++) ckv_session_free(w.ends[link][side].session);
    }
    for (uint32_t d = 0; d < DOCS; d++) ckv_doc_free(w.docs[d]);
    ckv_buf_fini(&w.made);
    ckv_report_fini(&w.report);
    return 0;
}
