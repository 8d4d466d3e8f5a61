/* Sum or difference of two sources of other scales than the target's, with Helium: four values at a time.
 *
 * The stream is that of secateur_add, of which one source or both are scaled by a half: that is exact. Shifts of the
 * other, and of the sum, are to the right by one and more.
 */
#include "secateur_kernels.h"
#include "secateur_helium_pairs.h"

enum { FRACTION_BITS = 20 };

typedef struct {
    int32_t half, half_offset;                   /* of the exact source */
    int32_t whole, offset, multiplier, right;    /* of the other; whole is a shift */
    int32_t factor, last_multiplier, last_right; /* of the other in the sum; of the sum */
    int32_t zero_point;
} sum_t;

#if defined(__ARM_FEATURE_MVE)

static inline __attribute__((always_inline)) int32x4_t add(const sum_t *sum, int32x4_t values, int32x4_t others)
{
    others = vaddq_n_s32(vshlq_r_s32(others, sum->whole), sum->offset);
    others = secateur_rescale_all(others, sum->multiplier, sum->right);
    values = vaddq_n_s32(vmulq_n_s32(values, sum->half), sum->half_offset);
    return secateur_rescale_all(vmlaq_n_s32(values, others, sum->factor), sum->last_multiplier, sum->last_right);
}

#endif

void secateur_add_helium(const uint32_t *stream, const int8_t *one, const int8_t *two, int8_t *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 10, one, two);
    const int32_t sign = (int32_t)stream[9], turned = stream[2] != 0; /* the second source is the exact one */
    const uint32_t *const halved = turned ? stream + 3 : stream, *const scaled = turned ? stream : stream + 3;
    const int32_t exact = scaled[2] == 0; /* it is too: one bit more, and one to the right */
    const int32_t half = (turned ? sign : 1) * (1 << (FRACTION_BITS - 1)), whole = FRACTION_BITS + exact;
    const sum_t sum = {
        half,
        -(int32_t)halved[0] * half,
        whole,
        -(int32_t)scaled[0] * (1 << whole),
        (int32_t)(scaled[1] >> 1),
        exact ? 1 : (int32_t)scaled[2],
        turned ? 1 : sign,
        (int32_t)(stream[7] >> 1),
        (int32_t)stream[8],
        (int32_t)stream[6],
    };
    secateur_source_t first, second;
    do {
        secateur_source(&first, turned ? pairs.two : pairs.one, stream[turned ? 12 : 11]);
        secateur_source(&second, turned ? pairs.one : pairs.two, stream[turned ? 11 : 12]);
#if defined(__ARM_FEATURE_MVE)
        const int8_t *a = first.from, *b = second.from;
        const int32_t step = first.step, other_step = second.step;
        for (uint32_t fours = stream[10] / SECATEUR_FOUR; fours != 0; fours--) {
            secateur_store_four(add(&sum, vldrbq_s32(a), vldrbq_s32(b)), sum.zero_point, target);
            a += step;
            b += other_step;
            target += SECATEUR_FOUR;
        }
        const uint32_t left = stream[10] % SECATEUR_FOUR;
        if (left > 0) {
            const mve_pred16_t there = vctp32q(left);
            const int32x4_t sums = add(&sum, vldrbq_z_s32(a, there), vldrbq_z_s32(b, there));
            secateur_store_some(sums, sum.zero_point, target, there);
            target += left;
        }
#else
        for (int32_t index = 0; index < (int32_t)stream[10]; index++) {
            const int32_t other = secateur_at(&second, index) * (1 << sum.whole) + sum.offset;
            const int32_t value = secateur_at(&first, index) * sum.half + sum.half_offset +
                                  sum.factor * secateur_rescale(other, (int32_t)scaled[1], (uint32_t)sum.right, 0);
            *target++ = secateur_finish(value, (int32_t)stream[7], (uint32_t)sum.last_right, sum.zero_point);
        }
#endif
    } while (secateur_next(&pairs));
}
