MODULE_big = governance
EXTENSION = governance
EXTVERSION = 1.0.0
PGFILEDESC = "governance - budgets for AI usage"

OBJS = \
	src/amount.o \
	src/answer.o \
	src/api_admin.o \
	src/api_catalog.o \
	src/api_check.o \
	src/api_ingest.o \
	src/api_window.o \
	src/cadence.o \
	src/catalog.o \
	src/changes.o \
	src/clock.o \
	src/decide.o \
	src/entity.o \
	src/errors.o \
	src/evict.o \
	src/gate.o \
	src/governance.o \
	src/guc.o \
	src/hierarchy.o \
	src/invalidate.o \
	src/ledger.o \
	src/load.o \
	src/node.o \
	src/nodetable.o \
	src/pending.o \
	src/private.o \
	src/record.o \
	src/request.o \
	src/resolve.o \
	src/rollup.o \
	src/shmem.o \
	src/spi.o \
	src/transaction.o \
	src/types.o \
	src/window.o \
	src/worker.o

DATA_built = sql/governance--$(EXTVERSION).sql
EXTRA_CLEAN = sql/governance--$(EXTVERSION).sql

PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

sql/governance--$(EXTVERSION).sql: sql/governance.sql
	cp $< $@
