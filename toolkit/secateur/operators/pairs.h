/* Two sources read in step, either of which may stand still along an axis: four nested loops, of which a kernel
 * runs the innermost itself.
 *
 * loops: of the innermost and then outwards: times, step of the one source, step of the other, in bytes.
 */
#ifndef SECATEUR_PAIRS_H
#define SECATEUR_PAIRS_H

#include <stdint.h>

typedef struct {
    const uint32_t *loops;
    const int8_t *one, *two;
    int32_t left[3];
} secateur_pairs_t;

static inline secateur_pairs_t secateur_pairs(const uint32_t *loops, const int8_t *one, const int8_t *two)
{
    const secateur_pairs_t pairs = {loops, one, two, {(int32_t)loops[3], (int32_t)loops[6], (int32_t)loops[9]}};
    return pairs;
}

/* To where the next innermost loop starts; 0 after the last. */
static inline int32_t secateur_next(secateur_pairs_t *pairs)
{
    const uint32_t *loop = pairs->loops + 3;
    for (int32_t depth = 0; depth < 3; depth++, loop += 3) {
        if (--pairs->left[depth] > 0) {
            pairs->one += (int32_t)loop[1];
            pairs->two += (int32_t)loop[2];
            return 1;
        }
        pairs->left[depth] = (int32_t)loop[0];
        pairs->one -= ((int32_t)loop[0] - 1) * (int32_t)loop[1];
        pairs->two -= ((int32_t)loop[0] - 1) * (int32_t)loop[2];
    }
    return 0;
}

#endif
