/*
 * keep.h
 *		Keeps rows of the catalog in form, before they are written.
 */
#ifndef GOV_KEEP_H
#define GOV_KEEP_H

#include "postgres.h"

#include "utils/uuid.h"

/* Is the engine about to draw another counter for a budget, by an UPDATE to 0? */
extern void gov_keep_allow_drawing(bool is_allowed);
extern int64 gov_keep_draw_inherited(const pg_uuid_t *id);

#endif							/* GOV_KEEP_H */
