/*
 * bytes.h
 *		Strings compared by their bytes, without a collation.
 */
#ifndef GOV_BYTES_H
#define GOV_BYTES_H

#include "postgres.h"

#include "base/compat.h"

static inline bool
gov_bytes_equal(const char *a, uint32 a_length, const char *b, uint32 b_length)
{
	return a_length == b_length && memcmp(a, b, a_length) == 0;
}

/* The order of strings in which the engine sorts: by bytes, the shorter one first. */
static inline int
gov_bytes_compare(const char *a, uint32 a_length, const char *b, uint32 b_length)
{
	int			order = memcmp(a, b, Min(a_length, b_length));

	return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

/* Has a value of type text or bytea these bytes? */
static inline bool
gov_bytes_are(const struct varlena *value, const char *bytes, uint32 length)
{
	return gov_bytes_equal(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), bytes, length);
}

/* Are two values of type text or bytea the same? */
static inline bool
gov_bytes_same(const struct varlena *a, const struct varlena *b)
{
	return gov_bytes_are(a, VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b));
}

#endif							/* GOV_BYTES_H */
