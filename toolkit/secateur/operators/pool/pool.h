/* Largest or mean value of every channel over a window that slides over the source. Padding does not count.
 *
 * The stream states the layer: target's width | height << 16, source's width | height << 16, channels,
 * window's width | height << 8 | step to the right << 16 | step down << 24, padding to the left | above << 16.
 */
#ifndef SECATEUR_POOL_H
#define SECATEUR_POOL_H

#include <stdint.h>

static inline int32_t mean(int32_t sum, int32_t count)
{
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

typedef struct {
    const int8_t *source;
    int32_t rows, columns, next_row, channels;
} window_t;

#if defined(SECATEUR_POOL_BY_VECTORS) && defined(__ARM_FEATURE_MVE)

#include "secateur_pool_helium.h"

#define SECATEUR_POOL_TOGETHER by_vectors

#elif defined(SECATEUR_POOL_BY_VECTORS) || !defined(__ARM_FEATURE_DSP)

#define SECATEUR_POOL_TOGETHER(window, target, largest) 0

#else

#define SECATEUR_POOL_TOGETHER by_fours

static inline uint32_t add_even(uint32_t sums, uint32_t bytes)
{
    __asm__("sxtab16 %[sums], %[sums], %[bytes]" : [sums] "+r"(sums) : [bytes] "r"(bytes));
    return sums;
}

static inline uint32_t add_odd(uint32_t sums, uint32_t bytes)
{
    __asm__("sxtab16 %[sums], %[sums], %[bytes], ror #8" : [sums] "+r"(sums) : [bytes] "r"(bytes));
    return sums;
}

static inline uint32_t larger(uint32_t one, uint32_t two)
{
    uint32_t result;
    __asm__("ssub8 %[result], %[one], %[two]\n\tsel %[result], %[one], %[two]"
            : [result] "=&r"(result)
            : [one] "r"(one), [two] "r"(two)
            : "cc");
    return result;
}

static inline void largest_of_four(const window_t *window, int32_t channel, int8_t *target)
{
    const int8_t *source = window->source + channel;
    uint32_t best = *(const uint32_t *)(const void *)source;
    for (int32_t row = 0; row < window->rows; row++, source += window->next_row) {
        for (int32_t column = 0; column < window->columns; column++, source += window->channels) {
            best = larger(best, *(const uint32_t *)(const void *)source);
        }
    }
    for (int32_t index = 0; index < 4; index++, best >>= 8) {
        target[channel + index] = (int8_t)best;
    }
}

static inline void mean_of_four(const window_t *window, int32_t channel, int8_t *target)
{
    const int8_t *source = window->source + channel;
    const int32_t count = window->rows * window->columns;
    uint32_t even = 0, odd = 0;
    for (int32_t row = 0; row < window->rows; row++, source += window->next_row) {
        for (int32_t column = 0; column < window->columns; column++, source += window->channels) {
            const uint32_t bytes = *(const uint32_t *)(const void *)source;
            even = add_even(even, bytes);
            odd = add_odd(odd, bytes);
        }
    }
    target[channel] = (int8_t)mean((int16_t)even, count);
    target[channel + 1] = (int8_t)mean((int16_t)odd, count);
    target[channel + 2] = (int8_t)mean((int32_t)even >> 16, count);
    target[channel + 3] = (int8_t)mean((int32_t)odd >> 16, count);
}

/* Four channels at a time; what is left overlaps with those before. Sums of 255 values fit 16 bits. */
static inline int32_t by_fours(const window_t *window, int8_t *target, int32_t largest)
{
    if (window->channels < 4 || (!largest && window->rows * window->columns > 255)) {
        return 0;
    }
    for (int32_t channel = 0; channel < window->channels; channel += 4) {
        if (channel > window->channels - 4) {
            channel = window->channels - 4;
        }
        if (largest) {
            largest_of_four(window, channel, target);
        } else {
            mean_of_four(window, channel, target);
        }
    }
    return window->channels;
}

#endif

static inline int32_t one_channel(const window_t *window, const int8_t *source, int32_t largest)
{
    int32_t sum = 0, best = -128;
    for (int32_t row = 0; row < window->rows; row++, source += window->next_row) {
        for (int32_t column = 0; column < window->columns; column++, source += window->channels) {
            sum += *source;
            best = *source > best ? *source : best;
        }
    }
    return largest ? best : mean(sum, window->rows * window->columns);
}

static inline void slide(const uint32_t *stream, const int8_t *source, int8_t *target, int32_t largest)
{
    const int32_t target_width = (int32_t)(stream[0] & 0xFFFFu), target_height = (int32_t)(stream[0] >> 16);
    const int32_t source_width = (int32_t)(stream[1] & 0xFFFFu), source_height = (int32_t)(stream[1] >> 16);
    const int32_t channels = (int32_t)stream[2];
    const int32_t width = (int32_t)(stream[3] & 0xFFu), height = (int32_t)(stream[3] >> 8 & 0xFFu);
    const int32_t step_right = (int32_t)(stream[3] >> 16 & 0xFFu), step_down = (int32_t)(stream[3] >> 24);
    const int32_t left = (int32_t)(stream[4] & 0xFFFFu), above = (int32_t)(stream[4] >> 16);
    for (int32_t down = 0, y = -above; down < target_height; down++, y += step_down) {
        for (int32_t right = 0, x = -left; right < target_width; right++, x += step_right) {
            const int32_t first_row = y < 0 ? 0 : y, first_column = x < 0 ? 0 : x;
            const int32_t last_row = y + height < source_height ? y + height : source_height;
            const int32_t last_column = x + width < source_width ? x + width : source_width;
            const int32_t columns = last_column - first_column;
            const window_t window = {
                source + (first_row * source_width + first_column) * channels,
                last_row - first_row, columns, (source_width - columns) * channels, channels,
            };
            for (int32_t channel = SECATEUR_POOL_TOGETHER(&window, target, largest); channel < channels; channel++) {
                target[channel] = (int8_t)one_channel(&window, window.source + channel, largest);
            }
            target += channels;
        }
    }
}

#endif
