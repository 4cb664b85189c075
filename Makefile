# pghttpd: PostgreSQL on HTTP. `make run` starts a demo, `make test` runs every test; both install what is missing.
# MODE=release (default), asan (address, undefined, leak), tsan or cover; each builds into build/$(MODE).
# (MODE=clang CC=clang is the second compiler of .ci/run, MODE=fuzz what the fuzzers link.) V=1 shows the commands.

MODE ?= release
BUILD := build/$(MODE)
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
VERSION := 0.1.0
PREFIX ?= /usr/local
# For run, test, bench and lint, which build first; an own -j is respected.
PARALLEL = $(if $(findstring j,$(firstword -$(MAKEFLAGS))),,-j$(shell nproc))
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system

Q := $(if $(V),,@)
say = $(if $(V),,@printf '%-4s %s\n' $(1) $(2))

PKGS := libmicrohttpd libevent_core libpq libcjson jose libconfuse zlib libcrypto
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
    -Wpointer-arith -Wwrite-strings -Wcast-qual -Wformat=2 -Wundef -Wvla -Wimplicit-fallthrough -Wconversion \
    -Wswitch-enum -Wnull-dereference $(if $(WERROR),-Werror)
HARDEN := -fstack-protector-strong -fPIE
# Asserts state invariants of our own code and stay on in every build.
CPPFLAGS_ALL := -D_GNU_SOURCE -UNDEBUG -DPGHTTPD_VERSION='"$(VERSION)"' -Isrc -I$(BUILD)/gen \
    $(shell pkg-config --cflags $(PKGS) 2>/dev/null) $(CPPFLAGS)
SANITIZE := -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_release := -O2 -g -D_FORTIFY_SOURCE=3
OPT_clang = $(OPT_release)
OPT_asan := -O1 -g $(SANITIZE)
OPT_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OPT_cover := -O0 -g --coverage
OPT_fuzz := -O1 -g $(SANITIZE) -fsanitize=fuzzer-no-link
CFLAGS_ALL := -std=c17 $(WARN) $(HARDEN) $(OPT_$(MODE)) -pthread $(CFLAGS)
LDFLAGS_ALL := -pie -Wl,-z,relro,-z,now -pthread $(OPT_$(MODE)) $(LDFLAGS)
LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

