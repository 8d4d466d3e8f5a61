/* Two sources of float32, value by value. stream: what to do, see the switch; lowest and highest result; then the loops
 * of secateur_pairs.h. */
#include "secateur_kernels.h"
#include "secateur_float.h"
#include "secateur_pairs.h"

static float of_two(uint32_t what, float one, float two)
{
    switch (what) {
    case 0:
        return one + two;
    case 1:
        return one - two;
    case 2:
        return one * two;
    case 3:
        return one / two;
    case 4:
        return one > two ? one : two;
    case 5:
        return one < two ? one : two;
    default:
        return (one - two) * (one - two);
    }
}

void secateur_pair_float(
    const uint32_t *stream, const secateur_float *one, const secateur_float *two, secateur_float *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 3, (const int8_t *)one, (const int8_t *)two);
    const float low = secateur_real(stream[1]), high = secateur_real(stream[2]);
    const int32_t step_one = (int32_t)stream[4] / 4, step_two = (int32_t)stream[5] / 4;
    do {
        one = (const secateur_float *)(const void *)pairs.one;
        two = (const secateur_float *)(const void *)pairs.two;
        for (uint32_t count = stream[3]; count > 0; count--, one += step_one, two += step_two) {
            *target++ = secateur_bounded(of_two(stream[0], *one, *two), low, high);
        }
    } while (secateur_next(&pairs));
}
