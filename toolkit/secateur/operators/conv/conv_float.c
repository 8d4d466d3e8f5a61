/* Convolution of float32. Padding is zero and left out.
 *
 * stream: lowest and highest result, rows; the five words of the window: target's width | height << 16, source's width
 * | height << 16, channels, window's width | height << 8 | step to the right << 16 | step down << 24, padding to the
 * left | above << 16; a bias for each row; the weights: rows, height, width, channels.
 */
#include "secateur_kernels.h"
#include "secateur_float.h"

void secateur_conv_float(const uint32_t *stream, const secateur_float *source, secateur_float *target)
{
    const float low = secateur_real(stream[0]), high = secateur_real(stream[1]);
    const int32_t rows = (int32_t)stream[2], channels = (int32_t)stream[5];
    const int32_t target_width = (int32_t)(stream[3] & 0xFFFFu), target_height = (int32_t)(stream[3] >> 16);
    const int32_t source_width = (int32_t)(stream[4] & 0xFFFFu), source_height = (int32_t)(stream[4] >> 16);
    const int32_t width = (int32_t)(stream[6] & 0xFFu), height = (int32_t)(stream[6] >> 8 & 0xFFu);
    const int32_t step_right = (int32_t)(stream[6] >> 16 & 0xFFu), step_down = (int32_t)(stream[6] >> 24);
    const int32_t left = (int32_t)(stream[7] & 0xFFFFu), above = (int32_t)(stream[7] >> 16);
    const secateur_float *const bias = (const secateur_float *)(const void *)(stream + 8);
    const secateur_float *const weights = bias + rows;
    for (int32_t down = 0, y = -above; down < target_height; down++, y += step_down) {
        for (int32_t right = 0, x = -left; right < target_width; right++, x += step_right) {
            const int32_t top = y < 0 ? -y : 0, first = x < 0 ? -x : 0;
            const int32_t bottom = y + height > source_height ? source_height - y : height;
            const int32_t last = x + width > source_width ? source_width - x : width;
            for (int32_t row = 0; row < rows; row++) {
                float sum = 0.0f;
                for (int32_t line = top; line < bottom && first < last; line++) {
                    const secateur_float *weight = weights + ((row * height + line) * width + first) * channels;
                    const secateur_float *value = source + ((y + line) * source_width + x + first) * channels;
                    for (int32_t count = (last - first) * channels; count > 0; count--) {
                        sum += *weight++ * *value++;
                    }
                }
                *target++ = secateur_bounded(sum + bias[row], low, high);
            }
        }
    }
}
