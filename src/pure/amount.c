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
 *		What a caller passes in has at most 18 digits before the point, so it
 *		takes 10^11 of the largest amounts for a sum to overflow.  Sums that are
 *		read from the tables have at most 28 digits there.  An amount of any size
 *		can be written.
 *
 * THE SHORT FORM
 *		Every call reads and writes some numerics, so they are taken apart and put
 *		together here, in the short form in which tables keep them.  pg_upgrade
 *		has kept that form since 9.1.  The tests compare them with the server's
 *		own, byte by byte.  A numeric that is in another form, that has to be
 *		rounded, or that is larger than most are, is read from its string.
 *
 * FAILURE
 *		A status says what is wrong with the input: only the caller knows which
 *		argument it was, and raises.  There are no locks, and no state but some
 *		constants.  All but gov_amount_add() allocate in the current memory
 *		context.
 */
#include "postgres.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "pure/amount.h"

#ifndef HAVE_INT128
#error "governance needs a compiler with 128-bit integers"
#endif

/* digits that an amount may have before the point, and a sum of amounts */
#define AMOUNT_WHOLE_DIGITS	18
#define SUM_WHOLE_DIGITS	28

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
parse_amount(const char *string, int max_digits, GovAmount *result)
{
	bool		is_negative = (*string == '-');
	uint64		fraction = 0;
	GovAmount	whole = 0;
	GovAmount	end = GOV_AMOUNT_UNIT;
	int			ndigits = 0;
	int			ndecimals = 0;
	GovAmount	amount;

	if (is_negative)
		string++;
	if (!is_digit(*string))
		return GOV_AMOUNT_NOT_FINITE;

	/* Whole part: numeric_out writes no superfluous zeros. */
	for (; is_digit(*string); string++)
	{
		if (++ndigits > max_digits)
			return GOV_AMOUNT_TOO_LARGE;
		whole = whole * 10 + (*string - '0');
	}

	/* Fraction: exactly nine decimals, the tenth decides about rounding. */
	if (*string == '.')
		string++;
	for (; ndecimals < GOV_AMOUNT_DECIMALS && is_digit(*string); ndecimals++)
		fraction = fraction * 10 + (*string++ - '0');
	for (; ndecimals < GOV_AMOUNT_DECIMALS; ndecimals++)
		fraction *= 10;
	if (*string >= '5')
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

/* What the digits of a numeric stand for: four decimal ones each. */
#define NUMERIC_BASE			10000
#define NUMERIC_BASE_DIGITS		4
#define NUMERIC_FORM			0xC000
#define NUMERIC_SHORT			0x8000
#define NUMERIC_SHORT_MINUS		0x2000
#define NUMERIC_SHORT_SCALE		7	/* bits to shift by */
#define NUMERIC_SHORT_WEIGHT	0x007F	/* in two's complement, ... */
#define NUMERIC_SHORT_NEGATIVE	0x0040	/* ... with this for a sign */

/* digits of the fraction, and of the 30 before the point that 2^127 has at most */
#define FRACTION_DIGITS			3
#define WHOLE_DIGITS			8

/* digits before the point that are read from the short form: 64 bits hold them */
#define READ_DIGITS				4

StaticAssertDecl(FRACTION_DIGITS * NUMERIC_BASE_DIGITS >= GOV_AMOUNT_DECIMALS,
				 "the decimals must fit into the digits");
StaticAssertDecl(READ_DIGITS * NUMERIC_BASE_DIGITS <= AMOUNT_WHOLE_DIGITS,
				 "what is read from the short form must be no too large amount");

/* So many digits of a numeric, of which some may not be written because they are 0. */
static uint64
read_digits(const int16 *digits, int ndigits, int from, int count)
{
	uint64		result = 0;

	for (int i = from; i < from + count; i++)
		result = result * NUMERIC_BASE + (i >= 0 && i < ndigits ? digits[i] : 0);
	return result;
}

/*
 * Convert a numeric to an amount if that loses nothing and is quick; false if it
 * is another numeric.
 */
bool
gov_amount_read(Numeric num, GovAmount *result)
{
	const char *data = (const char *) num + VARHDRSZ;
	int			ndigits = (VARSIZE(num) - VARHDRSZ - sizeof(uint16)) / sizeof(int16);
	int16		digits[READ_DIGITS + FRACTION_DIGITS];
	uint16		header;
	int			weight;
	uint64		fraction;

	Assert(VARATT_IS_4B_U(num));
	memcpy(&header, data, sizeof(header));
	if ((header & NUMERIC_FORM) != NUMERIC_SHORT)
		return false;
	weight = header & NUMERIC_SHORT_WEIGHT;
	if (weight & NUMERIC_SHORT_NEGATIVE)
		weight -= NUMERIC_SHORT_WEIGHT + 1;
	if (weight >= READ_DIGITS || ndigits > weight + 1 + FRACTION_DIGITS)
		return false;
	memcpy(digits, data + sizeof(header), ndigits * sizeof(int16));
	fraction = read_digits(digits, ndigits, weight + 1, FRACTION_DIGITS);
	if (fraction % 1000 != 0)
		return false;
	*result = (GovAmount) read_digits(digits, ndigits, 0, Max(weight + 1, 0)) * GOV_AMOUNT_UNIT +
		(int64) (fraction / 1000);
	if (header & NUMERIC_SHORT_MINUS)
		*result = -*result;
	return true;
}

static GovAmountStatus
from_numeric(Numeric num, int max_digits, GovAmount *result)
{
	GovAmountStatus status;
	char	   *string;

	if (gov_amount_read(num, result))
		return GOV_AMOUNT_OK;
	string = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(num)));
	status = parse_amount(string, max_digits, result);
	pfree(string);
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

