/* Convolution with Helium: int8 weights and activations, int32 sums, requantised to int8.
 *
 * Windows are gathered as columns of bytes, four at a time, places beyond the edges of the source as its zero point;
 * where windows are single pixels that follow each other, the source is read as it is. Rows of weights stand still
 * while columns pass by. The stream states the layer:
 *
 *     target's width | height << 16, source's width | height << 16, source's channels | target's << 16,
 *     window's width | height << 8 | step to the right << 16 | step down << 24,
 *     padding to the left | above << 16, source's zero point, target's zero point,
 *     then the rows as secateur_helium.h has them: blocks of four, and the one to three that are left.
 *
 * scratch is room for four columns and 16 bytes.
 */
#include "secateur_kernels.h"
#include "secateur_helium.h"

enum { TOGETHER = 4 };

typedef struct {
    const int8_t *source;
    int32_t width, height, channels;
    int32_t window_width, window_height;
    int32_t zero_point;
    int32_t line, bytes;       /* of a row of the source, of a row of the window */
    uint32_t across, downwards; /* places of the window that are inside to its end */
} image_t;

static inline int8_t *copy(int8_t *to, const int8_t *from, int32_t bytes)
{
    int8_t *const end = to + bytes;
#if defined(__ARM_FEATURE_MVE)
    for (int32_t left = bytes; left > 0; left -= SECATEUR_CHUNK) {
        const mve_pred16_t there = vctp8q((uint32_t)left);
        vstrbq_p_s8(to, vldrbq_z_s8(from, there), there);
        from += SECATEUR_CHUNK;
        to += SECATEUR_CHUNK;
    }
#else
    while (to != end) {
        *to++ = *from++;
    }
#endif
    return end;
}

static inline int8_t *fill(int8_t *to, int32_t value, int32_t bytes)
{
    int8_t *const end = to + bytes;
#if defined(__ARM_FEATURE_MVE)
    for (int32_t left = bytes; left > 0; left -= SECATEUR_CHUNK) {
        vstrbq_p_s8(to, vdupq_n_s8((int8_t)value), vctp8q((uint32_t)left));
        to += SECATEUR_CHUNK;
    }
#else
    while (to != end) {
        *to++ = (int8_t)value;
    }
#endif
    return end;
}

/* A window that reaches beyond an edge; x and y are where it begins. */
static __attribute__((noinline)) int8_t *gather_edge(const image_t *image, int8_t *to, int32_t x, int32_t y)
{
    const int32_t over = x + image->window_width - image->width;
    const int32_t before = x < 0 ? -x * image->channels : 0, after = over > 0 ? over * image->channels : 0;
    const int32_t inside = image->bytes - before - after;
    int32_t from = y * image->line + x * image->channels + before;
    for (int32_t row = 0; row < image->window_height; row++, y++, from += image->line) {
        if (y < 0 || y >= image->height || inside <= 0) {
            to = fill(to, image->zero_point, image->bytes);
            continue;
        }
        if (before > 0) {
            to = fill(to, image->zero_point, before);
        }
        to = copy(to, image->source + from, inside);
        if (after > 0) {
            to = fill(to, image->zero_point, after);
        }
    }
    return to;
}

static inline int8_t *gather(const image_t *image, int8_t *to, int32_t x, int32_t y)
{
    if ((uint32_t)x >= image->across || (uint32_t)y >= image->downwards) {
        return gather_edge(image, to, x, y);
    }
    const int8_t *from = image->source + y * image->line + x * image->channels;
    for (int32_t row = image->window_height; row > 0; row--, from += image->line) {
        to = copy(to, from, image->bytes);
    }
    return to;
}

/* Columns that follow each other, times all rows. */
typedef struct {
    const int8_t *columns;
    int32_t count, channels, zero_point;
    int8_t *target;
} columns_t;

#if defined(__ARM_FEATURE_MVE)

