/* A patch of a result goes to its place. The stream is that of patch_read, up to the greatest right and down. */
#include "secateur_kernels.h"
#include "secateur_patch.h"

void secateur_patch_write(const uint32_t *stream, int32_t down, int32_t right, const int8_t *source, int8_t *target)
{
    const int32_t channels = (int32_t)stream[2];
    const int32_t line = (int32_t)(stream[0] & 0xFFFFu) * channels, step = (int32_t)(stream[1] & 0xFFFFu) * channels;
    const int32_t last_right = (int32_t)(stream[3] & 0xFFFFu), last_down = (int32_t)(stream[3] >> 16);
    target += (down < last_down ? down : last_down) * step + (right < last_right ? right : last_right) * channels;
    for (int32_t row = (int32_t)(stream[0] >> 16); row > 0; row--, source += line, target += step) {
        secateur_copy(target, source, line);
    }
}
