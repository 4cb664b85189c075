#include <stdio.h>

int main(void)
{
    puts("pghttpd " PGHTTPD_VERSION);
    return 0;
}
