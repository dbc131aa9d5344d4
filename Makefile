# Roost: `make run` and `make test` are the two commands; docs/MAP.md says what lies where.
# Adding a source, a test (foo_test.c) or a fuzz target (foo_fuzz.c) is adding a file: wildcards find it.
SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DEFAULT_GOAL := all

JOBS := $(shell nproc 2>/dev/null || echo 2)
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(JOBS)
endif

# ---- what is built how -----------------------------------------------------------------------
ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
ifneq ($(filter-out gcc% clang%,$(notdir $(CC))),)
$(error CC=$(CC) is not supported: use CC=gcc or CC=clang)
endif
comma := ,
ifeq ($(filter $(SAN),address address$(comma)undefined undefined thread),)
ifneq ($(SAN),)
$(error SAN=$(SAN) is not supported: use SAN=address$(comma)undefined or SAN=thread)
endif
endif
ifeq ($(CC),clang)
override CC := clang-19
endif

VARIANT := $(notdir $(CC))$(if $(SAN),-$(subst $(comma),-,$(SAN)))
OBJ ?= build/obj
O := $(OBJ)/$(VARIANT)
THIRD := build/third_party
DUCKDB := $(THIRD)/duckdb

WARN := -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wmissing-prototypes -Wstrict-prototypes -Werror
ifeq ($(SAN),)
# contract/faults.md section 5; what a compiler does not know is left out, the rest is the same.
HARDEN := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection \
	-fcf-protection=full -ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr \
	-fno-delete-null-pointer-checks -fno-strict-overflow
ifeq ($(notdir $(CC)),gcc)
HARDEN := $(subst FORTIFY_SOURCE=2,FORTIFY_SOURCE=3,$(HARDEN))
endif
else
HARDEN := -O1 -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
endif
CFLAGS_ALL = -std=gnu17 -g $(WARN) $(HARDEN) -fPIE -ffile-prefix-map=$(CURDIR)=. \
	-D_GNU_SOURCE -I. -include lib/base/banned.h -MMD -MP $(CFLAGS)
LDFLAGS_ALL = $(if $(SAN),-fsanitize=$(SAN)) -pie -Wl,-z,relro,-z,now,-z,noexecstack \
	-Wl,--as-needed $(LDFLAGS)
LIBS := -ljansson -lyaml -lcurl -lmicrohttpd -lgnutls -lmariadb -lssl -lcrypto -lz -lzstd -llz4 -lseccomp \
	-lpthread -lm
# The program finds the library beside itself or in build/; only tests know the absolute path, so that two builds of
# the programs in two folders are the same bytes.
DUCK_LIBS := -L$(DUCKDB)/lib -lduckdb -Wl,-rpath,'$$ORIGIN:$$ORIGIN/third_party/duckdb/lib'
DUCK_TEST_LIBS := $(DUCK_LIBS) -Wl,-rpath,$(abspath $(DUCKDB))/lib

plain = $(filter-out %_test.c %_fuzz.c,$(wildcard $(1)))
LIB_SRC := $(call plain,lib/*/*.c)
OPERATOR_SRC := $(call plain,operator/*/*.c)
SCALER_SRC := $(call plain,scaler/*/*.c)
DUCK_SRC := $(call plain,engine/duck/*.c)
ENGINE_SRC := $(filter-out $(DUCK_SRC),$(call plain,engine/*/*.c))
TEST_SRC := $(wildcard lib/*/*_test.c operator/*/*_test.c scaler/*/*_test.c engine/*/*_test.c)
FUZZ_SRC := $(wildcard lib/*/*_fuzz.c operator/*/*_fuzz.c scaler/*/*_fuzz.c engine/*/*_fuzz.c)
obj = $(patsubst %.c,$(O)/%.o,$(1))

