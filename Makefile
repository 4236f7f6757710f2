# What is built, tested and shown here. `make` alone lists it.
# Everything that the machine lacks is set up on first use, in a cache outside the tree; CONTRIBUTING.md says how.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build test test-go race rehearse lint fuzz proof bench idle soak screenshots demo deb reproducible vuln sbom clean

# The environment of ROS 2 and of the tools that tests use, as scripts/setup wrote it.
ENVIRONMENT = source .cache/ros.env && source .cache/tools.env
TEST_TIMEOUT ?= 30m
# For example: make test PACKAGES=./agent/internal/engine ARGS='-run Kill -v'
PACKAGES ?= ./...
ARGS ?=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## find or set up ROS 2, the interfaces, their Go bindings, esptool, its stubs, goosebit, Mosquitto and promtool
	@scripts/setup ros
	@scripts/setup tools

build: setup ## build bin/ota-agent, bin/ota-sim, bin/ota-sign and bin/ota-fleet
	@$(ENVIRONMENT) && scripts/build bin
	@echo "built: $$(ls -d bin/ota-* | tr '\n' ' ')"

test: setup ## run all tests, those against ROS 2 and esptool included
	@go vet ./...
	@$(ENVIRONMENT) && go test -tags ros2 -timeout $(TEST_TIMEOUT) $(ARGS) $(PACKAGES)

test-go: ## run the tests that need Go alone
	go test -timeout $(TEST_TIMEOUT) $(ARGS) $(PACKAGES)

# tests/ starts real processes, which are not built for it.
race: setup ## run the tests under the race detector, those against ROS 2 and a day of noise included
	@$(ENVIRONMENT) && go test -tags ros2 -race -timeout 2h $(ARGS) $$(go list -tags ros2 $(PACKAGES) | grep -vE '/(tests|bench|internal/rosmsgs.*)$$')

rehearse: ## take 1,000 seeded rollouts through their gates, of a harmless and of a harmful release
	@ROBOT_OTA_REHEARSALS=1000 go test ./fleet/internal/rollout -count=1 -run Rehearse -v | grep -v '^='

lint: setup ## check Go (with and without ROS 2), shell and Python
	@scripts/lint

fuzz: ## fuzz every parser of outside bytes, each for FUZZTIME=20s; FUZZ=name chooses
	@scripts/fuzz

proof: setup ## interrupt updates at every point, tell every lie, write docs/proof.md; TIME=30m, SEED=1, POINT=one
	@$(ENVIRONMENT) && PROOF_TAGS=ros2 scripts/proof

bench: build ## compare the agent and the fleet with their peers in one table (BENCH=full: every case; ARGS=-part robot)
	@$(ENVIRONMENT) && scripts/bench $(ARGS)

idle: build ## measure the agent at rest and in updates, beside nodes of rclgo alone, and how soon it answers
	@$(ENVIRONMENT) && scripts/idle

soak: build ## let an agent live through noise, in fake time (SOAKS=4 days) and for real (SOAKTIME=10m); fail when it grows
	@$(ENVIRONMENT) && scripts/soak

screenshots: ## draw the dashboard's pictures in docs/pictures anew, with Chromium
	@mkdir -p docs/pictures
	@ROBOT_OTA_SCREENSHOTS=$(CURDIR)/docs/pictures go test -count 1 -run TestScreenshots ./fleet/internal/dashboard

demo: build ## show updates from the trigger to the end, in three acts: by ROS 2, by MQTT, to a fleet
	@$(ENVIRONMENT) && scripts/demo

deb: setup ## build the Debian packages into dist/
	@$(ENVIRONMENT) && scripts/deb

reproducible: setup ## build all programs twice, in different places, and compare their bytes
	@$(ENVIRONMENT) && scripts/reproducible

vuln: setup ## look for known vulnerabilities in what the programs call
	@$(ENVIRONMENT) && scripts/vuln

sbom: build ## write a bill of materials (CycloneDX) of each program into dist/
	@scripts/sbom bin dist

clean: ## remove what was built and generated in the tree; the cache stays
	rm -rf bin dist .cache internal/rosmsgs agent/internal/esprom/stub/*.json
