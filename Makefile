# Barnabas: `make serve` and `make test` need a fresh Debian with make, Python >= 3.11 and root, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
PYTEST_ARGS ?= -n $(JOBS) --dist loadfile --no-loadscope-reorder
KILLS ?= 25
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 1800
MIXED_SECONDS ?= 1800
# CPython keeps memory on purpose; a small quarantine fills during the warm-up.
MIXED_ASAN_OPTIONS := detect_leaks=0:quarantine_size_mb=32:malloc_context_size=15:abort_on_error=1
BENCH_ARGS ?= --benchmark_min_time=0.1
MICRO_ARGS ?= --benchmark-max-time=0.3 --benchmark-sort=fullname --benchmark-columns=min,median,ops,rounds
# What was compiled in one checkout is not compiled again in another.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
NATIVE := $(shell find csrc tests/native tests/fuzz bench/native -name '*.cc' -o -name '*.h' 2>/dev/null)
PYTHON_CODE := src tests bench ci examples setup.py

.PHONY: help setup build serve test test-quick test-native test-python test-asan test-tsan fuzz lint format clean
.PHONY: docs wheels test-wheels rebuild-wheels test-wheel wheel-tools lint-python lint-native lint-tools peers planted soak mixed-asan
.PHONY: compile-native compile-asan compile-tsan docs-tools
.PHONY: bench bench-quick bench-native bench-micro bench-tools instructions

help:  ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml ci/setup.sh ci/apt-install.sh
	@PYTHON=$(PYTHON) bash ci/setup.sh $(VENV)
	@touch $@

# The code is used where it lies; entry points and the version are installed anew when they change, by the same name of
# python: CMake has it in commands, and what is compiled by another one is compiled anew.
build: $(VENV)/.ready  ## the extension modules and .venv/bin/barnabas
	@ls src/barnabas/_core.*.so >/dev/null 2>&1 || echo "building the core: a few minutes, the first time"
	@CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(BIN)/python setup.py -q build_ext --inplace
	@[ $(VENV)/.installed -nt pyproject.toml ] && [ $(VENV)/.installed -nt setup.py ] || \
	  { flock $(VENV) $(BIN)/python -m pip install -q --no-build-isolation --no-deps -e . && touch $(VENV)/.installed; }

serve: build  ## a broker on 127.0.0.1:9092
	$(BIN)/barnabas serve

test: test-native test-python  ## everything from nothing to a passed test run

planted: build  # the core with bugs in it that tests/faults must find
	@cmake --build build/native -j $(JOBS) --target core_planted

soak: build  ## everything at once against one broker for SOAK_SECONDS, from SOAK_SEED, checked
	cd tests && $(abspath $(BIN))/python -m faults.soak.run --seconds $(SOAK_SECONDS) \
	  $(if $(SOAK_SEED),--seed $(SOAK_SEED))

build/mixed/.configured: CMakeLists.txt | $(VENV)/.ready
	@cmake -S . -B $(@D) -G Ninja -DCMAKE_CXX_FLAGS="-fsanitize=address -fno-omit-frame-pointer" \
	  -DPython_EXECUTABLE=$(abspath $(BIN))/python -DBARNABAS_MODULE_DIR=$(abspath $(@D))/package/barnabas >/dev/null
	@touch $@

# The package beside the one that is in use, with modules that AddressSanitizer watches.
mixed-asan: build/mixed/.configured  ## all there is in one process under AddressSanitizer, for MIXED_SECONDS; memory must not grow
	@cmake --build build/mixed -j $(JOBS)
	@cd src && find barnabas -name '*.py' -exec cp -u --parents -t ../build/mixed/package {} +
	cd tests && PYTHONPATH=$(abspath build/mixed/package) ASAN_OPTIONS=$(MIXED_ASAN_OPTIONS) \
	  LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
	  $(abspath $(BIN))/python -m faults.mixed.run --seconds $(MIXED_SECONDS)

test-quick: build  ## pytest without the slow tests and those of the Java and Go clients
	$(BIN)/pytest $(PYTEST_ARGS) -m 'not slow and not java and not go'

compile-native: build
	@cmake -S . -B build/native -DBARNABAS_TESTS=ON -DBARNABAS_UNITY_TESTS=$(if $(UNITY),ON,OFF) >/dev/null
	@cmake --build build/native -j $(JOBS)

test-native: compile-native  ## the native tests of csrc/
	@$(if $(EVERY_STEP),EVERY_STEP=1) ctest --test-dir build/native -j $$((2 * $(JOBS))) --output-on-failure --no-tests=error

test-python: build planted peers  ## pytest: units, clients, faults; some of the clients against Apache Kafka too
	$(BIN)/pytest $(PYTEST_ARGS) tests/clients -q -m oracle --peer kafka
	$(BIN)/pytest $(PYTEST_ARGS) --kills $(KILLS) $(if $(EVERY_STEP),--every-step)

# Also what the tests would otherwise wait for: jars, and programs on them.
peers:
	@bash ci/setup-peers.sh
	@PYTHONPATH=src:tests $(PYTHON) -m peers

