/*
 * lookup.h
 *		Rows of the catalog by their key, through the index that is made for it.
 */
#ifndef GOV_LOOKUP_H
#define GOV_LOOKUP_H

#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "nodes/lockoptions.h"
#include "utils/rel.h"

#define GOV_LOOKUP_KEYS		3

/* Columns of type text, and the value that each has. */
typedef struct GovLookupKey
{
	const char *column;
	Datum		value;
} GovLookupKey;

typedef struct GovLookup
{
	Relation	table;
	SysScanDesc scan;
} GovLookup;

typedef struct GovEntries
{
	Relation	index;			/* NULL when there is none */
	IndexScanDesc scan;
	int			nkeys;
} GovEntries;

extern void gov_lookup_begin(GovLookup *lookup, Relation table, Oid index,
							 const GovLookupKey *keys, int nkeys);
extern void gov_lookup_begin_at(GovLookup *lookup, Relation table, Oid index,
								const GovLookupKey *keys, int nkeys, Snapshot snapshot);
extern HeapTuple gov_lookup_next(GovLookup *lookup);
extern void gov_lookup_end(GovLookup *lookup);
extern Datum gov_lookup_column(const GovLookup *lookup, HeapTuple row,
							   const char *column, bool *isnull);
extern Relation gov_lookup_open_filled(Oid table);
extern bool gov_lookup_is_filled(Oid table);
extern bool gov_lookup_last(Relation table, Oid index, AttrNumber column, Datum *value,
							bool *isnull);
extern bool gov_lookup_lock(Relation table, Oid index, const GovLookupKey *keys,
							int nkeys, LockTupleMode mode);
extern bool gov_lookup_has_rows(Oid relid);
extern void gov_lookup_entries_begin(GovEntries *entries, Relation table, Oid index, int nkeys);
extern bool gov_lookup_entries_are_at_most(GovEntries *entries, const Datum *values, int most);
extern bool gov_lookup_entries_are_none(GovEntries *entries, ScanKey keys);
extern void gov_lookup_entries_end(GovEntries *entries);

#endif							/* GOV_LOOKUP_H */
