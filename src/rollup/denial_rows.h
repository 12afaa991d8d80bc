/*
 * denial_rows.h
 *		Writes gov_denials, and applies its retention.
 */
#ifndef GOV_DENIAL_ROWS_H
#define GOV_DENIAL_ROWS_H

#include "postgres.h"

extern bool gov_denial_rows_write(uint64 *ndone);
extern bool gov_denial_rows_prune(uint64 *ndeleted);

#endif							/* GOV_DENIAL_ROWS_H */
