# Several databases of one cluster: the same owner and the same ids, nothing shared.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('cluster', extension => 0);

$node->safe_psql('postgres', "create database $_") foreach ('one', 'two');
$node->safe_psql('one', 'create extension governance');
$node->safe_psql('two',
	'create schema budgets; create extension governance schema budgets');
gov_build($node, 'one');
gov_build($node, 'two', schema => 'budgets');

# The counters have the same surrogates in both, so the database must be part of what names them.
is( $node->safe_psql('one', 'select min(counter_id), max(counter_id) from gov_assignments'),
	$node->safe_psql('two', 'select min(counter_id), max(counter_id) from budgets.gov_assignments'),
	'the same surrogates');

my $one = $node->background_psql('one');
my $two = $node->background_psql('two');
foreach my $n (1 .. 50)
{
	$one->query_safe(
		"select gov_ingest('acme', 'tokens', 1, null, array['agent-1'], 'key-$n')");
	$two->query_safe(
		"select budgets.gov_ingest('acme', 'tokens', 2, null, array['agent-1'], 'key-$n')");
}

is( gov_counts($node, 'one'),
	'agent-1=50 dept-1=50 org-1=50 team-1=50 user-1=50', 'counts of one');
is( gov_counts($node, 'two', schema => 'budgets'),
	'agent-1=100 dept-1=100 org-1=100 team-1=100 user-1=100',
	'counts of two');
is( $one->query_safe(
		"select is_duplicate from gov_ingest('acme', 'tokens', 1, null, array['agent-1'], 'key-50')"),
	't',
	'a key is remembered in its database');

# A worker each.
ok( $node->poll_query_until('postgres',
		"select count(distinct datname) = 2 from pg_stat_activity where backend_type like 'governance%'"),
	'both databases have a worker');
ok($node->poll_query_until('one',
		'select watermark = (select max(id) from gov_events) from gov_rollup_state'),
	'one is rolled up');
ok($node->poll_query_until('two',
		'select watermark = (select max(id) from budgets.gov_events) from budgets.gov_rollup_state'),
	'two is rolled up');
gov_is_exact($node, 'one', 'one');
gov_is_exact($node, 'two', 'two', schema => 'budgets');

# A change in one is none in two.
$one->query_safe(
	"update gov_assignments set usage_limit = 50 where entity_id = 'agent-1'");
is($one->query_safe("select gov_allowed('acme', 'tokens', 1, null, array['agent-1'])"),
	'f', 'the limit of one is in force in one');
is($two->query_safe("select budgets.gov_allowed('acme', 'tokens', 1, null, array['agent-1'])"),
	't', 'and not in two');
is($node->safe_psql('two', 'select count(*) from budgets.gov_alerts'),
	'0', 'the objects of two are in its schema');
$one->quit;
$two->quit;

# The extension in a third schema of a third database does not wake the others' data.
$node->safe_psql('postgres', 'create database three');
$node->safe_psql('three', 'create extension governance');
is( $node->safe_psql('three', q{
		select gov_upsert_capabilities('{"capabilities": [{"id": "tokens"}]}') is not null;
		select is_granted, chains from gov_check('acme', 'tokens', 1, null, array['agent-1'])}),
	"t\nt|[]", 'a new database knows nobody');

# Where text is any bytes, an owner is named by any bytes, and has a shard and holds.
$node->safe_psql('postgres', q{create database bytes template template0 encoding 'SQL_ASCII' locale 'C'});
$node->safe_psql('bytes', 'create extension governance');
is( $node->safe_psql('bytes', q{
		select gov_shard_key(E'M\\xfcller') = ('x' || encode(substr(sha256('\\x4dfc6c6c6572'), 1, 6), 'hex'))::bit(48)::bigint;
		insert into gov_capabilities (id) values ('tokens');
		select is_granted, gov_shard(reservation_id, 7) = gov_shard(E'M\\xfcller', 7) from gov_reserve(E'M\\xfcller', 'tokens', 1)}),
	"t\nt|t", 'an owner that has no form in UTF-8');

$node->stop;
done_testing();
