/* Quotient of two sources, as TensorFlow Lite has it: the reciprocal of the divisor by Newton's method in fixed point, the
 * dividend shifted to the left as far as it goes, their high product, and what is left of the scale. A divisor of zero, which
 * TensorFlow Lite does not define, divides as one step of its scale does.
 *
 * stream: zero point of the one source, of the other, of the target; multiplier of the quotient; its shift to the
 * left; then the loops of secateur_pairs.h.
 */
#include "secateur_kernels.h"
#include "secateur_pairs.h"
#include "secateur_requantise.h"

static int32_t high_product(int32_t one, int32_t two)
{
    return (int32_t)(((int64_t)one * two + ((int64_t)1 << 30)) >> 31);
}

/* 1 / (1 + fraction / 2^31) in steps of 2^-31, for fractions from 0 on. */
static int32_t reciprocal(int32_t fraction)
{
    const int32_t half = (int32_t)(((uint32_t)fraction + 0x80000000u) >> 1);
    int32_t x = 1515870810 + high_product(half, -1010580540); /* 48/17 - 32/17 of it, in steps of 2^-29 */
    for (int32_t round = 0; round < 3; round++) {
        x += 4 * high_product(x, (1 << 29) - high_product(half, x));
    }
    return x >= 1 << 30 ? 0x7FFFFFFF : 2 * x;
}

void secateur_divide(const uint32_t *stream, const int8_t *one, const int8_t *two, int8_t *target)
{
    secateur_pairs_t pairs = secateur_pairs(stream + 5, one, two);
    const int32_t zero_one = (int32_t)stream[0], zero_two = (int32_t)stream[1], zero_point = (int32_t)stream[2];
    const int32_t multiplier = (int32_t)stream[3], step_one = (int32_t)stream[6], step_two = (int32_t)stream[7];
    do {
        one = pairs.one;
        two = pairs.two;
        for (uint32_t count = stream[5]; count > 0; count--, one += step_one, two += step_two) {
            int32_t dividend = *one - zero_one, divisor = *two - zero_two;
            if (divisor < 0) {
                divisor = -divisor;
                dividend = -dividend;
            }
            const uint32_t size = divisor == 0 ? 1u : (uint32_t)divisor;
            const int32_t left = __builtin_clz(size);
            const uint32_t bits = dividend >= 0 ? (uint32_t)dividend : (uint32_t)(-2 * dividend - 1);
            const int32_t room = bits == 0 ? 31 : __builtin_clz(bits) - (dividend >= 0);
            const int32_t inverse = reciprocal((int32_t)((size << left) - 0x80000000u));
            const int32_t quotient = high_product((int32_t)((uint32_t)dividend << room), inverse);
            *target++ = secateur_finish(quotient, multiplier, (uint32_t)(room + 31 - left) - stream[4], zero_point);
        }
    } while (secateur_next(&pairs));
}
