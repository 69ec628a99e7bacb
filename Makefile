# `make` lists the commands. Variables: PYTHON3 is the interpreter (3.11 or newer), VENV the folder of its environment,
# PORT and SIMULATOR_PORT are the ports of `make run`, for example `make run PORT=8001 SIMULATOR_PORT=8011`; with
# FAULTS=1 it breaks the shop on purpose.

PYTHON3 ?= python3
VENV ?= .venv
PORT ?= 8000
SIMULATOR_PORT ?= 8010
TRANSPORT ?= redis
CONTRACT_SEED ?= 9457
CONTRACT_EXAMPLES ?= 200
BIN := $(VENV)/bin
LOCKED = $(shell sed -nE 's/^([a-z][A-Za-z0-9._-]*)(\[[a-z,]*\])?==.*/\1/p' requirements.lock)
COMPILE := uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header

# The tests start hundreds of processes, each of which would compile the project again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run split test journeys bench torture conformance browser collection screenshots contract fuzz schema translations docs check format lock licences sbom clean

help: ## list these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

run: $(VENV)/installed ## install, migrate, fill in demo data and serve until Ctrl-C; FAULTS=1 breaks the shop for practice
	$(BIN)/python manage.py up --demo $(if $(FAULTS),--faults) --port $(PORT) --simulator-port $(SIMULATOR_PORT)

test: $(VENV)/installed ## install and run the tests, on SQLite or the database of DATABASE_URL
	$(BIN)/python -m pytest -n auto --dist worksteal

split: $(VENV)/installed-split ## serve the demo by four services over TRANSPORT (redis, amqp or kafka) until Ctrl-C
	$(BIN)/python manage.py up --demo --split $(TRANSPORT) --port $(PORT) --simulator-port $(SIMULATOR_PORT)

journeys: $(VENV)/installed-split ## order, pay, cancel and be told by four services over Redis Streams, RabbitMQ and Kafka
	$(BIN)/python -m pytest -m split

bench: $(VENV)/installed $(if $(findstring --compare,$(BENCH)),$(VENV)/compare/installed) ## measure throughput, latency and CPU time, on SQLite and the PostgreSQL database of DATABASE_URL; BENCH=--desk: pages of the admin; BENCH=--compare: beside Celery
	$(BIN)/python -m tests.bench $(BENCH)

torture: $(VENV)/installed-split ## place TORTURE_ORDERS (2000), send TORTURE_MAILS (5000) while processes, services and servers are killed; count effects
	$(BIN)/python -m pytest -m torture -s -o faulthandler_timeout=0

conformance: $(VENV)/installed-dev ## run every case over every broker, on SQLite and the PostgreSQL database of DATABASE_URL; write docs/reference/transports.md
	$(BIN)/python -m tests.messaging.transports.table

browser: $(VENV)/installed-dev $(VENV)/node/installed ## order, follow and cancel in a running shop with headless Chromium, and check every page (Debian: chromium, chromium-driver, npm)
	$(BIN)/python -m pytest -m browser

collection: $(VENV)/installed $(VENV)/node/installed ## send the requests of the API collection to a demo shop by newman (Node and npm)
	$(BIN)/python -m pytest -m browser -rs tests/browser/test_collection.py

screenshots: $(VENV)/installed-dev ## take docs/screenshots again
	$(BIN)/python -m tests.browser docs/screenshots

contract: $(VENV)/installed ## generate CONTRACT_EXAMPLES (200) requests per operation from docs/openapi.yaml and check the responses
	CONTRACT_SEED=$(CONTRACT_SEED) CONTRACT_EXAMPLES=$(CONTRACT_EXAMPLES) $(BIN)/python -m pytest tests/shop/openapi/test_contract.py \
		-o faulthandler_timeout=0

fuzz: $(VENV)/installed ## send FUZZ_REQUESTS (20000) almost valid requests to every route, on SQLite and the database of DATABASE_URL
	$(BIN)/python -m tests.fuzz

schema: $(VENV)/installed ## write what docs has from the code: openapi.yaml, the collection, asyncapi.yaml, the reference
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml
	$(BIN)/python manage.py export_collection
	$(BIN)/python manage.py export_asyncapi
	$(BIN)/python manage.py export_reference

