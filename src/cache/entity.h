/*
 * entity.h
 *		An entity and its budgets, as one block of memory without pointers.
 */
#ifndef GOV_ENTITY_H
#define GOV_ENTITY_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "base/arena.h"
#include "pure/amount.h"
#include "pure/bytes.h"
#include "pure/cadence.h"
#include "pure/bounds.h"
#include "pure/carry.h"
#include "pure/pool.h"
#include "pure/window.h"

/*
 * Where a string of a block is: at an offset from the start of the block or,
 * with GOV_TEXT_IS_NAME, a name in shared memory (names.c). 0 stands for null,
 * and for the empty string of a column that is never null.
 */
typedef uint32 GovText;

#define GOV_TEXT_IS_NAME	0x80000000U
#define GOV_ID_MAX_BYTES	(255 * 4)	/* an id has at most 255 characters */
#define GOV_CHAIN_MAX		64	/* entities from a leaf up to its root */
#define GOV_NAME_CHARS_AT	12	/* where a name has its GovChars; names.c */

/*
 * A string.  In the block of an entity a NUL follows, which length does not
 * count.
 */
typedef struct GovChars
{
	uint16		length;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} GovChars;

/* The properties that few budgets have; the others need not pay for them. */
typedef struct GovBudgetMore
{
	TimestampTz anchor;
	GovText		timezone;		/* 0: UTC */
	uint32		scope;			/* offset of nscope GovTexts */
	uint32		nscope;
	uint32		alerts;			/* offset of nalerts GovAmounts, ascending */
	uint16		nalerts;
	bool		has_anchor;
	bool		is_inherited;	/* a GovInherited follows */
	uint32		bounds;			/* offset of a GovBounds; 0: none */
	uint32		pool;			/* offset of a GovPool; 0: it is none */
	uint32		carry;			/* offset of a GovCarry; 0: nothing is carried over */
} GovBudgetMore;

/*
 * What a budget carries over from one window to the next; gate/carried.c.  The limit
 * that a window had when it ended is that of the time since, if it ended by then,
 * else the budget's.
 */
typedef struct GovCarry
{
	GovCarryRule rule;
	GovAmount	limit_before;
	TimestampTz since;			/* the window of the load's time began */
	TimestampTz made_at;		/* a window that had ended then carries nothing */
	uint32		before;			/* which of the entity's budgets counts the window
								 * before */
	bool		had_limit;		/* limit_before says something */
} GovCarry;

/* What a budget by a default is made of, besides what its entity says. */
typedef struct GovInherited
{
	pg_uuid_t	default_id;
	int64		seed;
	GovText		anchor;			/* what the default's anchor_from found; 0:
								 * nothing */
	int32		salt;
	bool		wants_row;		/* it has none of gov_default_counts yet */
} GovInherited;

/*
 * What a budget is.  Grants of a pool, and what it owes, are counted as budgets
 * are, and stand among those of the entity, under a capability that nothing is
 * used of: so they are read, charged, kept and carried over like them.
 */
typedef enum GovCountKind
{
	GOV_COUNTS_USAGE,
	GOV_COUNTS_DRAWN,			/* from a grant, whose id it has */
	GOV_COUNTS_DEBT,			/* of a pool; its window ends when that last
								 * grew */
	GOV_COUNTS_BEFORE			/* of the window before the present one, which has
								 * the same counter_id */
} GovCountKind;

#define GOV_NEVER_OWED		(DT_NOBEGIN + 1)	/* the end of that window before
												 * it does */
#define GOV_GRANTS_CAPABILITY	"\001grants"	/* no id has such a character */

/* What few budgets have.  One that has none of it pays for one look at that. */
#define GOV_BUDGET_SCOPED		0x01
#define GOV_BUDGET_INHERITED	0x02	/* it is by a default */
#define GOV_BUDGET_BOUNDED		0x04	/* a GovBounds */
#define GOV_BUDGET_OPENS		0x08	/* windows that begin with a first use */
#define GOV_BUDGET_SLIDES		0x10	/* a window that slides */

