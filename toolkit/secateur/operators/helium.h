/* Rows of int8 weights times vectors of int8 values, four rows at a time, with Helium (Armv8.1-M's vector extension);
 * the same in plain C where there is none.
 *
 * Weights of a block of four rows: a first chunk of 1 to 16 columns, one row after the other, each padded to whole
 * words; then chunks of 16 columns, one row after the other. Behind them in words: four biases, less the zero point of
 * the source times the sum of the weights; four multipliers in [2^30, 2^31); in bytes four shifts, negative: to the
 * right. A row of its own: its columns, padded to whole words, its bias, its multiplier as 2 m - 2^32, and its shift,
 * positive. Sums are shifted by one and more.
 */
#ifndef SECATEUR_HELIUM_H
#define SECATEUR_HELIUM_H

#include "secateur_requantise.h"

enum { SECATEUR_CHUNK = 16 };

/* How the columns of a layer are cut up. */
typedef struct {
    int32_t first, stride; /* columns of the first chunk, and bytes that they take */
    int32_t chunks;        /* after it */
    int32_t columns, row_bytes, block_bytes;
} secateur_cut_t;

static inline secateur_cut_t secateur_cut(int32_t columns)
{
    const int32_t chunks = (columns - 1) / SECATEUR_CHUNK, first = columns - chunks * SECATEUR_CHUNK;
    const int32_t stride = (first + 3) & ~3;
    const secateur_cut_t cut = {
        first, stride, chunks, columns, (columns + 3) & ~3, 4 * stride + 4 * SECATEUR_CHUNK * chunks,
    };
    return cut;
}

#if defined(__ARM_FEATURE_MVE)

#include <arm_mve.h>

/* Four sums, rounded twice as TensorFlow Lite for Microcontrollers does: a doubling high product, then a shift to the
 * right, half away from zero, which is half upwards of what is one less where it is negative. */
static inline int32x4_t secateur_rescale_four(int32x4_t sums, int32x4_t multipliers, int32x4_t shifts)
{
    sums = vqrdmulhq_s32(sums, multipliers);
    return vrshlq_s32(vaddq_s32(sums, vshrq_n_s32(sums, 31)), shifts);
}

/* The zero point added, and cut off to int8. */
static inline int32x4_t secateur_bytes(int32x4_t values, int32_t zero_point)
{
    values = vaddq_n_s32(values, zero_point);
    const int16x8_t halves = vqmovnbq_s32(vreinterpretq_s16_s32(values), values);
    return vreinterpretq_s32_s8(vqmovnbq_s16(vreinterpretq_s8_s16(halves), halves));
}

static inline void secateur_store_four(int32x4_t values, int32_t zero_point, int8_t *target)
{
    vstrbq_s32(target, secateur_bytes(values, zero_point));
}

static inline int32x4_t secateur_vector(int32_t a, int32_t b, int32_t c, int32_t d)
{
    int32x4_t result = vuninitializedq_s32();
    result = vsetq_lane_s32(a, result, 0);
    result = vsetq_lane_s32(b, result, 1);
    result = vsetq_lane_s32(c, result, 2);
    return vsetq_lane_s32(d, result, 3);
}

#endif

/* A row of its own. */
static inline int8_t secateur_row(const int8_t *weights, const int8_t *source, const secateur_cut_t *cut,
                                  int32_t zero_point)
{
    const uint32_t *const constants = (const uint32_t *)(const void *)(weights + cut->row_bytes);
    int32_t sum = (int32_t)constants[0];
#if defined(__ARM_FEATURE_MVE)
    for (int32_t left = cut->columns; left > 0; left -= SECATEUR_CHUNK) {
        const mve_pred16_t there = vctp8q((uint32_t)left);
        sum = vmladavaq_p_s8(sum, vldrbq_z_s8(source, there), vldrbq_z_s8(weights, there), there);
        source += SECATEUR_CHUNK;
        weights += SECATEUR_CHUNK;
    }
#else
    for (int32_t column = 0; column < cut->columns; column++) {
        sum = (int32_t)((uint32_t)sum + (uint32_t)(weights[column] * source[column]));
    }
#endif
    return secateur_finish(sum, (int32_t)constants[1], constants[2], zero_point);
}

#if !defined(__ARM_FEATURE_MVE)

/* A block of four rows. */
static inline void secateur_block(const int8_t *weights, const int8_t *source, const secateur_cut_t *cut,
                                  int32_t zero_point, int8_t *target)
{
    const uint32_t *const constants = (const uint32_t *)(const void *)(weights + cut->block_bytes);
    for (int32_t row = 0; row < 4; row++) {
        int32_t sum = (int32_t)constants[row];
        for (int32_t column = 0; column < cut->columns; column++) {
            const int32_t chunk = (column - cut->first + SECATEUR_CHUNK) / SECATEUR_CHUNK; /* 0 is the first */
            const int32_t place = chunk == 0 ? row * cut->stride + column
                                             : 4 * cut->stride + 4 * SECATEUR_CHUNK * (chunk - 1) +
                                                   row * SECATEUR_CHUNK + (column - cut->first) % SECATEUR_CHUNK;
            sum = (int32_t)((uint32_t)sum + (uint32_t)(weights[place] * source[column]));
        }
        const int32_t right = -secateur_byte(constants[8], row);
        target[row] = secateur_finish(sum, (int32_t)(2u * constants[4 + row]), (uint32_t)right, zero_point);
    }
}

#endif

#endif
