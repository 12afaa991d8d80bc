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

/* Where windows begin. */
typedef enum GovWindowKind
{
	GOV_WINDOW_CALENDAR,		/* at an anchor, and then one after the other */
	GOV_WINDOW_FIRST_USE,		/* with the first use after the last one ended */
	GOV_WINDOW_SLIDING			/* a cadence before the present time */
} GovWindowKind;

typedef struct GovCadence
{
	uint8		unit;			/* GovCadenceUnit */
	uint8		kind;			/* GovWindowKind */
	uint16		count;			/* 1 to 9999; 0 for GOV_CADENCE_NONE */
} GovCadence;

#define GOV_CADENCE_TEXT_SIZE	8	/* "PT9999S" */


extern bool gov_cadence_parse(const char *string, GovCadence *result);
extern bool gov_cadence_kind_parse(const char *string, uint8 *kind);
extern int	gov_cadence_text(const GovCadence *cadence, char *string);

#endif							/* GOV_CADENCE_H */
