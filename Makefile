# `make demo` and `make test` are enough alone: what they need they find, install or name. `make help` lists the rest.

## demo        two honest replicas and a liar on your screen; TRACE=file replays an editing trace
## test        everything: Python suite, C tests, house rules. ARGS="-k text -x" goes to pytest
## slow        the tests that `test` leaves out
## sim         networks of replicas, liars and faults: SEEDS=n FROM=seed JOBS=n KIND=datastore; says what happened, replays what failed
## stores      random schedules of stores, model and core in lockstep: SEEDS=n FROM=seed JOBS=n; a script for what failed
## crashes     N=1000 writers killed at any moment (kill -9), from seed CKV_SEED: nothing acknowledged is lost
## datastores  random schedules of datastores, core and readable twin in lockstep; the same arguments
## dev         the extension with asserts on and warnings as errors, in seconds; then use .venv/bin/pytest
## ctest       the C core without Python: tests/c and the fuzz corpora
## asan tsan   the same under AddressSanitizer + UBSan, or ThreadSanitizer
## asan-py     the Python suite with the extension under AddressSanitizer + UBSan
## mutate      N mutated bundles (1,000,000), from seed CKV_SEED: nothing unsigned enters
## mutations   the guards of docs/security.md taken out one by one: each must be missed by a test. ARGS="40 61" for some rows
## cov ccov    how many branches of csrc/ all tests take, or tests/c alone, and whether that is enough. SHOW="doc/" lists missed ones
## fuzz        libFuzzer, every target for S=60 seconds, and a table; T=name of tests/fuzz/fuzz_<name>.c for one alone
## notebook    copies of the tutorials of docs/notebooks in JupyterLab, in a browser; ARGS go to it
## bench       against the peers, from Python; ARGS go to benchmarks/run.py
## bench-store  Store beside what else Python has for keys and values, its exchanges, its core. ARGS="--quick"
## bench-datastore  Datastore and Database in files, beside sqlite3, lmdb and (where Go is) go-ds-crdt. ARGS="--quick"
## bench-net   one edit on its way to 100 replicas over WebSocket; ARGS=--page
## bench-nats  1,000 replicas in 8 processes on a stream of NATS; half of them cut off, or all, and healed. ARGS="--replicas 100"
## cbench      benchmarks/c; B=name for one of them
## sessions    bytes, rounds and time of sessions
## bft         what hashes and signatures cost in a bulk load
## docs        the documentation as a site in build/site; any warning fails
## wheels      dist/: a source distribution, and a wheel for each of PYTHONS (.venv's own) that needs no compiler; ARGS=--check tries them
## floors      who may include whom
## format      clang-format and ruff write the layout
## lint        mypy --strict, pyright, ruff, layout
## clean       removes build/ and the extension; .venv stays

PY := .venv/bin/python
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
SUB := $(MAKE) --no-print-directory -j$(JOBS) --output-sync
PIP := PYTHONWARNINGS=ignore $(PY) -m pip install --quiet --disable-pip-version-check
FETCH = echo "crdtkv: fetches what $(@F:base=demo) takes, and compiles the core: a minute or a few, this once" >&2
EXTENSION := $(PY) setup.py --quiet build_ext -i

help:
	@sed -n 's/^## /make /p' Makefile

# ---- Python

.venv/ready: tools/prepare.sh native_deps.py
	@sh tools/prepare.sh
	@touch $@
.venv/base: .venv/ready pyproject.toml
	@$(FETCH)
	@$(PIP) --no-build-isolation -e '.[cli]' && touch $@
.venv/test .venv/notebook .venv/bench .venv/dev .venv/wheels .venv/docs: .venv/%: .venv/ready pyproject.toml
	@$(FETCH)
	@$(PIP) --no-build-isolation -e '.[$*]' && touch $@

# An interpreter that is gone makes the environment useless: start again.
$(shell $(PY) -c '' 2>/dev/null || rm -f .venv/ready)

