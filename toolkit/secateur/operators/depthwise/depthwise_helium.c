/* Depthwise convolution with Helium: int8 weights and activations, int32 sums, requantised to int8.
 *
 * By runs of pixels of the target that have the same taps: offsets of these in the source, those beyond its edges in a
 * pixel of padding; then 16 channels at a time, the last of them 1 to 16, of every pixel. Products of two taps fit 16 bits together, for which weights are not
 * -128. The stream states the layer:
 *
 *     target's width | height << 16, source's width | height << 16, channels,
 *     window's width | height << 8 | step to the right << 16 | step down << 24,
 *     padding to the left | above << 16, source's zero point, target's zero point,
 *     then for every 16 channels:
 *         for every tap a byte of weight for each channel, padded to whole words;
 *         16 biases, less the zero point of the source times the sum of the weights, those of channels 0, 4, 8, 12 first,
 *         then of 2, 6, ..., of 1, 5, ... and of 3, 7, ...; as many multipliers in [2^30, 2^31) in this order, and in
 *         bytes shifts, negative: to the right, by one and more.
 *
 * scratch: an offset for every tap, and a pixel of padding.
 */
#include "secateur_kernels.h"
#include "secateur_helium.h"

enum { CONSTANTS = 16 * (4 + 4 + 1) };

typedef struct {
    const int8_t *source;
    const int32_t *taps;
    int8_t *target;
    int32_t count, step; /* pixels, and bytes of the source from one to the next */
    int32_t tap_count, channels, zero_point;
} run_t;

#if defined(__ARM_FEATURE_MVE)

/* Inlined for all 16 channels, and for those that are left. */
static inline __attribute__((always_inline)) void block(const int8_t *weights, const run_t *run, int32_t channel,
                                                        int32_t left, int32_t stride)
{
    const mve_pred16_t there = vctp8q((uint32_t)left);
    const int32_t odd_tap = run->tap_count % 2;
    const int32_t *const even_end = run->taps + (run->tap_count & ~1);
    const int8_t *const constants = weights + run->tap_count * stride;
    const int32_t *const biases = (const int32_t *)(const void *)constants, *const multipliers = biases + 16;
    const int8_t *const shifts = constants + 128;
    const int16_t zero_point = (int16_t)run->zero_point;
    const int8_t *source = run->source + channel;
    int8_t *target = run->target + channel;
#define LOAD(from) (left == SECATEUR_CHUNK ? vldrbq_s8(from) : vldrbq_z_s8(from, there))
    for (int32_t pixel = run->count; pixel > 0; pixel--, source += run->step, target += run->channels) {
        int32x4_t sum0 = vldrwq_s32(biases), sum2 = vldrwq_s32(biases + 4);
        int32x4_t sum1 = vldrwq_s32(biases + 8), sum3 = vldrwq_s32(biases + 12);
        const int32_t *tap = run->taps;
        const int8_t *weight = weights;
        while (tap != even_end) {
            int8x16_t values = LOAD(source + *tap++), own = vldrbq_s8(weight);
            int16x8_t even = vmullbq_int_s8(values, own), odd = vmulltq_int_s8(values, own);
            weight += stride;
            __asm__ volatile("" : "+w"(even), "+w"(odd) : : "memory"); /* vectors are few: one tap after the other, */
            values = LOAD(source + *tap++);
            own = vldrbq_s8(weight);
            even = vaddq_s16(even, vmullbq_int_s8(values, own));
            __asm__ volatile("" : "+w"(even) : : "memory"); /* and its weights are loaded again rather than kept */
            odd = vaddq_s16(odd, vmulltq_int_s8(values, vldrbq_s8(weight)));
            weight += stride;
            sum0 = vaddq_s32(sum0, vmovlbq_s16(even));
            sum2 = vaddq_s32(sum2, vmovltq_s16(even));
            sum1 = vaddq_s32(sum1, vmovlbq_s16(odd));
            sum3 = vaddq_s32(sum3, vmovltq_s16(odd));
        }
        if (odd_tap != 0) {
            const int8x16_t values = LOAD(source + *tap), own = vldrbq_s8(weight);
            const int16x8_t even = vmullbq_int_s8(values, own), odd = vmulltq_int_s8(values, own);
            sum0 = vaddq_s32(sum0, vmovlbq_s16(even));
            sum2 = vaddq_s32(sum2, vmovltq_s16(even));
            sum1 = vaddq_s32(sum1, vmovlbq_s16(odd));
            sum3 = vaddq_s32(sum3, vmovltq_s16(odd));
        }
        sum0 = secateur_rescale_four(sum0, vldrwq_s32(multipliers), vldrbq_s32(shifts));
        sum2 = secateur_rescale_four(sum2, vldrwq_s32(multipliers + 4), vldrbq_s32(shifts + 4));
        sum1 = secateur_rescale_four(sum1, vldrwq_s32(multipliers + 8), vldrbq_s32(shifts + 8));
        sum3 = secateur_rescale_four(sum3, vldrwq_s32(multipliers + 12), vldrbq_s32(shifts + 12));
        int16x8_t even = vqmovntq_s32(vqmovnbq_s32(vreinterpretq_s16_s32(sum0), sum0), sum2);
        int16x8_t odd = vqmovntq_s32(vqmovnbq_s32(vreinterpretq_s16_s32(sum1), sum1), sum3);
        even = vqaddq_n_s16(even, zero_point);
        odd = vqaddq_n_s16(odd, zero_point);
        const int8x16_t result = vqmovntq_s16(vqmovnbq_s16(vreinterpretq_s8_s16(even), even), odd);
        if (left == SECATEUR_CHUNK) {
            vstrbq_s8(target, result);
        } else {
            vstrbq_p_s8(target, result, there);
        }
    }
#undef LOAD
}

