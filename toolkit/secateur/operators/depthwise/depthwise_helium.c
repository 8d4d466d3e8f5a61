/* Depthwise convolution with Helium: int8 weights and activations, int32 sums, requantised to int8.
 *
 * Rows of the source are spread out, 16 channels at a time, over a plane for each channel: column x of row y is byte
 * x * pitch + y of it. A window is then w * pitch bytes on end, column by column, whose products with the weights one
 * instruction sums up for every 16. The pitch is the window's height and as many rows as fit these 16 besides: then as
 * many windows below each other are there before the next row takes the place of what is left of the first. The stream
 * states the layer:
 *
 *     target's width | height << 16, source's width | height << 16, channels,
 *     window's width | height << 8 | step to the right << 16 | step down << 24,
 *     padding to the left | above << 16, source's zero point, target's zero point,
 *     then for every four channels, the last four of which overlap with those before:
 *         for each channel: a byte of weight for every tap, column by column;
 *         four biases, less the zero point of the source times the sum of the weights; four multipliers in
 *         [2^30, 2^31); in bytes four shifts, negative: to the right, by one and more.
 *
 * scratch: for every byte of a window which weight it meets; if these are more than 16, such weights of four channels;
 * a plane for each of 16 channels, or of as many as there are; room for what is read behind them, times zero.
 */
#include "secateur_kernels.h"
#include "secateur_helium.h"

enum { HALF = 8, FOUR = 4, NOTHING = 0xFF };

typedef struct {
    int32_t plane, pitch, taps, chunks; /* bytes of a plane and of a column; weights; times 16 bytes of a window */
    int32_t before, inside, after;      /* columns of padding and of the source below a row of the target */
    int32_t channels, line, count;      /* bytes of a row of the target, its pixels */
    int32_t right, down;                /* bytes of a plane from one pixel to the next, and to the one below */
    int32_t padding, zero_point;
    uint8_t *places;
    int8_t *wide;
} layer_t;

#if defined(__ARM_FEATURE_MVE)

/* A row of pixels, or of padding where from is null. */
static __attribute__((noinline)) void spread(const layer_t *layer, const int8_t *from, int32_t lanes, int8_t *to)
{
    const mve_pred16_t there = vctp16q((uint32_t)lanes);
    const uint16x8_t planes = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)layer->plane);
    const int16x8_t padding = vdupq_n_s16((int16_t)layer->padding);
    const int32_t pitch = layer->pitch, channels = layer->channels;
    int32_t left = layer->before, inside = layer->inside;
    if (from == 0) {
        left += inside;
        inside = 0;
    }
    if (lanes <= HALF) {
        for (; left > 0; left--, to += pitch) {
            vstrbq_scatter_offset_p_s16(to, planes, padding, there);
        }
        for (; inside > 0; inside--, from += channels, to += pitch) {
            vstrbq_scatter_offset_p_s16(to, planes, vldrbq_z_s16(from, there), there);
        }
        for (left = layer->after; left > 0; left--, to += pitch) {
            vstrbq_scatter_offset_p_s16(to, planes, padding, there);
        }
        return;
    }
    const mve_pred16_t more = vctp16q((uint32_t)(lanes - HALF));
    const uint16x8_t others = vaddq_n_u16(planes, (uint16_t)(HALF * layer->plane));
    for (; left > 0; left--, to += pitch) {
        vstrbq_scatter_offset_s16(to, planes, padding);
        vstrbq_scatter_offset_p_s16(to, others, padding, more);
    }
    for (; inside > 0; inside--, from += channels, to += pitch) {
        vstrbq_scatter_offset_s16(to, planes, vldrbq_s16(from));
        vstrbq_scatter_offset_p_s16(to, others, vldrbq_z_s16(from + HALF, more), more);
    }
    for (left = layer->after; left > 0; left--, to += pitch) {
        vstrbq_scatter_offset_s16(to, planes, padding);
        vstrbq_scatter_offset_p_s16(to, others, padding, more);
    }
}

