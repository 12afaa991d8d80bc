# Without the library in shared_preload_libraries: the catalog works, the gate says what to do (or answers as
# governance.on_unavailable wants), and nothing that writes is silently lost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('plain', preload => 0);
my $hint = qr/HINT:.*shared_preload_libraries/s;
my $args = q{('acme', 'tokens', 1, null, array['agent-1'])};

# The catalog: functions, plain DML and its rules.
gov_build($node, 'postgres', limit => 10);
is($node->safe_psql('postgres', 'select count(*) from gov_assignments'),
	'5', 'catalog functions work');
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'agent-2', 'agent', 'user-1');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'agent-2', 'tokens', 5);
	update gov_assignments set usage_limit = 6 where entity_id = 'agent-2';
	delete from gov_assignments where entity_id = 'agent-2';
	delete from gov_entities where id = 'agent-2'});
is($node->safe_psql('postgres', q{select string_agg(id, ' ') from gov_entities where id like 'agent-%'}), 'agent-1', 'plain DML works');
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) values ('leaver', 'one', 'org');
	select gov_delete_owner('leaver')});
is($node->safe_psql('postgres', q{select count(*) from gov_entities where owner_id = 'leaver'}),
	'0', 'an owner goes');
gov_raises($node, 'postgres',
	q{insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'x', 'agent', 'x')},
	'23514', 'a cycle');
gov_raises($node, 'postgres',
	q{insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'x', 'agent', 'nobody')},
	'23503', 'a missing parent');

# The gate.
is($node->safe_psql('postgres', q{select gov_query('acme', '{tokens}') #> '{data,0,currentUsage}'}), '0', 'gov_query reads the tables');

foreach my $function ('gov_check', 'gov_allowed')
{
	gov_raises($node, 'postgres', "select * from $function$args",
		'55000', "$function by default", $hint);
	gov_raises($node, 'postgres',
		"set governance.on_unavailable = 'error'; select * from $function$args",
		'55000', "$function on error", $hint);
}
is( $node->safe_psql('postgres',
		"set governance.on_unavailable = 'grant'; select is_granted, denied_reason from gov_check$args"),
	't|', 'check grants where told to');
is( $node->safe_psql('postgres',
		"set governance.on_unavailable = 'deny'; select is_granted, denied_reason, chains is null from gov_check$args"),
	'f|Unavailable|t',
	'check denies where told to');
is( $node->safe_psql('postgres',
		"set governance.on_unavailable = 'grant'; select gov_allowed$args; set governance.on_unavailable = 'deny'; select gov_allowed$args"),
	"t\nf",
	'allowed follows the setting');

# The writers.
foreach my $setting ('error', 'grant', 'deny')
{
	my $set = "set governance.on_unavailable = '$setting';";

	gov_raises($node, 'postgres', "$set select * from gov_ingest$args",
		'55000', "ingest with $setting", $hint);
	gov_raises(
		$node,
		'postgres',
		qq{$set select * from gov_ingest_many('acme', '[{"capabilityId": "tokens", "amount": 1, "entityIds": ["agent-1"]}]')},
		'55000',
		"ingest_many with $setting",
		$hint);
}
is($node->safe_psql('postgres', 'select count(*) from gov_events'),
	'0', 'nothing was recorded');

# With the library the same catalog is governed.
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'governance'");
$node->restart;
is($node->safe_psql('postgres', "select is_granted, remaining from gov_check$args"),
	't|10', 'preloaded: check answers');
gov_use($node, 'postgres', 7);
gov_is_exact($node, 'postgres', 'preloaded');
is($node->safe_psql('postgres', "select denied_reason from gov_check('acme', 'tokens', 4, null, array['agent-1'])"),
	'BudgetExceeded', 'preloaded: check denies');

# Taken out again: the history stays.
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->restart;
is( $node->safe_psql('postgres', 'select count(*), sum(amount) from gov_events'),
	'1|7', 'the ledger is readable without the library');
gov_raises($node, 'postgres', "select * from gov_check$args",
	'55000', 'check without the library again', $hint);

$node->stop;
done_testing();
