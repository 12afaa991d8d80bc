/*
 * hourly.h
 *		Adds up what ledger rows attribute to entities, by time.
 */
#ifndef GOV_HOURLY_H
#define GOV_HOURLY_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "pure/amount.h"

/* Texts of the same characters are one pointer within a GovHourly. */
typedef struct GovHourlyKey
{
	const text *owner;
	const text *capability;
	const text *entity;			/* empty: of rows that resolved to nothing */
	TimestampTz starts_at;		/* of a grain: an hour, or a part of one */
} GovHourlyKey;

/* What some rows attribute to one entity in one grain. */
typedef struct GovHourlySum
{
	GovHourlyKey key;
	GovAmount	amount;
	int64		event_count;
	uint32		hash;			/* the table's */
	char		status;			/* the table's */
} GovHourlySum;

typedef struct GovHourly GovHourly;

extern TimestampTz gov_hourly_start(TimestampTz time, int grain_minutes);
extern GovHourly *gov_hourly_create(MemoryContext context, int grain_minutes);
extern int	gov_hourly_grain(const GovHourly *hourly);
extern const text *gov_hourly_add(GovHourly *hourly, const Datum *values, const bool *nulls);
extern uint32 gov_hourly_count(const GovHourly *hourly);
extern const GovHourlySum **gov_hourly_sorted(const GovHourly *hourly);

#endif							/* GOV_HOURLY_H */