static inline void fill(int8_t *to, int32_t value, int32_t bytes)
{
    for (; bytes > 0; bytes -= SECATEUR_CHUNK, to += SECATEUR_CHUNK) {
        vstrbq_s8(to, vdupq_n_s8((int8_t)value));
    }
}

/* Weights of a channel for 16 bytes of a window. */
static inline int8x16_t weigh(const int8_t *weights, uint8x16_t places)
{
    return vldrbq_gather_offset_z_s8(weights, places, vcmpgeq_n_s8(vreinterpretq_s8_u8(places), 0));
}

/* Inlined for steps that are known, and for any. */
static inline __attribute__((always_inline)) void shallow(const layer_t *layer, const int8_t *weights,
                                                          const int8_t *from, int32_t right, int32_t rows,
                                                          int8_t *target)
{
    const int32_t channels = layer->channels, plane = layer->plane, zero_point = layer->zero_point;
    const int32_t taps = layer->taps;
    const int32_t *const constants = (const int32_t *)(const void *)(weights + FOUR * taps);
    const uint8x16_t places = vldrbq_u8(layer->places);
    const int8x16_t wa = weigh(weights, places), wb = weigh(weights + taps, places);
    const int8x16_t wc = weigh(weights + 2 * taps, places), wd = weigh(weights + 3 * taps, places);
    const int32x4_t biases = vldrwq_s32(constants), multipliers = vldrwq_s32(constants + 4);
    const int32x4_t shifts = vldrbq_s32((const int8_t *)(const void *)(constants + 8));
    do {
        const int8_t *a_from = from, *b_from = from + plane, *c_from = b_from + plane, *d_from = c_from + plane;
        int8_t *to = target;
        uint32_t left = (uint32_t)layer->count;
        do {
            const int32_t a = vmladavq_s8(vldrbq_s8(a_from), wa), b = vmladavq_s8(vldrbq_s8(b_from), wb);
            const int32_t c = vmladavq_s8(vldrbq_s8(c_from), wc), d = vmladavq_s8(vldrbq_s8(d_from), wd);
            a_from += right;
            b_from += right;
            c_from += right;
            d_from += right;
            int32x4_t sums = vaddq_s32(secateur_vector(a, b, c, d), biases);
            sums = vqrdmulhq_s32(sums, multipliers); /* as secateur_rescale_four, with no vector to spare */
            sums = vsubq_m_n_s32(sums, sums, 1, vcmpltq_n_s32(sums, 0));
            secateur_store_four(vrshlq_s32(sums, shifts), zero_point, to);
            to += channels;
        } while (--left != 0);
        from += layer->down;
        target += layer->line;
    } while (--rows != 0);
}

/* Four channels of rows of the target below each other, whose windows are of 16 bytes and fewer. */
static __attribute__((noinline)) void block(const layer_t *layer, const int8_t *weights, const int8_t *from,
                                            int32_t rows, int8_t *target)
{
    if (layer->right == 5) {
        shallow(layer, weights, from, 5, rows, target);
    } else if (layer->right == 10) {
        shallow(layer, weights, from, 10, rows, target);
    } else {
        shallow(layer, weights, from, layer->right, rows, target);
    }
}

