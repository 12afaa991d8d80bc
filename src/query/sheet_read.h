/*
 * sheet_read.h
 *		The steps that read a sheet from the tables.
 */
#ifndef GOV_SHEET_READ_H
#define GOV_SHEET_READ_H

#include "query/sheet.h"

/* Texts, types, capabilities and windows that rows share: found by their value. */
typedef struct GovSheetReading
{
	GovSheet   *sheet;
	uint32		types_capacity;
	uint32		capabilities_capacity;
	uint32		windows_capacity;
	uint32		nslots;			/* of windows; a power of two */
	uint32	   *slots;			/* index + 1, or 0 */
	struct GovSheetDraft *drafts;	/* of one entity */
	uint32		drafts_capacity;
} GovSheetReading;

/* sheet_tree.c */
extern int	gov_sheet_find_entity(const GovSheet *sheet, const char *id, uint32 length);
extern void gov_sheet_place_entities(GovSheet *sheet);
extern void gov_sheet_allocate(GovSheet *sheet);

/* sheet_select.c */
extern uint64 gov_sheet_select_entities(GovSheet *sheet);
extern uint64 gov_sheet_select_budgets(const GovSheet *sheet);

/* sheet_defaults.c */
extern void gov_sheet_read_defaults(GovSheetReading *reading);
extern void gov_sheet_read_extras(GovSheet *sheet);
extern int	gov_sheet_find_default(const GovSheet *sheet, const pg_uuid_t *id);
extern bool gov_sheet_has_unused(const GovSheet *sheet, uint32 entity, uint32 from);
extern void gov_sheet_add_extra(GovSheet *sheet, uint64 unused, GovAmount boost, GovAmount allocated);
extern void gov_sheet_order_extras(GovSheet *sheet);
extern const GovSheetExtra *gov_sheet_extra(const GovSheet *sheet, uint64 unused);

/* sheet_blocks.c */
extern void gov_sheet_read_blocks(GovSheet *sheet);

/* sheet_catalog.c */
extern GovString gov_sheet_add_column(GovSheet *sheet, uint64 row, int column);
extern bool gov_sheet_is_column(const GovSheet *sheet, GovString string, uint64 row, int column);
extern uint32 gov_sheet_add_capability(GovSheetReading *reading, uint64 row, int column);
extern uint32 gov_sheet_add_window(GovSheetReading *reading, uint64 row, int kind_column);
extern void gov_sheet_read_catalog(GovSheet *sheet);

/* sheet_pools.c */
extern void gov_sheet_read_pools(GovSheet *sheet);
extern void gov_sheet_read_drawn(GovSheet *sheet);

/* sheet_carried.c */
extern void gov_sheet_read_carried(GovSheet *sheet);
extern bool gov_sheet_find_carried(const GovSheet *sheet, const pg_uuid_t *id, GovAmount *carried);
extern GovAmount gov_sheet_carried_unused(const GovSheet *sheet, uint32 entity, const GovSheetDefault *by,
										  TimestampTz start);

/* sheet_counts.c */
extern void gov_sheet_read_counts(GovSheet *sheet);

/* sheet_open.c */
extern GovSheet *gov_sheet_open(const char *owner, uint32 owner_length, const char *part,
								int attempt);
extern void gov_sheet_close(GovSheet *sheet);

#endif							/* GOV_SHEET_READ_H */
