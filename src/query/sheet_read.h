/*
 * sheet_read.h
 *		The steps that read a sheet from the tables.
 */
#ifndef GOV_SHEET_READ_H
#define GOV_SHEET_READ_H

#include "query/sheet.h"

/* sheet_tree.c */
extern int	gov_sheet_find_entity(const GovSheet *sheet, const char *id, uint32 length);
extern void gov_sheet_place_entities(GovSheet *sheet);
extern void gov_sheet_allocate(GovSheet *sheet);

/* sheet_select.c */
extern uint64 gov_sheet_select_entities(GovSheet *sheet);
extern uint64 gov_sheet_select_budgets(const GovSheet *sheet);

/* sheet_blocks.c */
extern void gov_sheet_read_blocks(GovSheet *sheet);

/* sheet_catalog.c */
extern GovString gov_sheet_add_column(GovSheet *sheet, uint64 row, int column);
extern void gov_sheet_read_catalog(GovSheet *sheet);

/* sheet_counts.c */
extern void gov_sheet_read_counts(GovSheet *sheet);

/* sheet_open.c */
extern GovSheet *gov_sheet_open(const char *owner, uint32 owner_length, const char *part,
								int attempt);
extern void gov_sheet_close(GovSheet *sheet);

#endif							/* GOV_SHEET_READ_H */