translations: $(VENV)/installed ## collect the texts to translate, and compile the translations (Debian: gettext)
	for app in shop orders payments notifications; do \
		(cd $$app && $(abspath $(BIN))/django-admin makemessages --locale de --no-location --no-wrap --no-obsolete \
			&& $(abspath $(BIN))/django-admin compilemessages --verbosity 0) || exit 1; \
	done

docs: $(VENV)/installed-docs ## build the documentation site in docs/_build, with search, to read offline (Debian: graphviz)
	$(BIN)/sphinx-build --conf-dir docs --nitpicky --fail-on-warning --keep-going --fresh-env --quiet . docs/_build

check: $(VENV)/installed-dev ## check lint, types, imports, commit messages, migrations, the API description and production settings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/check_commits.py
	DATABASE_URL=sqlite://:memory: $(BIN)/python manage.py makemigrations --check --dry-run
	DATABASE_URL=sqlite://:memory: $(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null
	DEBUG=0 ALLOWED_HOSTS=shop.example SECRET_KEY="$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
		DATABASE_URL=postgres://shop.example/shop REDIS_URL=redis://shop.example/0 OPERATOR_EMAIL=operator@shop.example \
		SHOP_URL=https://shop.example \
		PAYMENT_GATEWAY=payments.gateway.adapters.stripe.StripeGateway STRIPE_API_KEY=rk_live_of_a_shop \
		PAYMENT_WEBHOOK_SECRETS=whsec_ofAShopThatIsOnlyCheckedByMakeCheck $(BIN)/python manage.py check --deploy --fail-level WARNING

format: $(VENV)/installed-dev ## format code and sort imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/installed-dev ## write the locks for deployments from pyproject.toml: requirements.lock, and one for each extra
	$(BIN)/$(COMPILE) pyproject.toml >requirements.lock
	echo "-r requirements.lock" >requirements-stripe.lock
	grep -oE 'stripe==[0-9.]+' pyproject.toml | $(BIN)/$(COMPILE) --no-deps - >>requirements-stripe.lock
	echo "-r requirements.lock" >requirements-sentry.lock
	grep -oE 'sentry-sdk==[0-9.]+' pyproject.toml | $(BIN)/$(COMPILE) --no-deps - >>requirements-sentry.lock
	grep -oE 'opentelemetry-exporter-otlp-proto-http==[0-9.]+' pyproject.toml | $(BIN)/$(COMPILE) -c requirements.lock - >requirements-otlp.lock
	grep -oE 'pika==[0-9.]+' pyproject.toml | $(BIN)/$(COMPILE) - >requirements-amqp.lock
	grep -oE 'confluent-kafka==[0-9.]+' pyproject.toml | $(BIN)/$(COMPILE) - >requirements-kafka.lock

licences: $(VENV)/installed-dev ## list the licences of the run-time dependencies in requirements.lock
	$(BIN)/pip-licenses --from=mixed --order=license --packages $(LOCKED)

sbom: $(VENV)/installed-dev ## write dist/sbom.json, the dependencies of requirements.lock with hashes, in CycloneDX
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible \
		--output-format JSON --output-file dist/sbom.json

clean: ## remove the virtual environment and caches, but no databases
	rm -rf $(VENV) staticfiles docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: requirements.txt requirements-brokers.txt
	@echo "Installing into $(VENV), once: this takes a minute or two."
	$(PYTHON3) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-brokers.txt
	touch $@

$(VENV)/installed-split: requirements-split.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-split.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(VENV)/installed-docs: requirements-docs.txt
	test -d $(VENV) || $(PYTHON3) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	touch $@

$(VENV)/compare/installed: tests/bench/compare/requirements.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(@D) -r $<
	touch $@

$(VENV)/node/installed: docs/examples/package.json $(VENV)/installed
	mkdir -p $(@D)
	cp docs/examples/package.json $(@D)
	npm install --prefix $(@D) --no-package-lock --no-audit --no-fund
	touch $@
