/* scan: the two inner loops that JSON's reader and writer share. */
#ifndef PGH_JSON_SCAN_H
#define PGH_JSON_SCAN_H

#include "util/str.h"

/* How many bytes at p are ASCII, printable or DEL, and neither '"' nor '\\': they stand for
 * themselves in a JSON string. */
size_t json_scan_plain(const char *p, size_t n);

/* The same, but bytes from 0x80 on count as plain too: what a writer may copy unchanged. */
size_t json_scan_unescaped(const char *p, size_t n);

/* How many bytes from p on are whole, valid multi-byte UTF-8 sequences (RFC 3629); 0 when the first
 * one is not. */
size_t json_scan_utf8(const unsigned char *p, size_t n);

#endif
