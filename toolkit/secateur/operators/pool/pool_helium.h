/* 16 channels of a window at a time, with Helium; see secateur_pool.h. */
#ifndef SECATEUR_POOL_HELIUM_H
#define SECATEUR_POOL_HELIUM_H

#include <arm_mve.h>

enum { SECATEUR_VECTOR = 16, SECATEUR_SUMMED = 255 }; /* so many values of int8 fit a sum of 16 bits */

/* What a sum is divided by: |sum| + count / 2, times a multiplier of 16 bits, shifted to the right. With n below 2^15
 * and the multiplier 2^(16 + s) / count, rounded up, where 2^s < count < 2^(s + 1), the floor is that of n / count: the
 * multiplier's error is below count, and times n below 2^(16 + s). */
typedef struct {
    uint16x8_t multiplier;
    int32_t right;
    int16_t half;
} divisor_t;

static inline divisor_t divide_by(uint32_t count)
{
    const uint32_t log = 31u - (uint32_t)__builtin_clz(count), power = (count & (count - 1)) == 0;
    const divisor_t divisor = {
        vdupq_n_u16((uint16_t)(power ? 0x8000u : ((0x10000u << log) + count - 1) / count)),
        (int32_t)(log - power),
        (int16_t)(count / 2),
    };
    return divisor;
}

static inline int16x8_t divided(int16x8_t sums, const divisor_t *divisor)
{
    const uint16x8_t all = vreinterpretq_u16_s16(vaddq_n_s16(vabsq_s16(sums), divisor->half));
    const int16x8_t means = vreinterpretq_s16_u16(vshlq_r_u16(vmulhq_u16(all, divisor->multiplier), -divisor->right));
    return vnegq_m_s16(means, means, vcmpltq_n_s16(sums, 0));
}

/* Inlined for 16 channels and for the rest of them, of which only those that are there are read and written. */
#define LOAD(from) (whole ? vldrbq_s8(from) : vldrbq_z_s8(from, there))

static inline __attribute__((always_inline)) int8x16_t largest_of_all(const window_t *window, const int8_t *source,
                                                                      int32_t whole, mve_pred16_t there)
{
    int8x16_t best = vdupq_n_s8(-128);
    for (int32_t row = window->rows; row > 0; row--, source += window->next_row) {
        for (int32_t column = window->columns; column > 0; column--, source += window->channels) {
            best = vmaxq_s8(best, LOAD(source));
        }
    }
    return best;
}

static inline __attribute__((always_inline)) int8x16_t mean_of_all(const window_t *window, const int8_t *source,
                                                                   const divisor_t *divisor, int32_t whole,
                                                                   mve_pred16_t there)
{
    int16x8_t even = vdupq_n_s16(0), odd = vdupq_n_s16(0);
    for (int32_t row = window->rows; row > 0; row--, source += window->next_row) {
        for (int32_t column = window->columns; column > 0; column--, source += window->channels) {
            const int8x16_t values = LOAD(source);
            even = vaddq_s16(even, vmovlbq_s8(values));
            odd = vaddq_s16(odd, vmovltq_s8(values));
        }
    }
    even = divided(even, divisor);
    return vmovntq_s16(vreinterpretq_s8_s16(even), divided(odd, divisor));
}

#undef LOAD

/* The same of more values than a sum of 16 bits holds, of which a row does: at most 255. */
static __attribute__((noinline)) void mean_of_many(const window_t *window, const int8_t *source, int32_t left,
                                                   int8_t *target)
{
    const mve_pred16_t there = vctp8q((uint32_t)left);
    int32x4x4_t sums = {{vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}};
    for (int32_t row = window->rows; row > 0; row--, source += window->next_row) {
        int16x8_t even = vdupq_n_s16(0), odd = vdupq_n_s16(0);
        for (int32_t column = window->columns; column > 0; column--, source += window->channels) {
            const int8x16_t values = vldrbq_z_s8(source, there);
            even = vaddq_s16(even, vmovlbq_s8(values));
            odd = vaddq_s16(odd, vmovltq_s8(values));
        }
        sums.val[0] = vaddq_s32(sums.val[0], vmovlbq_s16(even));
        sums.val[1] = vaddq_s32(sums.val[1], vmovlbq_s16(odd));
        sums.val[2] = vaddq_s32(sums.val[2], vmovltq_s16(even));
        sums.val[3] = vaddq_s32(sums.val[3], vmovltq_s16(odd));
    }
    int32_t all[SECATEUR_VECTOR];
    vst4q_s32(all, sums);
    const int32_t count = window->rows * window->columns;
    for (int32_t channel = 0; channel < SECATEUR_VECTOR && channel < left; channel++) {
        target[channel] = (int8_t)mean(all[channel], count);
    }
}

/* All channels: how many these are. */
static inline int32_t by_vectors(const window_t *window, int8_t *target, int32_t largest)
{
    const int32_t count = window->rows * window->columns;
    const int8_t *source = window->source;
    int32_t left = window->channels;
    if (largest || count == 1) {
        for (; left >= SECATEUR_VECTOR; left -= SECATEUR_VECTOR) {
            vstrbq_s8(target, largest_of_all(window, source, 1, 0));
            source += SECATEUR_VECTOR;
            target += SECATEUR_VECTOR;
        }
        if (left > 0) {
            const mve_pred16_t there = vctp8q((uint32_t)left);
            vstrbq_p_s8(target, largest_of_all(window, source, 0, there), there);
        }
        return window->channels;
    }
    if (count > SECATEUR_SUMMED) {
        for (; left > 0; left -= SECATEUR_VECTOR, source += SECATEUR_VECTOR, target += SECATEUR_VECTOR) {
            mean_of_many(window, source, left, target);
        }
        return window->channels;
    }
    const divisor_t divisor = divide_by((uint32_t)count);
    for (; left >= SECATEUR_VECTOR; left -= SECATEUR_VECTOR) {
        vstrbq_s8(target, mean_of_all(window, source, &divisor, 1, 0));
        source += SECATEUR_VECTOR;
        target += SECATEUR_VECTOR;
    }
    if (left > 0) {
        const mve_pred16_t there = vctp8q((uint32_t)left);
        vstrbq_p_s8(target, mean_of_all(window, source, &divisor, 0, there), there);
    }
    return window->channels;
}

#endif
