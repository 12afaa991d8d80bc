/*
 * wanted.h
 *		Which columns of a call's row does the query read?
 */
#ifndef GOV_WANTED_H
#define GOV_WANTED_H

#include "fmgr.h"

/* of columns by their place in the row, from 1 */
#define GOV_COLUMN(number)	(1U << (number))

extern bool gov_wanted_any(FunctionCallInfo fcinfo, uint32 columns);

#endif							/* GOV_WANTED_H */
