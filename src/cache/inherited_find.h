/*
 * inherited_find.h
 *		The budgets that an entity has by defaults.
 */
#ifndef GOV_INHERITED_FIND_H
#define GOV_INHERITED_FIND_H

#include "postgres.h"

/* What names a budget of an owner. */
typedef struct GovBudgetName
{
	Datum		owner;			/* text */
	Datum		entity;			/* text */
	Datum		capability;		/* text */
	Datum		scope;			/* text[], sorted */
	Datum		name;			/* text */
} GovBudgetName;

/* A budget by a default: a row as gov_assignments would have it, and what it is made of. */
typedef struct GovInheritedBudget
{
	const Datum *values;
	const bool *nulls;
	const struct GovInheritedRow *made_of;
} GovInheritedBudget;

extern int	gov_inherited_find_all(Datum owner, Datum entity, GovInheritedBudget **budgets);
extern bool gov_inherited_find(const GovBudgetName *name, GovInheritedBudget *budget);

#endif							/* GOV_INHERITED_FIND_H */
