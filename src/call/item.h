/*
 * item.h
 *		Reads an event of a batch.
 */
#ifndef GOV_ITEM_H
#define GOV_ITEM_H

#include "utils/jsonb.h"

#include "call/request.h"

extern bool gov_item_is_key(const JsonbValue *key, const char *name);
extern void gov_item_read(text *owner, const JsonbValue *item, GovArguments *arguments);

#endif							/* GOV_ITEM_H */
