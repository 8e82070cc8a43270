#include "replica/crdtkv.h"

#include "crypto/digest.h"
#include "crypto/sign.h"

bool ckv_init(void) { return ckv_crypto_init() && ckv_sign_selftest(); }
