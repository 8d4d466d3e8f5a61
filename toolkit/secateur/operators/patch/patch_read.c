/* A part of an image becomes an image of its own, places of it beyond the edges one value.
 *
 * down and right are where a patch of a result lies, which needs the part. The stream says where the part lies:
 *
 *     its width | height << 16, width | height << 16 of the image, channels,
 *     the greatest right | down << 16: patches that would reach beyond the result start there,
 *     what right | down << 16 are multiplied by, what is taken from them to the left | above << 16, the value.
 *
 * Without a source what lies in the image is there already.
 */
#include "secateur_kernels.h"
#include "secateur_patch.h"

static __attribute__((noinline)) int8_t *fill(int8_t *target, int32_t count, int32_t value)
{
    for (; count > 0; count--) {
        *target++ = (int8_t)value;
    }
    return target;
}

void secateur_patch_read(const uint32_t *stream, int32_t down, int32_t right, const int8_t *source, int8_t *target)
{
    const int32_t width = (int32_t)(stream[0] & 0xFFFFu), height = (int32_t)(stream[0] >> 16);
    const int32_t image_width = (int32_t)(stream[1] & 0xFFFFu), image_height = (int32_t)(stream[1] >> 16);
    const int32_t channels = (int32_t)stream[2], value = (int32_t)stream[6];
    const int32_t last_right = (int32_t)(stream[3] & 0xFFFFu), last_down = (int32_t)(stream[3] >> 16);
    const int32_t x = (right < last_right ? right : last_right) * (int32_t)(stream[4] & 0xFFFFu) -
                      (int32_t)(stream[5] & 0xFFFFu);
    int32_t y = (down < last_down ? down : last_down) * (int32_t)(stream[4] >> 16) - (int32_t)(stream[5] >> 16);
    int32_t before = x < 0 ? -x : 0, behind = x + width - image_width;
    before = before < width ? before : width;
    behind = behind > 0 ? behind : 0;
    behind = behind < width - before ? behind : width - before;
    const int32_t inside = (width - before - behind) * channels;
    before *= channels;
    behind *= channels;
    for (int32_t row = 0; row < height; row++, y++) {
        const int32_t there = y >= 0 && y < image_height ? inside : 0;
        target = fill(target, there > 0 ? before : before + inside, value);
        if (source != 0 && there > 0) {
            secateur_copy(target, source + ((y * image_width + x) * channels + before), there);
        }
        target = fill(target + there, behind, value);
    }
}
