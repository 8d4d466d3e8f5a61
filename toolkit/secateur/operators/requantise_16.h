/* From the sum of a layer of int16 activations to an int16, as TensorFlow Lite for Microcontrollers does: sums with a
 * bias of 64 bits are scaled by 15 bits and rounded once, others wrap to 32 bits and are rounded twice.
 *
 * Five words state the layer: 1 for sums of 64 bits, 0 for 32; lowest and highest result; the next two are the
 * kernel's. Four state a row: bias, low and high word; multiplier; shift: to the right, for 32 bits | to the left << 8.
 */
#ifndef SECATEUR_REQUANTISE_16_H
#define SECATEUR_REQUANTISE_16_H

#include "secateur_kernels.h"
#include "secateur_requantise.h"

/* Products of int8 and int16 that a sum of 32 bits holds: 256 * 2^7 * 2^15 = 2^30. */
#define SECATEUR_SUMMED 256

static inline int16_t secateur_clamp_16(int32_t value, int32_t low, int32_t high)
{
    return (int16_t)(value < low ? low : value > high ? high : value);
}

static inline int64_t secateur_bias_16(const uint32_t *row)
{
    return (int64_t)((uint64_t)row[1] << 32 | row[0]);
}

static inline int16_t secateur_finish_16(int64_t sum, const uint32_t *layer, const uint32_t *row)
{
    int32_t value;
    if (layer[0] != 0) {
        const int64_t twice = (sum * (int32_t)row[2]) >> (row[3] - 1); /* of what is rounded, the half added to it */
        value = (int32_t)((twice + 1) >> 1);
    } else {
        const int32_t wrapped = secateur_shift_left((int32_t)(uint32_t)(uint64_t)sum, row[3] >> 8);
        value = secateur_rescale(wrapped, (int32_t)row[2], row[3] & 0xFFu, 0);
    }
    return secateur_clamp_16(value, (int32_t)layer[1], (int32_t)layer[2]);
}

#if defined(__ARM_FEATURE_DSP)

/* Two neighbours as one word, from any even address. */
static inline uint32_t secateur_two(const secateur_int16 *source)
{
    uint32_t result;
    __builtin_memcpy(&result, source, sizeof result);
    return result;
}

static inline int32_t secateur_dual(uint32_t one, uint32_t other, int32_t sum)
{
    int32_t result;
    __asm__("smlad %[result], %[one], %[other], %[sum]"
            : [result] "=r"(result)
            : [one] "r"(one), [other] "r"(other), [sum] "r"(sum));
    return result;
}

#endif

#endif