demo: .venv/base
	@$(EXTENSION)
	@$(PY) -m crdtkv demo
	@$(PY) -m crdtkv replay $(TRACE)

# What tests start, unpacked into build/servers: nothing runs on the system for it. Without it they skip what needs it, and say so.
.venv/servers: tools/prepare.sh .venv/ready
	@sh tools/prepare.sh "?nats-server=nats-server" && touch $@

PARALLEL := -n $(JOBS) --maxprocesses 8 --dist worksteal
test slow: .venv/test .venv/servers
	@$(EXTENSION)
	@$(PY) -m pytest $(PARALLEL) $(if $(filter slow,$@),-m slow) $(ARGS)

notebook: .venv/notebook
	@$(EXTENSION)
	@mkdir -p build/notebooks
	@for it in docs/notebooks/*.ipynb; do [ -e "build/notebooks/$${it##*/}" ] || cp "$$it" build/notebooks/; done
	@$(PY) -m jupyterlab --notebook-dir=build/notebooks $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

mutations: .venv/test
	@$(PY) tests/house/mutations.py $(ARGS)

SEEDS ?= 1000
FROM ?= 0
sim: .venv/test
	@$(EXTENSION)
	@$(PY) tests/property/simulate.py --seeds $(SEEDS) --first $(FROM) --jobs $(JOBS) $(if $(KIND),--kind $(KIND)) $(ARGS)

stores: .venv/test
	@$(EXTENSION)
	@$(PY) tests/property/store_schedules.py --schedules $(SEEDS) --first $(FROM) --jobs $(JOBS) $(ARGS)

crashes: .venv/test
	@$(EXTENSION)
	@$(PY) tests/house/crashes.py --loops $(or $N,1000) $(if $(CKV_SEED),--seed $(CKV_SEED))

datastores: .venv/test
	@$(EXTENSION)
	@$(PY) tests/property/datastore_schedules.py --schedules $(SEEDS) --first $(FROM) --jobs $(JOBS) $(ARGS)
	@$(PY) tests/property/datastore_model.py --schedules $(SEEDS) --first $(FROM) --jobs $(JOBS)

dev: .venv/test
	@CRDTKV_DEV=1 $(EXTENSION)

# Without the tests that start a compiler: it would be under the sanitizer, too.
SANITIZED := --ignore=tests/python/test_c.py --ignore=tests/python/test_floors.py
asan-py: .venv/test
	@CRDTKV_SANITIZE=address,undefined $(EXTENSION)
	@LD_PRELOAD=$$(gcc -print-file-name=libasan.so) PYTHONMALLOC=malloc UBSAN_OPTIONS=print_stacktrace=1 \
	    ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1 $(PY) -m pytest -s $(SANITIZED) $(ARGS); \
	    code=$$?; $(EXTENSION); exit $$code

# What decides about bytes and changes of others must be covered by all tests and by those in C alone: tests/house/coverage.py.
# A test that includes a file of csrc/ has a copy of its own, which is not counted.
GATE = $(PY) -m gcovr --merge-mode-functions=separate --filter csrc/ --json build/cov.json
cov: .venv/test .venv/dev
	@mkdir -p build && find build -name "*.gcda" -delete
	@$(SUB) FLAVOUR=cov run
	@CRDTKV_COVERAGE=1 $(EXTENSION)
	@$(PY) -m pytest -q $(SANITIZED) $(ARGS); code=$$?; $(EXTENSION); exit $$code
	@$(GATE) build/c/cov/csrc build/obj
	@$(PY) tests/house/coverage.py build/cov.json $(SHOW)
ccov: .venv/dev
	@mkdir -p build/c && find build/c -name "*.gcda" -delete
	@$(SUB) FLAVOUR=cov run
	@$(GATE) build/c/cov/csrc
	@$(PY) tests/house/coverage.py build/cov.json $(SHOW)

bench: .venv/bench
	@$(EXTENSION)
	@$(PY) benchmarks/run.py $(ARGS)

