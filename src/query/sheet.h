/*
 * sheet.h
 *		An owner's entities and budgets, or a part of them, as one backend has
 *		read them.
 */
#ifndef GOV_SHEET_H
#define GOV_SHEET_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "cache/node.h"

/*
 * A string in the sheet's texts.  A NUL follows it, which length does not
 * count.
 */
typedef struct GovString
{
	uint32		offset;			/* 0 = null */
	uint32		length;
} GovString;

/* Entities of a sheet are in byte order of their ids. */
typedef struct GovSheetEntity
{
	GovString	id;				/* strings are in the sheet's texts */
	GovString	display_name;
	uint32		type;			/* index */
	int			parent;			/* index, or -1: a root */
	int			shown_parent;	/* the nearest that is not archived */
	uint32		first_row;		/* of its budgets; archived ones have none */
	uint32		nrows;
	uint32		place;			/* in the trees, depth first */
	uint32		last_place;		/* of those below it */
	uint32		block;			/* index + 1, or 0: never blocked */
	TimestampTz created_at;
	bool		is_archived;
} GovSheetEntity;

/* A block of an entity, in force or over. */
typedef struct GovSheetBlock
{
	TimestampTz at;
	TimestampTz until;			/* DT_NOEND: until somebody ends it */
	GovString	reason;
} GovSheetBlock;

/*
 * What is only shown of a budget.  Rows are in the order of their entities,
 * and for one entity in natural order.
 */
typedef struct GovSheetBudget
{
	pg_uuid_t	id;
	GovAmount	limit;			/* in force at the sheet's time */
	GovAmount	base_limit;		/* without boosts */
	GovAmount	allocated;
	GovString	name;
	uint32		entity;			/* index */
	uint32		scope;			/* where nscope GovStrings begin in the texts */
	uint32		nscope;
	bool		has_limit;
	bool		is_soft;
	bool		is_locked;
	bool		is_pool;		/* its limit is what its grants come to */
	int32		by_default;		/* index of the default, or -1: an assignment */
} GovSheetBudget;

/*
 * A default that applies to the owner's entities of a type.  They are in the
 * order of their types, and for one type in natural order.
 */
typedef struct GovSheetDefault
{
	pg_uuid_t	id;
	int64		seed;
	GovAmount	limit;			/* without boosts */
	GovString	name;
	GovString	anchor_from;	/* null: the window says it */
	uint32		type;			/* index */
	uint32		capability;		/* index */
	uint32		window;			/* index */
	bool		has_limit;
	bool		is_soft;
	bool		is_locked;
	bool		is_listed;		/* each entity has one budget by it, unless
								 * there is one in its place */
	bool		carries;		/* something over to the next window, */
	GovAmount	carry_max;		/* at most so much, */
	TimestampTz carry_made_at;	/* but nothing of those that had ended then */
} GovSheetDefault;

/* What a budget carries over. */
typedef struct GovSheetCarried
{
	pg_uuid_t	id;
	GovAmount	carried;
} GovSheetCarried;

/* What one of the unused budgets has besides what its default says. */
typedef struct GovSheetExtra
{
	uint64		unused;			/* which; see gov_sheet_unused() */
	GovAmount	boost;
	GovAmount	allocated;
} GovSheetExtra;

/* What every query looks at of a budget. */
typedef struct GovSheetRow
{
	GovSharedCounter *counter;	/* NULL: not in shared memory when looked up */
	int64		counter_id;
	double		per_unit;		/* utilization of one billionth; NaN without a
								 * limit */
	uint32		window;			/* index */
	uint32		capability:28;	/* index */
	uint32		is_pool:1;		/* its counter is never here */
	uint32		is_scoped:1;
	uint32		is_read:1;		/* stored amounts are right where they are
								 * asked */
	uint32		needs_read:1;	/* and they are asked */
} GovSheetRow;

StaticAssertDecl(sizeof(GovSheetRow) == 32, "two rows make a cache line");

/* What the tables say of a budget's count. */
typedef struct GovSheetStored
{
	GovAmount	usage;
	GovAmount	held;
	TimestampTz start;			/* of the window that usage is of */
	TimestampTz end;			/* likewise, if it was opened */
} GovSheetStored;

StaticAssertDecl(sizeof(GovSheetStored) == 48, "the end fills what is left");

/*
 * Budgets of one cadence, anchor and time zone share their windows.  Where windows
 * begin with a first use each has its own, and this one is for ever.
 */
