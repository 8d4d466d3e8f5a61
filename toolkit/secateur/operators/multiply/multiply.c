/* Product of two sources.
 *
 * stream: zero point of the one source, of the other, of the target; multiplier of the product; its shift to the
 * right | to the left << 8; then the loops of secateur_pairs.h.
 */
#include "secateur_kernels.h"
#include "secateur_pairs.h"
#include "secateur_requantise.h"

void secateur_multiply(const uint32_t *stream, const int8_t *one, const int8_t *two, int8_t *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 5, one, two);
    const int32_t zero_one = (int32_t)stream[0], zero_two = (int32_t)stream[1], zero_point = (int32_t)stream[2];
    const int32_t multiplier = (int32_t)stream[3], step_one = (int32_t)stream[6], step_two = (int32_t)stream[7];
    const uint32_t right = stream[4], left = stream[4] >> 8;
    do {
        one = pairs.one;
        two = pairs.two;
        for (uint32_t count = stream[5]; count > 0; count--, one += step_one, two += step_two) {
            const int32_t product = secateur_shift_left((*one - zero_one) * (*two - zero_two), left);
            *target++ = secateur_finish(product, multiplier, right, zero_point);
        }
    } while (secateur_next(&pairs));
}
