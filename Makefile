MODULE_big = governance
EXTENSION = governance
EXTVERSION = 1.0.0
PGFILEDESC = "governance - budgets for AI usage"

OBJS = \
	src/amount.o \
	src/api_window.o \
	src/cadence.o \
	src/catalog.o \
	src/changes.o \
	src/clock.o \
	src/decide.o \
	src/entity.o \
	src/evict.o \
	src/guc.o \
	src/invalidate.o \
	src/node.o \
	src/nodetable.o \
	src/pending.o \
	src/shmem.o \
	src/spi.o \
	src/window.o

DATA_built = sql/governance--$(EXTVERSION).sql
EXTRA_CLEAN = sql/governance--$(EXTVERSION).sql

PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

sql/governance--$(EXTVERSION).sql: sql/governance.sql
	cp $< $@
