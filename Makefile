# make help lists what there is.
SHELL   := /bin/bash
GO_RUN  := packaging/dev/go.sh
AS_USER := packaging/dev/as-user.sh
AS_ROOT := packaging/dev/as-root.sh
TOOLS   := packaging/dev/install-tools.sh
# The checkout may belong to another user than root, who builds it; a checkout from an archive has no .git.
GIT     := $(AS_USER) git -c safe.directory='*' -c core.fsmonitor=false
VERSION ?= $(shell { [ -e .git ] && $(GIT) describe --tags --always --dirty; } 2>/dev/null || echo dev)
COMMIT  ?= $(shell { [ -e .git ] && $(GIT) rev-parse --short=12 HEAD; } 2>/dev/null || echo unknown)
# The library's own manual page, which ours replaces, would bring a Markdown parser.
TAGS    := urfave_cli_no_docs
LDFLAGS  = -s -w -X dnsmonster-sensor/sensor/cli.version=$(VERSION) -X dnsmonster-sensor/sensor/cli.linkedCommit=$(COMMIT)
SUITE   := $(AS_ROOT) "for the tests' namespaces and servers" $(GO_RUN) run ./test/lab/suite
SOURCES  = $(shell find main.go go.mod go.sum bpf outputs sensor userspace -type f ! -name '*_test.go' ! -path '*/testdata/*')

PREFIX  ?= /usr/local
# Read by the scripts. GO names the go command to use.
export GO IFACE PREFIX DESTDIR

# Go uses all processors by itself; two builds at a time would write the same file.
.NOTPARALLEL:
.PHONY: help build build-all build-libpcap run demo install uninstall test test-all test-race test-kernels test-fuzz test-soak test-large bench bench-live bench-latency bench-stages bench-bpf bench-psql bench-clickhouse bench-dnstap generate lint clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

build: ## build ./dnsmonster-sensor, static, with Go alone; under sudo as the user who called it
	@$(AS_USER) env CGO_ENABLED=0 $(GO_RUN) build -trimpath -buildvcs=false -tags $(TAGS) -ldflags '$(LDFLAGS)' -o dnsmonster-sensor .

build-libpcap: ## build ./dnsmonster-sensor with libpcap, for --mode=pcap; it needs libpcap wherever it runs. Asks sudo for root
	@$(TOOLS) libpcap
	@$(AS_USER) env CGO_ENABLED=1 $(GO_RUN) build -trimpath -buildvcs=false -tags $(TAGS),libpcap -ldflags '$(LDFLAGS)' -o dnsmonster-sensor .

build-all: ## compile for every system and processor that docs/other-systems.md lists, and leave no files
	@$(AS_USER) env TAGS=$(TAGS) packaging/dev/build-all.sh

dnsmonster-sensor: $(SOURCES)
	@$(MAKE) --no-print-directory build

run: build ## capture to the terminal from the interface of the default route, or IFACE=...; more options: ARGS='-c 5'. Asks sudo for root
	@packaging/dev/run.sh $(ARGS)

demo: build ## a veth pair, a real server, real queries, records on the terminal. Asks sudo for root
	@$(TOOLS) run
	@$(AS_ROOT) "for network namespaces" packaging/dev/demo.sh

install: dnsmonster-sensor ## as root: install below PREFIX (/usr/local): program, manual page, completions, unit, samples; DESTDIR for packages
	@packaging/install.sh install

uninstall: ## as root: remove what make install has installed; configuration and data stay
	@packaging/install.sh uninstall

test: ## all tests, scenes at their short length; installs the tools they need. Asks sudo for root
	@$(TOOLS) test
	@$(AS_USER) $(GO_RUN) vet ./...
	@$(SUITE) -budget 8m

test-all: ## the same, scenes at full length, and what is claimed about speed. Asks sudo for root
	@$(TOOLS) test
	@$(AS_USER) $(GO_RUN) vet ./...
	@$(SUITE) -tier all -budget 16m

test-race: ## all tests but the kernel's scenes, with the race detector. Asks sudo for root
	@$(TOOLS) test
	@$(TOOLS) race
	@$(SUITE) -race -budget 10m

# What these count does not depend on the kernel; in the emulator each takes a quarter of a minute. `go run ./test/oldkernels` runs them too.
SAME_ON_ALL_KERNELS := RingBeyond4GiB|XDPWithLargeMTU|Defect04SamplingKeepsExactlyThatMany|RecordTellsSampling|TunnelSampling|TunnelsNotChosen|TunnelsChosenByHalves|TunnelsAgreeWithUserSpace|FilterPassesWhatTheProgramDelivers

test-kernels: ## load, attach and capture on Debian's 5.10, 6.1 and 6.12 kernels under qemu
	@$(TOOLS) test
	@$(TOOLS) kernels
	@$(AS_USER) $(GO_RUN) run ./test/oldkernels -- -test.skip '^Test($(SAME_ON_ALL_KERNELS))$$'

