# Completion of pghttpd for bash: the options, and the words that they take, as --help has them.
_pghttpd() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} help words
    COMPREPLY=()
    help=$("${COMP_WORDS[0]}" --help 2>/dev/null) || return
    if [[ $previous == --* ]]; then
        # "--sql-access off|login|open (login)": its words; a file for others
        words=$(sed -nE "s/^  $previous ([a-z|-]+\|[a-z|-]+)( .*)?$/\1/p" <<<"$help")
        if [ -n "$words" ]; then
            mapfile -t COMPREPLY < <(compgen -W "${words//|/ }" -- "$current")
            return
        fi
        # an option that takes a value
        if grep -qE "^  $previous [A-Z]" <<<"$help"; then
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
        fi
    fi
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(sed -nE 's/^  (--[a-z-]+) .*/\1/p' <<<"$help")" -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}
complete -o filenames -F _pghttpd pghttpd