/* The same of larger windows. */
static __attribute__((noinline)) void deep_block(const layer_t *layer, const int8_t *weights, const int8_t *from,
                                                 int32_t rows, int8_t *target)
{
    const int32_t plane = layer->plane, chunks = layer->chunks, taps = layer->taps;
    const int32_t *const constants = (const int32_t *)(const void *)(weights + FOUR * taps);
    const int32x4_t multipliers = vldrwq_s32(constants + 4);
    const int32x4_t shifts = vldrbq_s32((const int8_t *)(const void *)(constants + 8));
    int8_t *to = layer->wide;
    for (int32_t chunk = 0; chunk < chunks; chunk++) {
        const uint8x16_t places = vldrbq_u8(layer->places + chunk * SECATEUR_CHUNK);
        for (int32_t channel = 0; channel < FOUR; channel++, to += SECATEUR_CHUNK) {
            vstrbq_s8(to, weigh(weights + channel * taps, places));
        }
    }
    do {
        const int8_t *window = from;
        to = target;
        uint32_t left = (uint32_t)layer->count;
        do {
            const int8_t *a_from = window, *b_from = a_from + plane, *c_from = b_from + plane, *d_from = c_from + plane;
            int32_t a = constants[0], b = constants[1], c = constants[2], d = constants[3];
            const int8_t *row = layer->wide;
            uint32_t chunk = (uint32_t)chunks;
            do {
                a = vmladavaq_s8(a, vldrbq_s8(a_from), vldrbq_s8(row));
                b = vmladavaq_s8(b, vldrbq_s8(b_from), vldrbq_s8(row + SECATEUR_CHUNK));
                c = vmladavaq_s8(c, vldrbq_s8(c_from), vldrbq_s8(row + 2 * SECATEUR_CHUNK));
                d = vmladavaq_s8(d, vldrbq_s8(d_from), vldrbq_s8(row + 3 * SECATEUR_CHUNK));
                a_from += SECATEUR_CHUNK;
                b_from += SECATEUR_CHUNK;
                c_from += SECATEUR_CHUNK;
                d_from += SECATEUR_CHUNK;
                row += FOUR * SECATEUR_CHUNK;
            } while (--chunk != 0);
            const int32x4_t sums = secateur_vector(a, b, c, d);
            secateur_store_four(secateur_rescale_four(sums, multipliers, shifts), layer->zero_point, to);
            to += layer->channels;
            window += layer->right;
        } while (--left != 0);
        from += layer->down;
        target += layer->line;
    } while (--rows != 0);
}

#else

static void spread(const layer_t *layer, const int8_t *from, int32_t lanes, int8_t *to)
{
    for (int32_t column = -layer->before; column < layer->inside + layer->after; column++, to += layer->pitch) {
        const int32_t there = from != 0 && column >= 0 && column < layer->inside;
        for (int32_t lane = 0; lane < lanes; lane++) {
            to[lane * layer->plane] = (int8_t)(there ? from[column * layer->channels + lane] : layer->padding);
        }
    }
}

static void fill(int8_t *to, int32_t value, int32_t bytes)
{
    for (; bytes > 0; bytes--) {
        *to++ = (int8_t)value;
    }
}

static void block(const layer_t *layer, const int8_t *weights, const int8_t *from, int32_t rows, int8_t *target)
{
    const int32_t taps = layer->taps;
    const uint32_t *const constants = (const uint32_t *)(const void *)(weights + FOUR * taps);
    for (int32_t place = 0; place < rows * layer->count; place++) {
        const int32_t down = place / layer->count, right = place % layer->count;
        for (int32_t channel = 0; channel < FOUR; channel++) {
            const int8_t *const window = from + channel * layer->plane + down * layer->down + right * layer->right;
            int32_t sum = (int32_t)constants[channel];
            for (int32_t byte = 0; byte < layer->chunks * SECATEUR_CHUNK; byte++) {
                if (layer->places[byte] != NOTHING) {
                    const int32_t product = weights[channel * taps + layer->places[byte]] * window[byte];
                    sum = (int32_t)((uint32_t)sum + (uint32_t)product);
                }
            }
            const int32_t away = -secateur_byte(constants[8], channel);
            target[down * layer->line + right * layer->channels + channel] =
                secateur_finish(sum, (int32_t)(2u * constants[4 + channel]), (uint32_t)away, layer->zero_point);
        }
    }
}

#define deep_block block

#endif

