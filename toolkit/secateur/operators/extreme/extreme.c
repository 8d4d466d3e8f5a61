/* The larger or the smaller of two sources of one scale. stream: 1 for the larger, 0 for the smaller; then the
 * loops of secateur_pairs.h. */
#include "secateur_kernels.h"
#include "secateur_pairs.h"

void secateur_extreme(const uint32_t *stream, const int8_t *one, const int8_t *two, int8_t *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 1, one, two);
    const int32_t larger = (int32_t)stream[0], step_one = (int32_t)stream[2], step_two = (int32_t)stream[3];
    do {
        one = pairs.one;
        two = pairs.two;
        for (uint32_t count = stream[1]; count > 0; count--, one += step_one, two += step_two) {
            *target++ = (*one > *two) == larger ? *one : *two;
        }
    } while (secateur_next(&pairs));
}
