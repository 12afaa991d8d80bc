/*
 * cadence.h
 *		How often a budget starts afresh: one ISO 8601 duration of one unit.
 */
#ifndef GOV_CADENCE_H
#define GOV_CADENCE_H

#include "postgres.h"

typedef enum GovCadenceUnit
{
	GOV_CADENCE_NONE,			/* never resets */
	GOV_CADENCE_YEAR,
	GOV_CADENCE_MONTH,
	GOV_CADENCE_WEEK,
	GOV_CADENCE_DAY,
	GOV_CADENCE_HOUR,
	GOV_CADENCE_MINUTE,
	GOV_CADENCE_SECOND
} GovCadenceUnit;

typedef struct GovCadence
{
	GovCadenceUnit unit;
	int32		count;			/* 1 to 9999; 0 for GOV_CADENCE_NONE */
} GovCadence;

extern bool gov_cadence_parse(const char *text, GovCadence *result);

#endif							/* GOV_CADENCE_H */
