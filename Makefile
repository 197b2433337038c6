# tm: tracemalloc for native programs. `make help` lists the targets.
# build/ is filled as `make install PREFIX=P` fills P, so that everything can be used from there.

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
# Of libraries, below PREFIX: lib, or what the system has in its place (Debian: lib/x86_64-linux-gnu).
LIBDIR ?= lib
BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
OPT ?= -O2 -g
PYTHON ?= /usr/bin/python3
SANITIZER ?=
WARN := -Wall -Wextra -Wundef -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wformat=2

CPPFLAGS_ALL = -D_GNU_SOURCE -DTM_VERSION='"$(VERSION)"' -I. $(addprefix -I,$(sort $(dir $(PROTO_C)))) $(CPPFLAGS)
CFLAGS_ALL = -std=gnu17 $(OPT) $(WARN) -fvisibility=hidden -MMD -MP $(CFLAGS)
# SANITIZER=address,undefined instruments the engine; the tracer runs inside other programs and never is.
SAN_FLAGS = $(if $(SANITIZER),-fsanitize=$(SANITIZER) -fno-omit-frame-pointer -fno-sanitize-recover=undefined)

comma := ,
OBJ := $(BUILD)/obj
BIN := $(BUILD)/bin
LIB := $(BUILD)/$(LIBDIR)
# Where coreanalyze looks for its engine, besides the system's directories; empty = only there.
RUNPATH ?= $$ORIGIN/../$(LIBDIR)

ENGINE_LIBS := -ldw -lelf -lprotobuf-c -lz -liberty

