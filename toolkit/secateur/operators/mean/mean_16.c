/* Mean or sum over the middle axis of [outer, count, inner] values of int16: their sum, scaled by a multiplier that for
 * a mean holds the count, which may make it less than 2^30.
 *
 * The stream states them: outer, count, inner, two words that are zero, multiplier, shift to the right | to the
 * left << 8.
 */
#include "secateur_kernels.h"

void secateur_mean_16(const uint32_t *stream, const secateur_int16 *source, secateur_int16 *target)
{
    const int32_t count = (int32_t)stream[1], inner = (int32_t)stream[2];
    const int32_t multiplier = (int32_t)stream[5];
    const uint32_t left = stream[6] >> 8, right = stream[6] & 0xFFu;
    const int64_t half = ((int64_t)1 << right) >> 1;
    const int32_t shifts = right > 0;
    for (int32_t outer = (int32_t)stream[0]; outer > 0; outer--, source += (count - 1) * inner) {
        for (int32_t place = 0; place < inner; place++, source++) {
            const secateur_int16 *value = source;
            int32_t sum = 0;
            for (int32_t rest = count; rest > 0; rest--, value += inner) {
                sum += *value;
            }
            sum = (int32_t)((uint32_t)sum << left);
            int64_t result = ((int64_t)sum * multiplier + ((int64_t)1 << 30)) >> 31;
            result = (result + half - ((result < 0) & shifts)) >> right;
            sum = (int32_t)result;
            *target++ = (int16_t)(sum < -32768 ? -32768 : sum > 32767 ? 32767 : sum);
        }
    }
}
