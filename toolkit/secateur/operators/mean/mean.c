/* Mean over the middle axis of [outer, count, inner] values: their sum, scaled by a multiplier that holds the
 * count, which may make it less than 2^30. By one that does not, their sum.
 *
 * The stream states them: outer, count, inner, zero point of the source, of the target, multiplier, shift to the
 * right | to the left << 8.
 */
#include "secateur_kernels.h"

void secateur_mean(const uint32_t *stream, const int8_t *source, int8_t *target)
{
    const int32_t count = (int32_t)stream[1], inner = (int32_t)stream[2], zero_point = (int32_t)stream[4];
    const int32_t start = -count * (int32_t)stream[3], multiplier = (int32_t)stream[5];
    const uint32_t left = stream[6] >> 8, right = stream[6] & 0xFFu;
    const int64_t half = ((int64_t)1 << right) >> 1;
    const int32_t shifts = right > 0;
    for (int32_t outer = (int32_t)stream[0]; outer > 0; outer--, source += (count - 1) * inner) {
        for (int32_t place = 0; place < inner; place++, source++) {
            const int8_t *value = source;
            int32_t sum = start;
            for (int32_t rest = count; rest > 0; rest--, value += inner) {
                sum += *value;
            }
            sum = (int32_t)((uint32_t)sum << left);
            int64_t result = ((int64_t)sum * multiplier + ((int64_t)1 << 30)) >> 31;
            result = (result + half - ((result < 0) & shifts)) >> right;
            sum = (int32_t)result + zero_point;
            *target++ = (int8_t)(sum < -128 ? -128 : sum > 127 ? 127 : sum);
        }
    }
}
