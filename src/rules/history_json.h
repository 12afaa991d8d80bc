/*
 * history_json.h
 *		Columns of a row as jsonb.
 */
#ifndef GOV_HISTORY_JSON_H
#define GOV_HISTORY_JSON_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

typedef struct GovHistoryColumn
{
	Form_pg_attribute attribute;
	uint32		name_length;
	bool		is_key;
	bool		is_kept;		/* by the engine: no part of what is changed */
	bool		has_default;	/* a constant that is not null */
	Datum		default_value;
	FmgrInfo   *to_jsonb;
} GovHistoryColumn;

/* The columns of a table; a set of them has a flag for each. */
typedef struct GovHistoryColumns
{
	int			count;
	GovHistoryColumn *columns;
	int		   *order;			/* of columns in jsonb: by length of their
								 * names, then by bytes */
	bool	   *key;			/* the set of those that are the key */
} GovHistoryColumns;

extern GovHistoryColumns *gov_history_json_columns(Relation table, char **keys, int nkeys);
extern void gov_history_json_read_defaults(Relation table, GovHistoryColumns *columns);
extern Datum gov_history_json(GovHistoryColumns *columns, TupleTableSlot *row, const bool *set);
extern Datum gov_history_json_pair(const char *name, const char *value);

#endif							/* GOV_HISTORY_JSON_H */
