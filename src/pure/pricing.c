/*
 * pricing.c
 *		What quantities cost: exact sums of quantities times prices.
 *
 * PURPOSE
 *		A price is so much per so many of a quantity, such as 2.50 per million.
 *		What a use costs is the sum over its quantities, rounded once.
 *
 * EXACTNESS
 *		Numerics are multiplied and added without loss, but not divided.  So the
 *		price of one is kept as a decimal, into which the divisors 2 and 5 of the
 *		"per" have gone, and what is left of that.  With prices per one, thousand
 *		or million nothing is left, and the sum is a decimal.  Else it is a
 *		fraction, whose divisor is the product of what is left; an integer
 *		division, which is exact too, rounds it.
 *
 *		Nearly all prices of one are of no more than 18 decimals, and nearly all
 *		quantities are small: then the sum is a plain 128-bit integer, as amounts
 *		are, which counts 10^-27.  It becomes a numeric when something else is
 *		added.
 *
 * ROUNDING
 *		To 9 decimals, half away from zero, as round(numeric, 9) does.
 *
 * FAILURE
 *		A sum that is out of range has a status, as in amount.c.  There are no
 *		locks and no state.  All allocate in the current memory context.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"

#include "pure/pricing.h"

/* of the prices of one that are plain integers; with those of amounts, of the sum */
#define UNIT_DECIMALS	18
#define UNIT_ONE		INT64CONST(1000000000000000000)

static Numeric
multiply(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_mul, NumericGetDatum(a), NumericGetDatum(b)));
}

static Numeric
add(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(a), NumericGetDatum(b)));
}

/* Multiply by a decimal as often as a number can be divided by divisor, which it is. */
static Numeric
take_divisor(Numeric price, int64 *per, int64 divisor, Numeric by)
{
	for (; *per % divisor == 0; *per /= divisor)
		price = multiply(price, by);
	return price;
}

/* Read the price of one as an integer, if that is small. */
static bool
read_small(Numeric price, int64 *small)
{
	Numeric		scaled = multiply(price, int64_to_numeric((int64) GOV_AMOUNT_UNIT));
	GovAmount	amount;

	if (!gov_amount_read(scaled, &amount) || amount > PG_INT64_MAX || amount < PG_INT64_MIN)
		return false;
	*small = (int64) amount;
	return true;
}

/* The price of one, of a price per so many. */
void
gov_pricing_unit(Numeric price, int64 per, GovUnitPrice *result)
{
	int			zeros = 0;

	Assert(per > 0);
	for (; per % 10 == 0; per /= 10)
		zeros++;
	if (zeros > 0)
		price = multiply(price, int64_div_fast_to_numeric(1, zeros));
	price = take_divisor(price, &per, 2, int64_div_fast_to_numeric(5, 1));
	price = take_divisor(price, &per, 5, int64_div_fast_to_numeric(2, 1));
	result->decimal = price;
	result->rest = per;
	result->is_small = per == 1 && read_small(price, &result->small);
}

void
gov_pricing_begin(GovPriceSum *sum)
{
	sum->small = 0;
	sum->total = NULL;
	sum->divisor = NULL;
}

/* Add a small quantity at a small price; false if one of them is not. */
static bool
add_small(GovPriceSum *sum, Numeric quantity, const GovUnitPrice *price)
{
	GovAmount	amount;
	GovAmount	total;

	if (!price->is_small || !gov_amount_read(quantity, &amount) ||
		amount > PG_INT64_MAX || amount < PG_INT64_MIN ||
		!gov_amount_add(sum->small, amount * price->small, &total))
		return false;
	sum->small = total;
	return true;
}

/* Have the sum be a numeric from now on. */
static void
make_total(GovPriceSum *sum)
{
	sum->total = multiply(gov_amount_to_numeric(sum->small),
						  int64_div_fast_to_numeric(1, UNIT_DECIMALS));
}

/* Add a quantity at a price whose rest is not 1, or to a sum that is a fraction. */
static pg_noinline void
add_fraction(GovPriceSum *sum, Numeric product, int64 rest)
{
	Numeric		other = int64_to_numeric(rest);

	if (sum->divisor != NULL)
		product = multiply(product, sum->divisor);
	sum->total = add(multiply(sum->total, other), product);
	sum->divisor = sum->divisor == NULL ? other : multiply(sum->divisor, other);
}

/* Add a quantity at its price. */
void
gov_pricing_add(GovPriceSum *sum, Numeric quantity, const GovUnitPrice *price)
{
	Numeric		product;

	if (sum->total == NULL && add_small(sum, quantity, price))
		return;
	if (sum->total == NULL)
		make_total(sum);
	product = multiply(quantity, price->decimal);
	if (price->rest != 1 || sum->divisor != NULL)
		add_fraction(sum, product, price->rest);
	else
		sum->total = add(sum->total, product);
}

/*
 * Round a fraction: the integer part of |total| / divisor in billionths plus a
 * half.  A numeric division that truncates is exact.
 */
static pg_noinline Numeric
round_fraction(const GovPriceSum *sum)
{
	Numeric		twice = int64_to_numeric(2);
	Numeric		magnitude = DatumGetNumeric(DirectFunctionCall1(numeric_abs,
																NumericGetDatum(sum->total)));
	Numeric		billionths = multiply(magnitude, int64_to_numeric(INT64CONST(1000000000)));
	Datum		rounded = DirectFunctionCall2(numeric_div_trunc,
											  NumericGetDatum(add(multiply(billionths, twice), sum->divisor)),
											  NumericGetDatum(multiply(sum->divisor, twice)));
	Datum		sign = DirectFunctionCall1(numeric_sign, NumericGetDatum(sum->total));

	return multiply(multiply(DatumGetNumeric(rounded), DatumGetNumeric(sign)),
					int64_div_fast_to_numeric(1, GOV_AMOUNT_DECIMALS));
}

static GovAmount
round_small(GovAmount sum)
{
	uint128		magnitude = sum < 0 ? -(uint128) sum : (uint128) sum;
	GovAmount	rounded = (GovAmount) ((magnitude + UNIT_ONE / 2) / UNIT_ONE);

	return sum < 0 ? -rounded : rounded;
}

/* The sum, rounded; *result is set only for GOV_AMOUNT_OK. */
GovAmountStatus
gov_pricing_amount(const GovPriceSum *sum, GovAmount *result)
{
	if (sum->total == NULL)
	{
		*result = round_small(sum->small);
		return GOV_AMOUNT_OK;
	}
	return gov_amount_from_numeric(sum->divisor == NULL ? sum->total : round_fraction(sum), result);
}
