/* Square of the difference of two sources of int16, of other scales than the target's.
 *
 * stream: multiplier and shift of the one source, of the other, of the square; lowest and highest result; then the loops
 * of secateur_pairs.h. Sources are halved at least, so that the square fits 31 bits.
 */
#include "secateur_kernels.h"
#include "secateur_pairs.h"
#include "secateur_requantise_16.h"

void secateur_squared_difference_16(
    const uint32_t *stream, const secateur_int16 *one, const secateur_int16 *two, secateur_int16 *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 8, (const int8_t *)one, (const int8_t *)two);
    const int32_t low = (int32_t)stream[6], high = (int32_t)stream[7];
    const int32_t step_one = (int32_t)stream[9] / 2, step_two = (int32_t)stream[10] / 2;
    do {
        one = (const secateur_int16 *)(const void *)pairs.one;
        two = (const secateur_int16 *)(const void *)pairs.two;
        for (uint32_t left = stream[8]; left > 0; left--, one += step_one, two += step_two) {
            const int32_t difference = secateur_rescale(*one, (int32_t)stream[0], stream[1], 0) -
                                       secateur_rescale(*two, (int32_t)stream[2], stream[3], 0);
            const int32_t square = secateur_rescale(difference * difference, (int32_t)stream[4], stream[5], 0);
            *target++ = secateur_clamp_16(square, low, high);
        }
    } while (secateur_next(&pairs));
}
