/* Mean over the middle axis of [outer, count, inner] values: their sum, scaled by a multiplier that holds the
 * count.
 *
 * The stream states them: outer, count, inner, zero point of the source, of the target, multiplier, shift to the
 * right | to the left << 8.
 */
#include "secateur_kernels.h"

/* The multiplier may be below 2^30 here. */
static int32_t scale(int32_t sum, int32_t multiplier, uint32_t left, uint32_t right)
{
    const int64_t shifted = (int32_t)((uint32_t)sum << left);
    int64_t result = (shifted * multiplier + ((int64_t)1 << 30)) >> 31;
    if (right > 0) {
        result = (result - (result < 0) + ((int64_t)1 << (right - 1))) >> right;
    }
    return (int32_t)result;
}

void secateur_mean(const uint32_t *stream, const int8_t *source, int8_t *target)
{
    const int32_t count = (int32_t)stream[1], inner = (int32_t)stream[2], zero_point = (int32_t)stream[3];
    for (int32_t outer = (int32_t)stream[0]; outer > 0; outer--, source += (count - 1) * inner) {
        for (int32_t place = 0; place < inner; place++, source++) {
            const int8_t *value = source;
            int32_t sum = -count * zero_point;
            for (int32_t left = count; left > 0; left--, value += inner) {
                sum += *value;
            }
            sum = scale(sum, (int32_t)stream[5], stream[6] >> 8, stream[6] & 0xFFu) + (int32_t)stream[4];
            *target++ = (int8_t)(sum < -128 ? -128 : sum > 127 ? 127 : sum);
        }
    }
}