#else

static void block(const int8_t *weights, const run_t *run, int32_t channel, int32_t left, int32_t stride)
{
    const int8_t *const constants = weights + run->tap_count * stride;
    const uint32_t *const biases = (const uint32_t *)(const void *)constants;
    for (int32_t pixel = 0; pixel < run->count; pixel++) {
        const int8_t *const source = run->source + pixel * run->step + channel;
        int8_t *const target = run->target + pixel * run->channels + channel;
        for (int32_t index = 0; index < left; index++) {
            const int32_t place = index / 4 + 8 * (index % 2) + 4 * (index / 2 % 2);
            int32_t sum = (int32_t)biases[place];
            for (int32_t tap = 0; tap < run->tap_count; tap++) {
                const int32_t product = weights[tap * stride + index] * source[run->taps[tap] + index];
                sum = (int32_t)((uint32_t)sum + (uint32_t)product);
            }
            target[index] = secateur_finish(sum, (int32_t)(2u * biases[16 + place]),
                                            (uint32_t)-constants[128 + place], run->zero_point);
        }
    }
}

#endif

static __attribute__((noinline)) void all_channels(const int8_t *weights, const run_t *run)
{
    int32_t channel = 0;
    for (; channel < run->channels - 15; channel += 16, weights += run->tap_count * SECATEUR_CHUNK + CONSTANTS) {
        block(weights, run, channel, SECATEUR_CHUNK, SECATEUR_CHUNK);
    }
    if (channel < run->channels) {
        block(weights, run, channel, run->channels - channel, (run->channels - channel + 3) & ~3);
    }
}

void secateur_depthwise_helium(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)
{
    const int32_t target_width = (int32_t)(stream[0] & 0xFFFFu), target_height = (int32_t)(stream[0] >> 16);
    const int32_t source_width = (int32_t)(stream[1] & 0xFFFFu), source_height = (int32_t)(stream[1] >> 16);
    const int32_t channels = (int32_t)stream[2];
    const int32_t width = (int32_t)(stream[3] & 0xFFu), height = (int32_t)(stream[3] >> 8 & 0xFFu);
    const int32_t step_right = (int32_t)(stream[3] >> 16 & 0xFFu), step_down = (int32_t)(stream[3] >> 24);
    const int32_t left = (int32_t)(stream[4] & 0xFFFFu), above = (int32_t)(stream[4] >> 16);
    int32_t *const taps = (int32_t *)(void *)scratch;
    int8_t *const padding = scratch + 4 * width * height;
    run_t run = {source, taps, target, 1, step_right * channels, width * height, channels, (int32_t)stream[6]};
    for (int32_t channel = 0; channel < channels; channel++) {
        padding[channel] = (int8_t)stream[5];
    }
    int32_t edges = 1;
    for (int32_t down = 0, y = -above; down < target_height; down++, y += step_down) {
        for (int32_t right = 0, x = -left; right < target_width; right += run.count, x += run.count * step_right) {
            const int32_t origin = (y * source_width + x) * channels;
            const int32_t edge = x < 0 || y < 0 || x + width > source_width || y + height > source_height;
            if (edge || edges) {
                int32_t *tap = taps;
                for (int32_t row = 0; row < height; row++) {
                    for (int32_t column = 0; column < width; column++) {
                        *tap++ = y + row >= 0 && y + row < source_height && x + column >= 0 &&
                                         x + column < source_width
                                     ? (row * source_width + column) * channels
                                     : (int32_t)(padding - source) - origin;
                    }
                }
            }
            edges = edge;
            run.count = 1;
            if (!edge) { /* and all that follow it inside */
                const int32_t inside = (source_width - width - x) / step_right + 1;
                run.count = inside < target_width - right ? inside : target_width - right;
            }
            run.source = source + origin;
            all_channels((const int8_t *)(const void *)(stream + 7), &run);
            run.target += run.count * channels;
        }
    }
}
