# The catalog tables by logical replication: a subscriber with the extension gates by what it is sent, with its own usage.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $publisher = gov_node('publisher', init => { allows_streaming => 'logical' });
my $subscriber = gov_node('subscriber', init => { allows_streaming => 'logical' });
my $tables = 'gov_entity_types, gov_capabilities, gov_entities, gov_assignments';
my $connstr = $publisher->connstr . ' dbname=postgres';

gov_build($publisher, 'postgres', agents => 3, limit => 100);

# Usage of the publisher stays there.
gov_use($publisher, 'postgres', 60);
$publisher->safe_psql('postgres', "create publication catalog for table $tables");
$subscriber->safe_psql('postgres',
	"create subscription catalog connection '$connstr' publication catalog");
$subscriber->wait_for_subscription_sync($publisher, 'catalog');

my $warm = $subscriber->background_psql('postgres');

sub remaining
{
	my ($agent) = @_;

	return $warm->query_safe(
		"select coalesce(trim_scale(min(remaining))::text, 'none') from gov_headroom('acme', 'tokens', 0, null, array['$agent'])
		 where entity_id = '$agent'");
}

# Change the publisher, and wait until the subscriber has applied it.
sub change
{
	my ($sql) = @_;

	$publisher->safe_psql('postgres', $sql);
	$publisher->wait_for_catchup('catalog');
	return;
}

is(remaining('agent-1'), '100', 'the first copy is in force, with no usage');
gov_use($subscriber, 'postgres', 10);
is(remaining('agent-1'), '90', 'the subscriber counts its own');
gov_is_exact($subscriber, 'postgres', 'the subscriber');

change("update gov_assignments set usage_limit = 50 where entity_id = 'agent-1'");
is(remaining('agent-1'), '40', 'a limit changed at the publisher');
is( $warm->query_safe("select gov_allowed('acme', 'tokens', 41, null, array['agent-1'])"),
	'f', 'and gates here');

is(remaining('agent-4'), 'none', 'an entity that is not there yet');
change(q{select gov_upsert_assignments('acme',
	'[{"entityId": "agent-3", "capabilityId": "tokens", "usageLimit": 7, "cadence": null, "name": "second"}]');
	insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'agent-4', 'agent', 'user-1');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'agent-4', 'tokens', 20)});
is(remaining('agent-4'), '20', 'a new entity with a budget');
is(remaining('agent-3'), '7', 'a second budget');

change("select gov_archive_entities('acme', array['agent-4'])");
is(remaining('agent-4'), 'none', 'archived');
change("select gov_unarchive_entities('acme', array['agent-4'])");
is(remaining('agent-4'), '20', 'unarchived');

# A cadence starts the usage afresh, here as there.
change("update gov_assignments set cadence = 'P1Y' where entity_id = 'agent-1'");
is(remaining('agent-1'), '50', 'another cadence starts afresh');
gov_use($subscriber, 'postgres', 5);
is(remaining('agent-1'), '45', 'and counts from there');

# A leaf moves; what it used before is given back to those who were charged.
my $used = $subscriber->safe_psql('postgres', "select event_id from gov_ingest('acme', 'tokens', 2, null, array['agent-2'])");
change(q{insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'user-2', 'user', 'team-1');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'user-2', 'tokens', 3);
	update gov_entities set parent_id = 'user-2' where id = 'agent-2'});
is( $warm->query_safe(
		"select denied_reason, remaining from gov_check('acme', 'tokens', 4, null, array['agent-2'])"),
	'RequestedUsageExceedingLimit|3',
	'a leaf moved under another parent');
$subscriber->safe_psql('postgres', "select gov_reverse($used, 1)");
is( $warm->query_safe("select string_agg(entity_id || '=' || trim_scale(current_usage), ' ' order by entity_id) from gov_headroom('acme', 'tokens', 0, null, array['agent-2']) where entity_id in ('agent-2', 'user-2')"),
	'agent-2=1 user-2=0', 'a reversal of a use from before');

# Somebody is forgotten: the budget goes on under the new id, with what was used here.
change(q{select gov_forget_entity('acme', 'agent-2', 'gone')});
is(remaining('agent-2'), 'none', 'an entity forgotten at the publisher');
is( $warm->query_safe("select string_agg(entity_id || '=' || trim_scale(current_usage), ' ' order by entity_id) from gov_headroom('acme', 'tokens', 0, null, array['gone']) where entity_id in ('gone', 'user-2')"),
	'gone=1 user-2=0', 'its budget counts on');
is($subscriber->safe_psql('postgres', 'select * from gov_verify()'), '', 'and gov_verify finds nothing');

# Attribution keys.
change("update gov_entity_types set attribution_keys = '{bot}' where id = 'agent'");
is( $warm->query_safe(
		q{select gov_allowed('acme', 'tokens', 46, '{"bot": "agent-1"}'), gov_allowed('acme', 'tokens', 46, '{"agentId": "agent-1"}')}),
	'f|t',
	'another attribution key');

# More in one transaction than a transaction notes singly.
change(q{insert into gov_entities (owner_id, id, type_id, parent_id) select 'acme', 'bulk-' || n, 'agent', 'user-1' from generate_series(1, 3000) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) select 'acme', 'bulk-' || n, 'tokens', n from generate_series(1, 3000) n});
is(remaining('bulk-2999'), '2999', 'three thousand budgets at once');
change("update gov_assignments set usage_limit = usage_limit + 1 where entity_id like 'bulk-%'");
is(remaining('bulk-2999'), '3000', 'changed at once');

# Deleted there, gone here with its usage.
change("delete from gov_assignments where entity_id = 'agent-1'");
is(remaining('agent-1'), 'none', 'a budget deleted');
gov_roll_up($subscriber, 'postgres');
is($subscriber->safe_psql('postgres', 'select * from gov_verify()'),
	'', 'gov_verify finds nothing on the subscriber');
is($publisher->safe_psql('postgres', 'select * from gov_verify()'),
	'', 'nor on the publisher');

is($subscriber->safe_psql('postgres', 'select count(*) from gov_changes'), '0', 'what is applied is no change of the subscriber');
cmp_ok($publisher->safe_psql('postgres', 'select count(*) from gov_changes'), '>', 9000, 'the publisher has written down its own');
change('truncate gov_assignments');
is(remaining('bulk-1'), 'none', 'a TRUNCATE');
is( $subscriber->safe_psql('postgres',
		'select count(*) from pg_stat_subscription_stats where apply_error_count + sync_error_count > 0'),
	'0', 'nothing failed to apply');

$warm->quit;
$subscriber->safe_psql('postgres', 'drop subscription catalog');
$subscriber->stop;
$publisher->stop;
done_testing();
