/* Largest or mean value of every channel of float32 over a window. Padding does not count.
 *
 * stream: 1 for the largest, 0 for the mean; lowest and highest result; then the five words of secateur_pool.h.
 */
#include "secateur_kernels.h"
#include "secateur_float.h"

void secateur_pool_float(const uint32_t *stream, const secateur_float *source, secateur_float *target)
{
    const uint32_t largest = stream[0];
    const float low = secateur_real(stream[1]), high = secateur_real(stream[2]);
    const int32_t channels = (int32_t)stream[5];
    const int32_t target_width = (int32_t)(stream[3] & 0xFFFFu), target_height = (int32_t)(stream[3] >> 16);
    const int32_t source_width = (int32_t)(stream[4] & 0xFFFFu), source_height = (int32_t)(stream[4] >> 16);
    const int32_t width = (int32_t)(stream[6] & 0xFFu), height = (int32_t)(stream[6] >> 8 & 0xFFu);
    const int32_t step_right = (int32_t)(stream[6] >> 16 & 0xFFu), step_down = (int32_t)(stream[6] >> 24);
    const int32_t left = (int32_t)(stream[7] & 0xFFFFu), above = (int32_t)(stream[7] >> 16);
    for (int32_t down = 0, y = -above; down < target_height; down++, y += step_down) {
        for (int32_t right = 0, x = -left; right < target_width; right++, x += step_right) {
            const int32_t top = y < 0 ? 0 : y, first = x < 0 ? 0 : x;
            const int32_t bottom = y + height < source_height ? y + height : source_height;
            const int32_t last = x + width < source_width ? x + width : source_width;
            for (int32_t channel = 0; channel < channels; channel++) {
                float sum = 0.0f, best = source[(top * source_width + first) * channels + channel];
                for (int32_t line = top; line < bottom; line++) {
                    const secateur_float *value = source + (line * source_width + first) * channels + channel;
                    for (int32_t taps = last - first; taps > 0; taps--, value += channels) {
                        sum += *value;
                        best = *value > best ? *value : best;
                    }
                }
                sum = largest ? best : sum / (float)((bottom - top) * (last - first));
                *target++ = secateur_bounded(sum, low, high);
            }
        }
    }
}
