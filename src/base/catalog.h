/*
 * catalog.h
 *		Where this database keeps the extension.
 */
#ifndef GOV_CATALOG_H
#define GOV_CATALOG_H

#include "postgres.h"

#include "access/attnum.h"

typedef struct GovCatalog
{
	Oid			extension;
	Oid			owner;			/* role that owns the extension */
	Oid			schema;
	char		schema_name[NAMEDATALEN * 2 + 3];	/* quoted */
	Oid			entity_types;
	Oid			capabilities;
	Oid			entities;
	AttrNumber	entities_blocked_at;	/* columns, from 1 on; invalid in an
										 * older extension */
	AttrNumber	entities_blocked_until;
	AttrNumber	entities_created_by_use;
	Oid			entities_pkey;	/* index on (owner_id, id) */
	Oid			entities_parent;	/* index on (owner_id, parent_id) */
	Oid			assignments;
	AttrNumber	assignments_call_limit;
	AttrNumber	assignments_is_pool;	/* with what is below it since 1.1.0 */
	AttrNumber	assignments_debt_limit;
	AttrNumber	assignments_debt_counter_id;
	AttrNumber	assignments_window_kind;
	AttrNumber	assignments_carry_unused_max;
	AttrNumber	assignments_carry_debt;
	AttrNumber	assignments_carry_from;
	Oid			assignments_key;	/* index on (owner_id, entity_id,
									 * capability_id, ...) */
	Oid			assignments_counter;	/* index on (counter_id); invalid when
										 * dropped */
	Oid			default_assignments;	/* with what is below it since 1.1.0;
										 * invalid in an older extension */
	Oid			default_assignments_key;	/* index on (owner_id, type_id,
											 * ...); invalid when dropped */
	Oid			default_counts;
	Oid			default_counts_entity;	/* index on (owner_id, entity_id);
										 * invalid when dropped */
	Oid			default_counts_assignment;	/* index on (assignment_id); likewise */
	Oid			default_counts_counter; /* index on (counter_id); likewise */
	Oid			boosts;			/* invalid in an older extension */
	Oid			boosts_budget;	/* index on (owner_id, entity_id, valid_until) */
	Oid			increase_requests;	/* invalid in an older extension */
	Oid			grants;			/* invalid in an older extension */
	Oid			grants_open;	/* index on (assignment_id) of those that are not
								 * closed; invalid when dropped */
	Oid			grant_usage;	/* invalid in an older extension */
	Oid			grant_usage_pkey;	/* index on (counter_id); invalid when
									 * dropped */
	Oid			prices;			/* invalid in an older extension */
	Oid			counter_seq;
	Oid			assignments_strict; /* index of strict ones on (owner_id,
									 * entity_id) */
	Oid			events;
	AttrNumber	events_reverses;	/* columns, from 1 on; invalid in an older
									 * extension */
	AttrNumber	events_draws;
	AttrNumber	events_call_event_ids;
	AttrNumber	events_quantities;
	AttrNumber	events_prices;
	Oid			events_key;		/* unique index on (owner_id, idempotency_key) */
	Oid			events_owner;	/* index on (owner_id, id); invalid when
								 * dropped */
	Oid			events_pkey;	/* index on (id); invalid when dropped */
	Oid			events_id_seq;
	Oid			usage;
	Oid			usage_pkey;		/* index on (counter_id, window_start);
								 * invalid when dropped */
	AttrNumber	usage_merged_windows;	/* the column, from 1 on */
	Oid			usage_merged;	/* index of looked-at rows on (window_end,
								 * ...); invalid when dropped */
	Oid			recounts;		/* invalid in an older extension */
	Oid			usage_by_time;	/* gov_usage_hourly in an extension that is
								 * not updated yet */
	Oid			alerts;
	Oid			denials;		/* invalid in an older extension */
	Oid			alert_policies;
	Oid			alert_policies_key; /* index on (owner_id); invalid when
									 * dropped */
	Oid			reservations;
	Oid			reservations_pkey;	/* invalid when dropped */
	Oid			reservations_key;	/* unique index on (owner_id,
									 * idempotency_key) */
	Oid			reservations_open;	/* index of open ones on (owner_id,
									 * expires_at) */
	AttrNumber	reservations_amounts;	/* columns, from 1 on; invalid in an
										 * older extension */
	AttrNumber	reservations_assignment_amounts;
	AttrNumber	reservations_quantities;
	Oid			changes;		/* with what is below it since 1.1.0; invalid
								 * in an older extension */
	Oid			changes_id_seq;
	Oid			limit_history;
	Oid			limit_history_pkey;
	Oid			forgotten;
	Oid			frozen_owners;	/* invalid in an older extension */
	Oid			imports;		/* invalid in an older extension */
	Oid			rollup_state;
	Oid			rollup_state_pkey;	/* index on (id); invalid when dropped */
	bool		has_unknown_rules;	/* types say what unknown ids do: false in
									 * an older extension */
	bool		has_1_1_tables; /* false in an extension that is not updated
								 * yet */
	Oid			read_every_owner;	/* functions; invalid in an older
									 * extension */
	Oid			change_every_owner;
	uint64		generation;		/* moves whenever any of the above may have */
} GovCatalog;

/* NULL where it has to be looked up. */
extern const GovCatalog *gov_catalog_current;

extern void gov_catalog_init(void);
extern const GovCatalog *gov_catalog_find(void);
extern const GovCatalog *gov_catalog_if_installed(void);
extern bool gov_catalog_is_schema(Oid schema);

/* Where the extension is; raises if there is none.  A call asks this thirty times. */
static inline const GovCatalog *
gov_catalog(void)
{
	return likely(gov_catalog_current != NULL) ? gov_catalog_current : gov_catalog_find();
}

#endif							/* GOV_CATALOG_H */
