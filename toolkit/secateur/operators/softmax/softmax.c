/* Softmax over the last axis, in the reference's fixed point. The exponentials of all differences from the
 * largest value are in a table, 2^31 standing for one; beyond its end they are zero. */
#include "secateur_kernels.h"
#include "secateur_fixed_point.h"

/* 1 / (1 + value) for a value from 0 to 1, by three steps of Newton's method on 48/17 - 32/17 of it. */
static int32_t reciprocal(int32_t value)
{
    const int32_t half = (int32_t)(((int64_t)value + INT32_MAX + 1) / 2);
    int32_t result = 1515870810 + secateur_high_product(half, -1010580540);
    for (int32_t step = 0; step < 3; step++) {
        const int32_t rest = (1 << 29) - secateur_high_product(half, result);
        result += secateur_shift_up(secateur_high_product(result, rest), 2);
    }
    return secateur_shift_up(result, 1);
}

void secateur_softmax(const uint32_t *exponentials, const int8_t *source, int8_t *target, int32_t rows,
                      int32_t columns, int32_t length)
{
    for (; rows > 0; rows--) {
        int32_t largest = -128, sum = 0, bits = 0;
        for (int32_t column = 0; column < columns; column++) {
            largest = source[column] > largest ? source[column] : largest;
        }
        for (int32_t column = 0; column < columns; column++) {
            const int32_t below = largest - source[column];
            sum += below < length ? secateur_shift_right((int32_t)exponentials[below], 12) : 0;
        }
        for (uint32_t rest = (uint32_t)sum; rest < 0x80000000u; rest <<= 1) {
            bits++;
        }
        const int32_t scale = reciprocal((int32_t)((uint32_t)sum << bits & 0x7FFFFFFFu));
        for (int32_t column = 0; column < columns; column++) {
            const int32_t below = largest - *source++;
            int32_t share = below < length ? secateur_high_product(scale, (int32_t)exponentials[below]) : 0;
            share = secateur_shift_right(share, 12 - bits + 31 - 8) - 128;
            *target++ = (int8_t)(share > 127 ? 127 : share);
        }
    }
}