SRC := $(wildcard src/*/*.c) $(filter-out src/main.c,$(wildcard src/*.c))
CONSOLE := $(wildcard src/console/*)
OBJ := $(SRC:%.c=$(BUILD)/%.o) $(if $(CONSOLE),$(BUILD)/gen/console_data.o)
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

all: $(BUILD)/pghttpd

# ---- the program ----
$(BUILD)/pghttpd: $(BUILD)/src/main.o $(BUILD)/libpghttpd.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(BUILD)/libpghttpd.a: $(OBJ)
	@rm -f $@
	$(Q)ar qcs $@ $^

$(BUILD)/%.o: %.c | $(BUILD)/gen/console_data.h
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# The files of src/console inside the program: console_files[] has the name, the bytes and an ETag of each.
$(BUILD)/gen/console_data.h: $(CONSOLE) Makefile
	@mkdir -p $(@D)
	@{ echo '/* made by the Makefile from src/console */'; for f in $(notdir $(CONSOLE)); do \
	    n=console_$$(echo $$f | tr -c 'a-z0-9\n' _); echo "extern const char $$n[], $${n}_end[];"; done; \
	    echo 'static const struct console_file {const char *name, *etag, *from, *to;} console_files[] = {'; \
	    for f in $(notdir $(CONSOLE)); do n=console_$$(echo $$f | tr -c 'a-z0-9\n' _); \
	    echo "    {\"$$f\", \"\\\"$$(sha256sum <src/console/$$f | cut -c1-16)\\\"\", $$n, $${n}_end},"; done; echo '};'; } > $@
$(BUILD)/gen/console_data.S: $(CONSOLE) Makefile
	@mkdir -p $(@D)
	@{ echo '.section .rodata'; for f in $(notdir $(CONSOLE)); do n=console_$$(echo $$f | tr -c 'a-z0-9\n' _); \
	    printf '.global %s\n%s: .incbin "src/console/%s"\n.global %s_end\n%s_end: .byte 0\n' $$n $$n $$f $$n $$n; done; \
	    echo '.section .note.GNU-stack,"",%progbits'; } > $@
$(BUILD)/gen/console_data.o: $(BUILD)/gen/console_data.S
	$(Q)$(CC) -c -o $@ $<

# ---- tests ----
define link_test
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -Itests/unit -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(BUILD)/libpghttpd.a -lcmocka $(LIBS)
endef
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libpghttpd.a
	$(link_test)

tests-built: all $(UNIT) $(BUILD)/bench/jwt_bench

test:
	@tests/lib/deps.sh build run test
	@$(MAKE) $(PARALLEL) --no-print-directory tests-built
	@$(MAKE) --no-print-directory clients-installed
	@MODE=$(MODE) tests/run

$(BUILD)/bench/%: tests/bench/%.c $(BUILD)/libpghttpd.a
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(BUILD)/libpghttpd.a $(LIBS)

unit: $(UNIT)
	@MODE=$(MODE) KINDS=unit tests/run
e2e: all
	@MODE=$(MODE) KINDS=e2e tests/run
check: tests-built
	@MODE=$(MODE) KINDS="unit e2e" tests/run
# Minutes of load, big data, tens of thousands of streams.
long: all clients-installed
	@MODE=$(MODE) LONG=1 tests/run

# Locked versions; nothing is fetched again while the lock file stays the same.
clients-installed:
	@tests/lib/npm.sh tests/clients
	@tests/lib/npm.sh tests/schemas

bench:
	@tests/lib/deps.sh build run bench
	@$(MAKE) $(PARALLEL) --no-print-directory MODE=release all
	@tests/bench/run $(BENCH)

# What docs/ and config/ have from the program (settings.md, man/pghttpd.conf.5, pghttpd.conf) and from the last bench (docs/performance.md).
against:
	@tests/lib/deps.sh build run bench
	@$(MAKE) $(PARALLEL) --no-print-directory MODE=release all
	@tests/bench/run against $(AGAINST)

readme: $(BUILD)/unit/test_readme all
	@README_WRITE=1 $< >/dev/null
	@python3 tests/bench/readme.py

# Each fuzzer for SECS seconds, from its corpus; a finding stops with the input that caused it.
SECS ?= 60
fuzz:
	@tests/lib/deps.sh build fuzz
	@$(MAKE) --no-print-directory MODE=fuzz CC=clang fuzz-run SECS=$(SECS)
fuzz-run: $(FUZZ:%=$(BUILD)/%)
	@tests/fuzz/run $(SECS) $^
$(BUILD)/fuzz_%: tests/fuzz/fuzz_%.c $(BUILD)/libpghttpd.a
	$(call say,FUZZ,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $< $(BUILD)/libpghttpd.a $(LIBS)

# Load on every endpoint while PostgreSQL, the network and pghttpd fail (tests/chaos/chaos.py says how), for SECS seconds:
# VARIANT=direct, pgbouncer, sync, failover or all; SEED=N makes the same faults again. chaos-quick: the checker's own
# test and two minutes of all variants.
VARIANT ?= direct
chaos: SECS := $(if $(filter file,$(origin SECS)),1800,$(SECS))
chaos: chaos-ready
	@python3 tests/chaos/chaos.py --binary $(BUILD)/pghttpd --seconds $(SECS) --variant $(VARIANT) $(SEED:%=--seed %) $(CHAOS)
chaos-quick: chaos-ready
	@tests/chaos/quick $(BUILD)/pghttpd $(SEED)
chaos-ready:
	@tests/lib/deps.sh build run test
	@$(MAKE) $(PARALLEL) --no-print-directory all

# Lines covered by `make MODE=cover test`.
cover:
	@gcovr -r . --object-directory build/cover --filter src/ --sort-uncovered

lint:
	@tests/lib/deps.sh build lint
	@$(MAKE) -s $(PARALLEL) --no-print-directory MODE=release all
	@tests/lint/run
analyze: all
	@tests/lint/run analyze
format:
	@tests/lib/deps.sh lint
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format --style=file:src/.clang-format -i
hooks:
	git config core.hooksPath tests/lint/hooks

# The image, built and run for real: on both bases, by podman and by Docker's engine where they are installed
# (ENGINES=podman SUITES=bookworm: less). trixie-test: the test suite on Debian 13.
ENGINES ?= podman docker
SUITES ?= bookworm trixie
container-test:
	@rc=0; for engine in $(ENGINES); do for suite in $(SUITES); do \
	    echo "== $$engine, $$suite"; ENGINE=$$engine SUITE=$$suite tests/container/container.sh || rc=1; done; done; exit $$rc
trixie-test:
	@tests/container/trixie.sh

# ---- running and installing ----
fill = sed 's|@PREFIX@|$(PREFIX)|g; s|@ETC@|$(ETC)|g' $(1) > $(DESTDIR)$(2)
deps:
	@tests/lib/deps.sh build run test lint fuzz bench

run:
	@tests/lib/deps.sh build run
	@$(MAKE) $(PARALLEL) --no-print-directory MODE=$(MODE) all
	@MODE=$(MODE) exec config/demo.sh

# Settings that are there already are left alone. Into a running system (no DESTDIR) the unit's user is made, too, who may
# read them; a package does that by its own means.
ETC := $(SYSCONFDIR)/pghttpd
install: all
	install -D -m 0755 $(BUILD)/pghttpd $(DESTDIR)$(PREFIX)/bin/pghttpd
	install -D -m 0644 config/pghttpd.conf $(DESTDIR)$(PREFIX)/share/doc/pghttpd/pghttpd.conf.example
	install -D -m 0644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/pghttpd/copyright
	install -D -m 0644 docs/man/pghttpd.1 $(DESTDIR)$(PREFIX)/share/man/man1/pghttpd.1
	install -D -m 0644 docs/man/pghttpd.conf.5 $(DESTDIR)$(PREFIX)/share/man/man5/pghttpd.conf.5
	install -D -m 0644 config/completions/pghttpd.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/pghttpd
	install -D -m 0644 config/completions/_pghttpd $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_pghttpd
	@[ -e $(DESTDIR)$(ETC)/pghttpd.conf ] || install -D -m 0640 config/pghttpd.conf $(DESTDIR)$(ETC)/pghttpd.conf
	@mkdir -p $(DESTDIR)$(UNITDIR) $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
	$(call fill,config/pghttpd.service,$(UNITDIR)/pghttpd.service)
	$(call fill,config/sysusers.conf,$(PREFIX)/lib/sysusers.d/pghttpd.conf)
	$(call fill,config/tmpfiles.conf,$(PREFIX)/lib/tmpfiles.d/pghttpd.conf)
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ] && command -v systemd-sysusers >/dev/null; then \
	    systemd-sysusers $(PREFIX)/lib/sysusers.d/pghttpd.conf && \
	    systemd-tmpfiles --create $(PREFIX)/lib/tmpfiles.d/pghttpd.conf && \
	    { [ ! -d /run/systemd/system ] || systemctl daemon-reload; }; fi

# A Debian package, in build/deb.
deb:
	@tests/lib/deps.sh build deb
	@config/debian/build.sh "$(VERSION)"

clean:
	rm -rf build

-include $(OBJ:.o=.d) $(BUILD)/src/main.d $(UNIT:=.d)
.PHONY: all run test tests-built unit e2e check long clients-installed bench against readme fuzz fuzz-run chaos chaos-quick chaos-ready cover lint analyze \
    format hooks container-test trixie-test deps install deb clean
