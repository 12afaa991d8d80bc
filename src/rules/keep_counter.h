/*
 * keep_counter.h
 *		Ids and counters of budgets.
 */
#ifndef GOV_KEEP_COUNTER_H
#define GOV_KEEP_COUNTER_H

#include "utils/uuid.h"

#include "rules/keep_row.h"

extern bool gov_keep_wants_id(const GovKeptRow *row);
extern bool gov_keep_wants_counter(const GovKeptRow *row);
extern void gov_keep_draw_id(GovKeptRow *row);
extern void gov_keep_draw_counter(GovKeptRow *row);
extern void gov_keep_check_counter(const GovKeptRow *row, Relation table);

/* Is the engine about to draw another counter for a budget, by an UPDATE to 0? */
extern void gov_keep_allow_drawing(bool is_allowed);
extern bool gov_keep_may_draw(void);
extern int64 gov_keep_draw_inherited(const pg_uuid_t *id);

#endif							/* GOV_KEEP_COUNTER_H */
