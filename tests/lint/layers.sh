#!/bin/bash
# tests/lint/layers.sh < list of files: who may include whom. Anything not listed here is refused: http never sees libpq,
# db never sees libmicrohttpd, features see neither HTTP nor each other; api joins them.
set -u
declare -A may=(
    [util]="util"
    [json]="json util"
    [conf]="conf util"
    [auth]="auth util json conf"
    [db]="db util json conf"
    [http]="http util conf"
    [sql]="sql util json conf db"
    [rest]="rest util json conf db"
    [listen]="listen util conf db"
    [api]="api util json conf auth db http sql rest listen app.h"
    [main]="util json conf auth db http sql rest listen api app.h app_config.h app_dump.h app_watch.h ready.h"
)
# Libraries: where their headers may stand.
declare -A library=(
    [microhttpd.h]="http" [libpq-fe.h]="db" [postgres_ext.h]="db" [cJSON.h]="json" [cjson/cJSON.h]="json"
    [jose]="auth" [jansson.h]="auth" [confuse.h]="conf" [uthash.h]="util" [event2]="util" [zlib.h]="http"
    [openssl]="util auth db http"
)
found=0
while read -r file; do
    layer=${file#src/}
    case $layer in */*) layer=${layer%%/*} ;; *) layer=main ;; esac
    [ -n "${may[$layer]:-}" ] || { echo "$file: no such layer"; found=1; continue; }
    first=
    while read -r line target; do
        name=${target:1:-1}
        case $target in
        '"'*)
            [ -n "$first" ] || first=$name
            case $name in */*) to=${name%%/*} ;; *) to=$name ;; esac
            [[ $name == console_data.h && $layer == api ]] && continue
            [[ " ${may[$layer]} " == *" $to "* ]] || { echo "$file:$line: $layer may not include $name"; found=1; }
            ;;
        '<'*)
            [ -n "$first" ] || first=$name
            for key in "$name" "${name%%/*}"; do
                [ -n "${library[$key]:-}" ] || continue
                [[ " ${library[$key]} " == *" $layer "* ]] || { echo "$file:$line: <$name> belongs into ${library[$key]}"; found=1; }
                break
            done
            ;;
        esac
    done < <(grep -nE '^[[:space:]]*#[[:space:]]*include' "$file" | sed -nE 's/^([0-9]+):[^"<]*(["<][^">]*[">]).*/\1 \2/p')
    # a module's own header comes first: so it is shown to stand on its own
    own=${file#src/}
    own=${own%.c}.h
    # (or the private header of its folder, which begins with it)
    if [[ $file == *.c && -e src/$own && $first != "${own%.h}"* && $first != "${own%/*}"/*private.h ]] &&
        ! awk '/^#include/ {print; seen = 1; next} seen {exit}' "$file" | grep -qF "\"$own\""; then
        echo "$file: include \"$own\" first"
        found=1
    fi
done
exit $found