TRACER_SRC := $(filter-out tracer/tm-run.c,$(wildcard tracer/*.c tracer/*/*.c))
COMMAND_SRC := coreanalyze/main.c coreanalyze/console.c coreanalyze/kernel_pipe.c
ENGINE_SRC := $(filter-out $(COMMAND_SRC),$(wildcard coreanalyze/*.c coreanalyze/*/*.c coreanalyze/*/*/*.c))
TRACER_OBJ := $(TRACER_SRC:%.c=$(OBJ)/%.o)
PROTO := $(wildcard coreanalyze/*/*.proto)
PROTO_C := $(PROTO:%.proto=$(OBJ)/%.pb-c.c)
ENGINE_OBJ := $(ENGINE_SRC:%.c=$(OBJ)/%.o) $(PROTO_C:%.c=%.o)

# What is installed, by path below PREFIX; the auto-load script apart, whose path holds PREFIX itself.
PROGRAMS := bin/coreanalyze bin/tm-run $(LIBDIR)/libtm.so $(LIBDIR)/libcoreanalyze.so
GDB_PACKAGE := $(shell find gdb/tm -name '*.py')
API := $(shell sed -n 's/^TM_API([^,]*, \([a-z_]*\), .*)/tm_\1/p' tracer/tm.h)
MAN := $(foreach n,1 3 7,$(patsubst docs/manual/%.in,share/man/man$(n)/%,$(wildcard docs/manual/*.$(n).in))) $(API:%=share/man/man3/%.3)
DATA := $(LIBDIR)/libtm.a include/tm.h $(LIBDIR)/pkgconfig/tm.pc share/tm/gdb/tm-gdb.py \
    $(patsubst gdb/tm/%,share/tm/python/tm/%,$(GDB_PACKAGE)) $(MAN) \
    $(patsubst docs/manual/%.bash.in,share/bash-completion/completions/%,$(wildcard docs/manual/*.bash.in)) \
    $(patsubst docs/schema/%,share/tm/schema/%,$(wildcard docs/schema/*.json))
AUTO_LOAD = share/gdb/auto-load$(1)/$(LIBDIR)/libtm.so-gdb.py

.PHONY: all
all: $(addprefix $(BUILD)/,$(PROGRAMS) $(DATA) $(call AUTO_LOAD,$(abspath $(BUILD)))) ## build everything into build/

# ---------------------------------------------------------------------------------------------------- compiling

# Objects are made anew when compiler or flags change.
FLAGS = $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(SAN_FLAGS) $(LIBDIR)
$(OBJ)/flags: FORCE
	$(shell mkdir -p $(@D))$(file >$@.new,$(FLAGS))
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
.PHONY: FORCE
FORCE:

$(OBJ)/tracer/%.o: tracer/%.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -fPIC -fno-stack-protector -ftls-model=initial-exec -foptimize-sibling-calls -c -o $@ $<

$(OBJ)/tracer/tm-run.o: tracer/tm-run.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) -DTM_LIBDIR='"$(LIBDIR)"' $(CFLAGS_ALL) -fPIC -c -o $@ $<

ENGINE_CC = $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(SAN_FLAGS) -fPIC
$(OBJ)/coreanalyze/%.o: coreanalyze/%.c $(OBJ)/flags | $(PROTO_C)
	@mkdir -p $(@D)
	$(ENGINE_CC) -c -o $@ $<

# The messages of snapshot files, as protobuf-c has them; generated code is built without our warnings.
$(PROTO_C:%.c=%.o): %.o: %.c $(OBJ)/flags
	$(ENGINE_CC) -w -c -o $@ $<

$(PROTO_C): $(OBJ)/%.pb-c.c: %.proto
	@mkdir -p $(@D)
	protoc-c --proto_path=$(<D) --c_out=$(@D) $<

# The page of --format html, one for all trees: made by npm where that is, else empty, and the build goes on without it.
PAGE_BUILD ?= build/page
PAGE := $(PAGE_BUILD)/page.html
PAGE_PATH = $(if $(filter /%,$(PAGE)),,$(CURDIR)/)$(PAGE)

$(PAGE_BUILD)/npm: FORCE
	@mkdir -p $(@D) && { command -v npm >$@.$$$$ || true; } && if cmp -s $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi

$(PAGE): $(wildcard coreanalyze/page/*) $(PAGE_BUILD)/npm
	@coreanalyze/page/make $(@D)

$(OBJ)/coreanalyze/output/flames/template.o: $(PAGE)
$(OBJ)/coreanalyze/output/flames/template.o: private CPPFLAGS_ALL += -DCA_PAGE_FILE='"$(PAGE_PATH)"'

.PHONY: page
page: ## make the page of --format html anew and build it in (needs npm and what that fetches)
	@rm -f $(PAGE)
	@$(MAKE) --no-print-directory all
	@test -s $(PAGE)

$(LIB)/libtm.so: $(TRACER_OBJ)
	@mkdir -p $(@D)
	$(CC) $(OPT) $(LDFLAGS) -shared -Wl,-soname,libtm.so -Wl,-z,defs -Wl,-z,now -o $@ $(TRACER_OBJ)

$(LIB)/libtm.a: $(TRACER_OBJ)
	@mkdir -p $(@D)
	rm -f $@ && $(AR) rcs $@ $(TRACER_OBJ)

$(BIN)/tm-run: $(OBJ)/tracer/tm-run.o $(OBJ)/tracer/options.o
	@mkdir -p $(@D)
	$(CC) $(OPT) $(LDFLAGS) -o $@ $^

$(LIB)/libcoreanalyze.so: $(ENGINE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(OPT) $(SAN_FLAGS) $(LDFLAGS) -shared -Wl,-soname,libcoreanalyze.so -Wl,--as-needed -Wl,-Bsymbolic -Wl,--exclude-libs,ALL \
	    $(if $(SANITIZER),,-Wl,-z,defs) -o $@ $(ENGINE_OBJ) $(ENGINE_LIBS)

$(BIN)/coreanalyze: $(COMMAND_SRC:%.c=$(OBJ)/%.o) $(LIB)/libcoreanalyze.so
	@mkdir -p $(@D)
	$(CC) $(OPT) $(SAN_FLAGS) $(LDFLAGS) -o $@ $(COMMAND_SRC:%.c=$(OBJ)/%.o) -L$(LIB) -lcoreanalyze $(RUNPATH:%=-Wl$(comma)-rpath$(comma)'%')

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)

$(BUILD)/include/%.h: tracer/%.h
	install -D -m 644 $< $@

$(BUILD)/share/tm/gdb/%.py: gdb/%.py
	install -D -m 644 $< $@

$(BUILD)/share/tm/python/tm/%.py: gdb/tm/%.py
	install -D -m 644 $< $@

$(BUILD)/share/tm/schema/%.json: docs/schema/%.json
	install -D -m 644 $< $@

# Man pages and completion are made of what the programs, tm.h and the commands in GDB say about themselves.
define MANUAL_RULE
$(BUILD)/share/$(1): docs/manual/$(2).in $(MANUAL_TOOLS) $(3)
	@mkdir -p $$(@D)
	LD_LIBRARY_PATH='$(LIB)' docs/manual/tools/page $$< $(VERSION) $(BIN) >$$@.new && mv $$@.new $$@
endef
MANUAL_TOOLS := $(wildcard docs/manual/tools/*)
$(eval $(call MANUAL_RULE,man/man1/%.1,%.1,$(BIN)/%))
$(eval $(call MANUAL_RULE,man/man3/%.3,%.3,tracer/tm.h))
$(eval $(call MANUAL_RULE,man/man7/%.7,%.7,gdb/tm-gdb.py $(GDB_PACKAGE)))
$(eval $(call MANUAL_RULE,bash-completion/completions/%,%.bash,$(BIN)/%))

# Each function of tm.h is found by its name.
$(API:%=$(BUILD)/share/man/man3/%.3): tracer/tm.h
	@mkdir -p $(@D)
	echo '.so man3/tm.3' >$@

$(BUILD)/share/gdb/auto-load/%-gdb.py: gdb/auto-load.py
	install -D -m 644 $< $@

# pkg-config finds the rest from where the file lies, wherever the tree is moved to; PC_PREFIX=/usr names it.
PC_PREFIX ?= $${pcfiledir}$(subst $(empty) ,,$(foreach folder,$(subst /, ,$(LIBDIR)/pkgconfig),/..))
$(LIB)/pkgconfig/tm.pc: tracer/tm.pc.in Makefile
	@mkdir -p $(@D)
	sed -e 's/@VERSION@/$(VERSION)/' -e 's,@PREFIX@,$(PC_PREFIX),' -e 's,@LIBDIR@,$(LIBDIR),' $< >$@

# The tracer needs libc alone, so that a cross compiler is all it takes for another processor.
.PHONY: tracer
tracer: $(LIB)/libtm.so $(LIB)/libtm.a $(BIN)/tm-run ## build what runs in the traced process, only

.PHONY: tracer-aarch64
tracer-aarch64: ## the same for aarch64 into build/aarch64/ (Debian: gcc-aarch64-linux-gnu)
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/aarch64 CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar tracer

# --------------------------------------------------------------------------------------------------- installing

# Absolute; not by $(abspath), which takes a path with blanks for several.
INSTALL_PREFIX = $(if $(filter /%,$(PREFIX)),$(PREFIX),$(CURDIR)/$(PREFIX))

.PHONY: install
install: all ## install into PREFIX (default /usr/local), below DESTDIR if that is set
	@set -e; to='$(DESTDIR)$(INSTALL_PREFIX)'; \
	for f in $(PROGRAMS); do install -D -m 755 $(BUILD)/$$f "$$to/$$f"; done; \
	for f in $(DATA); do install -D -m 644 $(BUILD)/$$f "$$to/$$f"; done; \
	install -D -m 644 gdb/auto-load.py "$$to/$(call AUTO_LOAD,$(INSTALL_PREFIX))"
	@# The loader finds libtm.so by its name alone (LD_PRELOAD=libtm.so) only when its cache knows it.
	@case '$(DESTDIR)$(INSTALL_PREFIX)' in /usr | /usr/local) ldconfig 2>/dev/null || true ;; esac
	@echo 'Installed. For the tm-* commands in GDB, put this line into ~/.gdbinit or type it:'
	@echo 'source $(INSTALL_PREFIX)/share/tm/gdb/tm-gdb.py'

# Folders that hold nothing but what is ours, and GDB's script, whose path is long.
OWN_FOLDERS := share/tm/python/tm/__pycache__ share/tm/python/tm share/tm/python share/tm/gdb share/tm/schema share/tm

.PHONY: uninstall
uninstall: ## remove what install has put into PREFIX
	@set -e; from='$(DESTDIR)$(INSTALL_PREFIX)'; script="$$from/$(call AUTO_LOAD,$(INSTALL_PREFIX))"; \
	for f in $(PROGRAMS) $(DATA); do rm -f "$$from/$$f"; done; \
	rm -f "$$script" "$$from"/share/tm/python/tm/__pycache__/*.pyc; \
	for f in $(OWN_FOLDERS); do [ ! -d "$$from/$$f" ] || rmdir --ignore-fail-on-non-empty "$$from/$$f"; done; \
	rmdir -p --ignore-fail-on-non-empty "$$(dirname "$$script")" 2>/dev/null || true

.PHONY: deps
deps: ## install what is missing to build and test (Debian packages, .ci/packages.txt)
	@.ci/deps

# ------------------------------------------------------------------------------------------------------ testing

# Unit tests: each tests/unit/test_*.c is one program; it gets of the engine and of the tracer what it refers to, but never
# the hooks, whose malloc and mmap would take the place of its own. Other files there are helpers of all of them.
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
UNIT_HELPERS := $(patsubst %.c,$(OBJ)/%.o,$(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c)))

$(OBJ)/tests/%.o: tests/%.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) -DTM_SOURCE_DIR='"$(CURDIR)"' $(CFLAGS_ALL) $(SAN_FLAGS) -c -o $@ $<

$(OBJ)/engine.a: $(ENGINE_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(OBJ)/tracer.a: $(TRACER_OBJ)
	rm -f $@ && for o in $^; do nm $$o | grep -qE ' T (malloc|mmap)$$' || echo $$o; done | xargs $(AR) rcs $@

$(UNIT): $(BUILD)/tests/unit/%: $(OBJ)/tests/unit/%.o $(UNIT_HELPERS) $(OBJ)/engine.a $(OBJ)/tracer.a
	@mkdir -p $(@D)
	$(CC) $(OPT) $(SAN_FLAGS) $(LDFLAGS) -o $@ $^ $(ENGINE_LIBS) $$(pkg-config --libs check)

.PHONY: unit
unit: $(UNIT) ## build the unit tests into build/tests/unit/

# Fuzz targets, each a tests/fuzz/*.c with LLVMFuzzerTestOneInput: clang's, in a tree of their own, with coverage in the engine.
FUZZ_TARGETS := table core snapshot
FUZZ_SECONDS ?= 60
FUZZ_FLAGS = CC=clang SANITIZER=address,undefined,fuzzer-no-link OPT='-O1 -g' BUILD='$(BUILD)/fuzz'
FUZZ_LINK := -fsanitize=address,undefined,fuzzer

$(FUZZ_TARGETS:%=$(BUILD)/tests/fuzz/%): $(BUILD)/tests/fuzz/%: $(OBJ)/tests/fuzz/%.o $(OBJ)/tests/fuzz/commands.o $(OBJ)/engine.a
	@mkdir -p $(@D)
	$(CC) $(OPT) $(FUZZ_LINK) $(LDFLAGS) -o $@ $^ $(ENGINE_LIBS)

$(BUILD)/tests/fuzz/images: $(OBJ)/tests/fuzz/images.o $(OBJ)/tests/unit/image.o $(OBJ)/engine.a
	@mkdir -p $(@D)
	$(CC) $(OPT) $(SAN_FLAGS) $(LDFLAGS) -o $@ $^ $(ENGINE_LIBS)

.PHONY: fuzz-targets fuzz
fuzz-targets:
	@$(MAKE) --no-print-directory $(FUZZ_FLAGS) $(FUZZ_TARGETS:%='$(BUILD)/fuzz/tests/fuzz/%')

.PHONY: fuzz-seeds
fuzz-seeds: $(BUILD)/tests/fuzz/images $(BIN)/coreanalyze ## make the seeds in tests/fuzz/corpus/ anew
	@tests/fuzz/seeds $^

fuzz: fuzz-targets ## FUZZ_SECONDS=N (60) of libFuzzer on each reader: tables, cores, snapshot files
	@tests/fuzz/run --seconds $(FUZZ_SECONDS) '$(BUILD)/fuzz/tests/fuzz'

.PHONY: check
check: ## run all tests: gcc, clang, and the engine under ASan and UBSan
	@.ci/deps
	@$(PYTHON) tests/run --build '$(abspath $(BUILD))'

SOAK ?= 1000000
.PHONY: soak
soak: all ## SOAK=N (a million) requests of each kind to CPython's tracemalloc and to the engine
	TM_SOAK=$(SOAK) TM_BUILD='$(abspath $(BUILD))' $(PYTHON) -m pytest -q -s tests/e2e/test_tracemalloc_oracle.py

.PHONY: check-root
check-root: ## try the README's two commands in a minimal Debian root (needs root and debootstrap)
	@tests/minimal-root.sh

.PHONY: deb
deb: ## build the Debian packages into build/deb/ and have lintian look at them
	@.ci/deps run build deb
	@docs/packaging/build $(VERSION) '$(abspath $(BUILD))/deb'

.PHONY: check-package
check-package: all deb ## build them, test them, and try them in a minimal Debian root (root, debootstrap; else not tried)
	@.ci/deps test
	TM_BUILD='$(abspath $(BUILD))' TM_PACKAGES='$(abspath $(BUILD))/deb' $(PYTHON) -m pytest -q -rs tests/e2e/test_package.py

.PHONY: transcripts
transcripts: all ## run the commands shown in README.md and docs/ again and put in what they print now
	@docs/transcripts --build '$(abspath $(BUILD))'

.PHONY: demo
demo: ## crash two programs and show who holds their memory
	@.ci/deps run build
	@$(MAKE) --no-print-directory -s all
	@tests/programs/demo/run '$(abspath $(BUILD))'

.PHONY: bench
bench: ## what tracing costs, beside other tools (20 minutes; BENCH='--only small --runs 3', see bench/run --help)
	@.ci/deps run build
	@.ci/deps bench || echo 'Going on without them.'
	@$(MAKE) --no-print-directory -s all
	@bench/run '$(abspath $(BUILD))' $(BENCH)

.PHONY: bench-reading
bench-reading: all ## measure reading a core of ten million blocks (3 GB of disk and of memory)
	@bench/reading/run '$(abspath $(BUILD))' $(BENCH)
	@bench/reading/standing '$(abspath $(BUILD))'

.PHONY: bench-symbols
bench-symbols: ## names and lines of 20,000 addresses, beside llvm-symbolizer and eu-addr2line
	@.ci/deps run build
	@.ci/deps bench || echo 'Going on without them.'
	@$(MAKE) --no-print-directory -s all
	@bench/symbols/run '$(abspath $(BUILD))' $(BENCH)

# ------------------------------------------------------------------------------------------------------- tidying

C_FILES = $(shell git ls-files '*.c' '*.h' '*.cpp')
SHELL_FILES = $(shell git grep -lE '^\#!/bin/(ba)?sh' -- ':!*.md')

# What cppcheck guesses about pointers and out-parameters across functions; arithmetic shifts of gcc and clang are meant.
CPPCHECK_SUPPRESS := missingIncludeSystem nullPointer nullPointerRedundantCheck nullPointerArithmeticRedundantCheck uninitvar \
    ctuuninitvar returnDanglingLifetime shiftTooManyBitsSigned

.PHONY: lint
lint: ## compile with both compilers and -Werror; clang-tidy, cppcheck, shellcheck
	@.ci/deps run build test lint
	$(MAKE) --no-print-directory BUILD=$(BUILD)/lint-gcc CC=gcc CFLAGS=-Werror all unit
	$(MAKE) --no-print-directory BUILD=$(BUILD)/lint-clang CC=clang CFLAGS=-Werror all unit
	$(MAKE) --no-print-directory BUILD=$(BUILD)/lint-gcc CFLAGS=-Werror tracer-aarch64
	clang-tidy --quiet $(TRACER_SRC) tracer/tm-run.c $(ENGINE_SRC) $(COMMAND_SRC) -- $(CPPFLAGS_ALL) -DTM_LIBDIR='""' -std=gnu17
	cppcheck --quiet --std=c11 --enable=warning,portability --error-exitcode=1 $(addprefix --suppress=,$(CPPCHECK_SUPPRESS)) \
	    -D_GNU_SOURCE -D__x86_64__ -DTM_VERSION='""' -DTM_LIBDIR='""' -I. tracer coreanalyze
	cppcheck --quiet --std=c11 --enable=warning,portability --error-exitcode=1 $(addprefix --suppress=,$(CPPCHECK_SUPPRESS)) \
	    -D_GNU_SOURCE -D__aarch64__ -DTM_VERSION='""' -DTM_LIBDIR='""' -I. tracer
	shellcheck $(SHELL_FILES)

.PHONY: format
format: ## format the C and C++ files (.clang-format)
	@.ci/deps lint
	clang-format -i $(C_FILES)

.PHONY: clean
clean: ## remove build/
	rm -rf $(BUILD)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@echo 'Variables: PREFIX DESTDIR LIBDIR BUILD CC CXX OPT CFLAGS SANITIZER=address,undefined'
