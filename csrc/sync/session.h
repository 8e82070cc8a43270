/* session.h -- two replicas find and exchange what the other one lacks, and stay in step. Bytes in, bytes out; both ends are alike.
 *
 *     ask   `ckv_session_send` for the next message until it has none, carry messages to the other end in order, hand what comes from
 *           there to `ckv_session_take`.
 *
 *     1  hello     root and a digest of what it does not tell of: equal ones are done
 *     2  compare   tips, sync/recon; which end opens follows from who heard whom first
 *     3  stream    bundles of what the other end lacks, parents first; from then on every new change, whoever made it
 *
 * Every message tells the number of the last one that was taken in. An end is done when it has nothing to say, has heard all that it was
 * promised, and knows that the other end took in all that it said and has nothing to say either.
 *
 *     I1  what a session believes of its peer only decides what is sent to it; what comes from it goes through the door like any bundle
 *     I2  after an error the session is over, and the document holds what was authentic
 *     cost: memory of the comparison, 4 bytes a branch, one bundle in pieces each way; a live change is 90 bytes and one signature
 */
#ifndef CKV_SYNC_SESSION_H
#define CKV_SYNC_SESSION_H

#include "doc/exchange.h"

#define CKV_SESSION_PATIENCE 64u   /* messages in a row that bring nothing new */
#define CKV_SESSION_SHORT    256u  /* of less than 4 KiB that compare: further ones are no news */
#define CKV_SESSION_ASTRAY   4096u /* changes without their ancestors: further ones are no news */
#define CKV_SESSION_BAD      1000u /* changes that do not hold */

#define CKV_SESSION_WANTS                                                                          \
    4096u /* ancestors that one end asks for in all: an honest other end sends them first, and we refuse some for a limit */

typedef struct ckv_session ckv_session;

/* max_bytes: the session ends when more has come (0: never). The document must outlive it. */
CKV_NODISCARD ckv_status ckv_session_new(ckv_session **out, ckv_doc *doc, uint64_t max_bytes);
void ckv_session_free(ckv_session *s);
/* Appends the next message; nothing if there is none now. The open change must be closed. */
CKV_NODISCARD ckv_status ckv_session_send(ckv_session *s, ckv_buf *out);
/* Takes a message in. CKV_ECORRUPT: it is none. CKV_ESYNC: it does not fit here. The open change must be closed. */
CKV_NODISCARD ckv_status ckv_session_take(ckv_session *s, const uint8_t *data, size_t n_bytes,
                                          ckv_report *report, ckv_err *err);
bool ckv_session_done(ckv_session *s);
/* Has it all that the other end had when they met, and has it told all that is here? (Unlike done it does not mind whether that was heard.) */
bool ckv_session_settled(ckv_session *s);
bool ckv_session_is_over(const ckv_session *s); /* after an error */

/* ---- for those who carry several sessions in one message: sync/datastore_session */

#define CKV_SESSION_ROOM     (1u << 20) /* for parts in a message */
#define CKV_SESSION_OVERHEAD 3400u      /* what goes beyond the room at most: head, wants, live */

/* As send, with about `room` bytes for what can be cut. */
CKV_NODISCARD ckv_status ckv_session_send_within(ckv_session *s, size_t room, ckv_buf *out);
bool ckv_session_is_midway(const ckv_session *s);   /* the rest of a bundle is still to be sent */
size_t ckv_session_pieces(const ckv_session *s);    /* bytes of a bundle that is not whole yet */
uint64_t ckv_session_waiting(const ckv_session *s); /* bytes that it brought, and that wait */
/* The document, which had no changes, has become another one: with the same id, and changes or not. */
void ckv_session_move(ckv_session *s, ckv_doc *doc);
/* What it began with; it has sent something. */
const struct ckv_hello *ckv_session_said(const ckv_session *s);
/* Having sent its first message and heard nothing: takes the other end's first one as read, which said the very same. Instead of their own salts
 * both have these. */
CKV_NODISCARD ckv_status ckv_session_take_same(ckv_session *s, const uint8_t ours[8],
                                               const uint8_t theirs[8]);
/* As free, when the document is gone already. */
void ckv_session_abandon(ckv_session *s);

typedef struct ckv_session_stats {
    uint64_t messages_out, messages_in, bytes_out, bytes_in, refused, hashes;
} ckv_session_stats;
ckv_session_stats ckv_session_figures(const ckv_session *s);
bool ckv_session_check(const ckv_session *s, const char **why);

#endif
