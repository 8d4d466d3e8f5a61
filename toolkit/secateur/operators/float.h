/* What kernels of float32 share: rounding, values between two bounds, and functions that need no library. */
#ifndef SECATEUR_FLOAT_H
#define SECATEUR_FLOAT_H

#include "secateur_kernels.h"

/* Every product is rounded, so that all cores give the same answer. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

static inline float secateur_real(uint32_t bits)
{
    union {
        uint32_t bits;
        float real;
    } both;
    both.bits = bits;
    return both.real;
}

/* NaN stays NaN. */
static inline float secateur_bounded(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

static inline float secateur_power_of_two(int32_t exponent)
{
    return secateur_real((uint32_t)(exponent + 127) << 23);
}

/* exp(x) = 2^n exp(r) with |r| <= ln(2) / 2, and exp(r) by its series to the seventh power. */
static inline float secateur_exp(float x)
{
    if (!(x > -104.0f)) {
        return x != x ? x : 0.0f;
    }
    if (x > 89.0f) {
        return secateur_real(0x7F800000u);
    }
    const int32_t n = (int32_t)(x * 1.44269504f + (x < 0.0f ? -0.5f : 0.5f)), half = n / 2;
    const float r = (x - (float)n * 0.693359375f) + (float)n * 2.12194440e-4f;
    float sum = 1.98412698e-4f;
    sum = sum * r + 1.38888889e-3f;
    sum = sum * r + 8.33333333e-3f;
    sum = sum * r + 4.16666667e-2f;
    sum = sum * r + 1.66666667e-1f;
    sum = sum * r + 0.5f;
    sum = sum * r + 1.0f;
    sum = sum * r + 1.0f;
    return sum * secateur_power_of_two(half) * secateur_power_of_two(n - half);
}

#endif
