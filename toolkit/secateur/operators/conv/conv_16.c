/* Convolution of int16 with int8 weights: exact sums, requantised to int16. Padding is zero and left out.
 *
 * stream: the five words of secateur_requantise_16.h, of which the fourth is rows and the fifth is not used; the five of
 * the window: target's width | height << 16, source's width | height << 16, channels | from tap to tap to the right << 16
 * | down << 24, window's width | height in taps << 8 | step to the right << 16 | step down << 24, padding to the left |
 * above << 16; four words for each row, see there; then the weights as bytes: rows, height, width, channels.
 */
#include "secateur_kernels.h"
#include "secateur_reach.h"
#include "secateur_requantise_16.h"

/* Up to SECATEUR_SUMMED products. */
static int32_t some_products(const int8_t *weights, const secateur_int16 *source, int32_t count)
{
    int32_t sum = 0;
#if defined(__ARM_FEATURE_DSP)
    for (; count >= 4; count -= 4, weights += 4, source += 4) {
        uint32_t four, even, odd;
        const uint32_t front = secateur_two(source), back = secateur_two(source + 2);
        __builtin_memcpy(&four, weights, sizeof four);
        __asm__("pkhbt %[even], %[front], %[back], lsl #16" : [even] "=r"(even) : [front] "r"(front), [back] "r"(back));
        __asm__("pkhtb %[odd], %[back], %[front], asr #16" : [odd] "=r"(odd) : [front] "r"(front), [back] "r"(back));
        sum = secateur_dual(secateur_odd(four), odd, secateur_dual(secateur_even(four), even, sum));
    }
#endif
    for (; count > 0; count--) {
        sum += *weights++ * *source++;
    }
    return sum;
}

static int64_t products(const int8_t *weights, const secateur_int16 *source, int32_t count)
{
    int64_t sum = 0;
    for (; count > SECATEUR_SUMMED; count -= SECATEUR_SUMMED) {
        sum += some_products(weights, source, SECATEUR_SUMMED);
        weights += SECATEUR_SUMMED;
        source += SECATEUR_SUMMED;
    }
    return sum + some_products(weights, source, count);
}

void secateur_conv_16(const uint32_t *stream, const secateur_int16 *source, secateur_int16 *target)
{
    const int32_t rows = (int32_t)stream[3], channels = (int32_t)(stream[7] & 0xFFFFu);
    const int32_t target_width = (int32_t)(stream[5] & 0xFFFFu), target_height = (int32_t)(stream[5] >> 16);
    const int32_t source_width = (int32_t)(stream[6] & 0xFFFFu), source_height = (int32_t)(stream[6] >> 16);
    const int32_t width = (int32_t)(stream[8] & 0xFFu), height = (int32_t)(stream[8] >> 8 & 0xFFu);
    const int32_t step_right = (int32_t)(stream[8] >> 16 & 0xFFu), step_down = (int32_t)(stream[8] >> 24);
    const int32_t left = (int32_t)(stream[9] & 0xFFFFu), above = (int32_t)(stream[9] >> 16);
    const int32_t apart_right = (int32_t)(stream[7] >> 16 & 0xFFu), apart_down = (int32_t)(stream[7] >> 24);
    const int8_t *const weights = (const int8_t *)(stream + 10 + 4 * rows);
    for (int32_t down = 0, y = -above; down < target_height; down++, y += step_down) {
        for (int32_t right = 0, x = -left; right < target_width; right++, x += step_right) {
            const secateur_reach_t taps = secateur_reach(x, width, apart_right, source_width);
            const int32_t count = taps.end - taps.first, together = apart_right == 1 ? count : 1;
            for (int32_t row = 0; row < rows; row++) {
                const uint32_t *const constants = stream + 10 + 4 * row;
                int64_t sum = secateur_bias_16(constants);
                for (int32_t line = 0, place = y; line < height; line++, place += apart_down) {
                    if (place < 0 || place >= source_height || taps.first >= taps.end) {
                        continue;
                    }
                    const int8_t *weight = weights + ((row * height + line) * width + taps.first) * channels;
                    const secateur_int16 *value = source +
                        (place * source_width + x + taps.first * apart_right) * channels;
                    for (int32_t run = 0; run < count; run += together) {
                        sum += products(weight, value, together * channels);
                        weight += together * channels;
                        value += apart_right * channels;
                    }
                }
                *target++ = secateur_finish_16(sum, stream, constants);
            }
        }
    }
}
