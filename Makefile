# `make` says what there is. Each target does its own set-up.
SHELL := /bin/bash
PYTHON_IN_VENV := .venv/bin/python
PATHS := container client deploy testkit tests bench notebooks
LINTED = $(wildcard $(PATHS))
SHELL_SCRIPTS = $(shell git ls-files --cached --others --exclude-standard | xargs grep -lE '^\#!(/usr/bin/env bash|/bin/(ba)?sh)' 2>/dev/null)
DOCKERFILES = $(wildcard Dockerfile client/Dockerfile)

.PHONY: help
help: ## what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: ## replay simulated days through a real server, and chart what was decided
	@scripts/setup-venv.sh demo
	@$(PYTHON_IN_VENV) -m autopilot.cli demo

.PHONY: serve
serve: ## the endpoint in the foreground, on SAGEMAKER_BIND_TO_PORT or 8080
	@scripts/setup-venv.sh demo
	@exec env OPENBLAS_NUM_THREADS=1 $(PYTHON_IN_VENV) -m autopilot.serve.supervisor

.PHONY: desk
desk: ## endpoint, client, a matchmaker and a fleet that boots its servers, on this machine (ARGS: --day 10 --boot 20-40)
	@scripts/setup-venv.sh desk
	@local-test/desk.sh $(ARGS)

.PHONY: backtest
backtest: ## score the policy on your own demand: make backtest CSV=demand.csv ARGS="--price 0.10"
	@scripts/setup-venv.sh demo
	@$(PYTHON_IN_VENV) -m autopilot.cli backtest $(CSV) $(ARGS)

.PHONY: explore
explore: ## play with your own fleet on a page in the browser: make explore CSV=demand.csv (without: the sample days)
	@scripts/setup-venv.sh explore
	@exec $(PYTHON_IN_VENV) -m autopilot.cli explore $(CSV) $(ARGS)

.PHONY: docs
docs: ## the pages as a site in out/site, with navigation, search and both interfaces
	@scripts/setup-venv.sh docs
	@$(PYTHON_IN_VENV) -m sphinx -W --keep-going -q -c docs -d out/site-trees . out/site
	@echo 'The site: out/site/index.html'

.PHONY: pictures
pictures: all ## make the pictures of docs/ that show pages anew
	@PYTHONPATH=container:client:. $(PYTHON_IN_VENV) scripts/pictures.py

.PHONY: train
train: ## train a policy: make train ARGS="--root /tmp/ml -p algorithm=ppo" (ARGS="--help" lists all there is)
	@scripts/setup-venv.sh train
	@$(PYTHON_IN_VENV) container/train $(ARGS)

.PHONY: test
test: all ## every test that needs no Docker engine and no Kubernetes (ARGS goes to pytest)
	@$(PYTHON_IN_VENV) -m pytest -m "not engine and not kube" $(ARGS)

.PHONY: ray
ray: all ## the tests of what works on a Ray cluster; Ray goes to .venv/ray, beside what is tested otherwise
	@[ -z "$$(find container/requirements-ray.txt container/requirements-tune.txt -newer .venv/ray/.done 2>&1)" ] || { scripts/with-progress.sh setup $(PYTHON_IN_VENV) -m pip install --no-deps --disable-pip-version-check --upgrade --target .venv/ray -r container/requirements-ray.txt -r container/requirements-tune.txt && touch .venv/ray/.done; }
	@PYTHONPATH=$(CURDIR)/.venv/ray $(PYTHON_IN_VENV) -m pytest -k "ray" tests/engines tests/training/test_trials.py $(ARGS)

.PHONY: lint
lint: all ## ruff, mypy, shellcheck, hadolint
	@.venv/bin/ruff check $(LINTED)
	@.venv/bin/ruff format --check $(LINTED)
	@.venv/bin/mypy --strict
	@.venv/bin/shellcheck $(SHELL_SCRIPTS)
	@.venv/bin/hadolint $(DOCKERFILES)

.PHONY: bench
bench: all ## measure; prints figures, fails on none
	@for script in $$(grep -l __main__ bench/*.py); do echo "== $$script"; PYTHONPATH=container:client:. $(PYTHON_IN_VENV) "$$script" || echo "(not measured here: see above)"; done

.PHONY: fuzz
fuzz: all ## a million hostile inputs for every parser, then schemathesis on the running stack (ARGS goes to the first)
	@PYTHONPATH=container:client:. $(PYTHON_IN_VENV) bench/fuzz.py --inputs 1000000 $(ARGS)
	@PYTHONPATH=container:client:. $(PYTHON_IN_VENV) bench/fuzz.py --http 120

.PHONY: soak
soak: all ## days of many fleets through the real stack, with faults drawn by a seed (ARGS: --days --fleets --speed)
	@$(PYTHON_IN_VENV) -m bench.soak $(ARGS)

.PHONY: audit
audit: ## known vulnerabilities, withdrawn releases, licences; says what it could not look up
	@scripts/audit.sh

.PHONY: image
image: ## build the full image and the slim one with Docker
	@./build.sh --local
	@./build.sh --local --target serve

.PHONY: all
all:
	@scripts/setup-venv.sh all
	@if command -v npm >/dev/null && [ -f tests/package.json ] && [ tests/package.json -nt tests/node_modules/.package-lock.json ]; then \
		echo 'setup: installing the test tools of tests/package.json' >&2; npm install --silent --no-audit --no-fund --prefix tests; fi
