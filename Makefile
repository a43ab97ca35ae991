# Everything a developer or CI runs. `make test` needs no preparation on Debian or Ubuntu.

GO      ?= go
TIMEOUT ?= 15m

# SQLite is C, translated to Go. Its memory is none of Go's: the race detector is asked at each access, which takes most of the time of what has
# a state store, and looks at none of them. What calls it is watched as everything else is.
RACE = -race -gcflags=modernc.org/sqlite/lib=-race=false

# What takes longest begins first, so that it is not alone at the end.
LONGEST = ./cmd/syncline ./internal/pgsource ./internal/daemon ./bench ./internal/sqlite ./internal/sim

.PHONY: build test lint fmt vuln bench chaos chaos-plants sim fuzz servers validator

build: ## the binary, as it is released
	CGO_ENABLED=0 $(GO) build -trimpath -o syncline ./cmd/syncline

servers: ## PostgreSQL, Redis, npm, promtool and openssl, from PATH or installed
	@./tools/servers

validator: servers ## of the OpenAPI document, from npm
	@./tools/openapi/install

test: servers validator ## all tests with the race detector, and that speed is not lost; where CI is set, a skipped one fails the run
	$(GO) run ./bench -check
	@./tools/test $(RACE) -timeout $(TIMEOUT) $(LONGEST) ./...
	@./tools/test -timeout $(TIMEOUT) ./internal/sim ./internal/script

lint: ## golangci-lint, and known vulnerabilities where the database can be reached
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...
	@./tools/vuln

fmt:
	gofmt -w $$(git ls-files '*.go')

bench: servers ## speed, as ratios to PostgreSQL's own replication in the same run
	$(GO) run ./bench -o docs/benchmarks.md

chaos: servers ## the real program on real servers under a plan of faults: SEED=1 TIME=60s
	$(GO) run ./chaos -v -seed $(or $(SEED),1) -time $(or $(TIME),60s)

chaos-plants: servers ## sees that the chaos test finds each of the bugs that are planted in the program, ten minutes or more
	$(GO) run ./chaos -plants -seed $(or $(SEED),1) -seeds $(or $(SEEDS),20)

sim: ## a long simulation, with progress: SEEDS=20000 FIRST=1 WORLD=TestTwoSides
	$(GO) test ./internal/sim -v -timeout 0 -run '^($(or $(WORLD),TestSeeds|TestDisputes|TestRivals|TestTwoSides|TestOperators))$$' -sim.seeds $(or $(SEEDS),5000) -sim.first $(or $(FIRST),1)

fuzz: ## each fuzz target for a while: FUZZTIME=5m, TARGET=FuzzParse for one
	@./tools/fuzz $(or $(FUZZTIME),30s) $(TARGET)
