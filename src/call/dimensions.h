/*
 * dimensions.h
 *		The dimensions of a call: a flat JSON object.
 */
#ifndef GOV_DIMENSIONS_H
#define GOV_DIMENSIONS_H

#include "postgres.h"

#include "utils/jsonb.h"

extern void gov_dimensions_refuse(const char *detail);
extern void gov_dimensions_check_size(const Jsonb *dimensions);
extern bool gov_dimensions_next(JsonbIterator **iterator, JsonbValue *key,
								JsonbValue *value);
extern bool gov_dimensions_text(const JsonbValue *value, const char **bytes,
								uint32 *length);
extern Jsonb *gov_dimensions_stored(Jsonb *dimensions);

#endif							/* GOV_DIMENSIONS_H */
