# pghttpd: PostgreSQL on HTTP. `make run` starts a demo, `make test` runs every test; both install what is missing.
# MODE=release (default), asan (address, undefined, leak), tsan or cover; each builds into build/$(MODE).

MODE ?= release
BUILD := build/$(MODE)
CC ?= gcc
VERSION := $(shell cat VERSION 2>/dev/null || echo 0.1.0)

PKGS := libmicrohttpd libevent_core libpq libcjson jose libconfuse zlib libcrypto
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
    -Wpointer-arith -Wwrite-strings -Wcast-qual -Wformat=2 -Wundef -Wvla -Wimplicit-fallthrough -Wconversion \
    -Wswitch-enum -Wnull-dereference
HARDEN := -fstack-protector-strong -fPIE
# Asserts state invariants of our own code and stay on in every build.
CPPFLAGS_ALL := -D_GNU_SOURCE -UNDEBUG -DPGHTTPD_VERSION='"$(VERSION)"' -Isrc -I$(BUILD)/gen \
    $(shell pkg-config --cflags $(PKGS)) $(CPPFLAGS)
OPT_release := -O2 -g -D_FORTIFY_SOURCE=2
OPT_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OPT_cover := -O0 -g --coverage
CFLAGS_ALL := -std=c17 $(WARN) $(HARDEN) $(OPT_$(MODE)) -pthread $(CFLAGS)
LDFLAGS_ALL := -pie -Wl,-z,relro,-z,now -pthread $(OPT_$(MODE)) $(LDFLAGS)
LIBS := $(shell pkg-config --libs $(PKGS)) -lm

SRC := $(wildcard src/*/*.c) $(wildcard src/app*.c)
OBJ := $(SRC:%.c=$(BUILD)/%.o)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/unit/%)

all: $(BUILD)/pghttpd

$(BUILD)/pghttpd: $(BUILD)/src/main.o $(BUILD)/libpghttpd.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(BUILD)/libpghttpd.a: $(OBJ)
	rm -f $@
	ar qcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libpghttpd.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -Itests/unit -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(BUILD)/libpghttpd.a -lcmocka $(LIBS)

unit: $(UNIT)
	@failed=0; for t in $(UNIT); do echo "# $${t##*/}"; $$t || failed=1; done; exit $$failed

clean:
	rm -rf build

-include $(OBJ:.o=.d) $(BUILD)/src/main.d $(UNIT:=.d)
.PHONY: all unit clean