ARCHIVES := $(O)/liboperator.a $(O)/libscaler.a $(O)/libengine.a $(O)/libroost.a
MAINS := $(wildcard operator/main.c scaler/main.c engine/fe_main.c engine/be_main.c engine/duck_main.c)
PROGRAMS := $(patsubst operator/main.c,roost-operator,$(patsubst scaler/main.c,roost-scaler,$(patsubst \
	engine/fe_main.c,roost-fe,$(patsubst engine/be_main.c,roost-be,$(patsubst \
	engine/duck_main.c,roost-duck,$(MAINS))))))
GEN_SRC := $(wildcard e2e/bench/ssbgen.c)

.PHONY: all release deps third_party run down engine engine-down check test soak bench clean \
	units tsan fuzz-corpora style
all: deps third_party
	@$(MAKE) --no-print-directory CC=$(CC) SAN=$(SAN) build-programs
release: all

.PHONY: build-programs
build-programs: $(addprefix build/,$(PROGRAMS)) $(if $(GEN_SRC),build/ssbgen)

deps:
	@e2e/tools/deps build
third_party: deps
	@if [ -x e2e/tools/third_party ]; then e2e/tools/third_party; fi

# ---- rules -----------------------------------------------------------------------------------
$(O)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS_ALL) $(if $(filter engine/duck/% engine/duck_main.c,$<),-isystem $(DUCKDB)/include) -c -o $@ $<