typedef struct GovSheetWindow
{
	GovCadence	cadence;
	GovString	cadence_text;	/* null: never resets */
	GovString	timezone;
	TimestampTz anchor;
	bool		has_anchor;
	GovWindow	present;
} GovSheetWindow;

/* What a sheet was read after; see live.c. */
typedef struct GovSheetMarks
{
	uint64		changes;
	uint64		generation;
	uint64		installs;
	uint64		unlinks;
	uint32		first_uses;
} GovSheetMarks;

typedef struct GovSheet
{
	struct GovSheet *next;		/* among those kept, the last used first */
	MemoryContext context;		/* all of it */
	Size		size;
	GovOwnerKey owner;
	const char *part;			/* the entity that all of it is below, but for
								 * those above; NULL: all */
	uint64		catalog;		/* generation of the catalog */
	GovSheetMarks marks;
	TimestampTz now;			/* windows are those of this time */
	TimestampTz last_turn;		/* when the last of them began */
	TimestampTz next_turn;		/* when the first of them is over */
	TimestampTz next_boost;		/* when a limit changes next: a boost, or a grant
								 * of a pool, begins or ends */
	TimestampTz next_recorded;	/* when a later one begins that the tables
								 * have usage of, or some of that leaves a
								 * window that slides */
	bool		is_whole;		/* nothing that keeps it right has failed */
	bool		is_kept;		/* by the backend, or only for this query */
	bool		is_live;		/* counters in shared memory count */
	bool		sees_own;		/* the tables' rows of our own transaction
								 * count */
	bool		has_pools;
	int64		most_grants;	/* of a pool, that are not closed */
	GovDraw    *draws;			/* room for those */
	uint32		ncarried;		/* budgets that carry over */
	GovSheetCarried *carried;	/* by their ids */
	StringInfoData texts;
	uint32		nentities;
	GovSheetEntity *entities;
	uint32		nblocks;
	GovSheetBlock *blocks;
	uint32		nrows;
	GovSheetRow *rows;
	GovSheetBudget *budgets;
	GovSheetStored *stored;
	uint32		nwindows;
	GovSheetWindow *windows;
	uint32		ndefaults;
	bool		has_listed;		/* one of them is_listed */
	GovSheetDefault *defaults;
	uint32	   *first_default;	/* by type, and where the last one ends */
	uint32		nextras;
	uint32		extras_capacity;
	GovSheetExtra *extras;		/* ascending */
	uint32		ntypes;
	GovString  *types;
	uint32		ncapabilities;
	GovString  *capabilities;
} GovSheet;

static inline const char *
gov_sheet_text(const GovSheet *sheet, GovString string)
{
	return sheet->texts.data + string.offset;
}

/* Do the windows of a row begin with a first use? */
static inline bool
gov_sheet_opens(const GovSheetWindow *window)
{
	return unlikely(window->cadence.kind == GOV_WINDOW_FIRST_USE);
}

/* Do they slide?  Then the present one is the grain of the present time. */
static inline bool
gov_sheet_slides(const GovSheetWindow *window)
{
	return unlikely(window->cadence.kind == GOV_WINDOW_SLIDING);
}

/* What counts of a window that slides: from the first grain on, without an end. */
static inline GovWindow
gov_sheet_span(const GovSheetWindow *window, TimestampTz grain_start)
{
	return (GovWindow) {grain_start - gov_window_span(&window->cadence), DT_NOEND};
}

static inline const GovString *
gov_sheet_scope(const GovSheet *sheet, const GovSheetBudget *budget)
{
	return (const GovString *) (sheet->texts.data + budget->scope);
}

/*
 * Which of the unused budgets is that of an entity by a default?  They have no
 * rows: a type of a million entities costs nothing until its budgets are used.
 */
static inline uint64
gov_sheet_unused(const GovSheet *sheet, uint32 entity, uint32 from)
{
	return (uint64) entity * sheet->ndefaults + from;
}

/* The block of an entity that is in force at the sheet's time, or NULL. */
static inline const GovSheetBlock *
gov_sheet_block(const GovSheet *sheet, const GovSheetEntity *entity)
{
	const GovSheetBlock *block;

	if (entity->block == 0)
		return NULL;
	block = &sheet->blocks[entity->block - 1];
	return sheet->now < block->until ? block : NULL;
}

#endif							/* GOV_SHEET_H */
