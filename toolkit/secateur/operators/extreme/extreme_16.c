/* The larger or the smaller of two sources of int16 of one scale. stream: 1 for the larger, 0 for the smaller; lowest
 * and highest result; then the loops of secateur_pairs.h. */
#include "secateur_kernels.h"
#include "secateur_pairs.h"
#include "secateur_requantise_16.h"

void secateur_extreme_16(
    const uint32_t *stream, const secateur_int16 *one, const secateur_int16 *two, secateur_int16 *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 3, (const int8_t *)one, (const int8_t *)two);
    const int32_t larger = (int32_t)stream[0], low = (int32_t)stream[1], high = (int32_t)stream[2];
    const int32_t step_one = (int32_t)stream[4] / 2, step_two = (int32_t)stream[5] / 2;
    do {
        one = (const secateur_int16 *)(const void *)pairs.one;
        two = (const secateur_int16 *)(const void *)pairs.two;
        for (uint32_t count = stream[3]; count > 0; count--, one += step_one, two += step_two) {
            *target++ = secateur_clamp_16((*one > *two) == larger ? *one : *two, low, high);
        }
    } while (secateur_next(&pairs));
}
