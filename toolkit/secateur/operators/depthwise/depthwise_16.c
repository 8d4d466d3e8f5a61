/* Convolution of each channel of int16 on its own, with int8 weights. Padding is zero and left out.
 *
 * stream: as of secateur_conv_16; the weights as bytes: height, width, rows. Of rows there are a whole multiple of the
 * channels, one after the other for each.
 */
#include "secateur_kernels.h"
#include "secateur_reach.h"
#include "secateur_requantise_16.h"

void secateur_depthwise_16(const uint32_t *stream, const secateur_int16 *source, secateur_int16 *target)
{
    const int32_t rows = (int32_t)stream[3], channels = (int32_t)(stream[7] & 0xFFFFu), each = rows / channels;
    const int32_t target_width = (int32_t)(stream[5] & 0xFFFFu), target_height = (int32_t)(stream[5] >> 16);
    const int32_t source_width = (int32_t)(stream[6] & 0xFFFFu), source_height = (int32_t)(stream[6] >> 16);
    const int32_t width = (int32_t)(stream[8] & 0xFFu), height = (int32_t)(stream[8] >> 8 & 0xFFu);
    const int32_t step_right = (int32_t)(stream[8] >> 16 & 0xFFu), step_down = (int32_t)(stream[8] >> 24);
    const int32_t left = (int32_t)(stream[9] & 0xFFFFu), above = (int32_t)(stream[9] >> 16);
    const int32_t apart_right = (int32_t)(stream[7] >> 16 & 0xFFu), apart_down = (int32_t)(stream[7] >> 24);
    const int32_t apart = apart_right * channels;
    const int8_t *const weights = (const int8_t *)(stream + 10 + 4 * rows);
    for (int32_t down = 0, y = -above; down < target_height; down++, y += step_down) {
        for (int32_t right = 0, x = -left; right < target_width; right++, x += step_right) {
            const secateur_reach_t taps = secateur_reach(x, width, apart_right, source_width);
            for (int32_t row = 0, channel = 0, same = each; row < rows; row++) {
                const uint32_t *const constants = stream + 10 + 4 * row;
                int64_t sum = secateur_bias_16(constants);
                for (int32_t line = 0, place = y; line < height; line++, place += apart_down) {
                    if (place < 0 || place >= source_height || taps.first >= taps.end) {
                        continue;
                    }
                    const int8_t *weight = weights + (line * width + taps.first) * rows + row;
                    const secateur_int16 *value = source + channel +
                        (place * source_width + x + taps.first * apart_right) * channels;
                    int32_t part = 0;
                    for (int32_t rest = taps.end - taps.first; rest > 0; rest--, weight += rows, value += apart) {
                        part += *weight * *value;
                    }
                    sum += part;
                }
                *target++ = secateur_finish_16(sum, stream, constants);
                if (--same == 0) {
                    channel++;
                    same = each;
                }
            }
        }
    }
}
