# tm: tracemalloc for native programs. `make help` lists the targets.
# build/ is filled as `make install PREFIX=P` fills P.

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
CC ?= gcc
CXX ?= g++
OPT ?= -O2 -g
PYTHON ?= /usr/bin/python3
SANITIZER ?=
WARN := -Wall -Wextra -Wundef -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wformat=2

CPPFLAGS_ALL = -D_GNU_SOURCE -DTM_VERSION='"$(VERSION)"' -I. $(CPPFLAGS)
CFLAGS_ALL = -std=gnu17 $(OPT) $(WARN) -fvisibility=hidden -MMD -MP $(CFLAGS)
# SANITIZER=address,undefined instruments the engine; the tracer runs inside other programs and never is.
SAN_FLAGS = $(if $(SANITIZER),-fsanitize=$(SANITIZER) -fno-omit-frame-pointer -fno-sanitize-recover=undefined)

OBJ := $(BUILD)/obj
BIN := $(BUILD)/bin
LIB := $(BUILD)/lib

ENGINE_LIBS := -ldw -lelf -ljson-c -lz
IBERTY := -liberty

TRACER_SRC := $(filter-out tracer/tm-run.c,$(wildcard tracer/*.c tracer/*/*.c))
ENGINE_SRC := $(filter-out coreanalyze/main.c,$(wildcard coreanalyze/*.c coreanalyze/*/*.c))
TRACER_OBJ := $(TRACER_SRC:%.c=$(OBJ)/%.o)
ENGINE_OBJ := $(ENGINE_SRC:%.c=$(OBJ)/%.o)

.PHONY: all
all: $(LIB)/libtm.so $(LIB)/libtm.a $(BIN)/tm-run $(LIB)/libcoreanalyze.so $(BIN)/coreanalyze ## build everything into build/

$(OBJ)/tracer/%.o: tracer/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -fPIC -fno-stack-protector -ftls-model=initial-exec -c -o $@ $<

$(OBJ)/coreanalyze/%.o: coreanalyze/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(SAN_FLAGS) -fPIC -c -o $@ $<

$(LIB)/libtm.so: $(TRACER_OBJ)
	@mkdir -p $(@D)
	$(CC) $(OPT) -shared -Wl,-soname,libtm.so -Wl,-z,defs -o $@ $(TRACER_OBJ)

$(LIB)/libtm.a: $(TRACER_OBJ)
	@mkdir -p $(@D)
	rm -f $@ && $(AR) rcs $@ $(TRACER_OBJ)

$(BIN)/tm-run: $(OBJ)/tracer/tm-run.o
	@mkdir -p $(@D)
	$(CC) $(OPT) -o $@ $<

$(LIB)/libcoreanalyze.so: $(ENGINE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(OPT) $(SAN_FLAGS) -shared -Wl,-soname,libcoreanalyze.so -Wl,-Bsymbolic -Wl,--exclude-libs,ALL -Wl,-z,defs \
	    -o $@ $(ENGINE_OBJ) $(ENGINE_LIBS) $(IBERTY)

$(BIN)/coreanalyze: $(OBJ)/coreanalyze/main.o $(LIB)/libcoreanalyze.so
	@mkdir -p $(@D)
	$(CC) $(OPT) $(SAN_FLAGS) -o $@ $< -L$(LIB) -lcoreanalyze -Wl,-rpath,'$$ORIGIN/../lib'

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)

.PHONY: clean
clean: ## remove build/
	rm -rf $(BUILD)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 16