# Templates are embedded with .incbin, which -MMD does not see.
$(call obj,$(wildcard operator/render/*.c)): $(wildcard operator/render/templates/*)
$(call obj,$(wildcard engine/cluster/*.c engine/meta/*.c engine/*/*.c)): $(wildcard engine/*/web/*)

$(O)/libroost.a: $(call obj,$(LIB_SRC))
$(O)/liboperator.a: $(call obj,$(OPERATOR_SRC))
$(O)/libscaler.a: $(call obj,$(SCALER_SRC))
$(O)/libengine.a: $(call obj,$(ENGINE_SRC))
$(O)/libduck.a: $(call obj,$(DUCK_SRC))
$(ARCHIVES) $(O)/libduck.a:
	@mkdir -p $(@D)
	@rm -f $@
	@$(if $(strip $^),ar rcsD $@ $^,ar rcsD $@)

link = @mkdir -p $(@D); echo "  LINK  $@"; $(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(1) \
	-Wl,--start-group $(2) -Wl,--end-group $(3) $(LIBS)

$(O)/bin/roost-operator: $(O)/operator/main.o $(O)/liboperator.a $(O)/libroost.a
	$(call link,$<,$(O)/liboperator.a $(O)/libroost.a)
$(O)/bin/roost-scaler: $(O)/scaler/main.o $(O)/libscaler.a $(O)/libroost.a
	$(call link,$<,$(O)/libscaler.a $(O)/libroost.a)
$(O)/bin/roost-fe: $(O)/engine/fe_main.o $(O)/libengine.a $(O)/libroost.a
	$(call link,$<,$(O)/libengine.a $(O)/libroost.a)
$(O)/bin/roost-be: $(O)/engine/be_main.o $(O)/libengine.a $(O)/libroost.a
	$(call link,$<,$(O)/libengine.a $(O)/libroost.a)
$(O)/bin/roost-duck: $(O)/engine/duck_main.o $(O)/libduck.a $(O)/libengine.a $(O)/libroost.a
	$(call link,$<,$(O)/libduck.a $(O)/libengine.a $(O)/libroost.a,$(DUCK_LIBS))
$(O)/bin/ssbgen: $(O)/e2e/bench/ssbgen.o $(O)/libroost.a
	$(call link,$<,$(O)/libroost.a)

# The last built variant is what build/ holds; a copy by rename, so that a running program is not disturbed.
build/%: $(O)/bin/%
	@if ! cmp -s $< $@; then cp $< $@.new && mv $@.new $@; fi

# ---- tests -----------------------------------------------------------------------------------
TESTS := $(patsubst %.c,$(O)/tests/%,$(TEST_SRC))
FUZZERS := $(patsubst %.c,$(O)/fuzz/%,$(FUZZ_SRC))
# Tests that start executors start the program as it is shipped, whatever the test itself is built with.
$(filter $(O)/tests/engine/exec/% $(O)/tests/engine/node/%,$(TESTS)): | plain-duck
.PHONY: plain-duck
plain-duck:
	@$(MAKE) --no-print-directory CC=gcc SAN= build/roost-duck
# Archives in two passes: a duck test needs libduckdb, every other must do without.
$(O)/tests/engine/duck/%: $(O)/engine/duck/%.o $(O)/libduck.a $(ARCHIVES)
	$(call link,$<,$(O)/libduck.a $(ARCHIVES),$(DUCK_TEST_LIBS) -lcmocka)
# lib and scaler know nothing of the rest: their tests need not wait for it.
$(O)/tests/lib/%: $(O)/lib/%.o $(O)/libroost.a
	$(call link,$<,$(O)/libroost.a,-lcmocka)
$(O)/tests/scaler/%: $(O)/scaler/%.o $(O)/libscaler.a $(O)/libroost.a
	$(call link,$<,$(O)/libscaler.a $(O)/libroost.a,-lcmocka)
$(O)/tests/%: $(O)/%.o $(ARCHIVES)
	$(call link,$<,$(ARCHIVES),-lcmocka)
$(O)/fuzz/engine/duck/%: $(O)/engine/duck/%.o $(O)/e2e/tools/fuzz_replay.o $(O)/libduck.a $(ARCHIVES)
	$(call link,$< $(O)/e2e/tools/fuzz_replay.o,$(O)/libduck.a $(ARCHIVES),$(DUCK_TEST_LIBS))
$(O)/fuzz/%: $(O)/%.o $(O)/e2e/tools/fuzz_replay.o $(ARCHIVES)
	$(call link,$< $(O)/e2e/tools/fuzz_replay.o,$(ARCHIVES))

.PHONY: build-tests build-fuzzers build-archives build-fuzz-objects
build-archives: $(ARCHIVES) $(O)/libduck.a
build-fuzz-objects: $(call obj,$(FUZZ_SRC))
build-tests: $(TESTS)
build-fuzzers: $(FUZZERS)
.SECONDARY:

# Only tests that start threads are worth a run under the thread sanitizer.
TSAN_SRC := $(shell grep -l pthread_create $(TEST_SRC) /dev/null 2>/dev/null)
.PHONY: build-tsan-tests
build-tsan-tests: $(patsubst %.c,$(O)/tests/%,$(TSAN_SRC))

check: deps third_party
	@e2e/tools/check

# One room while working on it: make t/lib/base  (ASan+UBSan)
t/%:
	@$(MAKE) --no-print-directory SAN=address,undefined room-$(subst /,+,$*)
room = $(subst +,/,$*)
room_tests = $(filter $(O)/tests/$(room)/%,$(TESTS))
# Two rooms at once (make t/a t/b) build one after the other: they make the same objects and archives.
room-%:
	@[ -d $(room) ] || { echo "no such room: $(room)" >&2; exit 2; }
	@mkdir -p $(O)
	@$(if $(room_tests),flock $(O)/room.lock $(MAKE) --no-print-directory SAN=address$(comma)undefined $(room_tests) >/dev/null,echo \
		"$(room) has no units of its own; $(room)/README.md says what tests it")
	@for t in $(room_tests); do timeout 300 $$t || exit 1; done

run: ; @e2e/tools/run
down: ; @e2e/tools/down
engine: all ; @e2e/tools/engine
engine-down: ; @e2e/tools/engine-down
test: ; @e2e/tools/test
soak: ; @e2e/tools/soak
bench: ; @e2e/tools/bench
fuzz: all ; @e2e/tools/fuzz
clean: ; rm -rf build/obj build/roost-* build/ssbgen

-include $(shell find $(O) -name '*.d' 2>/dev/null)
