/* Fully connected layer with Helium: int8 weights and activations, int32 sums, requantised to int8.
 *
 * The stream: rows | columns << 16, zero point of the target, then the rows as secateur_helium.h has them: blocks of
 * four, and the one to three that are left.
 */
#include "secateur_kernels.h"
#include "secateur_helium.h"

#if defined(__ARM_FEATURE_MVE)

/* Inlined for layers of one chunk, and for those of more. */
static inline __attribute__((always_inline)) const int8_t *blocks_of(const int8_t *weights, const int8_t *source,
                                                                     int32_t first, int32_t stride, int32_t chunks,
                                                                     int32_t zero_point, int8_t *target,
                                                                     const int8_t *end)
{
    const int8x16_t values = vldrbq_z_s8(source, vctp8q((uint32_t)first));
    source += first;
    for (; target != end; target += 4) {
        int32_t a = vmladavq_s8(values, vldrbq_s8(weights)); /* beyond the row: times zero */
        weights += stride;
        int32_t b = vmladavq_s8(values, vldrbq_s8(weights));
        weights += stride;
        int32_t c = vmladavq_s8(values, vldrbq_s8(weights));
        weights += stride;
        int32_t d = vmladavq_s8(values, vldrbq_s8(weights));
        weights += stride;
        if (chunks > 0) {
            const int8_t *from = source;
            int32_t chunk = chunks;
            do {
                const int8x16_t more = vldrbq_s8(from);
                a = vmladavaq_s8(a, more, vldrbq_s8(weights));
                b = vmladavaq_s8(b, more, vldrbq_s8(weights + SECATEUR_CHUNK));
                c = vmladavaq_s8(c, more, vldrbq_s8(weights + 2 * SECATEUR_CHUNK));
                d = vmladavaq_s8(d, more, vldrbq_s8(weights + 3 * SECATEUR_CHUNK));
                from += SECATEUR_CHUNK;
                weights += 4 * SECATEUR_CHUNK;
            } while (--chunk > 0);
        }
        const int32_t *const constants = (const int32_t *)(const void *)weights;
        const int32x4_t sums = vaddq_s32(secateur_vector(a, b, c, d), vldrwq_s32(constants));
        const int32x4_t scaled =
            secateur_rescale_four(sums, vldrwq_s32(constants + 4), vldrbq_s32(weights + 32));
        secateur_store_four(scaled, zero_point, target);
        weights += 36;
    }
    return weights;
}

static const int8_t *blocks(const int8_t *weights, const int8_t *source, const secateur_cut_t *cut, int32_t zero_point,
                            int8_t *target, const int8_t *end)
{
    if (cut->chunks == 0) {
        return blocks_of(weights, source, cut->first, cut->stride, 0, zero_point, target, end);
    }
    return blocks_of(weights, source, cut->first, cut->stride, cut->chunks, zero_point, target, end);
}

#else

static const int8_t *blocks(const int8_t *weights, const int8_t *source, const secateur_cut_t *cut, int32_t zero_point,
                            int8_t *target, const int8_t *end)
{
    for (; target != end; target += 4, weights += cut->block_bytes + 36) {
        secateur_block(weights, source, cut, zero_point, target);
    }
    return weights;
}

#endif

void secateur_fully_connected_helium(const uint32_t *stream, const int8_t *source, int8_t *target)
{
    const int32_t rows = (int32_t)(stream[0] & 0xFFFFu), zero_point = (int32_t)stream[1];
    const secateur_cut_t cut = secateur_cut((int32_t)(stream[0] >> 16));
    int8_t *const end = target + (rows & ~3);
    const int8_t *weights = (const int8_t *)(const void *)(stream + 2);
    weights = blocks(weights, source, &cut, zero_point, target, end);
    for (int32_t row = 0; row < rows % 4; row++, weights += cut.row_bytes + 12) {
        end[row] = secateur_row(weights, source, &cut, zero_point);
    }
}
