--
-- The functions of test_pure, from where they were built
--
\getenv libdir PG_LIBDIR
\getenv dlsuffix PG_DLSUFFIX
\set library :libdir '/test_pure' :dlsuffix

-- Amounts are raw: the integer number of billionths.
create function amount_from_numeric(numeric) returns numeric
as :'library', 'test_amount_from_numeric' language c strict;
create function amount_status(numeric) returns text
as :'library', 'test_amount_status' language c strict;
create function amount_to_numeric(raw numeric) returns numeric
as :'library', 'test_amount_to_numeric' language c strict;
create function amount_add(a numeric, b numeric) returns numeric
as :'library', 'test_amount_add' language c strict;

create function amount_from_share(usage_limit numeric, percentage numeric) returns numeric
as :'library', 'test_amount_from_share' language c strict;

create function cadence_parse(text) returns text
as :'library', 'test_cadence_parse' language c strict;

create function window_at(cadence text, anchor timestamptz, timezone text,
                          at timestamptz,
                          out window_start timestamptz,
                          out window_end timestamptz)
as :'library', 'test_window_at' language c;
create function timezone_lookup(text) returns text
as :'library', 'test_timezone_lookup' language c strict;

create function budget_allows(usage numeric[], held numeric[],
                              usage_limit numeric[], soft boolean[],
                              window_end timestamptz[], amount numeric)
returns boolean
as :'library', 'test_budget_allows' language c strict;
create function decide(usage numeric[], held numeric[],
                       usage_limit numeric[], soft boolean[],
                       window_end timestamptz[], amount numeric,
                       out is_granted boolean, out denied_reason text,
                       out remaining numeric, out retry_at timestamptz)
as :'library', 'test_decide' language c strict;
create function denial_reason(integer) returns text
as :'library', 'test_denial_reason' language c strict;
create function bounds_at(since timestamptz[], usage_limit numeric[], at timestamptz) returns numeric
as :'library', 'test_bounds_at' language c strict;
create function bounds_reach(since timestamptz[], usage_limit numeric[], wanted numeric, after timestamptz) returns timestamptz
as :'library', 'test_bounds_reach' language c strict;