/*
 * Convert a numeric that is a sum of amounts, which may be larger than any one
 * of them, as gov_amount_from_numeric() does.
 */
GovAmountStatus
gov_amount_from_sum(Numeric num, GovAmount *result)
{
	return from_numeric(num, SUM_WHOLE_DIGITS, result);
}

/* What shares are computed with, as numerics. */
typedef struct GovAmountConstants
{
	Datum		units;			/* of a per cent of one */
	Datum		unit;
	Datum		too_large;		/* a limit times a percentage that no sum
								 * reaches */
} GovAmountConstants;

static Datum
numeric_of(const char *string)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(string),
							   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

static const GovAmountConstants *
numeric_constants(void)
{
	static GovAmountConstants values;
	static bool are_made = false;
	MemoryContext caller;

	if (are_made)
		return &values;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	values.units = numeric_of("1e7");
	values.unit = numeric_of("1e-9");
	values.too_large = numeric_of("1e29");
	are_made = true;
	MemoryContextSwitchTo(caller);
	return &values;
}

/*
 * The least positive amount that is no less than a percentage of a limit.  Exact:
 * the arithmetic is the server's, and neither number was an amount before.
 */
GovAmountStatus
gov_amount_from_share(Numeric limit, Numeric percentage, GovAmount *result)
{
	const GovAmountConstants *with = numeric_constants();
	Datum		product = DirectFunctionCall2(numeric_mul, NumericGetDatum(limit),
											  NumericGetDatum(percentage));
	Datum		units;
	GovAmountStatus status;

	if (!DatumGetBool(DirectFunctionCall2(numeric_lt, product, with->too_large)))
		return GOV_AMOUNT_TOO_LARGE;
	units = DirectFunctionCall1(numeric_ceil,
								DirectFunctionCall2(numeric_mul, product, with->units));
	status = gov_amount_from_sum(DatumGetNumeric(DirectFunctionCall2(numeric_mul, units,
																	 with->unit)), result);
	if (status == GOV_AMOUNT_OK)
		*result = Max(*result, 1);
	return status;
}

/* How many decimals does a fraction of billionths need? */
static int
count_decimals(uint32 fraction)
{
	int			decimals = GOV_AMOUNT_DECIMALS;

	if (fraction == 0)
		return 0;
	while (fraction % 10 == 0)
	{
		fraction /= 10;
		decimals--;
	}
	return decimals;
}

/* Write a number's digits before *first, from the last to the first. */
static void
put_digits(int16 **first, uint128 number)
{
	for (; number > PG_UINT64_MAX; number /= NUMERIC_BASE)
		*--*first = (int16) (number % NUMERIC_BASE);
	for (uint64 rest = (uint64) number; rest != 0; rest /= NUMERIC_BASE)
		*--*first = (int16) (rest % NUMERIC_BASE);
}

/* A numeric of these digits, the first of which counts NUMERIC_BASE^weight. */
static Numeric
make_numeric(bool is_negative, int decimals, int weight, const int16 *first, const int16 *end)
{
	Size		size = VARHDRSZ + sizeof(uint16) + (end - first) * sizeof(int16);
	char	   *result = palloc(size);
	uint16		header = NUMERIC_SHORT | (is_negative ? NUMERIC_SHORT_MINUS : 0) |
	decimals << NUMERIC_SHORT_SCALE | (weight & NUMERIC_SHORT_WEIGHT);

	SET_VARSIZE(result, size);
	memcpy(result + VARHDRSZ, &header, sizeof(header));
	memcpy(result + VARHDRSZ + sizeof(header), first, (end - first) * sizeof(int16));
	return (Numeric) result;
}

/*
 * Convert an amount to a numeric without trailing zeros, palloc'd in the
 * current memory context.
 */
Numeric
gov_amount_to_numeric(GovAmount amount)
{
	const uint64 unit = (uint64) GOV_AMOUNT_UNIT;
	uint128		rest = amount < 0 ? -(uint128) amount : (uint128) amount;
	uint128		whole = rest <= PG_UINT64_MAX ? (uint64) rest / unit : rest / unit;
	uint32		fraction = (uint32) ((uint64) rest - (uint64) whole * unit);
	int16		digits[WHOLE_DIGITS + FRACTION_DIGITS] = {0};
	int16	   *point = digits + WHOLE_DIGITS;
	int16	   *first = digits + lengthof(digits);
	int16	   *end = first;
	int			weight;

	/* The fraction has all its digits, with zeros behind its nine decimals. */
	put_digits(&first, (uint64) fraction * 1000);
	if (whole != 0)
	{
		first = point;
		put_digits(&first, whole);
	}
	weight = point - first - 1;

	/* No digit at the end is zero, and zero has no digits. */
	while (end > first && end[-1] == 0)
		end--;
	if (first == end)
		weight = 0;
	return make_numeric(amount < 0, count_decimals(fraction), weight, first, end);
}

/* Add two amounts; false, with *sum undefined, when the sum does not fit. */
bool
gov_amount_add(GovAmount a, GovAmount b, GovAmount *sum)
{
	return !__builtin_add_overflow(a, b, sum);
}
