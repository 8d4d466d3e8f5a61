/* Product of two sources with Helium: four values at a time.
 *
 * The stream is that of secateur_multiply; the product is shifted to the right, by one and more.
 */
#include "secateur_kernels.h"
#include "secateur_helium_pairs.h"

#if defined(__ARM_FEATURE_MVE)

static inline int32x4_t multiply(int32x4_t one, int32_t zero_one, int32x4_t two, int32_t zero_two)
{
    return vmulq_s32(vsubq_n_s32(one, zero_one), vsubq_n_s32(two, zero_two));
}

#endif

void secateur_multiply_helium(const uint32_t *stream, const int8_t *one, const int8_t *two, int8_t *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 5, one, two);
    const int32_t zero_one = (int32_t)stream[0], zero_two = (int32_t)stream[1], zero_point = (int32_t)stream[2];
    const int32_t right = (int32_t)stream[4];
#if defined(__ARM_FEATURE_MVE)
    const int32_t multiplier = (int32_t)(stream[3] >> 1);
#endif
    secateur_source_t first, second;
    do {
        secateur_source(&first, pairs.one, stream[6]);
        secateur_source(&second, pairs.two, stream[7]);
#if defined(__ARM_FEATURE_MVE)
        const int8_t *a = first.from, *b = second.from;
        const int32_t step = first.step, other_step = second.step;
        for (uint32_t fours = stream[5] / SECATEUR_FOUR; fours != 0; fours--) {
            const int32x4_t products = multiply(vldrbq_s32(a), zero_one, vldrbq_s32(b), zero_two);
            secateur_store_four(secateur_rescale_all(products, multiplier, right), zero_point, target);
            a += step;
            b += other_step;
            target += SECATEUR_FOUR;
        }
        const uint32_t left = stream[5] % SECATEUR_FOUR;
        if (left > 0) {
            const mve_pred16_t there = vctp32q(left);
            const int32x4_t products = multiply(vldrbq_z_s32(a, there), zero_one, vldrbq_z_s32(b, there), zero_two);
            secateur_store_some(secateur_rescale_all(products, multiplier, right), zero_point, target, there);
            target += left;
        }
#else
        for (int32_t index = 0; index < (int32_t)stream[5]; index++) {
            const int32_t product = (secateur_at(&first, index) - zero_one) * (secateur_at(&second, index) - zero_two);
            *target++ = secateur_finish(product, (int32_t)stream[3], (uint32_t)right, zero_point);
        }
#endif
    } while (secateur_next(&pairs));
}
