/*
 * resolve.h
 *		Which entities a call concerns, and which budgets.
 */
#ifndef GOV_RESOLVE_H
#define GOV_RESOLVE_H

#include "cache/load.h"
#include "cache/types.h"
#include "pure/decide.h"

#define GOV_NAMES_MAX		1000	/* entities that one call may name */

/* An entity that a call names. */
typedef struct GovName
{
	const char *id;
	const char *key;			/* the dimension's key; NULL in entity_ids */
	const struct GovNameRule *rule; /* for an id that is no entity; NULL: it
									 * is ignored */
	uint32		id_length;
	uint32		key_length;
} GovName;

/* What a name does that stands for no entity of a type. */
typedef struct GovNameRule
{
	GovUnknownRule of_key;
	const GovName *parent;		/* the dimension that names the parent of what
								 * is created; NULL: none does */
	bool		is_no_id;		/* no entity can have that id */
} GovNameRule;

/* What becomes of an unknown name. */
typedef enum GovFate
{
	GOV_UNKNOWN_DENIED,			/* the call is, if it can be */
	GOV_UNKNOWN_CREATED,		/* an entity, if the call is granted */
	GOV_UNKNOWN_IGNORED			/* another name has created it, or something
								 * else under its id */
} GovFate;

/* A name that stands for no entity of the type that its rule speaks of. */
typedef struct GovUnknown
{
	const GovName *name;
	GovFate		fate;
	bool		is_deep;		/* the chain would be too long */
	const GovName *parent;		/* of what would be created: it names the
								 * entity above; NULL: a root */
	GovLoaded  *loaded;			/* what would be created */
} GovUnknown;

/* A budget that a hold is held against which the call ends. */
typedef struct GovHeld
{
	GovName		entity;
	pg_uuid_t	budget_id;
	GovAmount	amount;			/* that goes off it */
	GovSharedCounter *counter;	/* found by the walk; NULL: the budget is gone */
	bool		is_shared;
} GovHeld;

/* A budget that an event was charged to which the call reverses. */
typedef struct GovReversed
{
	GovName		entity;
	pg_uuid_t	budget_id;
	int64		counter_id;
	GovWindow	window;
	GovAmount	wanted;			/* what is to be given back to it, below 0 */
	GovAmount	amount;			/* what is: of a grant less, where its pool owes
								 * something */
	bool		is_drawn;		/* it is a grant, or what a pool owes */
	bool		is_live;		/* it is a grant that may be drawn from */
	pg_uuid_t	pool_id;		/* of a grant; and where among the reversed */
	int			debt;			/* stands what its pool owes */
	const struct GovPool *pool; /* of what one owes: its grants pay that first; or NULL */
	int			first_draw;		/* and where in the resolution's draws they are */
	bool		is_inherited;	/* as its event_row.h says */
	bool		is_hidden;
	GovSharedCounter *counter;	/* found by the walk; NULL: the budget is
								 * gone, or has another one */
	GovSharedCounter absent;	/* in its place where the budget is hidden,
								 * and not in memory */
	bool		is_shared;
	int			charged;		/* the pending entry, if is_shared */
	GovSharedCounter *before;	/* of the window before the counter's, which
								 * something is carried over from; or NULL */
	int			before_charged; /* the pending entry, where it is of that window */
} GovReversed;

/* What a call wants of one capability. */
typedef struct GovMeter
{
	const char *capability_id;
	uint32		capability_length;
	uint32		capability_hash;
	bool		is_concurrency; /* counts what is under way */
	GovAmount	amount;
} GovMeter;

/* What a run-time call asks. */
typedef struct GovRequest
{
	GovOwnerKey owner;
	int			nmeters;		/* 0 where nothing is resolved */
	GovMeter   *meters;			/* in byte order of their capabilities */
	bool		has_occurred_at;
	TimestampTz occurred_at;
	int			nnames;
	GovName    *names;
	int			nheld;
	GovHeld    *held;
	int			nreversed;
	GovReversed *reversed;
	GovAmount	reversed_amount;	/* goes to each of them */
	bool		is_of_engine;	/* not of a caller: it is for frozen owners
								 * too */
	bool		has_unwritten;	/* the caller has charged what the tables do
								 * not say yet */
} GovRequest;

