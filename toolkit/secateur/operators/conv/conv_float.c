/* Convolution of float32. Padding is zero and left out.
 *
 * stream: lowest and highest result, rows; the five words of the window, see secateur_conv_16; a bias for each row; the
 * weights: rows, height, width, channels.
 */
#include "secateur_kernels.h"
#include "secateur_float.h"
#include "secateur_reach.h"

void secateur_conv_float(const uint32_t *stream, const secateur_float *source, secateur_float *target)
{
    const float low = secateur_real(stream[0]), high = secateur_real(stream[1]);
    const int32_t rows = (int32_t)stream[2], channels = (int32_t)(stream[5] & 0xFFFFu);
    const int32_t target_width = (int32_t)(stream[3] & 0xFFFFu), target_height = (int32_t)(stream[3] >> 16);
    const int32_t source_width = (int32_t)(stream[4] & 0xFFFFu), source_height = (int32_t)(stream[4] >> 16);
    const int32_t width = (int32_t)(stream[6] & 0xFFu), height = (int32_t)(stream[6] >> 8 & 0xFFu);
    const int32_t step_right = (int32_t)(stream[6] >> 16 & 0xFFu), step_down = (int32_t)(stream[6] >> 24);
    const int32_t left = (int32_t)(stream[7] & 0xFFFFu), above = (int32_t)(stream[7] >> 16);
    const int32_t apart_right = (int32_t)(stream[5] >> 16 & 0xFFu), apart_down = (int32_t)(stream[5] >> 24);
    const secateur_float *const bias = (const secateur_float *)(const void *)(stream + 8);
    const secateur_float *const weights = bias + rows;
    for (int32_t down = 0, y = -above; down < target_height; down++, y += step_down) {
        for (int32_t right = 0, x = -left; right < target_width; right++, x += step_right) {
            const secateur_reach_t taps = secateur_reach(x, width, apart_right, source_width);
            const int32_t count = taps.end - taps.first, together = apart_right == 1 ? count : 1;
            for (int32_t row = 0; row < rows; row++) {
                float sum = 0.0f;
                for (int32_t line = 0, place = y; line < height; line++, place += apart_down) {
                    if (place < 0 || place >= source_height || taps.first >= taps.end) {
                        continue;
                    }
                    const secateur_float *weight = weights + ((row * height + line) * width + taps.first) * channels;
                    const secateur_float *value = source +
                        (place * source_width + x + taps.first * apart_right) * channels;
                    for (int32_t run = 0; run < count; run += together) {
                        for (int32_t rest = together * channels; rest > 0; rest--) {
                            sum += *weight++ * *value++;
                        }
                        value += (apart_right - 1) * channels;
                    }
                }
                *target++ = secateur_bounded(sum + bias[row], low, high);
            }
        }
    }
}
