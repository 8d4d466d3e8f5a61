/* From an int32 sum to an int8, rounded twice as TensorFlow Lite for Microcontrollers does: a doubling high
 * product, then a shift to the right, half away from zero.
 *
 * multiplier is 2 m - 2^32 with m in [2^30, 2^31). Of right, a shift, only the lowest byte counts, as for the
 * core's own shifts by a register. Sums that are scaled up are shifted to the left before.
 */
#ifndef SECATEUR_REQUANTISE_H
#define SECATEUR_REQUANTISE_H

#include <stdint.h>

#if defined(__ARM_FEATURE_DSP)

/* SMMLAR is round(sum * m / 2^31). Subtracting one from a negative product leaves its sign in the carry, ASRS
 * leaves there the last bit shifted out, or the carry as it was when it shifts by nothing; ADC then rounds half
 * away from zero and adds the zero point. */
static inline int32_t secateur_rescale(int32_t sum, int32_t multiplier, uint32_t right, int32_t offset)
{
    int32_t result;
    __asm__("smmlar %[result], %[sum], %[multiplier], %[sum]\n\t"
            "adds   %[result], %[result], %[result], asr #31\n\t"
            "asrs   %[result], %[result], %[right]\n\t"
            "adc    %[result], %[result], %[offset]"
            : [result] "=&r"(result)
            : [sum] "r"(sum), [multiplier] "r"(multiplier), [right] "r"(right), [offset] "r"(offset)
            : "cc");
    return result;
}

static inline int8_t secateur_saturate(int32_t value)
{
    int32_t result;
    __asm__("ssat %[result], #8, %[value]" : [result] "=r"(result) : [value] "r"(value));
    return (int8_t)result;
}

/* Four bytes as two pairs of int16: the first and the third, the second and the fourth. */
static inline uint32_t secateur_even(uint32_t bytes)
{
    uint32_t result;
    __asm__("sxtb16 %[result], %[bytes]" : [result] "=r"(result) : [bytes] "r"(bytes));
    return result;
}

static inline uint32_t secateur_odd(uint32_t bytes)
{
    uint32_t result;
    __asm__("sxtb16 %[result], %[bytes], ror #8" : [result] "=r"(result) : [bytes] "r"(bytes));
    return result;
}

#else

static inline int32_t secateur_rescale(int32_t sum, int32_t multiplier, uint32_t right, int32_t offset)
{
    const int64_t product = (int64_t)sum * ((int64_t)multiplier + ((int64_t)1 << 32)) / 2;
    int64_t result = (product + ((int64_t)1 << 30)) >> 31;
    right &= 0xFFu;
    if (right > 0) {
        result = (result - (result < 0) + ((int64_t)1 << (right - 1))) >> right;
    }
    return (int32_t)result + offset;
}

static inline int8_t secateur_saturate(int32_t value)
{
    return (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
}

#endif

static inline int8_t secateur_finish(int32_t sum, int32_t multiplier, uint32_t right, int32_t zero_point)
{
    return secateur_saturate(secateur_rescale(sum, multiplier, right, zero_point));
}

static inline int32_t secateur_shift_left(int32_t sum, uint32_t left)
{
    return (int32_t)((uint32_t)sum << (left & 0x1Fu));
}

/* A byte of a word, the lowest first. */
static inline int32_t secateur_byte(uint32_t word, int32_t index)
{
    return (int32_t)((word >> (8 * index) & 0xFFu) ^ 0x80u) - 0x80;
}

#endif
