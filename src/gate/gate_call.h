/*
 * gate_call.h
 *		A call of the gate under way, and the files that it goes through.
 */
#ifndef GOV_GATE_CALL_H
#define GOV_GATE_CALL_H

#include "gate/charge.h"
#include "gate/gate.h"

typedef struct GovGate
{
	const GovRequest *request;
	GovUse		use;
	bool		want_details;
	bool		mends;			/* also what may raise of the request */
	bool		is_private;		/* no shared memory in it at all */
	bool		knows_since;	/* of the source, where it has no private view */
	bool		has_locked;		/* what a first use is written to */
	GovMet	   *met;			/* by the call, once that matters; or NULL */
	GovSharedStripe *stripe;	/* NULL if is_private */
	GovSource	source;
	bool		is_exclusive;
	bool		is_too_far_ahead;
	bool		is_frozen;		/* the owner */
	int			attempts;
	const GovMeter *full;		/* for which an entity has too many budgets */
	GovResolution *work;		/* the working space */
	GovDecision *decision;
} GovGate;

static inline bool
gov_gate_charges(GovUse use)
{
	return use >= GOV_USE_RECORD;
}

static inline bool
gov_gate_judges(GovUse use)
{
	return use == GOV_USE_CHECK || use == GOV_USE_CONSUME || use == GOV_USE_RESERVE;
}

static inline GovChargeKind
gov_gate_charge_kind(GovUse use)
{
	return use == GOV_USE_RESERVE ? GOV_CHARGE_HOLD : GOV_CHARGE_USAGE;
}

/* gate_source.c */
extern void gov_gate_choose_source(GovGate *gate);
extern void gov_gate_turn_to_tables(GovGate *gate);
extern bool gov_gate_enter_owner(GovGate *gate);
extern bool gov_gate_load_missing(GovGate *gate);
extern void gov_gate_begin_again(GovGate *gate);
extern void gov_gate_make_combinations(GovGate *gate);

/* gate_attempt.c */
extern GovOutcome gov_gate_attempt(GovGate *gate);
extern void gov_gate_decide(GovGate *gate);
extern void gov_gate_grow(GovGate *gate);

#endif							/* GOV_GATE_CALL_H */
