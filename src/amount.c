/*
 * amount.c
 *		Exact amounts: 128-bit fixed point with nine decimals.
 *
 * PURPOSE
 *		The engine adds, compares and stores amounts far more often than it
 *		reads or prints them, so they are plain 128-bit integers counting
 *		billionths, and numeric only at the border with SQL.
 *
 * LIMITS
 *		What a caller passes in has at most 18 digits before the point, so a
 *		sum overflows no sooner than after 10^11 of the largest amounts.  Sums
 *		that come back from the tables have at most 28; what goes out may be
 *		whatever it is.
 *
 * READING
 *		How a numeric is laid out is private to the server.  Its text is not,
 *		and for the short numbers that amounts are, taking it apart costs less
 *		than any combination of the exported arithmetic functions.
 *
 * FAILURE
 *		Nothing here raises an error of the caller's input: the caller knows
 *		which argument was wrong.  No state, no locks; reading and printing
 *		allocate in the current memory context, gov_amount_add does not.
 */
#include "postgres.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "amount.h"

#ifndef HAVE_INT128
#error "governance needs a compiler with 128-bit integers"
#endif

/* digits that an amount may have before the point, and a sum of amounts */
#define AMOUNT_WHOLE_DIGITS	18
#define SUM_WHOLE_DIGITS	28

/* a sign, the 39 digits of 2^127, a point, the end */
#define AMOUNT_TEXT_SIZE	42

StaticAssertDecl(SUM_WHOLE_DIGITS + GOV_AMOUNT_DECIMALS < 38,
				 "a sum, rounded up, must fit into 128 bits");

/* Is this byte one of 0 to 9, whatever the locale? */
static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * Read what numeric_out writes: an optional minus, digits, and optionally a
 * point and digits; or the name of a value that is not finite.
 */
static GovAmountStatus
parse_amount(const char *text, int max_digits, GovAmount *result)
{
	bool		is_negative = (*text == '-');
	uint64		fraction = 0;
	GovAmount	whole = 0;
	GovAmount	end = GOV_AMOUNT_UNIT;
	int			ndigits = 0;
	int			ndecimals = 0;
	GovAmount	amount;

	if (is_negative)
		text++;
	if (!is_digit(*text))
		return GOV_AMOUNT_NOT_FINITE;

	/* Whole part: numeric_out writes no superfluous zeros. */
	for (; is_digit(*text); text++)
	{
		if (++ndigits > max_digits)
			return GOV_AMOUNT_TOO_LARGE;
		whole = whole * 10 + (*text - '0');
	}

	/* Fraction: exactly nine decimals, the tenth decides about rounding. */
	if (*text == '.')
		text++;
	for (; ndecimals < GOV_AMOUNT_DECIMALS && is_digit(*text); ndecimals++)
		fraction = fraction * 10 + (*text++ - '0');
	for (; ndecimals < GOV_AMOUNT_DECIMALS; ndecimals++)
		fraction *= 10;
	if (*text >= '5')
		fraction++;

	/* Rounding may have carried into one digit too many. */
	amount = whole * GOV_AMOUNT_UNIT + fraction;
	if (ndigits == max_digits)
	{
		for (int i = 0; i < max_digits; i++)
			end *= 10;
		if (amount >= end)
			return GOV_AMOUNT_TOO_LARGE;
	}

	*result = is_negative ? -amount : amount;
	return GOV_AMOUNT_OK;
}

static GovAmountStatus
from_numeric(Numeric num, int max_digits, GovAmount *result)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out,
														   NumericGetDatum(num)));
	GovAmountStatus status = parse_amount(text, max_digits, result);

	pfree(text);
	return status;
}

/*
 * Convert a numeric to an amount, rounding half away from zero.  *result is
 * set only for GOV_AMOUNT_OK.
 */
GovAmountStatus
gov_amount_from_numeric(Numeric num, GovAmount *result)
{
	return from_numeric(num, AMOUNT_WHOLE_DIGITS, result);
}

/* The same for a sum of amounts, which may be larger than any one of them. */
GovAmountStatus
gov_amount_from_sum(Numeric num, GovAmount *result)
{
	return from_numeric(num, SUM_WHOLE_DIGITS, result);
}

/* An amount that is too large for the server's 64-bit conversions. */
static Numeric
large_amount_to_numeric(GovAmount amount, int decimals)
{
	char		text[AMOUNT_TEXT_SIZE];
	char	   *p = text + AMOUNT_TEXT_SIZE;
	uint128		rest = amount < 0 ? -(uint128) amount : (uint128) amount;

	/* From the last digit to the first; there are always whole digits. */
	*--p = '\0';
	for (; rest != 0; rest /= 10)
	{
		*--p = '0' + (int) (rest % 10);
		if (--decimals == 0)
			*--p = '.';
	}
	if (amount < 0)
		*--p = '-';
	Assert(p >= text && decimals < 0);

	return DatumGetNumeric(DirectFunctionCall3(numeric_in,
											   CStringGetDatum(p),
											   ObjectIdGetDatum(InvalidOid),
											   Int32GetDatum(-1)));
}

/*
 * Convert an amount to a numeric without trailing zeros, palloc'd in the
 * current memory context.
 */
Numeric
gov_amount_to_numeric(GovAmount amount)
{
	int			decimals = GOV_AMOUNT_DECIMALS;
	int64		small;

	/* Whole numbers are what amounts usually are. */
	if (amount % GOV_AMOUNT_UNIT == 0)
	{
		amount /= GOV_AMOUNT_UNIT;
		decimals = 0;
	}

	/* Drop the zeros at the end of a fraction. */
	while (decimals > 0 && amount % 10 == 0)
	{
		amount /= 10;
		decimals--;
	}

	if (amount < PG_INT64_MIN || amount > PG_INT64_MAX)
		return large_amount_to_numeric(amount, decimals);

	small = (int64) amount;
	if (decimals == 0)
		return int64_to_numeric(small);
	return int64_div_fast_to_numeric(small, decimals);
}

/* Add two amounts; false, with *sum undefined, when the sum does not fit. */
bool
gov_amount_add(GovAmount a, GovAmount b, GovAmount *sum)
{
	return !__builtin_add_overflow(a, b, sum);
}
