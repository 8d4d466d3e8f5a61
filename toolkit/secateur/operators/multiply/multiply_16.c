/* Product of two sources of int16.
 *
 * stream: multiplier of the product; its shift to the right | to the left << 8; lowest and highest result; then the
 * loops of secateur_pairs.h.
 */
#include "secateur_kernels.h"
#include "secateur_pairs.h"
#include "secateur_requantise_16.h"

void secateur_multiply_16(
    const uint32_t *stream, const secateur_int16 *one, const secateur_int16 *two, secateur_int16 *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 4, (const int8_t *)one, (const int8_t *)two);
    const int32_t multiplier = (int32_t)stream[0], low = (int32_t)stream[2], high = (int32_t)stream[3];
    const uint32_t right = stream[1] & 0xFFu, left = stream[1] >> 8;
    const int32_t step_one = (int32_t)stream[5] / 2, step_two = (int32_t)stream[6] / 2;
    do {
        one = (const secateur_int16 *)(const void *)pairs.one;
        two = (const secateur_int16 *)(const void *)pairs.two;
        for (uint32_t count = stream[4]; count > 0; count--, one += step_one, two += step_two) {
            const int32_t product = secateur_shift_left(*one * *two, left);
            *target++ = secateur_clamp_16(secateur_rescale(product, multiplier, right, 0), low, high);
        }
    } while (secateur_next(&pairs));
}
