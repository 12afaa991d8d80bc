/*
 * default_rows.h
 *		Tidies up which budgets by defaults were used.
 */
#ifndef GOV_DEFAULT_ROWS_H
#define GOV_DEFAULT_ROWS_H

#include "postgres.h"

extern bool gov_default_rows_tidy(uint64 *ndone);

#endif							/* GOV_DEFAULT_ROWS_H */
