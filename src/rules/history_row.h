/*
 * history_row.h
 *		Writes rows of gov_changes.
 */
#ifndef GOV_HISTORY_ROW_H
#define GOV_HISTORY_ROW_H

#include "postgres.h"

#include "ledger/append.h"

/* What the rows of a statement have in common, and where they go. */
typedef struct GovHistoryRows
{
	Datum		table_name;		/* 0: they are about none */
	Datum		action;
	TimestampTz at;
	Datum		changed_by;
	Datum		changed_as;
	Datum		caller;
	Datum		reason;			/* 0 when there is none */
	bool		is_open;
	GovAppend	append;
} GovHistoryRows;

/* One row that was changed; what is not there is 0. */
typedef struct GovHistoryRow
{
	Datum		owner;			/* text */
	Datum		key;			/* jsonb, as the others */
	Datum		old;
	Datum		new;
} GovHistoryRow;

extern void gov_history_row_begin(GovHistoryRows *rows, const char *table_name, const char *action);
extern void gov_history_row_add(GovHistoryRows *rows, const GovHistoryRow *row);
extern void gov_history_row_end(GovHistoryRows *rows);
extern void gov_history_row_write(const char *action, const char *key_name, const char *key,
								  const char *new_name, const char *new_value);

#endif							/* GOV_HISTORY_ROW_H */
