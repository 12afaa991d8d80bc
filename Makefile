# make check    build, and run every test against throwaway servers
# make demo     a customer, its budgets and an hour of LLM traffic (TRACE=file.csv: your own)
# make bench    what the calls cost next to plain SQL, Redis and rate-limiter-flexible: bench/results.md
# make growth   what each operation reads at three sizes of the data, and how that grows
#
# These need Debian and nothing else: they find PostgreSQL, or install it.  Choose one
# with PG_MAJOR=17 or PG_CONFIG=/path/to/pg_config.  The usual PGXS targets are
#
# make && make install
# make installcheck     needs a server with shared_preload_libraries = 'governance',
#                       governance.rollup_interval = '200ms' and wal_level = logical

MODULE_big = governance
EXTENSION = governance
EXTVERSION = 1.1.0
PGFILEDESC = "governance - budgets for AI usage"

OBJS = \
	src/additions.o \
	src/alert.o \
	src/allocation.o \
	src/allocation_rule.o \
	src/amount.o \
	src/answer.o \
	src/api_admin.o \
	src/api_backtest.o \
	src/api_budgets.o \
	src/api_catalog.o \
	src/api_check.o \
	src/api_consume.o \
	src/api_hold.o \
	src/api_ingest.o \
	src/api_query.o \
	src/api_size.o \
	src/api_window.o \
	src/append.o \
	src/arena.o \
	src/assignment.o \
	src/attempt.o \
	src/backtest.o \
	src/batch.o \
	src/block.o \
	src/budgets.o \
	src/cadence.o \
	src/catalog.o \
	src/changes.o \
	src/charge.o \
	src/claim.o \
	src/clock.o \
	src/cycle.o \
	src/decide.o \
	src/dimensions.o \
	src/drawn.o \
	src/entity.o \
	src/errors.o \
	src/evict.o \
	src/expire.o \
	src/fault.o \
	src/gate.o \
	src/governance.o \
	src/guc.o \
	src/held.o \
	src/hierarchy.o \
	src/hold.o \
	src/hourly.o \
	src/inspect.o \
	src/item.o \
	src/invalidate.o \
	src/json.o \
	src/keep.o \
	src/keys.o \
	src/launch.o \
	src/learn.o \
	src/ledger.o \
	src/live.o \
	src/load.o \
	src/load_private.o \
	src/lookup.o \
	src/names.o \
	src/node.o \
	src/nodetable.o \
	src/notify.o \
	src/overdue.o \
	src/own.o \
	src/owner.o \
	src/page_cursor.o \
	src/page_json.o \
	src/page_order.o \
	src/page_pick.o \
	src/pass.o \
	src/pending.o \
	src/policy.o \
	src/preload.o \
	src/private.o \
	src/read_build.o \
	src/read_catalog.o \
	src/read_counts.o \
	src/read_holds.o \
	src/read_usage.o \
	src/record.o \
	src/referred.o \
	src/request.o \
	src/reserve.o \
	src/reset.o \
	src/resolve.o \
	src/retention.o \
	src/rollup.o \
	src/rollup_alert.o \
	src/rollup_write.o \
	src/rowstate.o \
	src/schema_guard.o \
	src/set.o \
	src/shape.o \
	src/sheet_catalog.o \
	src/sheet_counts.o \
	src/sheet_open.o \
	src/sheet_select.o \
	src/sheet_tree.o \
	src/shmem.o \
	src/spi.o \
	src/step.o \
	src/tail.o \
	src/tally.o \
	src/tenant.o \
	src/threshold.o \
	src/tidy.o \
	src/transaction.o \
	src/transition.o \
	src/trigger.o \
	src/types.o \
	src/usage.o \
	src/usage_merge.o \
	src/usage_retention.o \
	src/waits.o \
	src/wanted.o \
	src/window.o \
	src/worker.o \
	src/writing.o

UPGRADES = $(patsubst sql/upgrade/%,sql/governance--%,$(wildcard sql/upgrade/*.sql))
DATA_built = sql/governance--$(EXTVERSION).sql $(UPGRADES)
EXTRA_CLEAN = $(DATA_built)

PG_CPPFLAGS = -DGOV_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers

REGRESS = $(sort $(basename $(notdir $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=test --load-extension=$(EXTENSION)
ISOLATION = $(sort $(basename $(notdir $(wildcard test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=$(EXTENSION)
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config

ifneq (,$(filter check demo bench growth,$(MAKECMDGOALS)))

.PHONY: check demo bench growth
check:
	@test/check
demo:
	@TRACE="$(TRACE)" examples/demo/run
bench:
	@bench/run
growth:
	@bench/growth

else

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq (,$(PGXS))
$(error no pg_config: install postgresql-server-dev-NN, or give PG_CONFIG=/path/to/pg_config)
endif
include $(PGXS)

# The parts in the order of their numbers.
SQL_PARTS = $(sort $(wildcard sql/[0-9][0-9]-*.sql))
sql/governance--$(EXTVERSION).sql: $(SQL_PARTS)
	cat $^ > $@

# What is stored changes by hand; code and rights, the parts from 20 on, are made anew.
sql/governance--%.sql: sql/upgrade/%.sql $(filter-out sql/0% sql/1%,$(SQL_PARTS))
	sed -E -e 's/^create (function|view|trigger) /create or replace \1 /' \
		-e 's/^create policy ([a-z_]+) on ([^ ;]+)/drop policy if exists \1 on \2;\n&/' $^ > $@

# few files, quickly compiled: a changed header makes them all again
$(OBJS): $(wildcard src/*.h)

endif
