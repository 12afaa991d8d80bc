# DROP EXTENSION and CREATE EXTENSION beside sessions with a warm cache: nothing of the old one is seen in the new.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('again');
my $check =
  q{select is_granted, remaining from gov_check('acme', 'tokens', 1, null, array['agent-1'])};
my $ingest =
  q{select count(*) from gov_ingest('acme', 'tokens', 5, null, array['agent-1'], 'key')};

gov_build($node, 'postgres', limit => 100);

my $warm = $node->background_psql('postgres', on_error_stop => 0);
$warm->query_safe("prepare checked as $check");
is($warm->query_safe('execute checked'), 't|100', 'a warm session');
is($warm->query_safe($ingest), '1', 'it ingests');
is($warm->query_safe('execute checked'), 't|95', 'it sees its use');

# A drop that is rolled back leaves all as it was, for the session itself as well.
is( $node->safe_psql('postgres', "begin; drop extension governance; rollback; $check"),
	't|95', 'a drop rolled back');
is($warm->query_safe('execute checked'), 't|95', 'and beside it');

# Dropped: the functions are gone, and the worker goes too.
gov_use($node, 'postgres', 5);
$node->safe_psql('postgres', 'drop extension governance');
gov_session_raises($warm, $check, '42883', 'a dropped function');
ok( $node->poll_query_until('postgres',
		"select count(*) = 0 from pg_stat_activity where backend_type like 'governance%'"),
	'the worker has left');

# A new one with the same owner, ids and surrogates, and other limits.
$node->safe_psql('postgres', 'create extension governance');
is(gov_ask($warm, q{select is_granted from gov_check('acme', 'nothing')}) =~ /does not exist|unknown|no capability/i ? 1 : 0,
	1, 'the new one has no capability yet');
gov_build($node, 'postgres', limit => 40);
is($warm->query_safe('execute checked'), 't|40',
	'the warm session sees the new limit and no use');
is($warm->query_safe($ingest), '1', 'the key is free again');
is( $warm->query_safe(
		q{select is_duplicate from gov_ingest('acme', 'tokens', 5, null, array['agent-1'], 'key')}),
	't', 'and is remembered in the new one');
is($warm->query_safe('execute checked'), 't|35', 'the use counts');
gov_is_exact($node, 'postgres', 'the new extension');
ok( $node->poll_query_until('postgres',
		'select watermark = (select max(id) from gov_events) from gov_rollup_state'),
	'a worker serves the new extension');

# Both in one transaction, into another schema.
$node->safe_psql('postgres', q{
	create schema budgets;
	begin; drop extension governance; create extension governance schema budgets; commit});
gov_session_raises($warm, $check, '42883', 'the schema of the old one');
gov_build($node, 'postgres', limit => 7, schema => 'budgets');
$warm->query_safe('set search_path = budgets');
is($warm->query_safe($check), 't|7', 'the one in the other schema');
$warm->query_safe($ingest);
is($warm->query_safe($check), 't|2', 'counts there');
gov_is_exact($node, 'postgres', 'the other schema', schema => 'budgets');

# A transaction that has ingested keeps the extension until it ends.
my $idle = $node->background_psql('postgres', on_error_stop => 0);
$idle->query_safe(
	q{begin; select budgets.gov_ingest('acme', 'tokens', 1, null, array['agent-1'])});
gov_raises($node, 'postgres',
	"set lock_timeout = '300ms'; drop extension governance",
	'55P03', 'a drop waits for whoever uses the ledger');
$idle->query_safe('commit');
gov_is_exact($node, 'postgres', 'after the commit', schema => 'budgets');
$node->safe_psql('postgres', 'drop extension governance');
is($node->safe_psql('postgres', q{select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'budgets'}),
	'0', 'dropped for good');

$idle->quit;
$warm->quit;
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/,
	'no process died of it');
$node->stop;
done_testing();
