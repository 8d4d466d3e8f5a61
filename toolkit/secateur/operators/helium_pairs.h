/* Two sources of int8 read in step, four values at a time, with Helium; the same in plain C where there is none. */
#ifndef SECATEUR_HELIUM_PAIRS_H
#define SECATEUR_HELIUM_PAIRS_H

#include "secateur_helium.h"
#include "secateur_pairs.h"

enum { SECATEUR_FOUR = 4 };

/* A source of an innermost loop: its values, or four times the one that it stands still at. */
typedef struct {
    const int8_t *from;
    int32_t step; /* from four values to the next four */
    int8_t still[SECATEUR_FOUR];
} secateur_source_t;

static inline void secateur_source(secateur_source_t *source, const int8_t *from, uint32_t step)
{
    source->from = from;
    source->step = SECATEUR_FOUR;
    if (step == 0) {
        source->from = source->still;
        source->step = 0;
        source->still[0] = source->still[1] = source->still[2] = source->still[3] = *from;
    }
}

#if defined(__ARM_FEATURE_MVE)

/* As secateur_rescale_four of secateur_helium.h, by one multiplier and one shift, of one and more. */
static inline int32x4_t secateur_rescale_all(int32x4_t sums, int32_t multiplier, int32_t right)
{
    sums = vqrdmulhq_n_s32(sums, multiplier);
    return vrshlq_n_s32(vsubq_m_n_s32(sums, sums, 1, vcmpltq_n_s32(sums, 0)), -right);
}

static inline void secateur_store_some(int32x4_t values, int32_t zero_point, int8_t *target, mve_pred16_t there)
{
    vstrbq_p_s32(target, secateur_bytes(values, zero_point), there);
}

#else

static inline int32_t secateur_at(const secateur_source_t *source, int32_t index)
{
    return source->from[index / SECATEUR_FOUR * source->step + index % SECATEUR_FOUR];
}

#endif

#endif
