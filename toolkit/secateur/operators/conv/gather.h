/* Windows gathered as columns of int16, two side by side; places beyond the edges of the source as its zero point.
 *
 * A column is a quad after the other: four values that follow each other in a row of the window. Rows are padded
 * to whole quads with whatever follows. With DSP instructions a quad is two words, of the first and the third
 * value and of the second and the fourth; after it comes that of the other column.
 */
#ifndef SECATEUR_GATHER_H
#define SECATEUR_GATHER_H

#include "secateur_requantise.h"

typedef struct {
    const int8_t *source;
    int32_t width, height, channels;
    int32_t window_width, window_height, step_right, step_down, pad_left, pad_above;
    int32_t zero_point, quads;
} secateur_image_t;

#if defined(__ARM_FEATURE_DSP)

typedef uint32_t secateur_pair_t; /* two int16 */
#define SECATEUR_QUAD_PAIRS 4     /* per quad of both columns: even and odd values of the one, then of the other */

static inline secateur_pair_t *secateur_put_bytes(secateur_pair_t *to, uint32_t bytes)
{
    to[0] = secateur_even(bytes);
    to[1] = secateur_odd(bytes);
    return to + SECATEUR_QUAD_PAIRS;
}

static inline secateur_pair_t *secateur_put_words(secateur_pair_t *to, const int8_t *from, const int8_t *end)
{
    uint32_t even, odd;
    __asm__ volatile("1:\n\t"
                     "ldr    %[odd], [%[from]], #4\n\t"
                     "cmp    %[from], %[end]\n\t"
                     "sxtb16 %[even], %[odd]\n\t"
                     "sxtb16 %[odd], %[odd], ror #8\n\t"
                     "strd   %[even], %[odd], [%[to]], #16\n\t"
                     "bne    1b"
                     : [to] "+r"(to), [from] "+r"(from), [even] "=&r"(even), [odd] "=&r"(odd)
                     : [end] "r"(end)
                     : "cc", "memory");
    return to;
}

#else

typedef int16_t secateur_pair_t;
#define SECATEUR_QUAD_PAIRS 8 /* per quad: four values of the one column, four of the other */

static inline secateur_pair_t *secateur_put_bytes(secateur_pair_t *to, uint32_t bytes)
{
    for (int32_t index = 0; index < 4; index++) {
        to[index] = (int16_t)secateur_byte(bytes, index);
    }
    return to + SECATEUR_QUAD_PAIRS;
}

static inline secateur_pair_t *secateur_put_words(secateur_pair_t *to, const int8_t *from, const int8_t *end)
{
    for (; from != end; from += 4, to += SECATEUR_QUAD_PAIRS) {
        for (int32_t index = 0; index < 4; index++) {
            to[index] = from[index];
        }
    }
    return to;
}

#endif

/* A row of a window: bytes first to last of it lie in the source, the others are padding. */
static inline secateur_pair_t *secateur_gather_row(const secateur_image_t *image, secateur_pair_t *to, int32_t offset,
                                                   int32_t first, int32_t last)
{
    const uint32_t fill = (uint32_t)(image->zero_point & 0xFF) * 0x01010101u;
    int32_t place = 0;
    const int32_t end = 4 * image->quads;
    while (place < end) {
        if (place >= first && place + 4 <= last) {
            const int32_t bytes = (last - place) & ~3;
            const int8_t *const from = image->source + (offset + place);
            to = secateur_put_words(to, from, from + bytes);
            place += bytes;
            continue;
        }
        uint32_t word = fill;
        if (place + 4 > first && place < last) {
            for (int32_t index = 3; index >= 0; index--) {
                const int32_t byte = place + index;
                const int32_t value =
                    byte >= first && byte < last ? image->source[offset + byte] : image->zero_point;
                word = word << 8 | (uint32_t)(value & 0xFF);
            }
        }
        to = secateur_put_bytes(to, word);
        place += 4;
    }
    return to;
}

/* The window of a pixel of the target. Behind a row that is inside to its end lie bytes of the source that its last
 * quad may as well hold, but for those behind the source. */
static __attribute__((noinline)) void secateur_gather(const secateur_image_t *image, secateur_pair_t *to,
                                                      int32_t right, int32_t down)
{
    const int32_t x = right * image->step_right - image->pad_left;
    int32_t y = down * image->step_down - image->pad_above;
    const int32_t over = x + image->window_width - image->width;
    const int32_t first = x < 0 ? -x * image->channels : 0;
    const int32_t last = (image->window_width - (over > 0 ? over : 0)) * image->channels;
    const int32_t size = image->height * image->width * image->channels, end = 4 * image->quads;
    for (int32_t row = 0; row < image->window_height; row++, y++) {
        const int32_t offset = (y * image->width + x) * image->channels;
        const int32_t reach = over <= 0 && offset + end <= size ? end : last;
        to = secateur_gather_row(image, to, offset, first, y >= 0 && y < image->height ? reach : 0);
    }
}

#endif
