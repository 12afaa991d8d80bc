# A streaming standby: checks and queries answer there, writing calls are refused, and after promotion the counts are exact,
# with the part of the ledger that was never rolled up.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $primary = gov_node('primary', init => { allows_streaming => 1 });
my $chain = 'array[\'agent-1\']';

gov_build($primary, 'postgres', agents => 20, limit => 1000);

# Part of the ledger is rolled up before the standby begins, part after; the tail stays.
gov_use($primary, 'postgres', 100);
gov_roll_up($primary, 'postgres');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

gov_use($primary, 'postgres', 50);
gov_roll_up($primary, 'postgres');

# From here on a transaction that idles keeps everything in the tail.
my $idle = $primary->background_psql('postgres');
$idle->query_safe(
	"begin; select gov_ingest('acme', 'tokens', 400, null, array['agent-2'])");
my $key_id = gov_use($primary, 'postgres', 25, more => "'remembered'");
$primary->safe_psql('postgres',
	"select count(gov_ingest('acme', 'tokens', 0.5, null, array['agent-' || n % 20 + 1])) from generate_series(1, 200) n");
gov_use($primary, 'postgres', -5);
$primary->safe_psql('postgres', "select gov_reverse($key_id, 4, 'refund'); select gov_ingest('acme', 'tokens', 4, null, array['agent-1'])");
$primary->wait_for_catchup($standby);
cmp_ok(gov_tail($standby, 'postgres'), '>=', 200, 'a tail is not rolled up');

# On the standby.
is($standby->safe_psql('postgres', 'select pg_is_in_recovery()'), 't', 'a standby');
is( gov_counts($standby, 'postgres'),
	'agent-1=175 dept-1=270 org-1=270 team-1=270 user-1=270',
	'the standby counts what is committed');
is( gov_counts($standby, 'postgres'),
	gov_ledger($standby, 'postgres'),
	'which is what its ledger says');
is( $standby->safe_psql('postgres', qq{
		select is_granted, denied_reason, remaining from gov_check('acme', 'tokens', 825, null, $chain);
		select is_granted, denied_reason, remaining from gov_check('acme', 'tokens', 826, null, $chain);
		select is_granted, denied_reason, remaining from gov_check('acme', 'tokens', 1001, null, $chain);
		select gov_allowed('acme', 'tokens', 825, null, $chain), gov_allowed('acme', 'tokens', 826, null, $chain)}),
	"t||825\nf|BudgetExceeded|825\nf|RequestedUsageExceedingLimit|825\nt|f",
	'check and allowed answer');
is( $standby->safe_psql('postgres', "select is_granted, chains from gov_check('acme', 'tokens', 1)"),
	't|[]', 'nobody is ungoverned');
gov_raises($standby, 'postgres', "select gov_check('acme', 'nothing')",
	'42704', 'an unknown capability');
gov_raises($standby, 'postgres', "select gov_check('acme', 'tokens', -1)",
	'22023', 'a bad amount');
is($standby->safe_psql('postgres', 'select * from gov_verify()'),
	'', 'gov_verify answers');
is( $standby->safe_psql('postgres',
		q{select denied_count, denied_amount
		  from gov_backtest('acme', '[{"entityId": "agent-1", "capabilityId": "tokens", "usageLimit": 120, "cadence": null}]', '-infinity', 'infinity')}),
	'2|75', 'gov_backtest answers');
cmp_ok($standby->safe_psql('postgres', 'select count(*) from gov_stats'),
	'>', 3, 'gov_stats answers');
is( $standby->safe_psql('postgres', q{
		select string_agg(entity_id || '=' || current_usage, ' ' order by entity_id) from gov_budgets
		where owner_id = 'acme' and entity_id in ('agent-1', 'dept-1', 'org-1', 'team-1', 'user-1')}),
	gov_counts($standby, 'postgres'),
	'gov_budgets answers');
is( $standby->safe_psql('postgres', q{
		select string_agg(format('%s=%s', r ->> 'entityId', r ->> 'currentUsage'), ' ' order by r ->> 'entityId' collate "C")
		from jsonb_array_elements(gov_query('acme', '{tokens}', page_size => 100) -> 'data') r
		where r ->> 'entityId' in ('agent-1', 'dept-1', 'org-1', 'team-1', 'user-1')}),
	gov_counts($standby, 'postgres'),
	'gov_query answers');
