# Counterfoil: `make demo`, `make run`, `make test`, `make check`, `make bench`.
# Needs Python 3.11 or later with venv, make and a C compiler; everything else is installed here.

# The distribution's own build of Python comes first where there is one: it is built with profile
# guided optimisation, which a version manager's build often is not, and is a quarter faster here.
PYTHON ?= $(shell for each in /usr/bin/python3 python3; do \
	$$each -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$each; break; }; done)
BIN := .venv/bin
READY := .venv/ready
PROMETHEUS := .venv/prometheus
COMPILED := .venv/compiled
SOURCES := $(wildcard ledger/*.py engine/*.py engine/rules/*.py posd/*.py posd/builders/*.py posd/iso8583/*.py)

.PHONY: demo run test check bench long lock clean

demo: $(COMPILED)
	$(BIN)/python -m tools.demo
	$(BIN)/python -m tests.clearing.readers var/demo/settlement var/demo/data

run: $(COMPILED)
	@test -d var/data || $(BIN)/counterfoil init var/data --demo
	$(BIN)/counterfoil serve var/data --confirm-clock

test: check $(COMPILED) $(PROMETHEUS)
	$(BIN)/pytest -n 2 --dist loadfile

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry .

# All of it takes more than an hour; `make bench ONLY=speed` is the daemon under load and its yardsticks.
bench: $(COMPILED)
	$(if $(ONLY),,$(BIN)/pytest --benchmark-only --benchmark-columns=median,iqr,ops benchmarks)
	$(BIN)/python -m benchmarks $(ONLY)

# The long forms of the slow campaigns: simulation, crash, state machine.
long: $(COMPILED)
	COUNTERFOIL_LONG=1 $(BIN)/pytest -n 2 --dist loadfile tests

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

# The modules on the path of a message become machine code, half as fast again; see tools/compile.py.
$(COMPILED): $(READY) $(SOURCES) tools/compile.py
	$(BIN)/python -m tools.compile
	@touch $@

# Debian's Prometheus, unpacked and not installed: tests check the alert rules with its promtool and
# let it scrape the daemon. Where it cannot be had they are skipped, with a word.
$(PROMETHEUS): $(READY)
	@mkdir -p $@
	@command -v promtool >/dev/null || { cd $@ && apt-get -qq download prometheus 2>/dev/null \
		&& dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb; } \
		|| echo "Debian's package prometheus cannot be had here: tests with it are skipped"

# After a change of dependencies in pyproject.toml.
lock:
	$(BIN)/pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--extra development --output-file requirements.lock pyproject.toml

clean:
	-$(BIN)/python -m tools.compile --clean
	rm -rf .venv var build *.egg-info