typedef struct GovResolvedEntity
{
	const GovEntity *entity;
	GovSharedNode *node;		/* shared memory's; NULL when it has none */
	GovLoaded  *loaded;			/* the private view's, or what would be
								 * created; NULL without either */
	int			parent;			/* index, or -1 */
	uint32		slot;			/* in the resolution's slots */
	const GovName *name;		/* that its chain begins with; NULL: none does */
	int			first_budget;
	int			nbudgets;
	bool		lacks_scope;	/* it has no budget yet for a combination that
								 * the call meets */
} GovResolvedEntity;

/* Where usage counts of a budget whose windows begin with a first use, or slide. */
typedef enum GovCounts
{
	GOV_COUNTS_NOWHERE,			/* there is none, or no window for it */
	GOV_COUNTS_HERE,			/* in the counter's window, or in a grain that
								 * the counter has */
	GOV_COUNTS_EARLIER			/* in one before that */
} GovCounts;

typedef struct GovResolvedBudget
{
	const GovBudget *budget;
	pg_uuid_t	id;				/* of the budget */
	int			entity;			/* index */
	GovSharedCounter *counter;	/* of usage */
	bool		is_shared;		/* it is in shared memory */
	GovSharedCounter *holds;	/* the counter of holds; nearly always the
								 * same */
	bool		holds_are_shared;
	GovWindow	window;			/* of the counter, at the call; from -infinity
								 * to infinity if none is open; to infinity if
								 * it slides */
	bool		allows;			/* before it was charged */
	GovAmount	ended;			/* of the hold that the call ends: what goes
								 * off it */
	bool		wants_row;		/* that it is used is to be written */
	int			charged;		/* the pending entry, if holds_are_shared */
	GovSharedCounter *before;	/* of the window before, which something is
								 * carried over from; or NULL; carried.c */
	bool		before_is_shared;
	int			before_charged; /* the pending entry, where a use is of that
								 * window */
	const GovPool *pool;		/* NULL: it is none */
	int			first_draw;		/* of a pool; index */
	uint32		ndraws;			/* of a pool: how many grants it has; what it
								 * owes comes after them */

	/* where windows begin with a first use, opening.c, or slide, sliding.c */
	bool		is_open;		/* one is */
	bool		is_known;		/* there are rows of the opening */
	GovWindow	opening;		/* the window that the use opens, or, if it is
								 * late, that it belongs to */
	GovCounts	counts;			/* once it is charged */
	GovWindow	charged_window; /* likewise; of what slides before that the
								 * window that denials are counted in */
} GovResolvedBudget;

/*
 * A counter whose window is over, and the window that it is to have; or one that has
 * no window for a use (opening.c).
 */
typedef struct GovTurn
{
	int64		counter_id;
	GovCadence	cadence;
	TimestampTz anchor;
	bool		has_anchor;
	char		timezone[GOV_ID_MAX_BYTES + 1];
	GovWindow	window;
	bool		is_computed;
	bool		is_late;		/* for a use of an earlier time */
	bool		is_known;		/* there are rows of the window */
	pg_tz	   *tz;				/* likewise, of a counter without a window */
} GovTurn;

/*
 * The answer, and the working space it is found in.  The arrays are the
 * backend's, kept from call to call and grown only while no lock is held; when
 * they have become large, to the end of the transaction.
 * Entities are each named one followed by its ancestors; budgets are in the
 * order of the entities, and on one in that of the meters, as chains show them.
 */
