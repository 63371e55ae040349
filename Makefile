# The verbs of the platform. `make help` lists them; STACK=dev unless said otherwise.
SHELL := /bin/bash
STACK ?= dev
# The shell reads every variable from its environment, in quotes: what it holds is a value, and no command.
export STACK
PYTHON := .venv/bin/python
VENV := .venv/.complete
OPERATE := $(PYTHON) -m operate --stack="$$STACK"

.DEFAULT_GOAL := help
.PHONY: help up down status query secrets images node-exporter render preview policies check-service documents backup restore \
  test test-unit test-rules test-alerting test-stack test-hosts test-kubernetes bad-input quiet-week rebaseline capacity review storm fire faults drill bench \
  record-metrics dashboards-page lint format lock cluster-up cluster-down

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -t -s "$$(printf '\t')"

$(VENV): requirements.txt operate/bootstrap.sh
	@operate/bootstrap.sh

up: $(VENV) ## set up everything and start the stack
	@$(OPERATE) up

down: $(VENV) ## stop the stack; data stays unless PURGE=1 (on a cluster UNPROTECT=1 besides)
	@$(OPERATE) down $(if $(PURGE),--purge) $(if $(UNPROTECT),--unprotect)

status: $(VENV) ## components, addresses, state
	@$(OPERATE) status

query: $(VENV) ## what a PromQL expression gives now: make query Q='up == 0'
	@$(OPERATE) query -- "$$Q"

secrets: $(VENV) ## create the Secrets of a stack on Kubernetes from the environment
	@$(OPERATE) secrets

images: $(VENV) ## pull the pinned images, or build what cannot be pulled
	@$(OPERATE) images

node-exporter: $(VENV) ## build the program that playbooks/node-exporters.yml puts on bare hosts, without a download
	@$(OPERATE) node-exporter

render: $(VENV) ## write the stack's resources below .render/$(STACK)
	@$(PYTHON) -m infra.render --stack="$$STACK"

preview: $(VENV) ## what the working tree changes against BASE (HEAD), without an engine or credentials, as Markdown
	@$(OPERATE) preview $(if $(BASE),--base="$$BASE")

backup: $(VENV) ## save metrics, logs and silences of a stack on Kubernetes: make backup STACK=prod TO=folder
	@$(OPERATE) backup -- "$$TO"

restore: $(VENV) ## put a backup into a running stack on Kubernetes: make restore STACK=prod FROM=folder
	@$(OPERATE) restore -- "$$FROM"

documents: $(VENV) ## write the documents that follow from rules, contract and drills, and what opens each runbook
	@$(OPERATE) documents

policies: $(VENV) ## what the stack declares against the policies of policies/ and checkov's, without an engine
	@$(OPERATE) policies

check-service: $(VENV) ## does a running service keep the contract? URL=http://host:port SERVICE=name
	@$(OPERATE) check-service --url="$$URL" --service="$$SERVICE" $(if $(CAPABILITIES),--capabilities="$$CAPABILITIES")

# Three processes: the two live stacks and the alerting tests mostly wait; what computes begins when one of them is done.
test: lint ## everything: lint, unit, rule and alerting tests, the live stack `test` on Docker, `staging` on a cluster
	@$(PYTHON) -m pytest --numprocesses=3

test-unit: $(VENV) ## tests that need no Docker
	@$(PYTHON) -m pytest tests/unit

test-rules: $(VENV) ## both sides of every alert, with promtool; about a minute
	@$(PYTHON) -m pytest --numprocesses=2 tests/rules

test-alerting: $(VENV) ## routes, inhibition, messages and storms with a real Prometheus and Alertmanager
	@$(PYTHON) -m pytest tests/alerting

test-stack: $(VENV) ## tests against the live stack `test`
	@$(PYTHON) -m pytest tests/stack

test-hosts: $(VENV) ## tests of the playbooks, against hosts with systemd and SSH of their own
	@$(PYTHON) -m pytest tests/hosts

test-kubernetes: $(VENV) ## tests against the stack `staging` on a real cluster
	@$(PYTHON) -m pytest tests/kubernetes

bad-input: $(VENV) ## break files, command lines and requests in TIMES (10) times as many ways as make test; half an hour
	@BAD_INPUT="$${TIMES:-10}" $(PYTHON) -m pytest --numprocesses=2 tests/unit/generated