# What sources include costs most, so several are compiled as one.
build/asan/.configured build/tsan/.configured: CMakeLists.txt | lint-tools $(VENV)/.ready
	@cmake -S . -B $(@D) -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_COMPILE_WARNING_AS_ERROR=ON \
	  -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=12 -DBARNABAS_PYTHON=OFF -DBARNABAS_TESTS=ON \
	  $(if $(findstring asan,$@),-DBARNABAS_SANITIZE=address -DBARNABAS_FUZZ=ON,-DBARNABAS_SANITIZE=thread -DBARNABAS_BENCH=ON) >/dev/null
	@touch $@

build/tsan/.configured: | bench-tools

compile-asan compile-tsan: compile-%: build/%/.configured
	@cmake --build build/$* -j $(JOBS)

# In memory, where there is room: there are many small files, and what is looked for is not on the disk.
test-asan test-tsan: export TMPDIR := $(shell [ "$$(df --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 1000000 ] 2>/dev/null && echo /dev/shm || echo $${TMPDIR:-/tmp})

test-asan: compile-asan  ## the native tests with address and undefined-behaviour checks
	@ctest --test-dir build/asan -j $(JOBS) --output-on-failure --no-tests=error

test-tsan: compile-tsan  ## the native tests with data-race checks
	@ctest --test-dir build/tsan -j $(JOBS) --output-on-failure --no-tests=error

fuzz: build compile-asan  ## the native fuzzers, FUZZ_SECONDS of one processor in all
	$(BIN)/python tests/fuzz build/asan $(FUZZ_SECONDS) --jobs $(JOBS)

lint: lint-python lint-native  ## every check that is not a test

lint-python: $(VENV)/.ready
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(BIN)/python ci/tidy.py
	$(BIN)/mypy

lint-tools:
	@bash ci/apt-install.sh clang clang-tidy clang-format libclang-rt-dev

lint-native: $(VENV)/.ready lint-tools
	@echo clang-format; clang-format --dry-run -Werror $(NATIVE)
	@$(BIN)/python ci/clang_tidy.py build/lint $(JOBS)

format: $(VENV)/.ready lint-tools  ## rewrites sources in the house's format
	$(BIN)/ruff check --fix-only -q $(PYTHON_CODE)
	$(BIN)/ruff format -q $(PYTHON_CODE)
	clang-format -i $(NATIVE)

bench: build peers build/bench/kernel_loop  ## Barnabas beside Kafka, Tansu and the kernel; writes bench/RESULTS.md
	$(BIN)/python -m bench --minutes 28 --markdown bench/RESULTS.md

bench-quick: build peers build/bench/kernel_loop  ## the core of it; the report is in build/bench-report
	$(BIN)/python -m bench --quick

.PHONY: build/bench/kernel_loop
build/bench/kernel_loop: build/bench/.configured
	@cmake --build build/bench -j $(JOBS) --target kernel_loop

bench-tools:
	@bash ci/apt-install.sh libbenchmark-dev valgrind

build/bench/.configured: CMakeLists.txt | bench-tools $(VENV)/.ready
	@cmake -S . -B $(@D) -G Ninja -DBARNABAS_PYTHON=OFF -DBARNABAS_BENCH=ON >/dev/null
	@touch $@

bench-native: build/bench/.configured  ## what the parts of csrc/ cost
	@cmake --build build/bench -j $(JOBS)
	@for program in build/bench/*_bench; do $$program $(BENCH_ARGS) || exit; done

bench-micro: build  ## what the parts of src/ cost
	$(BIN)/pytest bench/micro -q --benchmark-enable $(MICRO_ARGS)

# Whether the data path needs more instructions than ci/instructions.json says; UPDATE=1 writes that.
instructions: build/bench/.configured  ## counts the instructions of the data path, with valgrind
	@cmake --build build/bench -j $(JOBS) --target instructions
	$(BIN)/python ci/instructions.py build/bench/instructions $(if $(UPDATE),--update) $(if $(ANY_TOOLCHAIN),--any-toolchain)

WHEELS ?=
wheel-tools: $(VENV)/.ready
	@$(BIN)/pip install -q --disable-pip-version-check $$($(BIN)/python ci/extra.py wheels)

# WHEELS="cp311 cp312" makes and tests only those.
wheels: wheel-tools  ## dist/: the sdist, and a manylinux wheel of each version of Python there is
	@PYTHONPATH=ci JOBS=$(JOBS) CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(BIN)/python -m wheels build $(WHEELS:%=--only %)

test-wheels: wheel-tools  ## each wheel of dist/ in clean environments, with the core of the tests
	@PYTHONPATH=ci $(BIN)/python -m wheels test --pytest="$(PYTEST_ARGS)" $(WHEELS:%=--only %)

rebuild-wheels: wheel-tools  ## each wheel of dist/ once more, elsewhere and without ccache: it must have the same bytes
	@PYTHONPATH=ci JOBS=$(JOBS) CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(BIN)/python -m wheels rebuild $(WHEELS:%=--only %)

test-wheel: build  ## the sdist, compiled as pip does and installed in a clean environment
	@PYTHONPATH=ci CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(BIN)/python -m wheels smoke

docs-tools: $(VENV)/.ready
	@flock $(VENV) $(BIN)/pip install -q --disable-pip-version-check $$($(BIN)/python ci/extra.py docs)

docs: build docs-tools  ## the documentation site, into build/site; a warning fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q --strict

clean:  ## removes what was built, not the environment
	rm -rf build src/barnabas/*.so
