/*
 * history_row.c
 *		Writes rows of gov_changes.
 *
 * PURPOSE
 *		A statement that has written a hundred thousand rows writes as many
 *		here, so they go below SPI, a page at a time (append.c), and what they
 *		have in common is made once.
 *
 * WHO
 *		changed_by is who has logged in, or has been made so by SET SESSION
 *		AUTHORIZATION; changed_as is the role that SET ROLE has taken since.
 *		Both are those outside every SECURITY DEFINER function, ours and
 *		users', so that no function hides who has called it.
 *
 * LOCKING
 *		RowExclusiveLock on the table and its indexes, to the end of the
 *		transaction, once there is a row to write.
 *
 * FAILURE
 *		Raises what an INSERT would, and the statement fails with it: there is no
 *		change without its row.
 */
#include "postgres.h"

#include "commands/sequence.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/guc.h"
#include "ledger/columns.h"
#include "rules/history_json.h"
#include "rules/history_row.h"

#define GOV_ROWS_AT_ONCE	200

/* Text, or 0 for none. */
static Datum
text_or_none(const char *value)
{
	return value != NULL && value[0] != '\0' ? CStringGetTextDatum(value) : (Datum) 0;
}

/* A role that was dropped while its session goes on has no name. */
static Datum
name_of(Oid role)
{
	char	   *name = GetUserNameFromId(role, true);

	return CStringGetTextDatum(name ? name : "");
}

/* Rows of this table follow; none is written, nor anything locked, before there is one. */
void
gov_history_row_begin(GovHistoryRows *rows, const char *table_name, const char *action)
{
	rows->table_name = text_or_none(table_name);
	rows->action = text_or_none(action);
	rows->is_open = false;
}

static void
open_rows(GovHistoryRows *rows)
{
	rows->at = gov_clock();
	rows->changed_by = name_of(GetSessionUserId());
	rows->changed_as = name_of(GetOuterUserId());
	rows->caller = CStringGetTextDatum(gov_guc_caller_name());
	rows->reason = text_or_none(gov_reason);
	gov_append_open(&rows->append, gov_catalog()->changes, GOV_CHANGE_COLUMNS, InvalidOid, false);
	rows->is_open = true;
}

/* A column whose value may be none. */
static void
store_value(GovAppend *append, int column, Datum value)
{
	append->slot->tts_values[column] = value;
	append->slot->tts_isnull[column] = value == (Datum) 0;
}

/* Add a row; its values need not outlive the call. */
void
gov_history_row_add(GovHistoryRows *rows, const GovHistoryRow *row)
{
	GovAppend  *append = &rows->append;

	if (!rows->is_open)
		open_rows(rows);
	else if (append->nrows == GOV_ROWS_AT_ONCE)
		gov_append_flush(append);
	gov_append_clear(append);
	store_value(append, GOV_CHANGE_ID,
				Int64GetDatum(nextval_internal(gov_catalog()->changes_id_seq, false)));
	store_value(append, GOV_CHANGE_AT, TimestampTzGetDatum(rows->at));
	store_value(append, GOV_CHANGE_OWNER_ID, row->owner);
	store_value(append, GOV_CHANGE_TABLE_NAME, rows->table_name);
	store_value(append, GOV_CHANGE_KEY, row->key);
	store_value(append, GOV_CHANGE_ACTION, rows->action);
	store_value(append, GOV_CHANGE_OLD, row->old);
	store_value(append, GOV_CHANGE_NEW, row->new);
	store_value(append, GOV_CHANGE_CHANGED_BY, rows->changed_by);
	store_value(append, GOV_CHANGE_CHANGED_AS, rows->changed_as);
	store_value(append, GOV_CHANGE_CALLER, rows->caller);
	store_value(append, GOV_CHANGE_REASON, rows->reason);
	gov_append_later(append, GOV_ROWS_AT_ONCE);
}

/* No more rows follow. */
void
gov_history_row_end(GovHistoryRows *rows)
{
	if (!rows->is_open)
		return;
	gov_append_flush(&rows->append);
	gov_append_close(&rows->append);
}

/* Write one row that is about no table; new_name may be NULL. */
void
gov_history_row_write(const char *action, const char *key_name, const char *key,
					  const char *new_name, const char *new_value)
{
	GovHistoryRows rows;
	GovHistoryRow row = {.key = gov_history_json_pair(key_name, key)};

	if (new_name != NULL)
		row.new = gov_history_json_pair(new_name, new_value);
	gov_history_row_begin(&rows, NULL, action);
	gov_history_row_add(&rows, &row);
	gov_history_row_end(&rows);
}
