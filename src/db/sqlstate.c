#include "db/sqlstate.h"

/* First match wins; a shorter code is a class. */
static const struct {
    const char *code;
    int status;
} table[] = {
    {"08", 503},    {"09", 500},    {"0L", 403},    {"0P", 403}, {"21000", 500}, {"22023", 400},
    {"23503", 409}, {"23505", 409}, {"25006", 405}, {"25", 500}, {"28", 403},    {"2D", 500},
    {"38", 500},    {"39", 500},    {"3B", 500},    {"40", 500}, {"42501", 403}, {"42883", 404},
    {"42P01", 404}, {"42P17", 500}, {"53400", 500}, {"53", 503}, {"54", 500},    {"55", 500},
    {"57P01", 503}, {"57", 500},    {"58", 500},    {"F0", 500}, {"HV", 500},    {"P0001", 400},
    {"P0", 500},    {"XX", 500},
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && memcmp(s + n - m, end, m) == 0;
}

static int raised_status(const char *code)
{
    int status = 0;
    for (int i = 2; i < 5; i++) {
        if (code[i] < '0' || code[i] > '9')
            return 500;
        status = status * 10 + (code[i] - '0');
    }
    return status >= 200 && status <= 599 ? status : 500;
}

int db_sqlstate_status(const char *code, const char *message, bool anonymous)
{
    if (!code || strlen(code) != 5)
        return 400;
    if (!message)
        message = "";
    if (strncmp(code, "PT", 2) == 0)
        return raised_status(code);
    if (strcmp(code, "21000") == 0 && ends_with(message, "requires a WHERE clause"))
        return 400;
    if (strcmp(code, "22023") == 0 && strncmp(message, "role \"", 6) == 0 &&
        ends_with(message, "\" does not exist"))
        return 401;
    if (strcmp(code, "42501") == 0 && anonymous)
        return 401;
    if (strcmp(code, "42883") == 0 && strncmp(message, "function xmlagg(", 16) == 0)
        return 406;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strncmp(code, table[i].code, strlen(table[i].code)) == 0)
            return table[i].status;
    return 400;
}

bool db_sqlstate_connection(const char *code)
{
    return code && (strncmp(code, "08", 2) == 0 || strncmp(code, "53", 2) == 0 ||
                    strncmp(code, "57P0", 4) == 0);
}
