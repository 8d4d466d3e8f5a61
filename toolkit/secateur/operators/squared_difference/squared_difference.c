/* Square of the difference of two sources of other scales than the target's.
 *
 * stream: zero point of the one source, its multiplier, its shift; the same of the other; zero point of the
 * target; multiplier of the square; its shift to the right | to the left << 8; then the loops of
 * secateur_pairs.h.
 */
#include "secateur_kernels.h"
#include "secateur_pairs.h"
#include "secateur_requantise.h"

#define FRACTION_BITS 7

void secateur_squared_difference(const uint32_t *stream, const int8_t *one, const int8_t *two, int8_t *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 9, one, two);
    const int32_t zero_one = (int32_t)stream[0], multiplier_one = (int32_t)stream[1];
    const int32_t zero_two = (int32_t)stream[3], multiplier_two = (int32_t)stream[4];
    const int32_t zero_point = (int32_t)stream[6], multiplier = (int32_t)stream[7];
    const uint32_t right_one = stream[2], right_two = stream[5], right = stream[8], left = stream[8] >> 8;
    const int32_t step_one = (int32_t)stream[10], step_two = (int32_t)stream[11];
    do {
        one = pairs.one;
        two = pairs.two;
        for (uint32_t count = stream[9]; count > 0; count--, one += step_one, two += step_two) {
            const int32_t first = (*one - zero_one) * (1 << FRACTION_BITS);
            const int32_t second = (*two - zero_two) * (1 << FRACTION_BITS);
            const int32_t difference = secateur_rescale(first, multiplier_one, right_one, 0) -
                                       secateur_rescale(second, multiplier_two, right_two, 0);
            const int32_t square = secateur_shift_left(difference * difference, left);
            *target++ = secateur_finish(square, multiplier, right, zero_point);
        }
    } while (secateur_next(&pairs));
}
