/* Whether one source of float32 is less than, equal to or greater than another.
 *
 * stream: a bit for each answer that counts as true, 1 for less, 2 for equal, 4 for greater, 8 where one of them is no
 * number; then the loops of secateur_pairs.h.
 */
#include "secateur_kernels.h"
#include "secateur_pairs.h"

void secateur_compare_float(
    const uint32_t *stream, const secateur_float *one, const secateur_float *two, int8_t *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 1, (const int8_t *)one, (const int8_t *)two);
    const uint32_t answers = stream[0];
    const int32_t step_one = (int32_t)stream[2] / 4, step_two = (int32_t)stream[3] / 4;
    do {
        one = (const secateur_float *)(const void *)pairs.one;
        two = (const secateur_float *)(const void *)pairs.two;
        for (uint32_t left = stream[1]; left > 0; left--, one += step_one, two += step_two) {
            const uint32_t answer = *one < *two ? 0 : *one > *two ? 2 : *one == *two ? 1 : 3;
            *target++ = (int8_t)(answers >> answer & 1u);
        }
    } while (secateur_next(&pairs));
}