/* Inlined for a first chunk of 16 columns, and for any. */
static inline __attribute__((always_inline)) void shallow(const int8_t *weights, const columns_t *columns,
                                                          int32_t first, int32_t stride, int8_t *target)
{
    const int32_t channels = columns->channels, zero_point = columns->zero_point;
    const int32_t *const constants = (const int32_t *)(const void *)(weights + 4 * stride);
    const int32x4_t biases = vldrwq_s32(constants), multipliers = vldrwq_s32(constants + 4);
    const int32x4_t shifts = vldrbq_s32((const int8_t *)(const void *)(constants + 8));
    const mve_pred16_t there = vctp8q((uint32_t)first);
    const int8x16_t wa = vldrbq_z_s8(weights, there), wb = vldrbq_z_s8(weights + stride, there);
    const int8x16_t wc = vldrbq_z_s8(weights + 2 * stride, there), wd = vldrbq_z_s8(weights + 3 * stride, there);
    const int8_t *from = columns->columns;
    for (int32_t left = columns->count; left > 0; left--) {
        const int8x16_t values = vldrbq_s8(from); /* beyond the column: times zero */
        const int32_t a = vmladavq_s8(values, wa), b = vmladavq_s8(values, wb);
        const int32_t c = vmladavq_s8(values, wc), d = vmladavq_s8(values, wd);
        from += first;
        int32x4_t sums = vaddq_s32(secateur_vector(a, b, c, d), biases);
        sums = vqrdmulhq_s32(sums, multipliers); /* as secateur_rescale_four, with no vector to spare */
        sums = vsubq_m_n_s32(sums, sums, 1, vcmpltq_n_s32(sums, 0));
        secateur_store_four(vrshlq_s32(sums, shifts), zero_point, target);
        target += channels;
    }
}

static inline __attribute__((always_inline)) void deep(const int8_t *weights, const columns_t *columns, int32_t first,
                                                       int32_t stride, int32_t chunks, int8_t *target)
{
    const int32_t channels = columns->channels, zero_point = columns->zero_point;
    const int8_t *const rows = weights + 4 * stride;
    const int32_t *const constants = (const int32_t *)(const void *)(rows + 4 * SECATEUR_CHUNK * chunks);
    const int32x4_t multipliers = vldrwq_s32(constants + 4);
    const int32x4_t shifts = vldrbq_s32((const int8_t *)(const void *)(constants + 8));
    const mve_pred16_t there = vctp8q((uint32_t)first);
    const int8x16_t wa = vldrbq_z_s8(weights, there), wb = vldrbq_z_s8(weights + stride, there);
    const int8x16_t wc = vldrbq_z_s8(weights + 2 * stride, there), wd = vldrbq_z_s8(weights + 3 * stride, there);
    const int8_t *from = columns->columns;
    int32_t left = columns->count;
    do {
        int8x16_t values = vldrbq_s8(from);
        int32_t a = vmladavq_s8(values, wa), b = vmladavq_s8(values, wb);
        int32_t c = vmladavq_s8(values, wc), d = vmladavq_s8(values, wd);
        from += first;
        const int8_t *row = rows;
        int32_t chunk = chunks;
        do {
            values = vldrbq_s8(from);
            a = vmladavaq_s8(a, values, vldrbq_s8(row));
            b = vmladavaq_s8(b, values, vldrbq_s8(row + SECATEUR_CHUNK));
            c = vmladavaq_s8(c, values, vldrbq_s8(row + 2 * SECATEUR_CHUNK));
            d = vmladavaq_s8(d, values, vldrbq_s8(row + 3 * SECATEUR_CHUNK));
            from += SECATEUR_CHUNK;
            row += 4 * SECATEUR_CHUNK;
        } while (--chunk > 0);
        const int32x4_t biases = vldrwq_s32((const int32_t *)(const void *)row);
        const int32x4_t sums = vaddq_s32(secateur_vector(a, b, c, d), biases);
        secateur_store_four(secateur_rescale_four(sums, multipliers, shifts), zero_point, target);
        target += channels;
    } while (--left > 0);
}

