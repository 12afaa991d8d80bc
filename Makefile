# make check    build, and run every test against throwaway servers
# make demo     a customer, its budgets and an hour of LLM traffic (TRACE=file.csv: your own)
# make bench    what the calls cost next to plain SQL, Redis and rate-limiter-flexible: bench/results.md
# make growth   what each operation reads at three sizes of the data, and how that grows
# make docs     docs/reference.md, from the comments in the catalogs
# make format   src/ as PostgreSQL formats its own C
# make dist     governance-VERSION.zip and .tar.gz of what is committed, for PGXN and packages
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

# where this file is: another place than the working directory in a build outside the tree (VPATH)
HERE := $(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST))))

SOURCES = $(patsubst $(HERE)/%,%,$(wildcard $(HERE)/src/*.c $(HERE)/src/*/*.c))
OBJS = $(patsubst %.c,%.o,$(sort $(SOURCES)))

UPGRADES = $(patsubst $(HERE)/sql/upgrade/%,sql/governance--%,$(wildcard $(HERE)/sql/upgrade/*.sql))
DATA_built = sql/governance--$(EXTVERSION).sql $(UPGRADES)
EXTRA_CLEAN = $(DATA_built)

# The documents refer to one another, so they are installed as they are here, in a directory of their own.
DOCS = README.md CHANGELOG.md SECURITY.md
GUIDES = $(wildcard $(HERE)/docs/*.md)

PG_CPPFLAGS = -DGOV_VERSION='"$(EXTVERSION)"' -I$(HERE)/src
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers

REGRESS = $(sort $(basename $(notdir $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=test --load-extension=$(EXTENSION)
ISOLATION = $(sort $(basename $(notdir $(wildcard test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=$(EXTENSION)
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config

ifneq (,$(filter check demo bench growth docs format dist,$(MAKECMDGOALS)))

.PHONY: check demo bench growth docs format dist
check:
	@test/check
demo:
	@TRACE="$(TRACE)" examples/demo/run
bench:
	@bench/run
growth:
	@bench/growth
docs:
	@docs/build
format:
	@test/format

# One commit makes the same bytes everywhere: a zip has local times, a tarball the modes that git's settings say.
# What is left out is in .gitattributes.
DIST = $(EXTENSION)-$(EXTVERSION)
ARCHIVE = TZ=UTC git -C $(HERE) -c core.autocrlf=false -c tar.umask=0022 -c tar.tar.gz.command='gzip -9n' archive --prefix=$(DIST)/
dist:
	@[ -z "$$(git -C $(HERE) status --porcelain)" ] || { echo "error: what is not committed would be missing" >&2; exit 1; }
	@$(ARCHIVE) --format=zip -9 --output=$(CURDIR)/$(DIST).zip HEAD
	@$(ARCHIVE) --format=tar.gz --output=$(CURDIR)/$(DIST).tar.gz HEAD
	@echo $(DIST).zip $(DIST).tar.gz

else

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq (,$(PGXS))
$(error no pg_config: install postgresql-server-dev-NN, or give PG_CONFIG=/path/to/pg_config)
endif
include $(PGXS)

docmoduledir = extension/$(EXTENSION)
GUIDES_DIR = $(DESTDIR)$(docdir)/$(docmoduledir)/docs

.PHONY: install-guides uninstall-guides
install: install-guides
uninstall: uninstall-guides
install-guides:
	$(MKDIR_P) '$(GUIDES_DIR)'
	$(INSTALL_DATA) $(GUIDES) '$(GUIDES_DIR)/'
uninstall-guides:
	rm -f $(addprefix '$(GUIDES_DIR)'/, $(notdir $(GUIDES)))

ifneq (.,$(HERE))
$(shell mkdir -p $(sort $(dir $(OBJS) $(DATA_built))))
endif

# The parts in the order of their numbers.
SQL_PARTS = $(sort $(wildcard $(HERE)/sql/[0-9][0-9]-*.sql))
sql/governance--$(EXTVERSION).sql: $(SQL_PARTS)
	cat $^ > $@

# What is stored changes by hand; code and rights, the parts from 20 on, are made anew.
sql/governance--%.sql: sql/upgrade/%.sql $(filter-out $(HERE)/sql/0% $(HERE)/sql/1%,$(SQL_PARTS))
	sed -E -e 's/^create (function|view|trigger) /create or replace \1 /' \
		-e 's/^create policy ([a-z_]+) on ([^ ;]+)/drop policy if exists \1 on \2;\n&/' $^ > $@

# few files, quickly compiled: a changed header makes them all again
$(OBJS) $(OBJS:.o=.bc): $(wildcard $(HERE)/src/*.h $(HERE)/src/*/*.h)

endif
