/*
 * page_pick.h
 *		The rows of a page while they are picked.
 */
#ifndef GOV_PAGE_PICK_H
#define GOV_PAGE_PICK_H

#include "query/page.h"

typedef struct GovPicking
{
	const GovSheet *sheet;
	const GovPageRequest *request;
	GovPage    *page;
	bool		needs_usage;	/* of every row */
	double		min_utilization;
	bool	   *types;			/* by index; NULL: all */
	bool	   *capabilities;
	bool		wants_every_row;	/* of the entities that pass */
	char	   *search;			/* lower case */
	uint32		first_place;
	uint32		last_place;
	/* of the cursor */
	uint32		low_entity;		/* entities before its entity */
	int			at_entity;		/* its entity, or -1 if it is gone */
	uint32		next_number;	/* rows up to and with its row */
	GovLiveScan scan;
	/* rows that wait for their usage */
	uint32		nwaiting;
	uint32		most_waiting;	/* few at first: a full page has a bound */
	uint32		waiting[GOV_LIVE_ROWS];
	GovLiveAmounts amounts[GOV_LIVE_ROWS];
} GovPicking;

/* page_pick.c */
extern bool gov_page_passes_filters(const GovPicking *picking, const GovSheetEntity *entity);
extern bool gov_page_was_passed(const GovPicking *picking, uint32 entity, const GovPageRow *row);
extern int64 gov_page_fixed_primary(const GovPicking *picking, uint32 entity, uint32 nscope);
extern bool gov_page_judge(const GovPicking *picking, GovPageRow *row, bool has_limit,
						   GovAmount limit, double utilization);

/* page_unused.c */
extern void gov_page_pick_unused(GovPicking *picking);

#endif							/* GOV_PAGE_PICK_H */