test-fuzz: ## by hand: each fuzz target for FUZZTIME (1m)
	@$(AS_USER) $(GO_RUN) --with packaging/dev/fuzz.sh $(or $(FUZZTIME),1m)

test-soak: ## by hand: minutes of outages, cuts and kills. Asks sudo for root
	@$(TOOLS) test
	@$(SUITE) -tier soak -run '^TestSoak' -timeout 2h

test-large: ## by hand: floods and files of gigabytes. Asks sudo for root
	@$(TOOLS) test
	@$(SUITE) -tier large -run '^TestLarge' -timeout 2h

bench: build ## CPU, memory and ratios beside a reference, on captures of real servers; DOC=docs/benchmarking.md
	@$(TOOLS) bench
	@$(AS_ROOT) "to record the captures" $(GO_RUN) run ./test/bench -rounds $(or $(ROUNDS),5) $(if $(DOC),-doc $(DOC))

bench-live: build ## CPU for each packet and the highest rate without loss, beside a reference; DOC=...
	@$(TOOLS) bench
	@$(AS_ROOT) "for network namespaces" $(GO_RUN) run ./test/bench live $(if $(DOC),-doc $(DOC))

bench-latency: build ## how much later a server answers because the sensor watches it; DOC=... Asks sudo for root
	@$(TOOLS) bench
	@$(AS_ROOT) "for network namespaces" $(GO_RUN) run ./test/bench latency $(if $(DOC),-doc $(DOC))

bench-stages: ## what each stage costs by itself, COUNT times, for benchstat: build/stages.txt
	@$(AS_USER) mkdir -p build
	@$(AS_USER) $(GO_RUN) test -p 1 -run '^$$' -bench . -count $(or $(COUNT),1) -timeout 30m ./userspace/... ./sensor/capture/... ./outputs ./outputs/format | $(AS_USER) tee build/stages.txt

bench-bpf: ## what the kernel program costs per packet, beside an empty one. Asks sudo for root
	@$(AS_ROOT) "to load programs into the kernel" $(GO_RUN) test ./bpf -run '^$$' -bench . -benchtime 1x

bench-psql: ## rows a second into PostgreSQL, beside a bare COPY loop of the same rows. Asks sudo for root
	@$(AS_ROOT) "for a server" env SENSOR_TEST_TIER=all $(GO_RUN) test ./outputs/psql -count 1 -run '^TestSpeed$$' -bench Encode -v | grep -E 'rows|ns/row|FAIL|ok'

bench-clickhouse: build ## CPU of rows into ClickHouse beside clickhouse-go and ch-go, and bytes on the wire; DOC=...
	@$(TOOLS) bench
	@$(TOOLS) test
	@$(AS_USER) env CGO_ENABLED=0 $(GO_RUN) build -buildvcs=false -o build/tools/chproxy ./test/chproxy
	@$(AS_USER) env CGO_ENABLED=0 $(GO_RUN) build -C test/bench/loops -buildvcs=false -o ../../../build/tools/loops .
	@$(AS_ROOT) "to record the capture" $(GO_RUN) run ./test/bench clickhouse -rounds $(or $(ROUNDS),5) $(if $(DOC),-doc $(DOC))

bench-dnstap: build ## CPU and the highest rate of frames without loss, beside golang-dnstap; DOC=...
	@$(TOOLS) test
	@$(AS_USER) env CGO_ENABLED=0 $(GO_RUN) build -buildvcs=false -o build/tools/dnstap github.com/dnstap/golang-dnstap/dnstap
	@$(AS_ROOT) "to record the frames" $(GO_RUN) run ./test/bench dnstap -rounds $(or $(ROUNDS),5) $(if $(DOC),-doc $(DOC))

generate: ## compile the BPF programs again (needs clang)
	@$(TOOLS) generate
	@$(AS_USER) $(GO_RUN) generate ./bpf ./test/bench/generator

lint: ## gofmt, vet, staticcheck, clang-format
	@$(TOOLS) lint
	@test -z "$$($(AS_USER) $(GO_RUN) --with gofmt -l . | tee /dev/stderr)"
	@$(AS_USER) $(GO_RUN) vet ./...
	@$(AS_USER) env CGO_ENABLED=1 $(GO_RUN) vet -tags libpcap ./sensor/capture/libpcap
	@$(AS_USER) $(GO_RUN) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...
	@$(AS_USER) env CGO_ENABLED=1 $(GO_RUN) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 -tags libpcap ./sensor/capture/libpcap
	clang-format --dry-run --Werror bpf/*.c bpf/*.h sensor/capture/libpcap/*.c sensor/capture/libpcap/*.h test/bench/generator/*.c

clean: ## remove what was built
	rm -rf dnsmonster-sensor build
