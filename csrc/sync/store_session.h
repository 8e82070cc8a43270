/* store_session.h -- two stores pull from each other, and stay in step. Bytes in, bytes out; both ends are alike. docs/format.md, "Session of stores".
 *
 *     1  hello    a digest of the own request; equal ones are done
 *     2  request  what each end has, in pieces
 *     3  diffs    of what the other end lacks; from then on of every change, whoever made it
 *
 * The other end's request is kept, and moved on by every diff that goes there or comes from there: so nobody asks twice.
 *
 *     I1  what a session believes of its peer only decides what is sent to it
 *     I2  after an error the session is over, and the store holds what came before it
 *     cost: memory of the other end's request, and of one diff of about 1 MiB each way
 */
#ifndef CKV_SYNC_STORE_SESSION_H
#define CKV_SYNC_STORE_SESSION_H

#include "kv/exchange.h"

#define CKV_STORE_SESSION_PATIENCE 64u /* messages in a row that bring nothing new */
#define CKV_STORE_SESSION_REQUEST  (UINT64_C(256) << 20) /* bytes of a request */

typedef struct ckv_store_session ckv_store_session;

/* The store must outlive it. */
CKV_NODISCARD ckv_status ckv_store_session_new(ckv_store_session **out, ckv_store *store);
void ckv_store_session_free(ckv_store_session *s);
/* Appends the next message; nothing if there is none now. No transaction is open. */
CKV_NODISCARD ckv_status ckv_store_session_send(ckv_store_session *s, ckv_buf *out);
/* Takes a message in. CKV_ECORRUPT: it is none. CKV_ESYNC: it does not fit here. CKV_EDRIFT: a dot too late. No transaction is open. */
CKV_NODISCARD ckv_status ckv_store_session_take(ckv_store_session *s, ckv_bytes message,
                                                uint64_t latest, ckv_store_report *report,
                                                ckv_err *err);
/* Both ends hold the same, as far as this end has heard. */
bool ckv_store_session_done(const ckv_store_session *s);
bool ckv_store_session_is_over(const ckv_store_session *s); /* after an error */

typedef struct ckv_store_session_stats {
    uint64_t messages_out, messages_in, bytes_out, bytes_in;
} ckv_store_session_stats;
ckv_store_session_stats ckv_store_session_figures(const ckv_store_session *s);

#endif
