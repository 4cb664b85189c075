#include "db/statement_class.h"

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || (unsigned char)c >= 0x80;
}

static size_t skip_block_comment(struct str s, size_t at)
{
    size_t depth = 1;
    at += 2;
    while (at < s.n && depth) {
        if (s.p[at] == '*' && at + 1 < s.n && s.p[at + 1] == '/') {
            depth--;
            at += 2;
        } else if (s.p[at] == '/' && at + 1 < s.n && s.p[at + 1] == '*') {
            depth++;
            at += 2;
        } else {
            at++;
        }
    }
    return at;
}

static size_t skip_space(struct str s, size_t at)
{
    for (;;) {
        while (at < s.n && is_space(s.p[at]))
            at++;
        if (at + 1 >= s.n)
            return at;
        if (s.p[at] == '-' && s.p[at + 1] == '-') {
            while (at < s.n && s.p[at] != '\n' && s.p[at] != '\r')
                at++;
        } else if (s.p[at] == '/' && s.p[at + 1] == '*') {
            at = skip_block_comment(s, at);
        } else {
            return at;
        }
    }
}

static struct str first_word(struct str s)
{
    size_t at = skip_space(s, 0);
    while (at < s.n && s.p[at] == '(')
        at = skip_space(s, at + 1);
    size_t from = at;
    while (at < s.n && is_word(s.p[at]))
        at++;
    return (struct str){s.p + from, at - from};
}

bool db_statement_plain(struct str sql)
{
    static const struct str words[] = {{"SELECT", 6}, {"VALUES", 6}, {"TABLE", 5}, {"INSERT", 6},
                                       {"UPDATE", 6}, {"DELETE", 6}, {"MERGE", 5}, {"WITH", 4}};
    struct str word = first_word(sql);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_ieq(word, words[i]))
            return true;
    return false;
}
