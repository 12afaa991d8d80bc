/*
 * spi.h
 *		Statements that the engine runs on its own tables.
 */
#ifndef GOV_SPI_H
#define GOV_SPI_H

#include "postgres.h"

#include "executor/spi.h"

#define GOV_QUERY_MAX_ARGS	15

/*
 * One statement, a static variable of the file that runs it.  In the text
 * "@gov_x" stands for the schema-qualified name of the extension's gov_x, and
 * "@_gov_x" for that of its _gov_x.
 */
typedef struct GovQuery
{
	const char *sql;
	int			nargs;
	Oid			argtypes[GOV_QUERY_MAX_ARGS];
	bool		uses_bitmap;	/* may use bitmap scans, the only kind that
								 * some indexes have */
	/* the rest is spi.c's */
	SPIPlanPtr	plan;
	uint64		generation;		/* of the catalog that the plan was made for */
} GovQuery;

typedef enum GovSnapshot
{
	GOV_SNAPSHOT_COMMITTED,		/* what others have committed, nothing of our
								 * own */
	GOV_SNAPSHOT_STATEMENT,		/* that and what our earlier commands wrote */
	GOV_SNAPSHOT_LATEST			/* that and what the running command wrote */
} GovSnapshot;

typedef struct GovSpi
{
	Oid			user;
	int			sec_context;
	int			guc_level;
} GovSpi;

/* Takes one row of a scan, all its columns deformed. */
typedef void (*GovRowCallback) (TupleTableSlot *row, void *state);

extern void gov_spi_enter_row(void);
extern void gov_spi_leave_row(void);
extern bool gov_spi_is_writing_row(void);
extern void gov_spi_begin(GovSpi *spi);
extern void gov_spi_begin_before_commit(GovSpi *spi);
extern void gov_spi_begin_as_owner_of(GovSpi *spi, Oid table);
extern void gov_spi_end(GovSpi *spi);
extern uint64 gov_spi_select(GovQuery *query, Datum *args, const char *nulls);
extern uint64 gov_spi_modify(GovQuery *query, Datum *args, const char *nulls);
extern void gov_spi_each(GovQuery *query, Datum *args, const char *nulls,
						 GovRowCallback callback, void *state);
extern void gov_spi_scan(const GovQuery *query, Datum *args, const char *nulls,
						 GovRowCallback callback, void *state);
extern void gov_spi_push_snapshot(GovSnapshot kind);
extern void gov_spi_set_snapshot(GovSnapshot kind);
extern void gov_spi_pop_snapshot(void);
extern void gov_spi_abort(int level);
extern bool gov_spi_is_engine(void);

extern Datum gov_spi_value(uint64 row, int column, bool *isnull);
extern char *gov_spi_text(uint64 row, int column);

#endif							/* GOV_SPI_H */
