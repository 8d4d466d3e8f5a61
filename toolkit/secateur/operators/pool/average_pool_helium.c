/* Mean value of every channel over a window, half away from zero, 16 channels at a time with Helium. The layer is stated in
 * secateur_pool.h. */
#include "secateur_kernels.h"
#define SECATEUR_POOL_BY_VECTORS
#include "secateur_pool.h"

void secateur_average_pool_helium(const uint32_t *stream, const int8_t *source, int8_t *target)
{
    slide(stream, source, target, 0);
}
