/*
 * spi_cursor.c
 *		Reads very many rows a few at a time.
 *
 * PURPOSE
 *		A function that returns a set, a value a call, reads on where it stopped.
 *		A cursor outlives gov_spi_end(), and has its plan, its rights and its
 *		snapshot from when it was opened.
 *
 * SNAPSHOT
 *		The active one: cursors that one query opens see the same.
 *
 * FAILURE
 *		What is not closed, because nobody asked for the rest, goes at the end of
 *		the transaction.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/portal.h"

#include "base/fault.h"
#include "base/spi_cursor.h"

/*
 * Begin a SELECT with one argument of type text, whose names are qualified; returns
 * the cursor's name.  Called between gov_spi_begin() and gov_spi_end(), as is what
 * follows.
 */
char *
gov_spi_cursor_open(const char *sql, text *argument)
{
	Oid			type = TEXTOID;
	Datum		value = PointerGetDatum(argument);
	Portal		portal;

	GOV_FAULT(GOV_FAULT_STATEMENT);
	portal = SPI_cursor_open_with_args(NULL, sql, 1, &type, &value, NULL, true, 0);
	return pstrdup(portal->name);
}

static Portal
find_cursor(const char *name)
{
	Portal		portal = SPI_cursor_find(name);

	if (portal == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_STATE),
				 errmsg("cursor \"%s\" was closed", name),
				 errhint("Do not close cursors that are not yours.")));
	return portal;
}

/* Read rows into SPI_tuptable; returns how many, 0 at the end. */
uint64
gov_spi_cursor_fetch(const char *name, int64 nrows)
{
	GOV_FAULT(GOV_FAULT_STATEMENT);
	SPI_cursor_fetch(find_cursor(name), true, nrows);
	return SPI_processed;
}

void
gov_spi_cursor_close(const char *name)
{
	SPI_cursor_close(find_cursor(name));
}