bench-store: .venv/bench
	@$(EXTENSION)
	@$(SUB) FLAVOUR=bench build/c/bench/bench_store
	@$(PY) benchmarks/store.py $(ARGS)

bench-nats: .venv/test .venv/servers
	@$(EXTENSION)
	@$(PY) benchmarks/jetstream.py $(ARGS)

bench-datastore: .venv/bench
	@$(EXTENSION)
	@$(SUB) FLAVOUR=bench build/c/bench/bench_datastore
	@$(PY) benchmarks/datastore.py $(ARGS)

bench-net: .venv/bench
	@$(EXTENSION)
	@$(PY) benchmarks/net.py --restart $(ARGS)

docs: .venv/docs
	@$(EXTENSION)
	@$(PY) -m sphinx -q -W --keep-going -b html docs build/site && echo build/site/index.html

wheels: .venv/wheels
	@$(PY) tools/wheels.py $(ARGS) $(PYTHONS)

floors: .venv/ready
	@$(PY) tests/house/floors.py

LAYOUT = $(shell find $(wildcard csrc tests benchmarks) -name '*.[ch]')
format: .venv/test .venv/dev
	@.venv/bin/clang-format -i $(LAYOUT)
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format --quiet .

lint: .venv/test .venv/dev
	@$(PY) -m mypy
	@$(PY) -m pyright --pythonpath $(PY)
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/clang-format --dry-run -Werror $(LAYOUT)