typedef struct GovBudget
{
	pg_uuid_t	id;				/* of its row; never changes */
	int64		counter_id;		/* of its count; a new one starts it afresh */
	GovAmount	limit;
	GovCadence	cadence;
	uint32		capability_hash;
	GovText		capability_id;	/* outer */
	GovText		name;
	uint32		more;			/* offset of a GovBudgetMore; 0: all zero */
	bool		has_limit;
	bool		is_soft;
	uint8		counts;			/* GovCountKind */
	uint8		special;		/* which of the above it has */
} GovBudget;

/*
 * A default with a scope: the entity has a budget for each combination with
 * entities of these types that a call has met (combine.c).
 */
typedef struct GovTemplate
{
	pg_uuid_t	default_id;
	uint32		capability_hash;
	GovText		capability_id;
	GovText		name;
	uint32		ntypes;
	uint32		types;			/* offset of ntypes GovTexts, in byte order */
} GovTemplate;

#define GOV_TEMPLATE_TYPES_MAX	8

typedef struct GovTemplates
{
	uint32		count;
	GovTemplate items[FLEXIBLE_ARRAY_MEMBER];
} GovTemplates;

/*
 * An entity.  Its budgets are sorted by capability, and within a capability in
 * the order in which chains show them: those without a scope first, then by
 * size of the scope, scope and name.  The id follows the budgets.
 *
 * The outer strings (type, parent, capabilities) are the same in many
 * entities.  They are names, and the block ends after its inner part; or,
 * where there was no room for names, they stand at the end of the block.  In a
 * copy of a block that others may replace they must not be read: a name goes
 * with the last block that has it.
 */
typedef struct GovEntity
{
	uint32		size;			/* of the whole block */
	uint32		inner_size;
	uint32		nbudgets;
	uint32		id_hash;		/* gov_entity_text_hash() of id */
	GovText		type_id;		/* outer */
	GovText		parent_id;		/* outer; null: a root */
	bool		is_archived;
	bool		has_templates;	/* GovTemplates follow the id */
	uint32		block;			/* offset of the TimestampTz that it is
								 * blocked until; 0: it is not */
	GovBudget	budgets[FLEXIBLE_ARRAY_MEMBER];
} GovEntity;

extern const GovChars gov_no_chars;
extern const GovBudgetMore gov_no_more;

static inline const GovChars *
gov_chars(const void *block, GovText string)
{
	if (string & GOV_TEXT_IS_NAME)
		return (const GovChars *) ((char *) gov_address(string & ~GOV_TEXT_IS_NAME) +
								   GOV_NAME_CHARS_AT);
	return string == 0 ? &gov_no_chars : (const GovChars *) ((const char *) block + string);
}

static inline bool
gov_chars_are(const GovChars *chars, const char *string, uint32 length)
{
	return gov_bytes_equal(chars->bytes, chars->length, string, length);
}

static inline const char *
gov_entity_string(const GovEntity *entity, GovText string)
{
	return gov_chars(entity, string)->bytes;
}

static inline uint32
gov_entity_length(const GovEntity *entity, GovText string)
{
	return gov_chars(entity, string)->length;
}

static inline const GovChars *
gov_entity_id(const GovEntity *entity)
{
	return (const GovChars *) &entity->budgets[entity->nbudgets];
}

/* Where the templates of an entity are that has some. */
static inline Size
gov_entity_templates_at(Size id_at, uint32 id_length)
{
	return TYPEALIGN(sizeof(uint32), id_at + offsetof(GovChars, bytes) + id_length + 1);
}

/* Its defaults with a scope; NULL for nearly all. */
static inline const GovTemplates *
gov_entity_templates(const GovEntity *entity)
{
	if (likely(!entity->has_templates))
		return NULL;
	return (const GovTemplates *) ((const char *) entity +
								   gov_entity_templates_at((const char *) gov_entity_id(entity) - (const char *) entity,
														   gov_entity_id(entity)->length));
}

