/*
 * shape.h
 *		What a row needs of the table it is appended to.
 */
#ifndef GOV_SHAPE_H
#define GOV_SHAPE_H

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

typedef struct GovShapeIndex
{
	Oid			id;
	IndexInfo  *info;
} GovShapeIndex;

typedef struct GovShape
{
	MemoryContext context;		/* of all that is below */
	Oid			table;			/* InvalidOid: there is nothing below */
	Oid			key_index;
	uint64		generation;		/* of the catalog */
	bool		is_simple;		/* no index needs the executor, for rows
								 * without a key */
	bool		has_additions;	/* of users (additions.c), for which the
								 * executor is needed too */
	bool		has_simple_key; /* nor does key_index, for rows that have one */
	int			nindexes;		/* but for key_index, which comes after them
								 * if it is simple */
	GovShapeIndex *indexes;
	TupleTableSlot *slot;		/* virtual: the row's values */
	TupleTableSlot *row;		/* the row as a tuple, in memory of its own */
} GovShape;

extern const GovShape *gov_shape(Relation rel, Oid key_index, int ncolumns);

#endif							/* GOV_SHAPE_H */
