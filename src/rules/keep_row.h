/*
 * keep_row.h
 *		A row that a trigger puts in form before it is written.
 */
#ifndef GOV_KEEP_ROW_H
#define GOV_KEEP_ROW_H

#include "postgres.h"

#include "access/htup.h"
#include "utils/rel.h"

/* Columns that every table has; other ones follow. */
enum
{
	GOV_KEEP_CREATED_AT,
	GOV_KEEP_UPDATED_AT,
	GOV_KEEP_TIMES
};

/* All columns of a row, and the places of those that the trigger names. */
typedef struct GovKeptRow
{
	Datum	   *values;
	bool	   *nulls;
	const int  *places;
} GovKeptRow;

static inline Datum *
gov_keep_row_value(const GovKeptRow *row, int column)
{
	return &row->values[row->places[column]];
}

static inline bool *
gov_keep_row_null(const GovKeptRow *row, int column)
{
	return &row->nulls[row->places[column]];
}

extern const int *gov_keep_row_places(FunctionCallInfo fcinfo, Relation table,
									  const char *const *columns, int ncolumns);
extern void gov_keep_row_read(GovKeptRow *row, HeapTuple tuple, TupleDesc desc,
							  const int *places);
extern HeapTuple gov_keep_row_make(const GovKeptRow *row, HeapTuple from, TupleDesc desc);
extern bool gov_keep_row_differs(const GovKeptRow *one, const GovKeptRow *other,
								 TupleDesc desc, int column);
extern void gov_keep_row_times(GovKeptRow *row, const GovKeptRow *before, TupleDesc desc);
extern const char *gov_keep_row_check(Relation table, const char *column);

#endif							/* GOV_KEEP_ROW_H */