typedef struct GovResolution
{
	TimestampTz now;			/* the time of the call */
	TimestampTz occurred_at;
	bool		is_of_now;		/* not of an earlier time: it counts in the
								 * present windows */
	bool		opens;			/* the call charges usage */
	int			nentities;
	int			entities_capacity;
	GovResolvedEntity *entities;
	uint32		nslots;			/* a power of two, twice entities_capacity at
								 * least */
	int		   *slots;			/* index + 1 of an entity, by hash of its id;
								 * or 0 */
	int			nchains;
	int			chains_capacity;
	int		   *chains;			/* the entity that each chain begins with */
	int			nunknown;		/* names that have a rule and are no entity */
	int			unknown_capacity;
	GovUnknown *unknown;
	bool		denies_unknown; /* one of them cannot be created */
	bool		wants_unknown;	/* more of them than there is room for */
	int			nbuilt;			/* of the unknown of an earlier walk, those
								 * whose entity was built */
	int			built_capacity;
	GovUnknown *built;
	GovFreshness since;			/* of what would be created */
	bool		knows_room;		/* it was asked whether the owner has */
	bool		has_room;		/* room for entities that uses create */
	int			blocked;		/* index of an entity that is blocked, the one
								 * for longest; or -1 */
	TimestampTz blocked_until;	/* DT_NOEND: until somebody ends that */
	int			nbudgets;
	int			budgets_capacity;
	GovResolvedBudget *budgets;
	GovBudgetState *states;		/* parallel to budgets */
	bool		has_bounds;		/* some state has */
	int			ndraws;
	int			draws_capacity;
	GovDraw    *draws;			/* of the pools among the budgets; draw.c */
	bool		wants_rows;		/* some budget does */
	bool		lacks_scopes;	/* some entity does */
	int			nmissing;
	int			missing_capacity;
	GovLoaded  *missing;		/* ids that must be loaded first */
	int			nturns;
	int			nsorted;		/* of them, computed, and in turn_order */
	int			turns_capacity;
	GovTurn    *turns;
	int		   *turn_order;		/* indexes of turns by their counters' ids */
	char		other_id[GOV_ID_MAX_BYTES]; /* what WAIT, OUTDATED and CYCLE
											 * speak of, or FULL; or who is
											 * blocked */
	uint32		other_id_length;
	char	   *copy;			/* of the entities, once unlocked */
	Size		copy_capacity;
	Size		copy_wanted;
	bool		is_bounded;		/* the arrays go with the transaction */
} GovResolution;

/* Where a walk finds entities and counters. */
typedef struct GovSource
{
	GovFreshness since;			/* for what is in shared memory */
	bool		uses_shared;
	bool		uses_private;
	bool		ends_cycles;	/* the tables have none: what looks like one
								 * is because nodes differ in age */
} GovSource;

typedef enum GovOutcome
{
	GOV_OUTCOME_DONE,
	GOV_OUTCOME_LOAD,			/* some ids must be loaded */
	GOV_OUTCOME_WAIT,			/* somebody else is loading one */
	GOV_OUTCOME_BARRIER,		/* calls of the owner are kept out */
	GOV_OUTCOME_FROZEN,			/* who is frozen must be read again */
	GOV_OUTCOME_OUTDATED,		/* a node must be loaded again */
	GOV_OUTCOME_CYCLE,			/* the chain above a name comes back, or seems
								 * to */
	GOV_OUTCOME_UNKNOWN,		/* entities that would be must be built */
	GOV_OUTCOME_TURN,			/* windows must be computed */
	GOV_OUTCOME_GROW,			/* an array is too small */
	GOV_OUTCOME_COMBINE,		/* budgets must be made for combinations that
								 * are met; combine.c */
	GOV_OUTCOME_LOCK,			/* a table must be locked; first_use.c */
	GOV_OUTCOME_FULL,			/* an entity has too many budgets; combine.c */
	GOV_OUTCOME_OVERFLOW		/* a count would leave the range of amounts */
} GovOutcome;

extern GovOutcome gov_resolve(const GovRequest *request, const GovSource *source,
							  bool is_exclusive, GovResolution *resolution);
extern void gov_resolve_grow(GovResolution *resolution);
extern void gov_resolve_keep_bounded(GovResolution *resolution, Size more);
extern void gov_resolve_build_unknown(const GovOwnerKey *owner, const GovMet *met,
									  GovResolution *resolution);
extern void gov_resolve_compute_turns(const GovRequest *request, GovResolution *resolution);

#endif							/* GOV_RESOLVE_H */
