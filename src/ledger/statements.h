/*
 * statements.h
 *		Parts of statements about the rows of uses and holds.
 */
#ifndef GOV_STATEMENTS_H
#define GOV_STATEMENTS_H

/* Up to which event the ledger is rolled up; the later ones are its tail. */
#define GOV_SQL_WATERMARK \
	"coalesce((select r.watermark from @gov_rollup_state r), 0)"

/*
 * The condition that a row is of an owner and past a place, for a table with an
 * index on (owner_id, column).  "<=" lets a scan of the index begin at the
 * comparison of rows; with "=" it would begin at the owner's first entry.
 */
#define GOV_SQL_PAST(row, owner, column, place) \
	row ".owner_id <= " owner " and (" row ".owner_id, " row "." column ") > (" owner ", " place ")"

#endif							/* GOV_STATEMENTS_H */
