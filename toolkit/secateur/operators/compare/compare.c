/* Whether one source is less than, equal to or greater than another, each with its scale.
 *
 * stream: zero point of the one source, its multiplier, its shift; the same of the other; a bit for each answer that
 * counts as true, 1 for less, 2 for equal, 4 for greater; then the loops of secateur_pairs.h.
 */
#include "secateur_kernels.h"
#include "secateur_pairs.h"
#include "secateur_requantise.h"

#define FRACTION_BITS 8

void secateur_compare(const uint32_t *stream, const int8_t *one, const int8_t *two, int8_t *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 7, one, two);
    const int32_t zero_one = (int32_t)stream[0], multiplier_one = (int32_t)stream[1];
    const int32_t zero_two = (int32_t)stream[3], multiplier_two = (int32_t)stream[4];
    const uint32_t right_one = stream[2], right_two = stream[5], answers = stream[6];
    const int32_t step_one = (int32_t)stream[8], step_two = (int32_t)stream[9];
    do {
        one = pairs.one;
        two = pairs.two;
        for (uint32_t left = stream[7]; left > 0; left--, one += step_one, two += step_two) {
            const int32_t first =
                secateur_rescale((*one - zero_one) * (1 << FRACTION_BITS), multiplier_one, right_one, 0);
            const int32_t second =
                secateur_rescale((*two - zero_two) * (1 << FRACTION_BITS), multiplier_two, right_two, 0);
            *target++ = (int8_t)(answers >> ((first >= second) + (first > second)) & 1u);
        }
    } while (secateur_next(&pairs));
}