clean:
	rm -rf build dist *.egg-info crdtkv/*.so

# ---- the C core without Python: each flavour keeps its objects under build/c/<flavour>

ctest: .venv/ready
	@$(SUB) FLAVOUR=test run
asan tsan: .venv/ready
	@$(SUB) FLAVOUR=$@ run

S ?= 60
fuzz: .venv/ready
	@sh tools/prepare.sh "clang=clang $$(apt-cache show libclang-rt-dev >/dev/null 2>&1 && echo libclang-rt-dev)"
	@$(SUB) FLAVOUR=fuzz CC=clang $(if $T,build/c/fuzz/fuzz_$T,fuzzers)
ifdef T
	@mkdir -p build/corpus/$T tests/fuzz/corpus/$T
	build/c/fuzz/fuzz_$T -max_total_time=$S -timeout=20 -entropic=0 -artifact_prefix=build/corpus/$T- \
	    build/corpus/$T tests/fuzz/corpus/$T
else
	@$(PY) tests/fuzz/run.py --seconds $S $(ARGS)
endif

mutate: .venv/ready
	@$(SUB) FLAVOUR=test build/c/test/test_mutate
	@build/c/test/test_mutate $(or $N,1000000)

cbench: .venv/ready
	@$(SUB) FLAVOUR=bench benches
	@$(PY) benchmarks/flat.py
	@for bench in $(or $(B),$(BENCHES)); do build/c/bench/$$bench $(ARGS) || exit 1; done

sessions: .venv/bench
	@$(EXTENSION)
	@$(PY) benchmarks/sessions.py $(ARGS)

bft: .venv/ready
	@$(SUB) FLAVOUR=bench build/c/bench/bench_bft build/c/bench/bench_text
	@$(SUB) FLAVOUR=bare build/c/bare/bench_bft build/c/bare/bench_text
	@$(PY) benchmarks/flat.py
	@$(PY) benchmarks/bft.py $(ARGS)

.PHONY: help docs wheels notebook demo test slow mutations stores datastores crashes dev asan-py cov bench bench-store bench-datastore bench-net bench-nats sessions bft floors format lint clean ctest asan tsan fuzz mutate cbench build run benches sim ccov fuzzers

FLAVOUR ?= test
O := build/c/$(FLAVOUR)
SAN := -fno-omit-frame-pointer -fno-sanitize-recover=all
MODE_test := -O1 -DCKV_DEBUG=1
MODE_asan := -O1 -DCKV_DEBUG=1 -fsanitize=address,undefined $(SAN)
MODE_tsan := -O1 -DCKV_DEBUG=1 -fsanitize=thread $(SAN)
MODE_fuzz := -O1 -DCKV_DEBUG=1 -fsanitize=address,undefined,fuzzer-no-link $(SAN)
MODE_cov := -O0 -DCKV_DEBUG=1 --coverage -fprofile-update=atomic
MODE_bench := -O3 -flto=auto
MODE_bare := $(MODE_bench)
FOREIGN_asan := -O1 -fsanitize=address
FOREIGN_tsan := -O1 -fsanitize=thread
FOREIGN_fuzz := -O1 -fsanitize=address
FOREIGN_bench := -O3
FOREIGN_bare := -O3
MODE := -std=c11 -g $(MODE_$(FLAVOUR))
WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wswitch-enum -Werror

# Only a make for one flavour, started by a target above, wants the libraries: then .venv is there.
ifeq ($(filter-out run run-% build benches fuzzers build/c/%,$(or $(MAKECMDGOALS),help)),)
include build/native.mk
endif
build/native.mk: native_deps.py native-requirements.txt
	@mkdir -p $(@D)
	@$(PY) native_deps.py >$@.new && mv $@.new $@

CORE := $(patsubst %.c,$O/%.o,$(shell find csrc -name '*.c' -not -path 'csrc/py/*'))
CORE += $(patsubst %.c,$O/foreign/%.o,$(notdir $(NATIVE_SOURCES)))
ifeq ($(FLAVOUR),bare)
CORE := $(filter-out %/crypto/digest.o %/crypto/sign.o,$(CORE)) $O/benchmarks/c/bare/crypto.o
endif
TESTS := $(patsubst tests/c/%.c,%,$(wildcard tests/c/test_*.c))
TARGETS := $(patsubst tests/fuzz/fuzz_%.c,replay_%,$(wildcard tests/fuzz/fuzz_*.c))
BENCHES := $(patsubst benchmarks/c/%.c,%,$(wildcard benchmarks/c/*.c))

build: $(TESTS:%=$O/%) $(TARGETS:%=$O/%)
benches: $(BENCHES:%=$O/%)
fuzzers: $(TARGETS:replay_%=$O/fuzz_%)
run: $(TESTS:%=run-%) $(TARGETS:%=run-%)
	@echo "$(FLAVOUR): $(words $^) passed, 0 failed"
run-test_%: $O/test_%
	@printf '%s: ' $(<F); $<
run-replay_%: $O/replay_%
	@printf '%s: ' $(<F); $< $$(find tests/fuzz/corpus/$* -type f 2>/dev/null)

LINK = $(CC) $(MODE) -o $@ $^ $(NATIVE_LIBS) -lm -lpthread
$O/test_%: $O/tests/c/test_%.o $(CORE)
	@$(LINK)
$O/replay_%: $O/tests/fuzz/fuzz_%.o $O/tests/fuzz/replay.o $(CORE)
	@$(LINK)
$O/fuzz_%: $O/tests/fuzz/fuzz_%.o $(CORE)
	@$(LINK) -fsanitize=fuzzer
$(BENCHES:%=$O/%): $O/%: $O/benchmarks/c/%.o $(CORE)
	@$(LINK)

$O/%.o: %.c build/native.mk
	@mkdir -p $(@D)
	@echo "  cc $<"
	@$(CC) $(MODE) $(WARN) -Icsrc -Itests/c $(NATIVE_CFLAGS) -MMD -c -o $@ $<
vpath %.c $(sort $(dir $(NATIVE_SOURCES)))
$O/foreign/%.o: %.c
	@mkdir -p $(@D)
	@echo "  cc $(notdir $<)"
	@$(CC) -std=c11 -g0 -w $(or $(FOREIGN_$(FLAVOUR)),-O1) $(NATIVE_CFLAGS) -c -o $@ $<

.SECONDARY:
-include $(shell find $O -name '*.d' 2>/dev/null)