/* All channels of a group, the last four of which overlap with those before. */
static inline void multiply(const layer_t *layer, const int8_t *weights, const int8_t *from, int32_t rows,
                            int32_t lanes, int8_t *target)
{
    const int32_t block_bytes = FOUR * layer->taps + 36, four_planes = FOUR * layer->plane;
    for (int32_t left = lanes; left > 0; left -= FOUR, weights += block_bytes, from += four_planes, target += FOUR) {
        if (left < FOUR) {
            from -= (FOUR - left) * layer->plane;
            target -= FOUR - left;
        }
        if (layer->chunks == 1) {
            block(layer, weights, from, rows, target);
        } else {
            deep_block(layer, weights, from, rows, target);
        }
    }
}

void secateur_depthwise_helium(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)
{
    const int32_t target_width = (int32_t)(stream[0] & 0xFFFFu), target_height = (int32_t)(stream[0] >> 16);
    const int32_t source_width = (int32_t)(stream[1] & 0xFFFFu), source_height = (int32_t)(stream[1] >> 16);
    const int32_t channels = (int32_t)stream[2], width = (int32_t)(stream[3] & 0xFFu);
    const int32_t height = (int32_t)(stream[3] >> 8 & 0xFFu);
    const int32_t step_right = (int32_t)(stream[3] >> 16 & 0xFFu), step_down = (int32_t)(stream[3] >> 24);
    const int32_t left = (int32_t)(stream[4] & 0xFFFFu), above = (int32_t)(stream[4] >> 16);
    const int32_t columns = (target_width - 1) * step_right + width;
    const int32_t needed = columns > left ? columns - left : 0, inside = needed < source_width ? needed : source_width;
    const int32_t chunks = (width * height + SECATEUR_CHUNK - 1) / SECATEUR_CHUNK;
    const int32_t together = step_down > height ? 1 : (chunks * SECATEUR_CHUNK / width - height) / step_down + 1;
    const int32_t pitch = height + (together - 1) * step_down;
    int8_t *const wide = scratch + chunks * SECATEUR_CHUNK;
    int8_t *const planes = wide + (chunks > 1 ? chunks * FOUR * SECATEUR_CHUNK : 0);
    const layer_t layer = {
        pitch * (columns - 1) + (target_height - 1) * step_down + height,
        pitch,
        width * height,
        chunks,
        columns - needed,
        inside,
        needed - inside,
        channels,
        target_width * channels,
        target_width,
        step_right * pitch,
        step_down,
        (int32_t)stream[5],
        (int32_t)stream[6],
        (uint8_t *)scratch,
        wide,
    };
    fill(scratch, -1, chunks * SECATEUR_CHUNK);
    for (int32_t column = 0, place = 0; column < width; column++) {
        for (int32_t row = 0; row < height; row++, place++) {
            layer.places[column * pitch + row] = (uint8_t)place;
            __asm__ volatile(""); /* few: not for vectors */
        }
    }
    const int8_t *weights = (const int8_t *)(const void *)(stream + 7);
    const int32_t line = source_width * channels, group_bytes = SECATEUR_CHUNK * width * height + FOUR * 36;
    for (int32_t group = 0; group < channels; group += SECATEUR_CHUNK, weights += group_bytes) {
        const int32_t start = group < channels - FOUR ? group : channels - FOUR;
        const int32_t lanes = channels - start < SECATEUR_CHUNK ? channels - start : SECATEUR_CHUNK;
        const int8_t *from = source + start - above * line; /* of the next row */
        int32_t next = 0;                                   /* which it is, those above counted */
        int8_t *to = target + start;
        for (int32_t down = 0; down < target_height; down += together, to += together * layer.line) {
            const int32_t rows = target_height - down < together ? target_height - down : together;
            const int32_t y = down * step_down, end = y + (rows - 1) * step_down + height;
            for (; next < end; next++, from += line) {
                if (next >= y) {
                    const int32_t beyond = next < above || next >= above + source_height;
                    spread(&layer, beyond ? 0 : from, lanes, planes + next);
                }
            }
            multiply(&layer, weights, planes + y, rows, lanes, to);
        }
    }
}
