/* Fixed-point arithmetic as the reference has it: rounded products of fractions, shifts that round or saturate. */
#ifndef SECATEUR_FIXED_POINT_H
#define SECATEUR_FIXED_POINT_H

#include <stdint.h>

/* one * two / 2^31, halves up. Not both are INT32_MIN. */
static inline int32_t secateur_high_product(int32_t one, int32_t two)
{
    return (int32_t)(((int64_t)one * two + ((int64_t)1 << 30)) >> 31);
}

/* Halves away from zero. */
static inline int32_t secateur_shift_right(int32_t value, int32_t bits)
{
    if (bits == 0) {
        return value;
    }
    return (int32_t)(((int64_t)value - (value < 0) + ((int64_t)1 << (bits - 1))) >> bits);
}

static inline int32_t secateur_shift_up(int32_t value, int32_t bits)
{
    const int64_t result = (int64_t)value * ((int64_t)1 << bits);
    return result > INT32_MAX ? INT32_MAX : result < INT32_MIN ? INT32_MIN : (int32_t)result;
}

#endif
