# What a change of the catalog costs is what it changes, however much else there is: counted in shared buffers, and in what it
# makes others load again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovGrowth;

my $node = gov_node('catalog_growth', conf => "autovacuum = off\nshared_buffers = 64MB\nmax_wal_size = 4GB");
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $other = $node->background_psql('postgres', on_error_stop => 0);

sub loads
{
	return gov_ask($session, q{select value from gov_stats where name = 'cache_loads'});
}

# What a statement costs with its AFTER triggers, which EXPLAIN leaves out.
$node->safe_psql('postgres', q{
	create function run(statement text) returns void language plpgsql as $$ begin execute statement; end $$});

sub run_blocks
{
	my ($sql) = @_;

	$sql =~ s/'/''/g;
	return gov_blocks($session, "select run('$sql')");
}

# Plans are made while there is next to nothing, and statistics say so. Then come 250 and 1,000 rows: each costs the same.
gov_grow_owner($node, 'postgres', 'planned', teams => 1, agents => 1);
gov_grow_owner($node, 'postgres', 'strict', teams => 1, agents => 1);
gov_ask($session, q{update gov_assignments set strict_allocation = true, usage_limit = 3000000000 where owner_id = 'strict' and entity_id = 'team-1'});
$node->safe_psql('postgres', 'analyze');
foreach my $n (1 .. 3)
{
	gov_ask($session, qq{insert into gov_entities (owner_id, id, type_id, parent_id) values ('planned', 'first-$n', 'agent', 'org')});
	gov_ask($session, qq{insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, scope_entity_ids) values ('planned', 'first-$n', 'tokens', 1, '{org}')});
	gov_ask($session, qq{delete from gov_assignments where owner_id = 'planned' and entity_id = 'first-$n'});
	gov_ask($session, qq{delete from gov_entities where owner_id = 'planned' and id = 'first-$n'});
}

foreach my $operation (
	[ 'INSERT of entities', 45, q{insert into gov_entities (owner_id, id, type_id, parent_id) select 'planned', 'SIZE-' || n, 'agent', 'team-1' from generate_series(1, SIZE) n} ],
	[ 'INSERT of budgets', 30, q{insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) select 'planned', 'SIZE-' || n, 'tokens', 1 from generate_series(1, SIZE) n} ],
	[ 'INSERT of children of a strict budget', 45, q{insert into gov_entities (owner_id, id, type_id, parent_id) select 'strict', 'SIZE-' || n, 'agent', 'team-1' from generate_series(1, SIZE) n} ],
	[ 'INSERT of their budgets', 110, q{insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) select 'strict', 'SIZE-' || n, 'tokens', 1, 'P1M' from generate_series(1, SIZE) n} ],
	[ 'UPDATE of their budgets', 80, q{update gov_assignments set usage_limit = 2 where owner_id = 'strict' and entity_id like 'SIZE-%'} ],
	[ 'UPDATE of budgets', 50, q{update gov_assignments set usage_limit = 2 where owner_id = 'planned' and entity_id like 'SIZE-%'} ],
	[ 'UPDATE of entities', 50, q{update gov_entities set metadata = '{"a": "b"}' where owner_id = 'planned' and id like 'SIZE-%'} ],
	[ 'move of entities', 75, q{update gov_entities set parent_id = 'org' where owner_id = 'planned' and id like 'SIZE-%'} ],
	[ 'INSERT of budgets with a scope', 35, q{insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, scope_entity_ids) select 'planned', 'SIZE-' || n, 'tokens', 1, '{org,team-1}' from generate_series(1, SIZE) n} ],
	[ 'DELETE of budgets', 40, q{delete from gov_assignments where owner_id = 'planned' and entity_id like 'SIZE-%'} ],
	[ 'DELETE of entities', 45, q{delete from gov_entities where owner_id = 'planned' and id like 'SIZE-%'} ])
{
	my ($name, $most, $sql) = @$operation;

	foreach my $size (250, 1000)
	{
		(my $statement = $sql) =~ s/SIZE/$size/g;
		my $blocks = run_blocks($statement) / $size;

		note "$name: $blocks blocks a row of $size";
		cmp_ok($blocks, '<=', $most, "$name: at most $most blocks a row of $size");
	}
}

like(gov_ask($session, q{update gov_assignments set usage_limit = 2000000000 where owner_id = 'strict' and entity_id in ('1000-7', '250-7')}),
	qr/limits of the children of entity "team-1" for "tokens" add up to 5000002496, past its strict limit of 3000000000/, 'and the sum is right');

