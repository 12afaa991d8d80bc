# What stands in the tables: they are heap whatever the default is, a stored amount that nobody can have recorded is told of and
# not taken for 0, and what a large transaction needed of a session's memory goes with it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('stored', extension => 0, conf => 'autovacuum = off');

sub sql { return $node->safe_psql('postgres', $_[0]); }

# ---------------------------------------------------------------- access methods

sql('create access method other type table handler heap_tableam_handler');
sql('set default_table_access_method = other; create extension governance');
is( sql(q{
		select count(*) > 10, string_agg(distinct m.amname, ' ') from pg_class c
		join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
		join pg_extension e on e.oid = d.refobjid and e.extname = 'governance'
		join pg_am m on m.oid = c.relam where c.relkind = 'r'}),
	't|heap', 'every table is heap');

# ---------------------------------------------------------------- amounts

gov_build($node, 'postgres', limit => 100, agents => 2);
my ($bad, $good) = map { sql("select reservation_id from gov_reserve('acme', 'tokens', 5, null, '{$_}', null, '1 hour')") } 'agent-1', 'agent-2';
sql("set session_replication_role = replica; update gov_reservations set amount = 'NaN' where id = '$bad'");
gov_raises($node, 'postgres', "select gov_settle('$bad')", '22003', 'settling it', qr/stored amount is out of range/);
gov_raises($node, 'postgres', "select gov_release('$bad')", '22003', 'releasing it', qr/stored amount is out of range/);
sql("set session_replication_role = replica; update gov_reservations set expires_at = now() - interval '1 second'");
ok($node->poll_query_until('postgres', "select state = 'expired' from gov_reservations where id = '$good'"), 'others expire all the same');
is(sql("select state from gov_reservations where id = '$bad'"), 'open', 'it stays open');
sql("set session_replication_role = replica; update gov_reservations set amount = 5 where id = '$bad'");
ok($node->poll_query_until('postgres', "select state = 'expired' from gov_reservations where id = '$bad'"), 'until it is corrected');
is(sql('select * from gov_verify()'), '', 'gov_verify finds nothing');

# ---------------------------------------------------------------- memory

sql(q{
	insert into gov_entities (owner_id, id, type_id) select 'many', 'a-' || n, 'agent' from generate_series(1, 1000) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, name, cadence)
	select 'many', 'a-' || n, 'tokens', 100000, m::text, 'PT1S' from generate_series(1, 1000) n, generate_series(1, 10) m;
});
my $session = $node->background_psql('postgres');
my $memory = q{select sum(total_bytes) from pg_backend_memory_contexts where name = 'TopMemoryContext'};
my $use = q{select is_granted from gov_consume('many', 'tokens', 1, null, (select array_agg('a-' || n) from generate_series(1, 1000) n))};
$session->query_safe(q{select gov_allowed('many', 'tokens', 1, null, '{a-1}')});
my $before = $session->query_safe($memory);
$session->query_safe('begin');
is($session->query_safe($use), 't', 'a call with 10,000 budgets, all of whose windows are over');
my $within = $session->query_safe($memory);
$session->query_safe('commit');
my $after = $session->query_safe($memory);
cmp_ok($within - $before, '>', 4 * 1024 * 1024, 'it takes memory');
cmp_ok($after - $before, '<', 2 * 1024 * 1024, 'which goes with its transaction');
$session->query_safe('begin');
is($session->query_safe($use), 't', 'another one');
$session->query_safe('rollback');
is($session->query_safe($use), 't', 'and another one after a rollback');
cmp_ok($session->query_safe($memory) - $before, '<', 2 * 1024 * 1024, 'do not add up');
is($session->query_safe('select * from gov_verify()'), '', 'gov_verify finds nothing');

$session->quit;
$node->stop;
done_testing();
