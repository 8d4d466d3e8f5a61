/* Sine, cosine or logarithm of every value of float32, without a library. Source and target may be the same. */
#include "secateur_kernels.h"
#include "secateur_float.h"

static uint32_t bits_of(float x)
{
    union {
        float real;
        uint32_t bits;
    } both;
    both.real = x;
    return both.bits;
}

/* 2 / pi in binary, behind a word of nothing. */
static const uint32_t two_over_pi[8] = {
    0x00000000u, 0xA2F9836Eu, 0x4E441529u, 0xFC2757D1u, 0xF534DDC0u, 0xDB629599u, 0x3C439041u, 0xFE5163ABu};

/* Quarters of a turn in a finite angle of pi / 4 and more, and the angle that is left of it, from -pi / 4 to pi / 4.
 *
 * x is an integer m of 24 bits, times 2^e. Of 2 / pi only the bits count that m 2^e does not make a whole turn of: 96 of
 * them, the first of which it makes half a turn; whole turns leave the product at the top. */
static uint32_t quarters_of(float x, float *rest)
{
    const uint32_t bits = bits_of(x), m = (bits & 0x7FFFFFu) | 0x800000u, first = (bits >> 23) - 120u;
    const uint32_t *const word = two_over_pi + first / 32u;
    uint32_t window[3];
    for (uint32_t index = 0; index < 3; index++) {
        window[index] = (uint32_t)(((uint64_t)word[index] << 32 | word[index + 1]) << first % 32u >> 32);
    }
    const uint64_t turns =
        ((uint64_t)(m * window[0]) << 32) + (uint64_t)m * window[1] + ((uint64_t)m * window[2] >> 32);
    *rest = (float)(int32_t)(uint32_t)(turns >> 30) * 3.65729530e-10f;
    return ((uint32_t)(turns >> 32) + 0x20000000u) >> 30;
}

/* The sine of an angle and some quarters of a turn more, by series. */
static float sine_of(float x, uint32_t more)
{
    float rest = x < 0.0f ? -x : x;
    uint32_t quarters = 0;
    if (!(rest <= 3.40282347e38f)) {
        return x - x;
    }
    if (rest > 0.785398163f) {
        quarters = quarters_of(rest, &rest);
    }
    if (x < 0.0f) {
        rest = -rest;
        quarters = 0u - quarters;
    }
    quarters += more;
    const float square = rest * rest;
    float result;
    if ((quarters & 1u) != 0) {
        result = 2.48015873e-5f;
        result = result * square - 1.38888889e-3f;
        result = result * square + 4.16666667e-2f;
        result = result * square - 0.5f;
        result = result * square + 1.0f;
    } else {
        result = 2.75573192e-6f;
        result = result * square - 1.98412698e-4f;
        result = result * square + 8.33333333e-3f;
        result = result * square - 1.66666667e-1f;
        result = result * square * rest + rest;
    }
    return (quarters & 2u) != 0 ? -result : result;
}

/* log(x) = n log(2) + log(y) with y from sqrt(1/2) to sqrt(2), and log(y) by its series in (y - 1) / (y + 1). */
static float logarithm_of(float x)
{
    float n = 0.0f;
    if (!(x > 0.0f && x <= 3.40282347e38f)) {
        return x == 0.0f ? secateur_real(0xFF800000u) : x < 0.0f ? secateur_real(0x7FC00000u) : x;
    }
    if (x < 1.17549435e-38f) {
        x *= 8388608.0f;
        n = -23.0f;
    }
    const uint32_t bits = bits_of(x) - 0x3F3504F3u;
    const float y = secateur_real((bits & 0x7FFFFFu) + 0x3F3504F3u);
    n += (float)((int32_t)bits >> 23);
    const float s = (y - 1.0f) / (y + 1.0f), square = s * s;
    float sum = 0.222222222f;
    sum = sum * square + 0.285714286f;
    sum = sum * square + 0.4f;
    sum = sum * square + 0.666666667f;
    sum = sum * square * s + 2.0f * s;
    return n * 0.693359375f + (n * -2.12194440e-4f + sum);
}

void secateur_series_float(const secateur_float *source, secateur_float *target, int32_t count, uint32_t what)
{
    for (; count > 0; count--) {
        const float x = *source++;
        *target++ = what < 2 ? sine_of(x, what) : logarithm_of(x);
    }
}