quiet-week: $(VENV) ## replay the rules over a simulated week of normal traffic; nobody may be paged
	@$(OPERATE) quiet-week

rebaseline: $(VENV) ## thresholds against DAYS (30) of history: what they compare, what fired for nothing, proposals; CHECK=1 tests that
	@$(OPERATE) rebaseline $(if $(DAYS),--days="$$DAYS") $(if $(PROMETHEUS),--prometheus="$$PROMETHEUS") $(if $(ALL),--all) $(if $(CHECK),--check)

capacity: $(VENV) ## what grows, when it reaches its limit, what to change by when, from DAYS (30) of history
	@$(OPERATE) capacity $(if $(DAYS),--days="$$DAYS") $(if $(PROMETHEUS),--prometheus="$$PROMETHEUS")

review: $(VENV) ## the alerts of the last DAYS (7), who was called when, and the data stores; with a text for Slack
	@$(OPERATE) review $(if $(DAYS),--days="$$DAYS") $(if $(PROMETHEUS),--prometheus="$$PROMETHEUS") $(if $(ALERTMANAGER),--alertmanager="$$ALERTMANAGER")

storm: $(VENV) ## lose 200 services, a host, a database, the network, and count the pages; half an hour
	@STORM=full $(PYTHON) -m pytest tests/alerting/test_storm.py

fire: $(VENV) ## break the platform's own programs, disk, clock, names and targets; count what is lost and who is told; over an hour
	@FIRE=full $(PYTHON) -m pytest tests/fire

faults: $(VENV) ## faults of the platform on a cluster, among them a volume that stays full for ten minutes
	@FAULTS=full $(PYTHON) -m pytest tests/kubernetes/test_a_apply.py tests/kubernetes/test_f_faults.py

drill: $(VENV) ## provoke alerts on the running stack, and see their messages arrive: make drill ALERT=ServiceDown
	@$(OPERATE) drill $(if $(ALERT),--alert="$$ALERT") $(if $(REPEAT),--repeat="$$REPEAT") $(if $(LEFT),--left) $(if $(DELIVERY),--delivery) $(if $(YES),--yes)

cluster-up: $(VENV) ## a Kubernetes cluster for the tests: KUBECONFIG's, kind's, or two nodes from packages
	@$(PYTHON) -m tests.cluster up

cluster-down: $(VENV) ## stop that cluster and remove its data; KEEP=1 keeps etcd, volumes and images
	@$(PYTHON) -m tests.cluster down $(if $(KEEP),--keep)

record-metrics: $(VENV) ## record what the exporters of the running stack expose, for the tests of the rules
	@$(OPERATE) record-metrics

dashboards-page: $(VENV) ## the dashboards as one HTML page, without a Grafana; SNAPSHOT=file draws saved answers
	@$(OPERATE) dashboards-page $(if $(SNAPSHOT),--snapshot="$$SNAPSHOT")

lint: $(VENV) ## ruff, mypy, yamllint, ansible-lint, and each tool's own checker over its configuration
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet .
	@$(PYTHON) -m mypy infra operate policies simulator tests .github/scripts
	@.venv/bin/yamllint --strict .
	@PATH=$(CURDIR)/.venv/bin:$$PATH ansible-lint -q
	@.venv/bin/ansible-playbook --syntax-check playbooks/*.yml >/dev/null
	@$(OPERATE) check

format: $(VENV) ## rewrite the Python sources in the house format
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format --quiet .

lock: $(VENV) ## pin every dependency anew, with hashes
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --extra dev pyproject.toml simulator/requirements.in --output-file requirements.txt
	@.venv/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --python-platform x86_64-manylinux_2_28 simulator/requirements.in --output-file simulator/requirements.txt
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  operate/checkov/requirements.in --output-file operate/checkov/requirements.txt

bench: $(VENV) ## as figures: start, idle load, dashboards, up to a million series, the playbook on 50 hosts (root); ONLY=scale
	@$(OPERATE) bench $(if $(ONLY),--only="$$ONLY") $(if $(SERIES),--series="$$SERIES") $(if $(DOCUMENT),--document) \
	  $(if $(RULES_BESIDE),--rules-beside="$$RULES_BESIDE") $(if $(COLLECTION),--collection="$$COLLECTION")
	@$(if $(ONLY)$(DOCUMENT),:,$(PYTHON) -m tests.hosts bench)
