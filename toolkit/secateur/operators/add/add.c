/* Sum or difference of two sources of other scales than the target's.
 *
 * stream: zero point of the one source, its multiplier, its shift; the same of the other; zero point of the
 * target, multiplier and shift of the sum; the sign of the other; then the loops of secateur_pairs.h.
 */
#include "secateur_kernels.h"
#include "secateur_pairs.h"
#include "secateur_requantise.h"

#define FRACTION_BITS 20

void secateur_add(const uint32_t *stream, const int8_t *one, const int8_t *two, int8_t *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 10, one, two);
    const int32_t zero_one = (int32_t)stream[0] * (1 << FRACTION_BITS), multiplier_one = (int32_t)stream[1];
    const int32_t zero_two = (int32_t)stream[3] * (1 << FRACTION_BITS), multiplier_two = (int32_t)stream[4];
    const int32_t zero_point = (int32_t)stream[6], multiplier = (int32_t)stream[7];
    const uint32_t right_one = stream[2], right_two = stream[5], right = stream[8];
    const int32_t step_one = (int32_t)stream[11], step_two = (int32_t)stream[12], sign = (int32_t)stream[9];
    do {
        one = pairs.one;
        two = pairs.two;
        for (uint32_t left = stream[10]; left > 0; left--, one += step_one, two += step_two) {
            const int32_t first = secateur_rescale(*one * (1 << FRACTION_BITS) - zero_one, multiplier_one, right_one, 0);
            const int32_t second =
                secateur_rescale(*two * (1 << FRACTION_BITS) - zero_two, multiplier_two, right_two, 0);
            const int32_t sum = first + sign * second;
            *target++ = secateur_finish(sum, multiplier, right, zero_point);
        }
    } while (secateur_next(&pairs));
}