# Owners name their entities alike: a deletion looks at the scopes of its own.
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) select 'd' || n, id, 'org' from generate_series(1, 5000) n, unnest(array['org', 'model']) id;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, scope_entity_ids) select 'd' || n, 'org', 'tokens', 1, '{model}' from generate_series(1, 5000) n});
gov_ask($session, q{delete from gov_assignments where owner_id = 'd7'});
cmp_ok(run_blocks(q{delete from gov_entities where owner_id = 'd7' and id = 'model'}), '<=', 60, 'DELETE of an entity whose id other owners have in scopes');
like(gov_ask($session, q{delete from gov_entities where owner_id = 'd8' and id = 'model'}), qr/entity "model" is in the scope of a budget/, 'that its own has is refused');
# An owner whose name is an id, and the other way round.
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) values ('twin', 'twin', 'org'), ('twin', 'other', 'org'), ('other', 'twin', 'org'), ('other', 'other', 'org');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, scope_entity_ids) values ('other', 'other', 'tokens', 1, '{twin}')});
is(gov_ask($session, q{delete from gov_entities where owner_id = 'twin' and id = 'other'}), '', 'neither takes the one for the other');

gov_grow_owner($node, 'postgres', 'large', teams => 10, agents => 600);
gov_grow_owner($node, 'postgres', 'small');

# A transaction that changes very much of one owner makes nobody else's nodes stale, and of that owner's all.
my $check = q{select gov_allowed('small', 'tokens', 1, null, array['agent-1-1'])};
my $remaining = q{select min(remaining) from gov_headroom('large', 'tokens', 0, null, array['agent-9-600'])};

foreach my $change (
	[ 'an UPDATE of 6,000 limits', q{update gov_assignments set usage_limit = 5 where owner_id = 'large'}, 5 ],
	[ 'as many changed by turns with another owner',
	  q{update gov_assignments a set usage_limit = 7 from (select entity_id from gov_assignments where owner_id = 'large' order by md5(entity_id)) o
		where a.owner_id = 'large' and a.entity_id = o.entity_id}, 7 ],
	[ 'COPY of 2,000 entities', q{insert into gov_entities (owner_id, id, type_id, parent_id) select 'large', 'new-' || n, 'agent', 'team-1' from generate_series(1, 2000) n}, 7 ])
{
	my ($name, $sql, $limit) = @$change;

	gov_ask($_, $check) foreach $session, $other;
	gov_ask($_, $remaining) foreach $session, $other;
	my $before = loads();
	gov_ask($other, $sql);
	is(gov_blocks($session, $check), 0, "$name: a check of another owner stays warm");
	is(loads(), $before, "$name: and nothing of it is loaded again");
	is(gov_ask($session, $remaining), $limit, "$name: every session sees it");
}

# So it is while it is going on, and when it is undone.
gov_ask($other, 'begin');
gov_ask($other, q{update gov_assignments set usage_limit = 3 where owner_id = 'large'});
is(gov_blocks($other, $check), 0, 'within the transaction another owner stays warm too');
is(gov_ask($other, $remaining), 3, 'its own changes are seen');
is(gov_ask($session, $remaining), 7, 'by nobody else');
gov_ask($other, 'rollback');
is(gov_ask($other, $remaining), 7, 'nor when they are undone');

# Very many owners: those, and beyond 20,000 every one.
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) select 'o' || n, 'org', 'org' from generate_series(1, 21000) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) select 'o' || n, 'org', 'tokens', 1 from generate_series(1, 21000) n});
my $seen = q{select count(*) from unnest(array[1, 100, 4999, 5001, 9000, 12000, 21000]) n, gov_headroom('o' || n, 'tokens', 0, null, array['org']) h where h.remaining = LIMIT};

foreach my $owners (12000, 21000)
{
	(my $all = $seen) =~ s/LIMIT/$owners/;

	gov_ask($session, $check);
	gov_ask($session, $all);
	gov_ask($other, "update gov_assignments set usage_limit = $owners where owner_id ~ '^o[0-9]' and substr(owner_id, 2)::int <= $owners");
	is(gov_blocks($session, $check), 0, 'changes of 12,000 owners: another stays warm') if $owners < 20000;
	is(gov_ask($session, $all), $owners < 20000 ? 6 : 7, "changes of $owners owners are seen");
	is(gov_ask($session, $check), 't', 'and others are as they were');
}

$session->quit;
$other->quit;
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', 'gov_verify finds nothing');
$node->stop;
done_testing();
