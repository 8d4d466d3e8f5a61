/* A function of every value of float32, without a library. Source and target may be the same. */
#include "secateur_kernels.h"
#include "secateur_float.h"

/* A continued fraction near zero; elsewhere by exp(2 x). */
static float tanh_of(float x)
{
    const float size = x < 0.0f ? -x : x;
    if (size < 0.625f) {
        const float square = x * x;
        return x / (1.0f + square / (3.0f + square / (5.0f + square / (7.0f + square / 9.0f))));
    }
    if (x != x) {
        return x;
    }
    const float result = size > 10.0f ? 1.0f : 1.0f - 2.0f / (secateur_exp(2.0f * size) + 1.0f);
    return x < 0.0f ? -result : result;
}

static float logistic_of(float x)
{
    const float part = secateur_exp(x < 0.0f ? x : -x);
    return (x < 0.0f ? part : 1.0f) / (1.0f + part);
}

/* Newton's method from half the exponent; subnormal numbers are taken for zero. */
static float root_of(float x)
{
    union {
        float real;
        uint32_t bits;
    } guess;
    if (!(x >= 1.17549435e-38f) || x > 3.40282347e38f) {
        return x > 0.0f && x < 1.0f ? 0.0f : x < 0.0f ? secateur_real(0x7FC00000u) : x;
    }
    guess.real = x;
    guess.bits = (guess.bits >> 1) + 0x1FC00000u;
    for (int32_t round = 0; round < 4; round++) {
        guess.real = 0.5f * (guess.real + x / guess.real);
    }
    return guess.real;
}

static float value_of(uint32_t what, float x, float slope)
{
    switch (what) {
    case 0:
        return tanh_of(x);
    case 1:
        return logistic_of(x);
    case 2:
        return x < 0.0f ? 0.0f : x;
    case 3:
        return secateur_bounded(x, 0.0f, 6.0f);
    case 4:
        return x < 0.0f ? slope * x : x;
    case 5:
        return secateur_exp(x);
    case 6:
        return x < 0.0f ? secateur_exp(x) - 1.0f : x;
    case 7:
        return x < 0.0f ? -x : x;
    case 8:
        return -x;
    case 9:
        return x * x;
    case 10:
        return root_of(x);
    case 11:
        return 1.0f / root_of(x);
    default:
        return x * secateur_bounded(x + 3.0f, 0.0f, 6.0f) / 6.0f;
    }
}

void secateur_curve_float(
    const secateur_float *source, secateur_float *target, int32_t count, uint32_t what, uint32_t slope)
{
    for (; count > 0; count--) {
        *target++ = value_of(what, *source++, secateur_real(slope));
    }
}
