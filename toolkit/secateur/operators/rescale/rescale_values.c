/* Integers to another scale, zero point or type: target = clamp(scaled(source - zero point) + zero point).
 *
 * stream: bytes of a value of the source | of the target << 8 | 1 << 16 where negative values change their sign; zero
 * point of the source; multiplier and shift for values of zero and more, for negative ones; zero point of the target;
 * lowest and highest result. Target may be the source where both are of one type.
 */
#include "secateur_kernels.h"
#include "secateur_requantise_16.h"

void secateur_rescale_values(const uint32_t *stream, const void *source, void *target, int32_t count)
{
    const secateur_int16 *const halves = source;
    const int8_t *const bytes = source;
    secateur_int16 *const wide = target;
    int8_t *const narrow = target;
    const uint32_t from = stream[0] & 0xFFu, to = stream[0] >> 8 & 0xFFu;
    const int32_t sign = stream[0] >> 16 != 0 ? -1 : 1;
    for (int32_t index = 0; index < count; index++) {
        const int32_t value = (from == 2 ? halves[index] : bytes[index]) - (int32_t)stream[1];
        const uint32_t *const scale = value < 0 ? stream + 4 : stream + 2;
        const int32_t shifted = secateur_shift_left(value < 0 ? sign * value : value, scale[1] >> 8);
        const int32_t scaled =
            secateur_rescale(shifted, (int32_t)scale[0], scale[1] & 0xFFu, (int32_t)stream[6]);
        const int16_t result = secateur_clamp_16(scaled, (int32_t)stream[7], (int32_t)stream[8]);
        if (to == 2) {
            wide[index] = result;
        } else {
            narrow[index] = (int8_t)result;
        }
    }
}
