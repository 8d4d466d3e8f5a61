/* Sum or difference of two sources of int16, of other scales than the target's.
 *
 * stream: multiplier and shift of the one source, of the other, of the sum; the sign of the other; lowest and highest
 * result; then the loops of secateur_pairs.h.
 */
#include "secateur_kernels.h"
#include "secateur_pairs.h"
#include "secateur_requantise_16.h"

#define FRACTION_BITS 15

static int32_t scaled(int32_t value, const uint32_t *scale)
{
    return secateur_rescale(value, (int32_t)scale[0], scale[1], 0);
}

void secateur_add_16(
    const uint32_t *stream, const secateur_int16 *one, const secateur_int16 *two, secateur_int16 *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 9, (const int8_t *)one, (const int8_t *)two);
    const int32_t sign = (int32_t)stream[6], low = (int32_t)stream[7], high = (int32_t)stream[8];
    const int32_t step_one = (int32_t)stream[10] / 2, step_two = (int32_t)stream[11] / 2;
    do {
        one = (const secateur_int16 *)(const void *)pairs.one;
        two = (const secateur_int16 *)(const void *)pairs.two;
        for (uint32_t left = stream[9]; left > 0; left--, one += step_one, two += step_two) {
            const int32_t first = scaled(*one * (1 << FRACTION_BITS), stream);
            const int32_t second = scaled(*two * (1 << FRACTION_BITS), stream + 2);
            *target++ = secateur_clamp_16(scaled(first + sign * second, stream + 4), low, high);
        }
    } while (secateur_next(&pairs));
}
