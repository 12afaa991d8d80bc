# A thousand catalog changes, in one transaction and in a thousand: another session with a warm cache sees each from
# its commit on, and none before.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant AGENTS => 1000;

my $node = gov_node('changes');

gov_build($node, 'postgres', agents => AGENTS, limit => 100);
$node->safe_psql('postgres', 'analyze');

# The agents whose budget leaves what is asked for.
sub agents_with
{
	my ($session, $remaining) = @_;

	return $session->query_safe(
		"select count(*) from generate_series(1, ${\AGENTS}) n
		 cross join lateral gov_headroom('acme', 'tokens', 0, null, array['agent-' || n]) h
		 where h.entity_id = 'agent-' || n and h.remaining = $remaining");
}

my $warm = $node->background_psql('postgres');
my $writer = $node->background_psql('postgres');
is(agents_with($warm, 100), AGENTS, 'a warm session');

# One transaction: nothing is seen before its commit, all of it after.
$writer->query_safe(
	"begin; update gov_assignments set usage_limit = 200 where entity_id like 'agent-%'");
is(agents_with($warm, 100), AGENTS, 'nothing is seen before the commit');
is(agents_with($writer, 200), AGENTS, 'but by the transaction itself');
$writer->query_safe('commit');
is(agents_with($warm, 200), AGENTS, 'everything after it');

$writer->query_safe(
	"begin; update gov_assignments set usage_limit = 300 where entity_id like 'agent-%'; rollback");
is(agents_with($warm, 200), AGENTS, 'nothing of a rollback');
is(agents_with($writer, 200), AGENTS, 'nor by who rolled back');

$writer->query_safe(
	"begin; update gov_assignments set usage_limit = 300 where entity_id like 'agent-%';
	 savepoint s; update gov_assignments set usage_limit = 400 where entity_id like 'agent-%'");
is(agents_with($writer, 400), AGENTS, 'a savepoint');
$writer->query_safe('rollback to s');
is(agents_with($writer, 300), AGENTS, 'rolled back to it');
$writer->query_safe('commit');
is(agents_with($warm, 300), AGENTS, 'and committed');

# A few and many keys, on either side of where a transaction marks the whole owner.
foreach my $count (1, 10, AGENTS - 1)
{
	$writer->query_safe(
		"update gov_assignments set usage_limit = 400 + $count where entity_id in
		 (select 'agent-' || n from generate_series(1, $count) n)");
	is(agents_with($warm, 400 + $count), $count, "$count budgets changed");
}

# Structure: a leaf moves, an archived one is suspended, budgets go and come, through COPY and TRUNCATE too.
my $agent1 = sub {
	$warm->query_safe(
		"select string_agg(entity_id || '/' || trim_scale(usage_limit), ' ' order by entity_id)
		 from gov_headroom('acme', 'tokens', 0, null, array['agent-1']) where entity_id ~ 'agent|lead'");
};
$writer->query_safe("update gov_assignments set usage_limit = 1 where entity_id = 'agent-1'");
is($agent1->(), 'agent-1/1', 'one budget');
$writer->query_safe(q{
	insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'lead', 'user', 'team-1');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'lead', 'tokens', 5);
	update gov_entities set parent_id = 'lead' where id = 'agent-1'});
is($agent1->(), 'agent-1/1 lead/5', 'a leaf moved under a new parent');
$writer->query_safe("select gov_archive_entities('acme', array['agent-1'])");
is($agent1->(), 'lead/5', 'archived: its own budgets are suspended');
$writer->query_safe("select gov_unarchive_entities('acme', array['agent-1'])");
is($agent1->(), 'agent-1/1 lead/5', 'unarchived');
$writer->query_safe("delete from gov_assignments where entity_id = 'lead'");
is($agent1->(), 'agent-1/1', 'a budget deleted');
$node->safe_psql('postgres', q{
copy gov_assignments (owner_id, entity_id, capability_id, usage_limit) from stdin;
acme	lead	tokens	8
\.
});
is($agent1->(), 'agent-1/1 lead/8', 'a budget copied in');
$writer->query_safe('begin; truncate gov_assignments');
$writer->query_safe('rollback');
is($agent1->(), 'agent-1/1 lead/8', 'a TRUNCATE rolled back');
is($warm->query_safe(q{select gov_allowed('acme', 'tokens', 1, '{"tag": "agent-1"}')}),
	't', 'a dimension that is no attribution key');
$writer->query_safe(
	"update gov_entity_types set attribution_keys = '{agentId,tag}' where id = 'agent'");
is($warm->query_safe(q{select gov_allowed('acme', 'tokens', 2, '{"tag": "agent-1"}')}),
	'f', 'becomes one');

# A thousand transactions, each looked at by a warm session at once. dblink gives the loop its own second session.
SKIP:
{
	skip 'no dblink here', 1
	  if $node->safe_psql('postgres',
		"select count(*) from pg_available_extensions where name = 'dblink'") == 0;
	my $connstr = $node->connstr('postgres');

	$connstr =~ s/'/''/g;
	$node->safe_psql('postgres', 'create extension dblink');
	is( $warm->query_safe(qq{
		create function late_changes() returns int language plpgsql as \$\$
		declare
			late int = 0;
		begin
			perform dblink_connect('writer', '$connstr');
			for n in 1 .. 1000 loop
				perform dblink_exec('writer', format(
					'update gov_assignments set usage_limit = %s where entity_id = %L', 1000 + n, 'agent-' || n % 50 + 2));
				if (select usage_limit from gov_headroom('acme', 'tokens', 0, null, array['agent-' || n % 50 + 2])
					where entity_id ~ 'agent') is distinct from 1000 + n then
					late = late + 1;
				end if;
			end loop;
			perform dblink_disconnect('writer');
			return late;
		end \$\$;
		select late_changes()}),
		'0', 'a thousand changes are each seen at commit');
}

$writer->query_safe('truncate gov_assignments');
is($agent1->(), '', 'a TRUNCATE is seen');
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'),
	'0', 'gov_verify finds nothing');

$warm->quit;
$writer->quit;
$node->stop;
done_testing();
