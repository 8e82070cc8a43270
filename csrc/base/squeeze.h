/* squeeze.h -- compression, behind the only door to Zstandard. One frame in, one frame out, hard limits. */
#ifndef CKV_BASE_SQUEEZE_H
#define CKV_BASE_SQUEEZE_H

#include "base/buf.h"

/* Whoever unpacks never makes more than this many times the bytes that are there. */
#define CKV_SQUEEZE_RATIO 64

/* Appends one frame of data. False: it did not get smaller, or so much that a reader would refuse it; out is as before. */
bool ckv_squeeze(ckv_buf *out, const uint8_t *data, size_t n_bytes);

/* Appends raw_len bytes from exactly one frame. CKV_ECORRUPT: not that; CKV_ELIMIT: over the ratio. */
CKV_NODISCARD ckv_status ckv_unsqueeze(ckv_buf *out, const uint8_t *packed, size_t n_bytes,
                                       uint64_t raw_len);

#endif