static __attribute__((noinline)) void block(const int8_t *weights, const columns_t *columns, const secateur_cut_t *cut,
                                            int8_t *target)
{
    if (cut->chunks == 0 && cut->first == SECATEUR_CHUNK) {
        shallow(weights, columns, SECATEUR_CHUNK, SECATEUR_CHUNK, target);
    } else if (cut->chunks == 0) {
        shallow(weights, columns, cut->first, cut->stride, target);
    } else if (cut->first == SECATEUR_CHUNK) {
        deep(weights, columns, SECATEUR_CHUNK, SECATEUR_CHUNK, cut->chunks, target);
    } else {
        deep(weights, columns, cut->first, cut->stride, cut->chunks, target);
    }
}

#else

static void block(const int8_t *weights, const columns_t *columns, const secateur_cut_t *cut, int8_t *target)
{
    for (int32_t index = 0; index < columns->count; index++) {
        const int8_t *const from = columns->columns + index * cut->columns;
        secateur_block(weights, from, cut, columns->zero_point, target + index * columns->channels);
    }
}

#endif

static __attribute__((noinline)) void multiply(const int8_t *weights, const columns_t *columns, const secateur_cut_t *cut)
{
    int32_t row = 0;
    for (; row < columns->channels - 3; row += 4, weights += cut->block_bytes + 36) {
        block(weights, columns, cut, columns->target + row);
    }
    for (; row < columns->channels; row++, weights += cut->row_bytes + 12) {
        const int8_t *from = columns->columns;
        int8_t *to = columns->target + row;
        for (int32_t left = columns->count; left > 0; left--, from += cut->columns, to += columns->channels) {
            *to = secateur_row(weights, from, cut, columns->zero_point);
        }
    }
}

void secateur_conv_helium(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)
{
    const int32_t target_width = (int32_t)(stream[0] & 0xFFFFu);
    const int32_t count = target_width * (int32_t)(stream[0] >> 16);
    const int32_t width = (int32_t)(stream[1] & 0xFFFFu), height = (int32_t)(stream[1] >> 16);
    const int32_t channels = (int32_t)(stream[2] & 0xFFFFu);
    const int32_t window_width = (int32_t)(stream[3] & 0xFFu), window_height = (int32_t)(stream[3] >> 8 & 0xFFu);
    const int32_t step_right = (int32_t)(stream[3] >> 16 & 0xFFu), step_down = (int32_t)(stream[3] >> 24);
    const int32_t left = (int32_t)(stream[4] & 0xFFFFu), above = (int32_t)(stream[4] >> 16);
    const secateur_cut_t cut = secateur_cut(window_width * window_height * channels);
    /* a window of one pixel, by steps of one, as many as in the source; behind a column lies what may be read */
    const int32_t points =
        stream[3] == 0x01010101u && stream[4] == 0 && stream[0] == stream[1] && cut.columns >= SECATEUR_CHUNK;
    const int8_t *const weights = (const int8_t *)(const void *)(stream + 7);
    columns_t columns = {points ? source : scratch, count, (int32_t)(stream[2] >> 16), (int32_t)stream[6], target};
    if (points) {
        multiply(weights, &columns, &cut);
        return;
    }
    const image_t image = {
        source,
        width,
        height,
        channels,
        window_width,
        window_height,
        (int32_t)stream[5],
        width * channels,
        window_width * channels,
        width < window_width ? 0 : (uint32_t)(width - window_width + 1),
        height < window_height ? 0 : (uint32_t)(height - window_height + 1),
    };
    int32_t place = 0, x = -left, y = -above;
    for (int32_t pixel = 0; pixel < count; pixel += TOGETHER) {
        columns.count = count - pixel < TOGETHER ? count - pixel : TOGETHER;
        int8_t *to = scratch;
        for (int32_t index = columns.count; index > 0; index--) {
            to = gather(&image, to, x, y);
            x += step_right;
            if (++place == target_width) {
                place = 0;
                x = -left;
                y += step_down;
            }
        }
        multiply(weights, &columns, &cut);
        columns.target += columns.count * columns.channels;
    }
}
