/*
 * drawn.h
 *		Ids that the extension draws for rows.
 */
#ifndef GOV_DRAWN_H
#define GOV_DRAWN_H

#include "postgres.h"

#include "utils/uuid.h"

extern void gov_drawn_id(pg_uuid_t *id);

#endif							/* GOV_DRAWN_H */
