# The reports of examples/bi for finance are the ledger's, by the local time of each event, in zones of half and quarter hours, in zones
# whose clocks are set at midnight, one of them on the first of the month that is looked at; or they refuse.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $bi = "$FindBin::RealBin/../../examples/bi";
my $node = gov_node('reports', conf => "timezone = 'UTC'\ngovernance.usage_grain = '15min'");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Havana set its clocks back from one to midnight of November 1st, Beirut from midnight on October 25th.
sql(<<'SQL');
insert into gov_entity_types (id) values ('team'), ('user');
insert into gov_capabilities (id) values ('ai-tokens');
insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'eng', 'team', null), ('acme', 'ann', 'user', 'eng');
select count(gov_ingest('acme', 'ai-tokens', n, null, case when n % 5 > 0 then '{ann}' else '{}' end::text[], null, '2020-09-27 00:07Z'::timestamptz + n * interval '15 minutes'))
from generate_series(0, 4900) n;
SQL
gov_roll_up($node, 'postgres');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', "$bi/schema.sql" ], 'schema.sql');
sql(q{insert into ai_prices (capability_id, valid_from, price) values ('ai-tokens', '2020-11-01', 0.5)});

my $now = q{(timestamptz '2020-11-16 12:00Z')};

# What a report says, at that time.
sub report
{
	my ($zone, $file, $columns, $inner, $group) = @_;
	my $query = slurp_file("$bi/finance/$file.sql") =~ s/;\s*\z//r;

	$query =~ s/\bnow\(\)/$now/g;
	$query =~ s/\blocaltimestamp\b/$now\:\:timestamp/g;
	my ($ret, $stdout, $stderr) = $node->psql('postgres', "set timezone = '$zone'; set role bi; select $columns from (select " . ($inner // '*') . " from ($query) q " . ($group // '') . ') s');
	return $ret == 0 ? $stdout : $stderr =~ s/\n.*//sr;
}

# What the ledger says, in which an event has its local time.
sub ledger
{
	my ($zone, $select) = @_;

	return sql(qq{
		set timezone = '$zone';
		with e as materialized (
			select e.amount, e.entity_ids = '{}' as is_nobodys, occurred_at::timestamp as at, $now\:\:timestamp as now,
				e.amount * case when e.occurred_at::timestamp >= '2020-11-01' then 0.5 else 0.000002 end as cost
			from gov_events e)
		$select});
}

my $this_month = q{at >= '2020-11-01'};
my $last_month = q{at >= '2020-10-01' and at < '2020-11-01'};

# The sums of each day or month, as one text.
sub by { my ($unit) = @_; return "string_agg($unit || ' ' || amount, ', ' order by $unit)"; }

foreach my $zone (qw(UTC America/Havana Asia/Beirut Asia/Kolkata Asia/Kathmandu Australia/Lord_Howe America/St_Johns Atlantic/Azores America/Asuncion Pacific/Chatham))
{
	is(report($zone, 'cost_per_day', by('day'), 'day, sum(amount) as amount', 'group by day'),
		ledger($zone, 'select ' . by('day') . q{ from (select at::date as day, sum(amount) as amount from e where at >= '2020-10-01' group by 1) s}), "$zone: cost per day");
	is(report($zone, 'cost_per_month', by('month'), 'month, sum(amount) as amount', 'group by month'),
		ledger($zone, 'select ' . by('month') . q{ from (select date_trunc('month', at)::date as month, sum(amount) as amount from e group by 1) s}), "$zone: cost per month");
	is(report($zone, 'month_to_date', 'this_month, last_month, last_month_so_far, cost_this_month'),
		ledger($zone, qq{select sum(amount) filter (where $this_month), sum(amount) filter (where $last_month),
			sum(amount) filter (where $last_month and at < timestamp '2020-10-01' + (now - timestamp '2020-11-01')), round(sum(cost) filter (where $this_month), 2) from e}), "$zone: month to date");
	is(report($zone, 'chargeback', 'sum(amount), sum(cost)'), ledger($zone, "select sum(amount), sum(cost) from e where $last_month"), "$zone: chargeback");
	is(report($zone, 'unattributed', by('day'), 'day, without_entity as amount'),
		ledger($zone, 'select ' . by('day') . q{ from (select at::date as day, sum(amount) as amount from e where is_nobodys and at >= date_trunc('day', now) - interval '1 month' group by 1) s}), "$zone: unattributed");
	is(report($zone, 'top_users', 'entity_id, amount'), ledger($zone, "select 'ann', sum(amount) from e where not is_nobodys and $this_month"), "$zone: top users");
	is(report($zone, 'forecast', 'entity_id, this_month, per_day'),
		ledger($zone, qq{select 'eng', sum(amount) filter (where $this_month),
			round(sum(amount) filter (where at >= date_trunc('day', now) - interval '7 days' and at < date_trunc('day', now)) / 7, 2) from e where not is_nobodys}), "$zone: forecast");
}

gov_set($node, 'governance.usage_grain', '1h');
foreach my $file (qw(top_users forecast))
{
	like(report($_, $file, '*'), qr/ERROR: .*sums of 60 minutes do not add up to what is asked for/, "$_: $file, which hours do not serve") foreach qw(Asia/Kolkata Asia/Kathmandu);
	unlike(report('America/New_York', $file, '*'), qr/ERROR/, "New York: $file, which they do");
}

$node->stop;
done_testing();
