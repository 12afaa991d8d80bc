# PREPARE TRANSACTION is refused after a call that charges and after catalog changes, and allowed after anything else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('prepared', conf => 'max_prepared_transactions = 5');
my $ingest =
  "select count(*) from gov_ingest('acme', 'tokens', 5, null, array['agent-1'])";
my %refused = (
	'an ingest' => $ingest,
	'an ingest in a released savepoint' =>
	  "savepoint s; $ingest; release s",
	'an ingest beside one rolled back' =>
	  "$ingest; savepoint s; $ingest; rollback to s",
	'ingest_many' =>
	  q{select count(*) from gov_ingest_many('acme', '[{"capabilityId": "tokens", "amount": 1, "entityIds": ["agent-1"]}]')},
	'ingest_each' =>
	  q{select count(*) from gov_ingest_each('[{"ownerId": "acme", "capabilityId": "tokens", "amount": 1, "entityIds": ["agent-1"]}]')},
	'consume_many' =>
	  q{select count(*) from gov_consume_many('[{"ownerId": "acme", "capabilityId": "tokens", "amount": 1, "entityIds": ["agent-1"], "idempotencyKey": "prepared"}]')},
	'an ungoverned ingest' =>
	  "select count(*) from gov_ingest('nobody', 'tokens')",
	'a correction' =>
	  "select count(*) from gov_ingest('acme', 'tokens', -1, null, array['agent-1'])",
	'an entity type' => "update gov_entity_types set description = 'x' where id = 'org'",
	'a capability' => "insert into gov_capabilities (id) values ('other')",
	'an entity' =>
	  "insert into gov_entities (owner_id, id, type_id) values ('acme', 'new', 'org')",
	'a budget' =>
	  "update gov_assignments set usage_limit = 1 where entity_id = 'agent-1'",
	'a deleted budget' =>
	  "delete from gov_assignments where entity_id = 'agent-1'",
	'an upsert' =>
	  q{select count(gov_upsert_capabilities('[{"id": "other"}]'))},
	'an alert policy' =>
	  "insert into gov_alert_policies (thresholds) values ('{80}')",
	'a truncated table' => 'truncate gov_assignments',
	'an owner that goes, and was not there' => "select gov_delete_owner('nobody')",);
my %allowed = (
	'nothing of ours' => 'create table mine (id int); insert into mine values (1)',
	'a check' =>
	  "select count(*) from gov_check('acme', 'tokens', 1, null, array['agent-1'])",
	'a gate' =>
	  "select gov_allowed('acme', 'tokens', 1, null, array['agent-1'])",
	'a headroom' =>
	  "select count(*) from gov_headroom('acme', 'tokens', 1, null, array['agent-1'])",
	'a look at the tables' =>
	  'select count(*) from gov_assignments; select count(*) from gov_events',);

gov_build($node, 'postgres', limit => 100);
gov_use($node, 'postgres', 10);

foreach my $what (sort keys %refused)
{
	gov_raises($node, 'postgres',
		"begin; $refused{$what}; prepare transaction 'x'",
		'0A000', $what);
	$node->psql('postgres', "rollback prepared 'x'");
}
is( $node->safe_psql('postgres',
		"select remaining from gov_check('acme', 'tokens', 1, null, array['agent-1'])"),
	'90', 'a refused one is rolled back');
gov_is_exact($node, 'postgres', 'after the refusals');

# The session of a refusal goes on.
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe('begin');
$session->query_safe($ingest);
gov_session_raises($session, "prepare transaction 'y'", '0A000', 'a session');
is($session->query_safe($ingest), '1', 'goes on after it');
is( $session->query_safe(
		"select remaining from gov_check('acme', 'tokens', 1, null, array['agent-1'])"),
	'85', 'with the right count');
$session->quit;

foreach my $what (sort keys %allowed)
{
	is( $node->psql('postgres',
			"begin; $allowed{$what}; prepare transaction 'x'; commit prepared 'x'"),
		0,
		"$what can be prepared");
}

# A prepared transaction of others holds the rollup up no more than an idle one; the engine is at work beside it.
$node->safe_psql('postgres',
	"begin; insert into mine values (2); prepare transaction 'z'");
gov_use($node, 'postgres', 1);
gov_roll_up($node, 'postgres');
gov_is_exact($node, 'postgres', 'beside a prepared transaction');
$node->safe_psql('postgres', "rollback prepared 'z'");

$node->stop;
done_testing();
