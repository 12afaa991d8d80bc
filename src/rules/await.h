/*
 * await.h
 *		Waits for who has locked rows of the catalog, without keeping calls waiting.
 */
#ifndef GOV_AWAIT_H
#define GOV_AWAIT_H

#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lock.h"

#include "base/spi.h"

/* Rows of a table that are to be locked, and how one of them is. */
typedef struct GovAwaited
{
	GovQuery	taken;			/* which of them others have */
	GovQuery	lock;
} GovAwaited;

/*
 * The rows "v" of a table.  Rows without xmax nobody has ever locked: they are many,
 * and not touched.
 */
#define GOV_AWAITED(table, condition, bitmap) \
	{ \
		.taken = { \
			.sql = \
			"with free as (" \
			" select v.ctid as at from @" table " v where " condition " and v.xmax <> '0'" \
			" for update skip locked)" \
			" select v.ctid from @" table " v where " condition " and v.xmax <> '0'" \
			" and v.ctid not in (select f.at from free f)", \
			.uses_bitmap = bitmap \
		}, \
		.lock = { \
			.sql = "select from @" table " v where v.ctid = $1 for update", \
			.nargs = 1, \
			.argtypes = {TIDOID} \
		} \
	}

extern void gov_await_rows(GovAwaited *awaited, int nawaited, Datum *args, int nargs);
extern bool gov_await_is_taken(GovAwaited *awaited, int nawaited, Datum *args, int nargs);
extern void gov_await_lockers(const LOCKTAG *tag, LOCKMODE mode);

#endif							/* GOV_AWAIT_H */
