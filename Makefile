# make help lists what there is.
SHELL   := /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
# The library's own manual page, which ours replaces, would bring a Markdown parser.
TAGS    := urfave_cli_no_docs
LDFLAGS := -s -w -X dnsmonster-sensor/sensor/cli.version=$(VERSION) -X dnsmonster-sensor/sensor/cli.linkedCommit=$(COMMIT)
TOOLS   := packaging/dev/install-tools.sh
GO      ?= go
SUITE    = $(GO) run ./test/lab/suite

.PHONY: help build run demo test test-all test-race test-kernels test-fuzz test-soak test-large bench bench-live bench-stages bench-bpf bench-psql generate lint fmt clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

build: ## build ./dnsmonster-sensor, static, with Go alone
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags $(TAGS) -ldflags '$(LDFLAGS)' -o dnsmonster-sensor .

run: build ## as root: capture from the interface of the default route, or IFACE=..., to the terminal
	@iface="$(IFACE)"; [ -n "$$iface" ] || iface=$$(awk '$$2 == "00000000" { print $$1; exit }' /proc/net/route); \
	  [ -n "$$iface" ] || { echo "no default route: name an interface, such as: make run IFACE=lo"; exit 1; }; \
	  echo "attaching to $$iface; Ctrl-C ends"; exec ./dnsmonster-sensor attach "$$iface"

demo: build ## as root: a veth pair, a real server, real queries, records on the terminal
	@$(TOOLS) run
	@packaging/dev/demo.sh

test: ## as root: all tests, scenes at their short length; installs the tools they need
	@$(TOOLS) test
	$(GO) vet ./...
	@$(SUITE) -budget 8m

test-all: ## as root: the same, scenes at full length, and what is claimed about speed
	@$(TOOLS) test
	$(GO) vet ./...
	@$(SUITE) -tier all -budget 16m

test-race: ## as root: all tests but the kernel's scenes, with the race detector
	@$(TOOLS) test
	@$(TOOLS) race
	@$(SUITE) -race -budget 10m

# What these count does not depend on the kernel; in the emulator each takes a quarter of a minute. `go run ./test/oldkernels` runs them too.
SAME_ON_ALL_KERNELS := Defect04SamplingKeepsExactlyThatMany|RecordTellsSampling|TunnelSampling|TunnelsNotChosen|TunnelsChosenByHalves|TunnelsAgreeWithUserSpace

test-kernels: ## load, attach and capture on Debian's 5.10, 6.1 and 6.12 kernels under qemu
	@$(TOOLS) test
	@$(TOOLS) kernels
	$(GO) run ./test/oldkernels -- -test.skip '^Test($(SAME_ON_ALL_KERNELS))$$'

test-fuzz: ## by hand: each fuzz target for FUZZTIME (1m)
	@packaging/dev/fuzz.sh $(or $(FUZZTIME),1m)

test-soak: ## by hand, as root: minutes of outages, cuts and kills
	@$(TOOLS) test
	@$(SUITE) -tier soak -run '^TestSoak' -timeout 2h

test-large: ## by hand, as root: floods and files of gigabytes
	@$(TOOLS) test
	@$(SUITE) -tier large -run '^TestLarge' -timeout 2h

bench: build ## as root the first time: CPU, memory and ratios beside a reference, on captures of real servers; DOC=docs/benchmarking.md
	@$(TOOLS) bench
	$(GO) run ./test/bench -rounds $(or $(ROUNDS),5) $(if $(DOC),-doc $(DOC))

bench-live: build ## as root: CPU for each packet and the highest rate without loss, beside a reference; DOC=...
	@$(TOOLS) bench
	$(GO) run ./test/bench live $(if $(DOC),-doc $(DOC))

bench-stages: ## what each stage costs by itself, COUNT times, for benchstat: build/stages.txt
	@mkdir -p build
	$(GO) test -p 1 -run '^$$' -bench . -count $(or $(COUNT),1) -timeout 30m ./userspace/... ./sensor/capture/... ./outputs ./outputs/format | tee build/stages.txt

bench-bpf: ## as root: what the kernel program costs per packet, beside an empty one
	$(GO) test ./bpf -run '^$$' -bench . -benchtime 1x

bench-psql: ## as root: rows a second into PostgreSQL, beside a bare COPY loop of the same rows
	SENSOR_TEST_TIER=all $(GO) test ./outputs/psql -count 1 -run '^TestSpeed$$' -bench Encode -v | grep -E 'rows|ns/row|FAIL|ok'

generate: ## compile the BPF programs again (needs clang)
	@$(TOOLS) generate
	$(GO) generate ./bpf ./test/bench/generator

lint: ## gofmt, vet, staticcheck, clang-format
	@$(TOOLS) lint
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...
	clang-format --dry-run --Werror bpf/*.c bpf/*.h test/bench/generator/*.c

clean: ## remove what was built
	rm -rf dnsmonster-sensor build
