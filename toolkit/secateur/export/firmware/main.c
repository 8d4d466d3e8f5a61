/* Answers what comes over the line, for ever. */
#include "port.h"
#include "serve.h"

int main(void)
{
    port_start();
    serve_start();
    for (;;) {
        serve_byte(port_read());
    }
}
