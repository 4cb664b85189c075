#!/bin/sh
# stubs.sh FOLDER LIBRARY...: for Kerberos, LDAP and GnuTLS, as far as these libraries load them, makes libraries of the
# same names that only say no, a page each. Why: Debian's libpq and libmicrohttpd bring them and all they need, a third of the
# image and of the memory of an idle pghttpd. It has no TLS of its own (libpq's is OpenSSL's), so GnuTLS is never called but
# to initialise itself; of Kerberos and LDAP libpq hears that they cannot be had, and says so. (The image's target `debian`
# has the real ones.) Names and versions of the functions are read from LIBRARY..., so a new one is not missed.
set -eu
out=$1
shift
mkdir -p "$out"
for lib in $(objdump -p "$@" | awk '$1 == "NEEDED" {print $2}' | grep -E '^lib(gssapi_krb5|ldap|gnutls)[-.]' | sort -u); do
    # "name version" of all that is wanted of this library
    versions=$(objdump -p "$@" | awk -v from="$lib:" '$1 == "required" {on = $3 == from} on && /^ *0x/ {print $4}' | sort -u)
    nm -D --undefined-only "$@" | sed -n 's/^ *U \(.*\)@\(.*\)/\1 \2/p' | sort -u |
        awk -v versions="$versions" 'BEGIN {split(versions, v, "\n"); for (i in v) known[v[i]] = 1} $2 in known' >"$out/wanted"
    [ -s "$out/wanted" ]
    # GSS_S_FAILURE; a null pointer of ldap_init(), behind which libpq asks LDAP nothing more; an abort where nobody comes by
    awk '{body = "__builtin_trap();"}
        /^GSS_/ {print "void *" $1 ";"; next}
        /^gss_/ {body = "return 13 << 16;"} /^ldap_/ {body = "return 0;"} /^gnutls_global_(de)?init/ {body = "return 0;"}
        {print "long " $1 "(void); long " $1 "(void) { " body " }"}' "$out/wanted" >"$out/stub.c"
    for v in $versions; do
        echo "$v { $(awk -v v="$v" '$2 == v {printf "%s; ", $1}' "$out/wanted")};"
    done >"$out/stub.map"
    gcc -O2 -w -fPIC -shared -nostdlib -s -Wl,-z,relro,-z,now -Wl,-soname,"$lib" -Wl,--version-script,"$out/stub.map" \
        -o "$out/$lib" "$out/stub.c"
    rm "$out/wanted" "$out/stub.c" "$out/stub.map"
done
