/*
 * append.h
 *		Appends rows to a table of ours, below SPI.
 */
#ifndef GOV_APPEND_H
#define GOV_APPEND_H

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "ledger/additions.h"
#include "ledger/shape.h"

/* A table, open for the rows of one call. */
typedef struct GovAppend
{
	Relation	rel;
	TupleTableSlot *slot;
	bool		has_key;		/* the rows have one */
	const GovShape *shape;		/* NULL: the executor is needed */
	Relation   *indexes;		/* with a shape; that of the keys last */
	int			nindexes;
	TupleTableSlot **rows;		/* that are inserted later */
	int			nrows;
	int			nslots;			/* of rows, that have been made */
	EState	   *estate;			/* without one */
	ResultRelInfo *result_rel;
	GovAdditions *additions;	/* NULL: there are none */
	List	   *key_index;		/* unique; NIL: the rows have none */
} GovAppend;

/* Is a key that was just inserted taken in the other table? */
typedef bool (*GovIsTaken) (const void *key);

extern void gov_append_open(GovAppend *append, Oid table, int ncolumns,
							Oid key_index, bool has_key);
extern void gov_append_open_all(GovAppend *append, Oid table, int ncolumns,
								Oid key_index, bool has_key);
extern void gov_append_clear(GovAppend *append);
extern void gov_append_row(GovAppend *append);
extern void gov_append_later(GovAppend *append, int nleft);
extern void gov_append_flush(GovAppend *append);
extern bool gov_append_key_row(GovAppend *append, GovIsTaken is_taken, const void *key);
extern void gov_append_close(GovAppend *append);

#endif							/* GOV_APPEND_H */
