# Completion in bash and zsh offers what --help has.

load ../lib/e2e

setup() { PATH=$SERVER_TOP/build/${MODE:-release}:$PATH; }

# completed WORD...: what bash offers for the last of the words.
completed() {
    bash -c '. config/completions/pghttpd.bash; COMP_WORDS=(pghttpd "$@"); COMP_CWORD=$#; _pghttpd; printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}

@test "bash: every option, the words of a setting, files" {
    diff <(completed -- | sort) <(pghttpd --help | sed -nE 's/^  (--[a-z-]+) .*/\1/p' | sort)
    [ "$(completed --sql-access '' | xargs)" = 'off login open' ]
    [ "$(completed --sql-access o | xargs)" = 'off open' ]
    [ "$(completed --log-level war)" = warn ]
    [ "$(completed --console t)" = true ]
    [ "$(completed --server-host conf)" = config ]
    [ "$(completed config/demo.co)" = config/demo.conf ]
    [ "$(completed --ready --log-f)" = --log-format ]
}

@test "zsh: every option with what it means, the words of a setting" {
    command -v zsh >/dev/null || skip 'no zsh'
    zsh -fc '_arguments() { print -rl -- "$@" }; . config/completions/_pghttpd' >"$BATS_TEST_TMPDIR/specs"
    diff <(sed -nE 's/^(--[a-z-]+)=?\[.*/\1/p' "$BATS_TEST_TMPDIR/specs" | sort) <(pghttpd --help | sed -nE 's/^  (--[a-z-]+) .*/\1/p' | sort)
    grep -q '^--sql-access\[who may use .*\]:value:(off login open)$' "$BATS_TEST_TMPDIR/specs"
    grep -q '^--ready\[ask the running server' "$BATS_TEST_TMPDIR/specs"
}
