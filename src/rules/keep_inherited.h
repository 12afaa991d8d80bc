/*
 * keep_inherited.h
 *		Budgets that go on with the count that their entity has by a default.
 */
#ifndef GOV_KEEP_INHERITED_H
#define GOV_KEEP_INHERITED_H

#include "rules/keep_row.h"

extern bool gov_keep_goes_on(GovKeptRow *row, Relation table);

#endif							/* GOV_KEEP_INHERITED_H */
