/*
 * errors.c
 *		Errors that more than one place raises, and how they show values.
 *
 * INVARIANTS
 *		No message has more of a value than GOV_SHOWN_CHARS: whoever calls with
 *		a megabyte must not fill the log with it.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "base/errors.h"

#define GOV_SHOWN_CHARS		200

/* What a message shows of a value. */
char *
gov_error_shown_bytes(const char *bytes, int length)
{
	int			shown = pg_mbcharcliplen(bytes, length, GOV_SHOWN_CHARS);

	return psprintf("%.*s%s", shown, bytes, shown < length ? "..." : "");
}

char *
gov_error_shown(const char *value)
{
	return gov_error_shown_bytes(value, strlen(value));
}

/* A list is {}, or has one dimension. */
void
gov_error_unless_list(const ArrayType *array, const char *argument)
{
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be a one-dimensional array", argument),
				 errhint("Write it like {a,b}.")));
}

void
gov_error_null_argument(const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("argument \"%s\" must not be null", argument),
			 errhint("Pass a value for \"%s\".", argument)));
}

void
gov_error_not_preloaded(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("governance must be loaded via shared_preload_libraries"),
			 errhint("Add governance to shared_preload_libraries and restart the server, or set governance.on_unavailable.")));
}

void
gov_error_cache_full(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("governance cache is full"),
			 errdetail("Nothing in it can be evicted."),
			 errhint("Increase governance.cache_size. What checks answer meanwhile is up to governance.on_unavailable.")));
}

/* A table whose OID we had is gone: DROP EXTENSION has just committed. */
void
gov_error_dropped(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension \"governance\" has been dropped"),
			 errhint("Run CREATE EXTENSION governance.")));
}

void
gov_error_overflow(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("usage of a budget would be out of range"),
			 errhint("Record a correction with gov_ingest and a negative amount.")));
}

/* A row of ours has an amount that we did not write. */
void
gov_error_stored_amount(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("stored amount is out of range"),
			 errhint("Somebody has changed the tables of governance by hand: correct the amount.")));
}
