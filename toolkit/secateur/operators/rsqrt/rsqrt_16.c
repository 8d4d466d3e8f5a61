/* 1 / sqrt(source) of int16, with the reference's five steps of Newton's method; the largest value of zero. Of what is
 * less the reference has none. Source and target may be the same.
 *
 * multiplier and shift, to the left, scale a root with 20 bits of fraction.
 */
#include "secateur_kernels.h"
#include "secateur_fixed_point.h"

/* 2^20 / sqrt(value), value from 1. In steps, the value is a fraction from 1/2 to 2 of which 2^28 is one. */
static int32_t root_of(int32_t value)
{
    if (value == 1) {
        return 1 << 20;
    }
    int32_t left = 20 - 11, x = 1 << 28;
    uint32_t scaled = (uint32_t)value;
    while (scaled < 1u << 27) {
        scaled <<= 2;
        left++;
    }
    const int32_t half = secateur_shift_right((int32_t)(scaled >> 1), 1);
    for (int32_t step = 0; step < 5; step++) {
        const int32_t cube = secateur_shift_up(secateur_high_product(secateur_high_product(x, x), x), 6);
        x = secateur_shift_up(secateur_high_product((1 << 28) + (1 << 27), x) - secateur_high_product(half, cube), 3);
    }
    x = secateur_high_product(x, 1518500250);
    if (left > 20) {
        x <<= left - 20;
        left = 20;
    }
    return secateur_high_product(1 << left, x);
}

void secateur_rsqrt_16(
    const secateur_int16 *source, secateur_int16 *target, int32_t count, int32_t multiplier, int32_t shift)
{
    for (; count > 0; count--) {
        const int32_t value = *source++;
        int32_t result = INT16_MAX;
        if (value > 0) {
            const int32_t root = secateur_shift_up(root_of(value), shift > 0 ? shift : 0);
            result = secateur_shift_right(secateur_high_product(root, multiplier), shift > 0 ? 0 : -shift);
        }
        *target++ = (int16_t)(result > INT16_MAX ? INT16_MAX : result);
    }
}