/* Is it blocked at a time?  DT_NOEND: until somebody ends that. */
static inline bool
gov_entity_is_blocked(const GovEntity *entity, TimestampTz at, TimestampTz *until)
{
	if (likely(entity->block == 0))
		return false;
	*until = *(const TimestampTz *) ((const char *) entity + entity->block);
	return at < *until;
}

static inline const GovBudgetMore *
gov_budget_more(const GovEntity *entity, const GovBudget *budget)
{
	return budget->more == 0 ? &gov_no_more :
		(const GovBudgetMore *) ((const char *) entity + budget->more);
}

/* What it is made of if the entity has it by a default; else NULL. */
static inline const GovInherited *
gov_budget_inherited(const GovEntity *entity, const GovBudget *budget)
{
	const GovBudgetMore *more = gov_budget_more(entity, budget);

	return more->is_inherited ? (const GovInherited *) (more + 1) : NULL;
}

/* Do its windows begin with a first use, wherever that is? */
static inline bool
gov_budget_opens(const GovBudget *budget)
{
	return unlikely((budget->special & GOV_BUDGET_OPENS) != 0);
}

/* Does its window slide? */
static inline bool
gov_budget_slides(const GovBudget *budget)
{
	return unlikely((budget->special & GOV_BUDGET_SLIDES) != 0);
}

/* Does its window begin at other times than the calendar, or its anchor, says? */
static inline bool
gov_budget_is_timed(const GovBudget *budget)
{
	return unlikely((budget->special & (GOV_BUDGET_OPENS | GOV_BUDGET_SLIDES)) != 0);
}

/* What else bounds it than its limit; NULL for nearly all. */
static inline const GovBounds *
gov_budget_bounds(const GovEntity *entity, const GovBudget *budget)
{
	uint32		bounds = gov_budget_more(entity, budget)->bounds;

	return bounds == 0 ? NULL : (const GovBounds *) ((const char *) entity + bounds);
}

static inline bool
gov_budget_is_pool(const GovEntity *entity, const GovBudget *budget)
{
	return gov_budget_more(entity, budget)->pool != 0;
}

/* What it carries over; NULL for nearly all. */
static inline const GovCarry *
gov_budget_carry(const GovEntity *entity, const GovBudget *budget)
{
	uint32		carry = gov_budget_more(entity, budget)->carry;

	return likely(carry == 0) ? NULL : (const GovCarry *) ((const char *) entity + carry);
}

/* Is it a count of a window before? */
static inline bool
gov_budget_is_before(const GovBudget *budget)
{
	return budget->counts == GOV_COUNTS_BEFORE;
}

/* The grants of a pool. */
static inline const GovPool *
gov_budget_pool(const GovEntity *entity, const GovBudget *budget)
{
	return (const GovPool *) ((const char *) entity + gov_budget_more(entity, budget)->pool);
}

static inline const GovText *
gov_budget_scope(const GovEntity *entity, const GovBudget *budget)
{
	return (const GovText *) ((const char *) entity + gov_budget_more(entity, budget)->scope);
}

static inline const char *
gov_budget_timezone(const GovEntity *entity, const GovBudget *budget)
{
	GovText		timezone = gov_budget_more(entity, budget)->timezone;

	return timezone == 0 ? "UTC" : gov_entity_string(entity, timezone);
}

static inline bool
gov_uuid_is(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a->data, b->data, UUID_LEN) == 0;
}

#ifdef USE_ASSERT_CHECKING
extern bool gov_entity_is_sound(const GovEntity *entity);
#endif
extern uint32 gov_entity_text_hash(const char *string, uint32 length);
extern void gov_entity_budgets_of(const GovEntity *entity,
								  const char *capability_id, uint32 length,
								  uint32 hash, uint32 *first, uint32 *count);
extern bool gov_entity_budget_window(const GovEntity *entity, const GovBudget *budget,
									 TimestampTz at, GovWindow *window);
extern bool gov_entity_opened_window(const GovEntity *entity, const GovBudget *budget,
									 TimestampTz at, GovWindow *window);
extern bool gov_entity_same_windows(const GovEntity *entity, const GovBudget *budget,
									const GovEntity *other_entity, const GovBudget *other);

#endif							/* GOV_ENTITY_H */
