/* The ordered map with nodes as wide as in a release: in a debug build four keys fill a node, and much is never seen there.
 * kv/keytree.c stands here once more, with its test.
 */
#undef CKV_DEBUG

#define ckv_keytree_init   wide_init
#define ckv_keytree_fini   wide_fini
#define ckv_keytree_find   wide_find
#define ckv_keytree_reach  wide_reach
#define ckv_keytree_remove wide_remove
#define ckv_keytree_from   wide_from
#define ckv_keytree_before wide_before
#define ckv_keytree_check  wide_check
#define ckv_keyplace_slot  wide_slot
#define ckv_keyplace_next  wide_next
#define ckv_keyplace_prev  wide_prev

#include "kv/keytree.c"

#define main the_same_tests
#include "test_keytree.c"
#undef main

/* Whatever is changed in a node, check() sees it, and says what it is. */
static void check_names_what_is_broken(void)
{
    make_many();
    ckv_keytree t = ckv_keytree_init(ckv_alloc_libc);
    const char *why = NULL;
    put_many(&t, 7919);
    T_EQ(t.height, 2);
    inner *x = ((inner *)t.root)->child[1];
    leaf *l = x->child[3];
    T_CHECK(l->n > 2 && x->n > 5);
#define BREAKS(place, value, word)                                                                 \
    do {                                                                                           \
        const __typeof__(place) was_ = (place);                                                    \
        (place) = (value);                                                                         \
        T_CHECK(!ckv_keytree_check(&t, &why));                                                     \
        if (!strstr(why, word)) t_fail(__FILE__, __LINE__, why);                                   \
        (place) = was_;                                                                            \
        T_VALID(ckv_keytree_check(&t, &why), why);                                                 \
    } while (0)
    BREAKS(l->n, l->n - 1, "number of keys");
    BREAKS(l->n, 0, "an empty leaf");
    BREAKS(l->skip, (uint16_t)(l->skip + 1), "I2: head of a key");
    BREAKS(l->known, (uint16_t)(l->known + 1), "I2: skip of a leaf");
    BREAKS(l->prev, l->next, "I3: links");
    BREAKS(l->next, NULL, "I3: links");
    BREAKS(l->heads[1], l->heads[0], "I2: head of a key");
    BREAKS(l->cells[1], l->cells[0], "I2: head of a key");
    BREAKS(x->n, x->n - 1, "I2: skip of a leaf");
    BREAKS(x->n, 1, "I3: an inner node of one child");
    BREAKS(x->skip, (uint16_t)(x->skip + 1), "I2: head of a separator");
    BREAKS(x->known, (uint16_t)(x->known + 1), "I2: skip of an inner node");
    BREAKS(x->heads[2], x->heads[2] + 1, "I2: head of a separator");
    BREAKS(x->child[2], x->child[3], "I3: links");
    BREAKS(x->seps[2], x->seps[1], "I1: order of separators");
    BREAKS(x->seps[2]->bytes[x->seps[2]->n_bytes - 1], 0xff, "I1");
    ckv_keytree_fini(&t);
    free_many();
}

int main(void)
{
    T_RUN(check_names_what_is_broken);
    return the_same_tests();
}