foreach my $report (q{gov_usage_sums('-infinity', bucket => '1 day', timezone => 'Asia/Tokyo')}, q{gov_attribution('acme', 'tokens', '{}', '-infinity', 'infinity', '1 day', 'Asia/Tokyo')})
{
	is($standby->safe_psql('postgres', "select * from $report"), $primary->safe_psql('postgres', "select * from $report"), "$report answers");
}
is($standby->safe_psql('postgres', "select gov_report('acme')"), $primary->safe_psql('postgres', "select gov_report('acme')"), 'gov_report answers');

gov_raises($standby, 'postgres',
	"select * from gov_ingest('acme', 'tokens', 1, null, $chain)",
	'25006', 'ingest');
gov_raises($standby, 'postgres', "select gov_reverse($key_id, 1)", '25006', 'reverse');
gov_raises($standby, 'postgres',
	q{select * from gov_ingest_many('acme', '[{"capabilityId": "tokens", "amount": 1, "entityIds": ["agent-1"]}]')},
	'25006', 'ingest_many');
gov_raises($standby, 'postgres', q{select * from gov_ingest_each('[7]')}, '25006', 'ingest_each');
gov_raises($standby, 'postgres', q{select * from gov_consume_many('[7]')}, '25006', 'consume_many');
gov_raises($standby, 'postgres', q{select * from gov_settle_many('[7]')}, '25006', 'settle_many');
gov_raises($standby, 'postgres',
	q{select gov_upsert_capabilities('[{"id": "other"}]')},
	'25006', 'an upsert');
gov_raises($standby, 'postgres', 'select * from gov_maintain()',
	'25006', 'gov_maintain');

# A read-only transaction of the primary is refused the same way, and charges nothing.
gov_raises($primary, 'postgres',
	"begin read only; select * from gov_ingest('acme', 'tokens', 1, null, $chain)",
	'25006', 'a read-only transaction');

# Catalog changes reach it.
my $session = $standby->background_psql('postgres');
is($session->query_safe("select gov_allowed('acme', 'tokens', 825, null, $chain)"),
	't', 'before a change');
$primary->safe_psql('postgres',
	"update gov_assignments set usage_limit = 500 where entity_id = 'agent-1'");
$primary->wait_for_catchup($standby);
is($session->query_safe("select gov_allowed('acme', 'tokens', 326, null, $chain), gov_allowed('acme', 'tokens', 325, null, $chain)"),
	'f|t',
	'a changed limit is in force on the standby');

# Promotion: the idle transaction is lost with the primary.
$primary->wait_for_catchup($standby);
$primary->stop('immediate');
eval { $idle->quit };
$standby->promote;
$standby->poll_query_until('postgres', 'select not pg_is_in_recovery()')
  or die 'no promotion';

is($session->query_safe("select gov_allowed('acme', 'tokens', 325, null, $chain)"),
	't', 'a session of the standby goes on');
is( gov_counts($standby, 'postgres'),
	'agent-1=175 dept-1=270 org-1=270 team-1=270 user-1=270',
	'promoted: the counts are exact');
gov_is_exact($standby, 'postgres', 'promoted');
is( $standby->safe_psql('postgres',
		"select event_id, is_duplicate from gov_ingest('acme', 'tokens', 25, null, $chain, 'remembered')"),
	"$key_id|t",
	'promoted: a key is remembered');
is($standby->safe_psql('postgres', "select is_duplicate from gov_reverse($key_id, 4, 'refund')"), 't', 'promoted: that of a reversal too');
gov_raises($standby, 'postgres', "select gov_reverse($key_id, 22)", '22023', 'promoted: what is left of an event is known');
my $new = gov_use($standby, 'postgres', 1);
is( $standby->safe_psql('postgres',
		"select count(*) from gov_events where id >= $new and id <> $new"),
	'0', 'promoted: ids go on');
is($session->query_safe("select gov_allowed('acme', 'tokens', 325, null, $chain)"),
	'f', 'promoted: the open session sees the new use');
gov_roll_up($standby, 'postgres');
gov_is_exact($standby, 'postgres', 'promoted and rolled up');

$session->quit;
$standby->stop;
done_testing();
