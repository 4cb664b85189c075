#include "util/err.h"

#include <stdarg.h>
#include <stdio.h>

/* vsnprintf may cut inside a character: drop the unfinished tail so that the text stays UTF-8. */
static void cut_at_character(char *text)
{
    size_t n = strlen(text), back = 0;
    while (back < n && back < 4 && ((unsigned char)text[n - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back < n && !str_utf8((struct str){text + n - 1 - back, back + 1}))
        text[n - 1 - back] = '\0';
}

bool err_set(struct err *err, int status, const char *code, const char *fmt, ...)
{
    va_list args;
    *err = (struct err){.status = status, .retry_after = status == 503};
    snprintf(err->code, sizeof err->code, "%s", code);
    va_start(args, fmt);
    int n = vsnprintf(err->message, sizeof err->message, fmt, args);
    va_end(args);
    if (n >= (int)sizeof err->message)
        cut_at_character(err->message);
    return false;
}
